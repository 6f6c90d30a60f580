import { get32 } from '../bytes.ts'
import { allocateArea, asNicMemory } from '../driver/area.ts'
import { type NicMemory, RX_CSUM_GOOD } from '../driver/nic.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { defaultIpConfig } from '../stack/ip/options.ts'
import { Stack } from '../stack/stack.ts'
import { ACK, formatFlags, PSH, SYN } from '../stack/wire/tcp.ts'
import * as abi from '../uapi/abi/index.ts'
import { InlineKernel } from '../uapi/backend/inline.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import { Ring } from '../uapi/ring/ring.ts'
import { AREA_BYTES, nextSegment } from './frames.ts'
import {
  type Flow,
  HEADROOM,
  NIOV,
  PORT,
  putSegment,
  putSum,
  ScriptedNic,
  type Shape,
  SIDE_BYTES,
  TCP_BYTES,
} from './replay.ts'

/** Frames per entry of the ring: one burst. */
const ROUND = 256
/** Times that the ring is entered for one burst, at the most. */
const MOST_ENTRIES = 8

/** A stack with established flows, and frames of theirs that a replaying NIC puts into memory. */
export interface Rig {
  stack: Stack
  ifq: Ifq
  nic: ScriptedNic
  ring: Ring
  kernel: InlineKernel
  flows: Flow[]
  /** Receives `packets` segments of `payload` bytes and gives every buffer back. */
  run(packets: number, payload: number): void
  /** The same of one burst whose frames are written before the clock starts: nanoseconds per packet. */
  burst(payload: number, checksum: Checksum): number
  /** Its first half: writes the frames; returns how many. */
  stage(payload: number, checksum: Checksum): number
  /** And its second half: receives them; nanoseconds per packet. */
  finish(): number
  /** Of the last burst: what of it the application took to read completions and give buffers back. */
  applicationNs: number
}

/** The device vouches for it; it is the pseudo-header's only, as of a virtual peer on this machine; or it has to be verified. */
export type Checksum = 'vouched' | 'unfinished' | 'verified'

export interface RigOptions {
  /** Bursts are taken as such. */
  readonly bulk?: boolean
  /** By JavaScript's loops, not the addon's. */
  readonly javascript?: boolean
  /** Headers come beside the area. */
  readonly split?: boolean
}

