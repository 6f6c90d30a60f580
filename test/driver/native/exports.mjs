// Calls every export of the addon with wrong and huge arguments, in the main thread and in a worker, and says how many calls
// there were. Run it in a network namespace of its own. Usage: exports.mjs ROUNDS SEED
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { loadNative } from '../../../dist/driver/native/index.js'

const native = loadNative()
const { rounds, seed } = isMainThread
  ? { rounds: Number(process.argv[2]), seed: Number(process.argv[3]) }
  : workerData
let state = seed
/** mulberry32. */
const random = (below) => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}

const detached = new Uint8Array(new ArrayBuffer(64))
structuredClone(detached.buffer, { transfer: [detached.buffer] })
const pages = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true })
const mapped = native.mapMemory(1 << 16, false, -1)
const numbers = [
  0,
  1,
  2,
  3,
  4,
  7,
  8,
  16,
  64,
  255,
  256,
  1024,
  4096,
  65_535,
  65_536,
  1 << 20,
  2 ** 31 - 1,
  2 ** 31,
]
const huge = [
  2 ** 32 - 1,
  2 ** 32,
  5 * 2 ** 30,
  2 ** 40,
  2 ** 53,
  1e300,
  Infinity,
  -Infinity,
  NaN,
  -0,
  -1,
  0.5,
]
const views = [
  new Uint8Array(0),
  new Uint8Array(1),
  new Uint8Array(4096).fill(0xff),
  new Uint8Array(1 << 20),
  new Uint8Array(mapped),
  new Uint8Array(mapped, 4096, 8192),
  new Uint8Array(pages.buffer),
  new Uint32Array(0),
  new Uint32Array(4).fill(0xffffffff),
  new Uint32Array(16),
  new Uint32Array(4096).fill(1),
  new Float64Array(3).fill(NaN),
  new Float64Array(6).fill(66),
  new Float64Array(6).fill(1e300),
  new Int8Array(8),
  new BigUint64Array(8),
  new DataView(new ArrayBuffer(9)),
  detached,
]
const hostile = {
  get length() {
    throw new Error('no length')
  },
  [Symbol.toPrimitive]() {
    throw new Error('no value')
  },
}
const others = [
  undefined,
  null,
  true,
  false,
  '',
  'x'.repeat(15),
  'x'.repeat(1 << 20),
  'a\0b',
  5n,
  Symbol('x'),
  {},
  [],
]
others.push(hostile, new Proxy({}, {}), () => {}, mapped, pages.buffer, new Error('x'))
/** Descriptors that are something: of a file, of sockets, and none of this environment's. */
const file = openSync('/dev/null', 'r+')
const fds = [file, 1_000_000, 0]
for (const open of [() => native.netlinkOpen(0, 0), () => native.packetSocket(), () => native.xskSocket()])
  fds.push(open())
fds.push(native.createMemfd('zcrx-exports', 4096, false))
const kept = new Set(fds)

const any = () => {
  const kind = random(10)
  if (kind < 3) return numbers[random(numbers.length)]
  if (kind < 4) return huge[random(huge.length)]
  if (kind < 7) return views[random(views.length)]
  if (kind < 9) return fds[random(fds.length)]
  return others[random(others.length)]
}

let calls = 0
const attempt = (call) => {
  calls++
  try {
    return call()
  } catch (error) {
    if (error === null || !(error instanceof Error)) throw error
    return undefined
  }
}

const names = Object.keys(native).filter(
  (name) => !['Watcher', 'BulkLoops', 'setNetns', 'poll'].includes(name),
)
for (let round = 0; round < rounds; round++) {
  for (const name of names) {
    const args = Array.from({ length: random(10) }, any)
    // Those stay: what the others are tried with.
    if (name === 'close' && kept.has(args[0])) continue
    // Whoever says that this process's own channels are his has them closed.
    if (name === 'adopt' && [0, 1, 2].includes(args[0])) continue
    const result = attempt(() => native[name](...args))
    if (typeof result === 'number' && result > 2 && name !== 'addressOf') attempt(() => native.close(result))
    if (result instanceof ArrayBuffer && result.byteLength > 0) {
      const bytes = new Uint8Array(result)
      bytes[0] = 1
      bytes[bytes.length - 1] = 1
      if (random(2) === 0) native.release(bytes)
    }
  }
  attempt(() => native.poll(any(), any(), [0, 1, NaN, -1, 'x', undefined][random(6)]))
  attempt(() => native.setNetns(1_000_000))
  attempt(() => native.BulkLoops())
  attempt(() => native.BulkLoops.prototype.find.call(others[random(others.length)], any(), 0, 1))
  const loops = new native.BulkLoops()
  for (const name of ['find', 'bind', 'scan'])
    attempt(() => loops[name](...Array.from({ length: random(12) }, any)))
  attempt(() => native.postRun(...Array.from({ length: 14 }, any)))
  attempt(() => new native.Watcher(any()))
  attempt(() => native.Watcher(any()))
  attempt(() => native.Watcher.prototype.start.call(others[random(others.length)], () => {}, true))
  const watcher = attempt(() => new native.Watcher(fds[random(fds.length)]))
  if (watcher !== undefined) {
    attempt(() => watcher.start(any(), any()))
    attempt(() => watcher.start(() => {}, random(2) === 0))
    for (let i = 0; i < 4; i++)
      attempt(() => watcher[['start', 'stop', 'unref', 'close'][random(4)]](() => {}, random(2) === 0))
    // Closed, or left to the collector; then it must not keep the process.
    attempt(() => watcher.unref())
  }
  if (round % 50 === 0) {
    // A descriptor that is closed while it is watched, by the addon or by somebody else.
    for (const close of [(fd) => native.close(fd), (fd) => closeSync(fd)]) {
      const fd = native.netlinkOpen(0, 0)
      const watched = new native.Watcher(fd)
      watched.start(() => {}, true)
      await new Promise((resolve) => setImmediate(resolve))
      close(fd)
      await new Promise((resolve) => setImmediate(resolve))
      attempt(() => watched.start(() => {}, true))
      await new Promise((resolve) => setImmediate(resolve))
      watched.close()
      native.close(fd)
    }
  }
}

if (isMainThread) {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { rounds, seed: seed + 1 } })
  worker.on('message', (inWorker) => console.log(`${calls + inWorker} calls`))
} else parentPort.postMessage(calls)
