import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createServer } from '../net/open.ts'
import { type FlowNicData, grant, openNic, sharedWords } from './flow-nic.ts'
import { AREA_BYTES, cpuNs, timeFrames } from './frames.ts'
import { PORT, SHAPES } from './replay.ts'

/** What a process of the `workers` bench receives with, as JSON in its only argument. */
export interface ReceiveCase {
  /** 0: on the thread of the application. */
  readonly workers: number
  /** Of each queue. */
  readonly flows: number
  /** Bytes of a segment's payload. */
  readonly payload: number
}

/** To the process: receive so many segments. */
export interface ReceiveOrder {
  readonly packets: number
}

/** What that took. */
export interface ReceiveFigures {
  readonly packetsPerSecond: number
  /** CPU time of all threads per packet, less what writing the frames takes. */
  readonly cpuNs: number
  /** What writing a frame takes. */
  readonly framesNs: number
  /** Of it the application's thread's, nothing taken off. */
  readonly mainNs: number
}

/** CPU time of this process's first thread, nanoseconds (proc(5), `schedstat`). */
function mainNs(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ', 1)[0])
}

const { workers, flows, payload } = JSON.parse(process.argv[2] ?? '{}') as ReceiveCase
const words = sharedWords(Math.max(1, workers))
const data: FlowNicData = { words, flows, payload }
const { server: address, tcpAt } = SHAPES[4]!

/** Of all flows of a queue. */
const WINDOWS_BYTES = 4 << 20
/** Nothing came for so long. */
const HALT_MS = 3000

let missing = 0
let done = (): void => {}
const server = await createServer({
  ...(workers === 0
    ? { device: openNic(data, 0) }
    : { device: { module: fileURLToPath(new URL('./flow-nic.js', import.meta.url)), data }, workers }),
  address: address.toString(),
  ownAddress: true,
  port: PORT,
  areaBytes: AREA_BYTES,
  // Together as much in every case. What lies behind a busy application has room in the area: the peers here send nothing twice.
  tcp: { moderateWindow: false, maxWindow: WINDOWS_BYTES / flows },
  handler: {
    onData(_connection, _offset, length) {
      missing -= length
      if (missing <= 0) done()
      return true
    },
    onEnd(_connection, errno) {
      if (missing > 0) throw new Error(`a connection ended: errno ${errno}`)
    },
  },
})

/** @param packets of all queues together, in equal parts */
async function receive(packets: number): Promise<ReceiveFigures> {
  const each = Math.ceil(packets / words.length)
  const all = each * words.length
  const frames = timeFrames(tcpAt, Math.min(all, 500_000), payload, flows)
  missing = all * payload
  const finished = new Promise<void>((resolve) => {
    done = resolve
  })
  const [cpu, main, start] = [cpuNs(), mainNs(), performance.now()]
  for (const one of words) grant(one, each)
  await finished
  const seconds = (performance.now() - start) / 1000
  return {
    packetsPerSecond: all / seconds,
    cpuNs: (cpuNs() - cpu) / all - frames,
    framesNs: frames,
    mainNs: (mainNs() - main) / all,
  }
}

let seen = 0
// The peers here send nothing twice: what is lost is lost.
setInterval(() => {
  if (missing > 0 && missing === seen) {
    const { drops } = server.stats()
    const state = JSON.stringify({ missing, drops, ...server.census() })
    process.stderr.write(`receiving has come to a halt: ${state}\n`)
    process.exit(1)
  }
  seen = missing
}, HALT_MS)

process.on('message', ({ packets }: ReceiveOrder) => {
  void receive(packets).then((figures) => {
    const { drops, copiedBytes } = server.stats()
    if (copiedBytes !== 0 || Object.keys(drops).length > 0 || missing !== 0)
      throw new Error(`copied or dropped: ${copiedBytes} ${JSON.stringify(drops)}`)
    process.send?.(figures)
  })
})
process.on('disconnect', () => void server.close().then(() => process.exit()))
process.send?.('ready')
