import { parseArgs } from 'node:util'
import { allocateArea } from '../driver/area.ts'
import { AREA_BYTES, cpuNs, timeFrames } from './frames.ts'
import { HEADROOM, NIOV, SHAPES, TCP_BYTES } from './replay.ts'
import { type Spread, spread } from './spread.ts'
import { makeRig } from './stack-rig.ts'

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
