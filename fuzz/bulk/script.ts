import { ACK, FIN, PSH, RST, URG } from '../../stack/wire/tcp.ts'
import type { Choices } from './choices.ts'
import { expectCounted, expectSame } from './compare.ts'
import { type FedFrame, HEADROOM, NIOV } from './fed-nic.ts'
import { frameOf, type Said } from './frames.ts'
import { Rig, type Setting } from './rig.ts'

const BURSTS = 24
/** Rounds in which all of a burst's frames are surely looked at. */
const ROUNDS = 40

/** One side of a connection that the script plays. */
interface Flow {
  seq: number
  said: Said
}

function settingOf(choices: Choices): Setting {
  const flows = choices.pick([1, 1, 1, 2, 3, 5, 70])
  const odd = choices.below(8)
  return {
    version: choices.pick([4, 4, 6]),
    vlan: odd === 7 ? [5] : [],
    split: choices.oneIn(3),
    partial: choices.oneIn(2),
    flows,
    loopsFrom: choices.pick([1, 8, 32, Number.POSITIVE_INFINITY]),
    cqEntries: choices.pick([16, 128, 4096, 4096]),
    areaBytes: (1 << 20) << choices.below(3),
    timestamps: !choices.oneIn(4),
    ecn: odd === 6,
    readers: choices.pick([['zc'], ['zc'], ['zc'], ['zc', 'none'], ['zc', 'limited'], ['none']]),
  }
}

/** What a run has done, so that nobody takes one for a test that has tried nothing. */
export interface Tried {
  segments: number
  bursts: number
  /** Segments taken as a part of a burst, and pieces that went straight to completions. */
  taken: number
  direct: number
}

/** Plays a script to a stack that takes bursts, and to one that takes frames. @throws Error where they differ */
export function playBulk(choices: Choices): Tried {
  const setting = settingOf(choices)
  const one = new Rig(setting, true)
  const other = new Rig(setting, false)
  const rigs = [one, other]
  const flows = one.tcbs.map((tcb, i): Flow => {
    const said = { ...Rig.said(setting, i), ack: tcb.snd.max }
    return { seq: said.seq, said }
  })
  const tried = { segments: 0, bursts: 0, taken: 0, direct: 0 }
  let time = 1000
  const slow = choices.oneIn(4)
  try {
    for (let burst = 0; burst < BURSTS; burst++) {
      const frames = framesOf(choices, setting, flows, time, tried)
      // The first segments of a connection, and those behind a hole, are acknowledged each, which is not what this is about.
      if (!slow) for (const rig of rigs) for (const { rcv } of rig.tcbs) rcv.quickAcks = 0
      const outside = choices.oneIn(6)
      const keep = choices.pick([0, 0, 0, 6, 100, 1000])
      const sends = choices.oneIn(12) ? choices.below(setting.flows) : -1
      const again = choices.oneIn(3)
      const passed = choices.pick([50, 300, 3000, 60_000])
      for (const rig of rigs) {
        rig.nic.frames.push(...frames)
        if (sends >= 0) rig.send(sends, new Uint8Array(600))
        if (outside) for (let i = 0; i < ROUNDS; i++) rig.stack.poll()
        for (let i = 0; i === 0 || (i < ROUNDS && rig.nic.frames.length > 0); i++) rig.ring.getEvents()
        rig.nic.frames.length = 0
        rig.reap()
        rig.giveBack(keep)
        if (again) for (let i = 0; i < setting.flows; i++) if (!busy(rig, i)) rig.receive(i)
        rig.clock.advanceTo(rig.clock.now() + passed)
        rig.ring.getEvents()
        rig.reap()
      }
      time += choices.below(4)
      tried.bursts++
      const where = `burst ${burst} of ${JSON.stringify(setting)}`
      for (const rig of rigs) expectCounted(rig, where)
      // Which of several gets the last slots of a small queue is not the same: each for itself would, in another order.
      if (setting.flows === 1 || setting.cqEntries === 4096) expectSame(one, other, where)
      for (const rig of rigs) rig.forget()
      // A peer that has fallen behind goes on where the stack is.
      for (const [i, flow] of flows.entries()) {
        const { rcv, snd } = one.tcbs[i]!
        if (!choices.oneIn(4)) flow.seq = rcv.nxt
        if (!choices.oneIn(4)) flow.said = { ...flow.said, ack: snd.max }
      }
    }
  } finally {
    for (const rig of rigs) rig.end()
  }
  tried.taken = one.taken
  tried.direct = one.direct
  return tried
}

