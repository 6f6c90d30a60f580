/**
 * AF_XDP in native zero-copy mode, which no veth has: run in the machine of scripts/vm, whose virtio-net has it.
 * npm run vm -- --virtio -- node dist/test/vm/zero-copy.js
 */

import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { allocatePages } from '../../driver/native/memory.ts'
import { type NicMemory, RxBurst } from '../../driver/nic.ts'
import { XdpNic, type XdpNicOptions } from '../../driver/xdp/index.ts'
import type { Connection } from '../../net/connection.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { check, digestOf, verdict } from './checks.ts'
import type { Order, PeerData } from './peer.ts'

const DEVICE = 'vn0'
const ADDRESS = '10.7.0.1'
const CLAIMED = Uint8Array.of(10, 7, 0, 9)
const CHUNK = 4096
const CHUNKS = 512
const RESTARTS = 10
/** Longer than the device was seen to write on after a close. */
const WATCH_MS = 150
const PORT = 9000
/** Longer than a stream takes, even emulated. */
const PATIENCE_MS = 90_000
/** How often a slow application gives back a third of what it has. */
const GIVE_BACK_MS = 20

const ns = process.env.ZCRX_VM_NS
if (ns === undefined) {
  console.error('this runs in the machine only: npm run vm -- --virtio -- node dist/test/vm/zero-copy.js')
  process.exit(2)
}
function open(options: Partial<XdpNicOptions> = {}): XdpNic {
  return XdpNic.open({ device: DEVICE, mode: 'native', ...options })
}

let worker: Worker | null = null

/** One thread for everything: starting one takes seconds here. */
function peer(order: Order, mac: Uint8Array): Promise<string> {
  const workerData: PeerData = { netns: `/proc/${ns}/ns/net`, address: ADDRESS, mac, claimed: CLAIMED }
  worker ??= new Worker(new URL('./peer.js', import.meta.url), { workerData })
  const there = worker
  there.postMessage(order)
  return new Promise((resolve, reject) => {
    there.once('error', reject)
    there.once('message', resolve)
  })
}

/** One stream from Linux. @param slow buffers are given back now and then only, so that the area is always full */
async function receive(nic: XdpNic, areaBytes: number, bytes: number, slow: boolean) {
  const hash = createHash('sha256')
  const kept: [connection: Connection, offset: number][] = []
  const giveBack = (count: number): void => {
    for (const [connection, offset] of kept.splice(0, count)) connection.release(offset)
  }
  const timer = setInterval(() => giveBack(Math.ceil(kept.length / 3)), GIVE_BACK_MS)
  let received = 0
  let server!: Server
  const mac = nic.info.mac
  const ended = new Promise<number>((resolve, reject) => {
    createServer({
      device: nic,
      areaBytes,
      port: PORT,
      handler: {
        onData: (connection, offset, length) => {
          hash.update(server.area.subarray(offset, offset + length))
          received += length
          if (!slow) return true
          kept.push([connection, offset])
          return false
        },
        onEnd: (connection, errno) => {
          giveBack(kept.length)
          connection.close()
          resolve(errno)
        },
      },
    }).then((created) => {
      server = created
      void peer({ kind: 'stream', port: PORT, bytes }, mac)
    }, reject)
  })
  const late = setTimeout(() => {
    check(
      'the stream comes to an end',
      false,
      JSON.stringify([received, kept.length, server.census(), server.stats().drops]),
    )
    process.exit(1)
  }, PATIENCE_MS)
  const errno = await ended
  clearTimeout(late)
  clearInterval(timer)
  const stats = server.stats()
  const { notes, info } = nic
  const nicStats = nic.stats()
  await server.close()
  return { errno, received, digest: hash.digest('hex'), stats, notes: [...notes], mode: info.mode, nicStats }
}

async function streams(): Promise<void> {
  const bytes = 3 << 20
  const run = await receive(open(), 4 << 20, bytes, false)
  check('binds as native zero-copy', run.mode === 'native zero-copy', run.mode)
  check(
    'the notes say nothing of copying',
    !run.notes.some((note) => /copy/.test(note)),
    run.notes.join('; '),
  )
  check('all bytes are right', run.errno === 0 && run.digest === digestOf(bytes), run.received)
  check('nothing is copied', run.stats.copiedBytes === 0, run.stats.copiedBytes)
  const { noMemory, nicFillEmpty, nicRingFull } = run.stats.drops
  check('nothing is dropped', !noMemory && !nicFillEmpty && !nicRingFull, JSON.stringify(run.stats.drops))
  const some = 2 << 20
  for (const copy of ['zerocopy', 'copy'] as const) {
    const full = await receive(open({ copy }), 1 << 20, some, true)
    check(
      `${full.mode}: a full area: all bytes are right`,
      full.errno === 0 && full.digest === digestOf(some),
      full.received,
    )
    const { noMemory = 0 } = full.stats.drops
    check(`${full.mode}: a full area: what was promised a place has found one`, noMemory === 0, noMemory)
    const { rxFillEmpty, rxFillPolls } = full.nicStats
    console.log(
      `       ${full.mode}: ${JSON.stringify({ drops: full.stats.drops, rxFillEmpty, rxFillPolls })}`,
    )
    check(
      `${full.mode}: looks at an empty fill ring are no drops`,
      copy === 'copy' || rxFillEmpty === 0,
      rxFillEmpty,
    )
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** The memory is ours again when `detach` returns: nothing is written to it any more, whatever comes. */
async function detaching(): Promise<void> {
  const nic = open()
  const areaLength = CHUNKS * CHUNK
  const buffer = allocatePages(areaLength + nic.info.tailBytes).buffer
  const memory: NicMemory = { buffer, areaOffset: 0, areaLength, chunkSize: CHUNK }
  const words = new Float64Array(buffer, 0, areaLength / 8)
  const stop = new SharedArrayBuffer(4)
  const flood = peer({ kind: 'flood', stop }, nic.info.mac)
  nic.attach(memory)
  nic.claim(CLAIMED)
  const burst = new RxBurst()
  const numbers = Uint32Array.from({ length: CHUNKS }, (_, i) => i)
  let written = 0
  let frames = 0
  let longest = 0
  for (let restart = 0; restart < RESTARTS; restart++) {
    if (restart > 0) nic.attach(memory)
    nic.fill(numbers, 0, CHUNKS)
    let seen = 0
    const end = performance.now() + 20_000
    while (seen < 100 && performance.now() < end) {
      nic.wait(50)
      nic.receive(burst)
      seen += burst.count
      const back = Uint32Array.from(burst.offset.subarray(0, burst.count), (offset) =>
        Math.floor(offset / CHUNK),
      )
      nic.fill(back, 0, back.length)
    }
    frames += seen
    const start = performance.now()
    nic.detach()
    longest = Math.max(longest, performance.now() - start)
    words.fill(0)
    sleep(WATCH_MS)
    const touched = new Set<number>()
    for (let i = 0; i < words.length; i++) if (words[i] !== 0) touched.add(Math.floor(i / (CHUNK / 8)))
    written += touched.size
  }
  Atomics.store(new Int32Array(stop), 0, 1)
  await flood
  nic.close()
  check('the flood arrives at each restart', frames >= RESTARTS * 100, frames)
  check('no buffer is written to after detach', written === 0, `${written} buffers in ${RESTARTS} restarts`)
  check('detach takes less than a second', longest < 1000, `${longest.toFixed(0)} ms`)
}

await detaching()
await streams()
process.exit(verdict('zero-copy'))
