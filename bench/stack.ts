import { parseArgs } from 'node:util'
import type { NicMemory } from '../driver/nic.ts'
import { systemEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import { get32, put16, put32 } from '../stack/wire/bytes.ts'
import { ACK, formatFlags, PSH, SYN } from '../stack/wire/tcp.ts'
import * as abi from '../uapi/abi/index.ts'
import { allocateArea, asNicMemory } from '../uapi/area.ts'
import { Kernel } from '../uapi/kernel/kernel.ts'
import { RingMemory } from '../uapi/ring/memory.ts'
import { Ring } from '../uapi/ring/ring.ts'
import {
  type Flow,
  HEADROOM,
  NIOV,
  PORT,
  putSegment,
  ReplayNic,
  SHAPES,
  type Shape,
  TCP_BYTES,
} from './replay.ts'
import { type Spread, spread } from './spread.ts'

const AREA_BYTES = 64 << 20
/** Frames per entry of the ring: one burst. */
const ROUND = 256

/** Turns the segment that already lies in a chunk into the next one of `flow`; the pseudo-header's sum stays the same. */
function nextSegment(tcpAt: number, bytes: Uint8Array, at: number, flow: Flow, payload: number): number {
  put16(bytes, at + tcpAt, flow.port)
  put32(bytes, at + tcpAt + 4, flow.seq)
  put32(bytes, at + tcpAt + 8, flow.ack)
  flow.seq = (flow.seq + payload) | 0
  return tcpAt + TCP_BYTES + payload
}

/** CPU time in nanoseconds: unlike the wall's, it does not count what others did meanwhile. */
function cpuNs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

interface Rig {
  nic: ReplayNic
  ring: Ring
  kernel: Kernel
  flows: Flow[]
  /** Receives `packets` segments of `payload` bytes and gives every buffer back. */
  run(packets: number, payload: number): void
}

/** A stack with `count` established flows, each with a RECV_ZC armed. */
function makeRig(shape: Shape, count: number): Rig {
  const { server, tcpAt } = shape
  const nic = new ReplayNic()
  let time = 1_000_000
  const memoryFor = (): NicMemory => asNicMemory(allocateArea(2 << 20, 0))
  const stack = new Stack({
    nic,
    memory: memoryFor(),
    clock: { now: () => time },
    entropy: systemEntropy(),
  })
  stack.addAddress(server, false)
  const kernel = new Kernel({ memoryFor })
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

  const tcbs = [...stack.tcp]
  const window = (payload: number): number => {
    let segments = Number.POSITIVE_INFINITY
    for (const tcb of tcbs) segments = Math.min(segments, Math.floor(tcb.rcv.window() / payload))
    return segments * flows.length
  }
  const { cqes, cqEntries } = ring.memory
  const headAt = RingMemory.CQ_HEAD
  // Goes on where the last run stopped, so that every flow gets the same number in the long run.
  let turn = 0
  const run = (packets: number, payload: number): void => {
    for (let at = HEADROOM; at < area.length; at += NIOV)
      putSegment(shape, area, at, flows[0]!, ACK | PSH, payload)
    nic.next = (bytes, at) => {
      const flow = flows[turn]!
      turn = turn + 1 === flows.length ? 0 : turn + 1
      return nextSegment(tcpAt, bytes, at, flow, payload)
    }
    const before = stack.counters.rxBytes
    let completed = 0
    while (completed < packets) {
      // No more at a time than the windows of all flows hold, as honest peers would.
      nic.budget = Math.min(packets - completed, ROUND, window(payload))
      time += 50
      ring.getEvents()
      const ready = ring.cqReady()
      const head = ring.memory.control[headAt]!
      for (let i = 0; i < ready; i++) {
        const at = ((head + i) & (cqEntries - 1)) * 8
        if (cqes[at + 2]! <= 0) throw new Error(`the stream ended: ${abi.errnoName(cqes[at + 2]!)}`)
        if (!ifq.rq.push(0, cqes[at + 4]! >>> 0, 0)) throw new Error('the refill queue is full')
      }
      ring.cqAdvance(ready)
      ifq.rq.advance()
      completed += ready
    }
    if (stack.counters.rxBytes - before !== packets * payload)
      throw new Error('the stack refused some of the frames')
    const { lost } = ifq.census()
    if (lost !== 0) throw new Error(`${lost} buffers lost`)
  }
  return { nic, ring, kernel, flows, run }
}

/** Nanoseconds per packet that writing the frames alone takes: taken off, since a NIC's DMA would do it. */
function timeFrames(tcpAt: number, packets: number, payload: number, count: number): number {
  const area = allocateArea(AREA_BYTES, 0)
  const flows: Flow[] = Array.from({ length: count }, (_, i) => ({
    port: 20_000 + i,
    seq: 0,
    ack: 0,
    tsEcr: 0,
    tsVal: 1,
  }))
  const start = cpuNs()
  let turn = 0
  for (let i = 0; i < packets; i++) {
    nextSegment(tcpAt, area, (i & 255) * NIOV + HEADROOM, flows[turn]!, payload)
    turn = turn + 1 === count ? 0 : turn + 1
  }
  return (cpuNs() - start) / packets
}

/** Nanoseconds per copy of `payload` bytes out of one 4 KiB chunk after another into one buffer. */
function timeMemcpy(packets: number, payload: number): number {
  const area = allocateArea(AREA_BYTES, 0)
  const target = new Uint8Array(NIOV)
  const views = Array.from({ length: 256 }, (_, i) => area.subarray(i * NIOV, i * NIOV + payload))
  const start = cpuNs()
  for (let i = 0; i < packets; i++) target.set(views[i & 255]!)
  return (cpuNs() - start) / packets
}

/** One case of the bench: `nsPerPacket` is the stack's own, from receive descriptor to refill. */
export interface StackResult {
  payload: number
  flows: number
  nsPerPacket: Spread
  memcpyNs: Spread
  /** `nsPerPacket` over `memcpyNs`, round by round. */
  ratio: Spread
}

/**
 * `npm run bench -- stack`: nanoseconds per packet from receive descriptor to refill, over frames that a replaying NIC puts
 * into memory, beside a memcpy of the same payload in the same round.
 */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      packets: { type: 'string', default: '500000' },
      rounds: { type: 'string', default: '7' },
      ip: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
    },
  })
  const shape = SHAPES[values.ip]
  if (shape === undefined) throw new Error('--ip is 4 or 6')
  const full = NIOV - HEADROOM - shape.tcpAt - TCP_BYTES
  const small = 1500 + 14 - shape.tcpAt - TCP_BYTES
  const cases = [small, full].flatMap((payload) => [1, 64].map((flows) => ({ payload, flows })))
  const packets = Number(values.packets)
  const rounds = Number(values.rounds)
  const samples = cases.map(() => ({ ns: [] as number[], memcpy: [] as number[], ratio: [] as number[] }))
  const rigs = cases.map(({ flows }) => makeRig(shape, flows))
  for (let i = 0; i < cases.length; i++) {
    rigs[i]!.run(packets / 2, cases[i]!.payload)
    timeFrames(shape.tcpAt, packets / 2, cases[i]!.payload, cases[i]!.flows)
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < cases.length; i++) {
      const { payload, flows } = cases[i]!
      const frames = timeFrames(shape.tcpAt, packets, payload, flows)
      const start = cpuNs()
      rigs[i]!.run(packets, payload)
      const ns = (cpuNs() - start) / packets - frames
      const memcpy = timeMemcpy(packets, payload)
      samples[i]!.ns.push(ns)
      samples[i]!.memcpy.push(memcpy)
      samples[i]!.ratio.push(ns / memcpy)
    }
  }
  const results: StackResult[] = cases.map(({ payload, flows }, i) => ({
    payload,
    flows,
    nsPerPacket: spread(samples[i]!.ns),
    memcpyNs: spread(samples[i]!.memcpy),
    ratio: spread(samples[i]!.ratio),
  }))
  if (!values.json) {
    const cell = (s: Spread, digits: number): string =>
      `${s.median.toFixed(digits)} (${s.min.toFixed(digits)}–${s.max.toFixed(digits)})`
    console.log(`stack: ${packets} packets a round, ${rounds} rounds; median (min–max)\n`)
    console.log('payload  flows  ns/packet                memcpy ns                packet/memcpy')
    for (const r of results) {
      console.log(
        `${String(r.payload).padStart(7)}  ${String(r.flows).padStart(5)}  ${cell(r.nsPerPacket, 1).padEnd(23)}  ` +
          `${cell(r.memcpyNs, 1).padEnd(23)}  ${cell(r.ratio, 2)}`,
      )
    }
    console.log()
  }
  console.log(
    JSON.stringify({
      bench: 'stack',
      node: process.version,
      ip: Number(values.ip),
      packets,
      rounds,
      results,
    }),
  )
}