/** Whether its receive request still waits. */
function busy(rig: Rig, i: number): boolean {
  return rig.tcbs[i]!.sink !== null
}

function framesOf(choices: Choices, setting: Setting, flows: Flow[], time: number, tried: Tried): FedFrame[] {
  const frames: FedFrame[] = []
  const count = 1 + choices.below(choices.pick([6, 40, 120]))
  const mixed = choices.below(3)
  const rough = choices.pick([40, 300, 3000, 30_000])
  const usual = choices.pick([1448, 1448, 100, 3000, 8900])
  let which = choices.below(flows.length)
  for (let i = 0; i < count; i++) {
    if (mixed === 0 || (mixed === 1 && choices.oneIn(6))) which = choices.below(flows.length)
    frames.push(frameFor(choices, setting, flows[which]!, time, usual, choices.below(rough)))
    tried.segments++
  }
  return frames
}

function frameFor(
  choices: Choices,
  setting: Setting,
  flow: Flow,
  time: number,
  usual: number,
  odd: number,
): FedFrame {
  let length = choices.oneIn(20) ? choices.pick([1, 7, 99, 1448, 4000]) : usual
  let { seq } = flow
  let { ack } = flow.said
  let flags = ACK | (choices.oneIn(5) ? PSH : 0)
  let { port, trafficClass } = flow.said
  let value = time
  let advances = true
  if (odd === 0) seq = (seq - length) | 0
  else if (odd === 1) seq = (seq + 5000) | 0
  else if (odd === 2) ack = (ack + 1) | 0
  else if (odd === 3) flags |= URG
  else if (odd === 4) length = 0
  else if (odd === 5) port = 40_000
  else if (odd === 6) flags |= choices.oneIn(8) ? FIN : 0
  else if (odd === 7) seq = (seq - 10) | 0
  else if (odd === 8) value = time - 5000
  else if (odd === 9) trafficClass = choices.pick([3, 2, 0x28])
  else if (odd === 10) flags |= choices.oneIn(16) ? RST : 0
  else if (odd === 11) flags |= 0x40
  else if (odd === 12) ack = (ack - 100) | 0
  if (odd <= 2 || odd === 5 || odd === 8) advances = false
  const payload = new Uint8Array(length)
  for (let i = 0; i < length; i++) payload[i] = Math.imul(seq + i, 31)
  const timestamps = flow.said.timestamps === null ? null : ([value, time + choices.below(2)] as const)
  const unfinished = setting.partial && choices.below(3) > 0
  const window = choices.oneIn(10) ? choices.below(2000) : flow.said.window
  const built = frameOf({
    ...flow.said,
    seq,
    ack,
    flags,
    port,
    trafficClass,
    window,
    timestamps,
    payload,
    unfinished,
  })
  let { bytes } = built
  if (odd === 13) bytes[choices.below(Math.min(bytes.length, 96))]! ^= 1 << choices.below(8)
  if (odd === 14) bytes = Uint8Array.from([...bytes, 0, 0, 0, 0, 0, 0])
  if (odd === 13) advances = false
  if (advances && (flags & FIN) === 0) flow.seq = (seq + length) | 0
  const cuts = cutsOf(choices, bytes.length, built.headers, setting.split && length > 0)
  return { bytes, cuts, flags: choices.oneIn(20) ? choices.pick([2, 4]) : 0 }
}

/** How a device would cut a frame: at the ends of buffers, seldom elsewhere. */
function cutsOf(choices: Choices, length: number, headers: number, split: boolean): number[] {
  const cuts: number[] = []
  const room = NIOV - (split ? 0 : HEADROOM)
  let left = length
  if (split) {
    // Now and then a part of the payload comes beside the headers.
    const first = choices.oneIn(30) ? Math.min(length - 1, headers + choices.below(100)) : headers
    cuts.push(first)
    left -= first
  }
  const tiny = choices.oneIn(25)
  while (left > 0) {
    const cut = Math.min(left, tiny && cuts.length < 15 ? 120 + choices.below(700) : room)
    cuts.push(cut)
    left -= cut
  }
  return cuts
}
