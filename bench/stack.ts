import { parseArgs } from 'node:util'
import { allocateArea } from '../driver/area.ts'
import { RX_CSUM_GOOD } from '../driver/nic.ts'
import { AREA_BYTES } from './frames.ts'
import { machine } from './harness.ts'
import { HEADROOM, NIOV, SHAPES, TCP_BYTES } from './replay.ts'
import { makeRig, type Rig } from './stack-rig.ts'
import { printed, type Table, table } from './table.ts'

/** Bursts before anything is counted. */
const WARM_UP = 4000
/** Packets of a burst, and copies that are timed at a time. */
const BURST = 256

/** One case: time from the receive descriptor to the refill, of one packet. */
interface Case {
  readonly ip: '4' | '6'
  readonly payload: number
  readonly flows: number
  /** The device vouches for checksums; else they are the pseudo-header's, as those of a virtual peer on this machine. */
  readonly vouched: boolean
  /** Bursts are taken as such. */
  readonly bulk: boolean
}

/** Nanoseconds of many short rounds: the tenth part of them was no slower, and half. */
interface Times {
  readonly p10: number
  readonly median: number
}

export interface StackResult extends Case {
  readonly packet: Times
  /** Copying as many bytes out of as many buffers, between the rounds. */
  readonly memcpy: Times
  /** `packet` over `memcpy`, of the p10. */
  readonly ratio: number
}

function timesOf(rounds: Float64Array): Times {
  const sorted = rounds.slice().sort()
  return { p10: sorted[Math.floor(sorted.length / 10)]!, median: sorted[sorted.length >>> 1]! }
}

/** Copies of `payload` bytes out of one 4 KiB chunk after another into one buffer. */
class Copies {
  readonly #target = new Uint8Array(NIOV)
  readonly #views: Uint8Array[]

  constructor(payload: number) {
    const area = allocateArea(BURST * NIOV, 0)
    this.#views = Array.from({ length: BURST }, (_, i) => area.subarray(i * NIOV, i * NIOV + payload))
  }

  /** Nanoseconds of one. */
  time(): number {
    const start = performance.now()
    for (let i = 0; i < BURST; i++) this.#target.set(this.#views[i]!)
    return ((performance.now() - start) * 1e6) / BURST
  }
}

/** Its rig is made when its turn comes: what it is compared with is measured in the same moments. */
function measure(one: Case, rounds: number): StackResult {
  const { payload, vouched } = one
  const rig: Rig = makeRig(SHAPES[one.ip]!, one.flows, one.bulk)
  const copies = new Copies(payload)
  const flags = vouched ? RX_CSUM_GOOD : 0
  for (let i = 0; i < WARM_UP; i++) {
    rig.burst(payload, flags)
    copies.time()
  }
  const packets = new Float64Array(rounds)
  const memcpy = new Float64Array(rounds)
  for (let i = 0; i < rounds; i++) {
    packets[i] = rig.burst(payload, flags)
    memcpy[i] = copies.time()
  }
  rig.ring.queueExit()
  const [packet, copy] = [timesOf(packets), timesOf(memcpy)]
  return { ...one, packet, memcpy: copy, ratio: packet.p10 / copy.p10 }
}

function cases(): Case[] {
  const all: Case[] = []
  for (const ip of ['4', '6'] as const) {
    const { tcpAt } = SHAPES[ip]!
    const small = 1500 + 14 - tcpAt - TCP_BYTES
    const full = NIOV - HEADROOM - tcpAt - TCP_BYTES
    const usual = { ip, payload: small, flows: 1, vouched: true, bulk: true }
    all.push({ ...usual, bulk: false }, usual, { ...usual, vouched: false }, { ...usual, payload: full })
    for (const flows of [64, 4096]) all.push({ ...usual, flows, bulk: false }, { ...usual, flows })
  }
  return all
}

export function stackTable(results: readonly StackResult[]): Table {
  const times = ({ p10, median }: Times): string => `${p10.toFixed(1)} (${median.toFixed(1)})`
  return table(
    ['IP', 'payload', 'flows', 'checksum', 'taken', 'packet', 'memcpy', 'packet/memcpy'],
    results.map((one) => [
      one.ip,
      String(one.payload),
      String(one.flows),
      one.vouched ? 'vouched' : 'unfinished',
      one.bulk ? 'bursts' : 'frames',
      times(one.packet),
      times(one.memcpy),
      one.ratio.toFixed(2),
    ]),
  )
}

/**
 * `npm run bench -- stack`: nanoseconds per packet from receive descriptor to refill, over frames that a replaying NIC puts into memory,
 * beside a memcpy of the same payload between the rounds; and what each frame for itself costs.
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