/** A stack with `count` established flows, each with a RECV_ZC armed. */
export function makeRig(
  shape: Shape,
  count: number,
  { bulk = true, javascript = false, split = false }: RigOptions = {},
): Rig {
  const { server, tcpAt } = shape
  const nic = new ScriptedNic(split ? { placement: 'split' } : {})
  let time = 1_000_000
  const memoryFor = (): NicMemory => asNicMemory(allocateArea(2 << 20, 0))
  const stack = new Stack({
    nic,
    memory: memoryFor(),
    clock: { now: () => time },
    entropy: systemEntropy(),
    ip: { bulk, bulkLoopsFrom: javascript ? Number.POSITIVE_INFINITY : defaultIpConfig.bulkLoopsFrom },
  })
  stack.addAddress(server, false)
  const kernel = new InlineKernel({ memoryFor })
  kernel.addStack(stack)
  const ring = Ring.queueInit(256, kernel, {
    flags: abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER,
    cqEntries: 8192,
  })
  const area = allocateArea(AREA_BYTES, 0)
  const ifq = ring.registerIfq({ ifIdx: 1, ifRxq: 0, rqEntries: 16_384, area })
  if (typeof ifq === 'number') throw new Error(`registration: ${abi.errnoName(ifq)}`)
  const call = (prepare: (sqe: abi.Sqe) => abi.Sqe): number => {
    prepare(ring.getSqe()!).setData(1)
    ring.submitAndGetEvents()
    const cqe = ring.waitCqe()
    const { res } = cqe
    ring.cqeSeen(cqe)
    if (res < 0) throw new Error(abi.errnoName(res))
    return res
  }
  const listener = call((sqe) =>
    sqe.prepSocket(server.version === 4 ? abi.AF_INET : abi.AF_INET6, abi.SOCK_STREAM, 0),
  )
  const address = abi.sockaddrOf(server, PORT)
  call((sqe) => sqe.prepBind(listener, address))
  call((sqe) => sqe.prepListen(listener, 128))
  const flows: Flow[] = []
  for (let i = 0; i < count; i++) {
    const flow: Flow = { port: 20_000 + i, seq: i * 1_000_003, ack: 0, tsEcr: 0, tsVal: 1 }
    const single = (flags: number): void => {
      let given = false
      nic.budget = 1
      nic.next = (bytes, at) => {
        if (given) return 0
        given = true
        return putSegment(shape, bytes, at, flow, flags, 0)
      }
      ring.getEvents()
    }
    nic.sent.length = 0
    single(SYN)
    const answer = nic.sent.at(-1)
    if (answer === undefined || (answer[tcpAt + 13]! & SYN) === 0) {
      throw new Error(`no SYN,ACK but ${answer === undefined ? 'nothing' : formatFlags(answer[tcpAt + 13]!)}`)
    }
    flow.seq = (flow.seq + 1) | 0
    flow.ack = (get32(answer, tcpAt + 4) + 1) | 0
    single(ACK)
    const fd = call((sqe) => sqe.prepAccept(listener))
    ring.getSqe()!.prepRecvZc(fd, ifq.zcrxId).setData(2)
    ring.submit()
    flows.push(flow)
  }
  nic.keepSent = false
  nic.headerBytes = tcpAt + TCP_BYTES

  const tcbs = [...stack.tcp]
  const window = (payload: number): number => {
    // Each of so many gets less than one at a time.
    if (flows.length > ROUND) return ROUND
    let segments = Number.POSITIVE_INFINITY
    for (const tcb of tcbs) segments = Math.min(segments, Math.floor(tcb.rcv.window() / payload))
    return segments * flows.length
  }
  const { cqes, cqEntries, cqHeadAt: headAt } = ring.memory
  // Goes on where the last run stopped, so that every flow gets the same number in the long run.
  let turn = 0
  let prepared = 0
  let verified = false
  const prepare = (payload: number, checksum: Checksum): void => {
    nic.rxFlags = checksum === 'vouched' ? RX_CSUM_GOOD : 0
    verified = checksum === 'verified'
    if (payload === prepared) return
    prepared = payload
    // In the memory that headers come to.
    const side = nic.roles.sideMemory
    const [headers, step, first] = side === null ? [area, NIOV, HEADROOM] : [side, SIDE_BYTES, 0]
    // What handshakes have left behind the headers is no payload.
    headers.fill(0)
    for (let at = first; at < headers.length; at += step)
      putSegment(shape, headers, at, flows[0]!, ACK | PSH, payload)
    nic.next = (bytes, at) => {
      const flow = flows[turn]!
      turn = turn + 1 === flows.length ? 0 : turn + 1
      const length = nextSegment(tcpAt, bytes, at, flow, payload)
      if (verified) putSum(shape, bytes, at, payload)
      return length
    }
  }
  /** What an application does: reads completions, gives buffers back. Returns how many. */
  const reap = (): number => {
    const ready = ring.cqReady()
    const head = ring.memory.control[headAt]!
    for (let i = 0; i < ready; i++) {
      const at = ((head + i) & (cqEntries - 1)) * 8
      if (cqes[at + 2]! <= 0) throw new Error(`the stream ended: ${abi.errnoName(cqes[at + 2]!)}`)
      if (!ifq.rq.push(0, cqes[at + 4]! >>> 0, 0)) throw new Error('the refill queue is full')
    }
    ring.cqAdvance(ready)
    ifq.rq.advance()
    return ready
  }
  let staged = 0
  const stage = (payload: number, checksum: Checksum): number => {
    prepare(payload, checksum)
    nic.budget = 0
    staged = nic.stage(Math.min(ROUND, window(payload)))
    return staged
  }
  const finish = (): number => {
    const pieces = nic.stagedEntries - (split ? staged : 0)
    time += 50
    let completed = 0
    let application = 0
    const start = performance.now()
    let end = start
    // A request completes so much at a time; the rest of large frames follows at the next entry.
    for (let entries = 0; entries < MOST_ENTRIES && completed < pieces; entries++) {
      ring.getEvents()
      const received = performance.now()
      completed += reap()
      end = performance.now()
      application += end - received
    }
    if (completed !== pieces)
      throw new Error(`the stack refused some of the frames: ${completed} of ${pieces}`)
    rig.applicationNs = (application * 1e6) / staged
    return ((end - start) * 1e6) / staged
  }
  const burst = (payload: number, checksum: Checksum): number => {
    stage(payload, checksum)
    return finish()
  }
  const run = (packets: number, payload: number): void => {
    prepare(payload, 'unfinished')
    const before = stack.counters.rxBytes
    let completed = 0
    while (completed < packets) {
      // No more at a time than the windows of all flows hold, as honest peers would.
      nic.budget = Math.min(packets - completed, ROUND, window(payload))
      time += 50
      ring.getEvents()
      completed += reap()
    }
    if (stack.counters.rxBytes - before !== packets * payload)
      throw new Error('the stack refused some of the frames')
    const { lost } = ifq.census()
    if (lost !== 0) throw new Error(`${lost} buffers lost`)
  }
  const rig: Rig = { stack, ifq, nic, ring, kernel, flows, run, burst, stage, finish, applicationNs: 0 }
  return rig
}
