import { parseArgs } from 'node:util'
import { AREA_BYTES } from './frames.ts'
import { machine } from './harness.ts'
import { HEADROOM, NIOV, SHAPES, TCP_BYTES } from './replay.ts'
import { printedTimes, type Times, timed, timesOf } from './rounds.ts'
import { type Checksum, makeRig } from './stack-rig.ts'
import { printed, type Table, table } from './table.ts'

/** Bursts before anything is counted. */
const WARM_UP = 4000
/** Packets of a burst, and copies that are timed at a time. */
const BURST = 256
/** 45 segments, as a sender's offload makes them. */
const LARGE = 45 * 1448
/** ACKs that are timed at a time. */
const ACKS = 64

/** One case: time from the receive descriptor to the refill, of one packet. */
interface Case {
  readonly ip: '4' | '6'
  readonly payload: number
  readonly flows: number
  readonly checksum: Checksum
  /** Bursts are taken as such. */
  readonly bulk: boolean
  /** Not by the addon's loops, where it would be for them. */
  readonly javascript: boolean
  /** Headers come beside the area, payload from the start of buffers, as over TAP; else both lie in the area, as over AF_XDP. */
  readonly split: boolean
}

export interface StackResult extends Case {
  readonly packet: Times
  /** What of it the application takes: it reads a completion and gives the buffer back. */
  readonly application: Times
  /** Copying the payload out of the buffers it was received to. */
  readonly copy: Times
  /** Copying as many bytes out of the processor's cache. */
  readonly cachedCopy: Times
  /** An ACK, until it lies in the NIC's slot. */
  readonly ack: Times
  /** `packet` over `copy` and over `cachedCopy`, of the p10. */
  readonly ratio: number
  readonly cachedRatio: number
}

/** Its rig is made when its turn comes: what it is compared with is measured in the same moments. */
function measure(one: Case, rounds: number): StackResult {
  const { payload, checksum } = one
  const shape = SHAPES[one.ip]!
  const rig = makeRig(shape, one.flows, one)
  const target = new Uint8Array(NIOV)
  const header = shape.tcpAt + TCP_BYTES
  const cached = new Uint8Array(Math.min(payload, NIOV - HEADROOM))
  const pieces = payload / cached.length
  const tcbs = [...rig.stack.tcp]
  let turn = 0
  const acks = (): void => {
    const now = rig.stack.clock.now()
    for (let i = 0; i < ACKS; i++) {
      turn = turn + 1 >= tcbs.length ? 0 : turn + 1
      rig.stack.tcp.acks.soon(tcbs[turn]!)
      rig.stack.tcp.flushAcks(now, false)
    }
  }
  const copyCached = (): void => {
    for (let i = 0; i < BURST; i++) target.set(cached)
  }
  const figures = Array.from({ length: 5 }, () => new Float64Array(rounds))
  const [packet, application, copy, cachedCopy, ack] = figures as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  for (let i = -WARM_UP; i < rounds; i++) {
    const at = Math.max(i, 0)
    packet[at] = rig.burst(payload, checksum)
    application[at] = rig.applicationNs
    // Of other frames: these may be in the cache by now, as a NIC's are not.
    const packets = rig.stage(payload, checksum)
    copy[at] = timed(packets, () => rig.nic.copyStaged(target, header))
    rig.finish()
    cachedCopy[at] = timed(BURST, copyCached) * pieces
    if ((i & 15) === 0) ack.fill(timed(ACKS, acks), at, Math.min(at + 16, rounds))
  }
  rig.ring.queueExit()
  const result = {
    ...one,
    packet: timesOf(packet),
    application: timesOf(application),
    copy: timesOf(copy),
    cachedCopy: timesOf(cachedCopy),
    ack: timesOf(ack),
  }
  return {
    ...result,
    ratio: result.packet.p10 / result.copy.p10,
    cachedRatio: result.packet.p10 / result.cachedCopy.p10,
  }
}

function cases(): Case[] {
  const all: Case[] = []
  for (const ip of ['4', '6'] as const) {
    const { tcpAt } = SHAPES[ip]!
    const payload = 1500 + 14 - tcpAt - TCP_BYTES
    const full = NIOV - HEADROOM - tcpAt - TCP_BYTES
    const usual: Case = {
      ip,
      payload,
      flows: 1,
      checksum: 'vouched',
      bulk: true,
      javascript: false,
      split: false,
    }
    all.push(
      { ...usual, bulk: false },
      { ...usual, javascript: true },
      usual,
      { ...usual, checksum: 'unfinished' },
      { ...usual, checksum: 'verified' },
      { ...usual, payload: full },
    )
    for (const flows of [64, 4096])
      all.push({ ...usual, flows, bulk: false }, { ...usual, flows, javascript: true }, { ...usual, flows })
    all.push(
      { ...usual, payload: LARGE, bulk: false, split: true },
      { ...usual, payload: LARGE, split: true },
      { ...usual, payload: LARGE },
    )
  }
  return all
}

/** How it is taken, as a word. */
export function wayOf(way: Pick<Case, 'bulk' | 'split'> & Partial<Pick<Case, 'javascript'>>): string {
  return `${way.bulk ? 'bursts' : 'frames'}${way.javascript ? ', JavaScript' : ''}${way.split ? ', split' : ''}`
}

export function stackTable(results: readonly StackResult[]): Table {
  const times = (of: Times): string => printedTimes(of, 1)
  return table(
    [
      'IP',
      'payload',
      'flows',
      'checksum',
      'taken',
      'packet',
      'its copy',
      'packet/copy',
      'copy in cache',
      'packet/cached',
      'application',
      'an ACK',
    ],
    results.map((one) => [
      one.ip,
      String(one.payload),
      String(one.flows),
      one.checksum,
      wayOf(one),
      times(one.packet),
      times(one.copy),
      one.ratio.toFixed(2),
      times(one.cachedCopy),
      one.cachedRatio.toFixed(2),
      times(one.application),
      times(one.ack),
    ]),
  )
}

/**
 * `npm run bench -- stack`: nanoseconds per packet from receive descriptor to refill, over frames that a replaying NIC puts into memory,
 * beside copies of the payload between the rounds, out of those buffers and out of the cache; and what each frame for itself costs.
 */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '10000' },
      ip: { type: 'string' },
      flows: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.ip !== undefined && SHAPES[values.ip] === undefined) throw new Error('--ip is 4 or 6')
  const rounds = Number(values.rounds)
  if (!(rounds >= 10)) throw new Error('--rounds is 10 at least')
  const wanted = cases().filter(
    ({ ip, flows }) =>
      (values.ip === undefined || ip === values.ip) &&
      (values.flows === undefined || flows === Number(values.flows)),
  )
  const results: StackResult[] = []
  for (const one of wanted) {
    results.push(measure(one, rounds))
    if (!values.json) process.stderr.write('.')
  }
  if (!values.json) {
    const size = AREA_BYTES >> 20
    console.log(`\nstack: ${rounds} bursts of ${BURST} packets each, area of ${size} MiB; ns, p10 (median)\n`)
    for (const line of printed(stackTable(results))) console.log(line)
    console.log()
  }
  console.log(JSON.stringify({ bench: 'stack', machine: machine(), rounds, results }))
}
