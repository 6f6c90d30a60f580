import { renderTable } from '../daemon/cli/table.ts'
import { type Spread, spread } from './spread.ts'
import type { ReceiveCase, ReceiveFigures, ReceiveOrder } from './workers-memory-child.ts'
import { Subject } from './workers-process.ts'
import { cell } from './workers-table.ts'

const PAYLOAD = 1448
const CORES = 2
/** Rounds' worth of packets before those that are measured, and how many are. */
const WARM_UPS = 4
const MEASURED = 3
const CASES = [1, 64].flatMap((flows) => [0, 1, 2].map((workers) => ({ workers, flows })))

/** One case of receiving frames in place. */
export interface MemoryRow {
  /** 0: inline. */
  readonly workers: number
  readonly flows: number
  readonly packetsPerSecond: Spread
  readonly gbps: Spread
  /** Of all threads, per packet. */
  readonly cpuNs: Spread
  /** Of it the application's thread's. */
  readonly mainNs: Spread
  /** Rate and CPU time per packet over the inline case's of the same round. */
  readonly rateToInline: Spread
  readonly cpuToInline: Spread
  /** Rate over one worker's of the same round, and what CPU time alone would allow on two cores that nobody else uses. */
  readonly rateToOneWorker: Spread
  readonly roomToOneWorker: Spread
}

type Case = (typeof CASES)[number]

/**
 * Receives segments that lie in the area already, by turns inline and on workers: nothing but the stack, the rings and the application
 * has to do with it. Each case of each round has a process of its own, since what the engine makes of the same code differs from
 * process to process by more than what is looked for.
 */
export async function measureMemory(packets: number, rounds: number): Promise<MemoryRow[]> {
  const figures = new Map<Case, ReceiveFigures[]>(CASES.map((one) => [one, []]))
  for (let round = 0; round < rounds; round++)
    for (const one of CASES) figures.get(one)!.push(await receive({ ...one, payload: PAYLOAD }, packets))
  return CASES.map((one) => {
    const peer = (workers: number): ReceiveFigures[] =>
      figures.get(CASES.find((other) => other.workers === workers && other.flows === one.flows)!)!
    return rowOf(one, figures.get(one)!, [peer(0), peer(1)])
  })
}

async function receive(given: ReceiveCase, packets: number): Promise<ReceiveFigures> {
  const subject = new Subject<ReceiveOrder, ReceiveFigures>('./workers-memory-child.js', given)
  try {
    await subject.ready
    // What is compiled is so here; in parts, as whoever sleeps and wakes is to be compiled too.
    for (let i = 0; i < WARM_UPS; i++) await subject.run({ packets })
    return await subject.run({ packets: MEASURED * packets })
  } finally {
    subject.end()
  }
}

function rowOf(
  { workers, flows }: Case,
  figures: readonly ReceiveFigures[],
  [inline, oneWorker]: readonly (readonly ReceiveFigures[])[],
): MemoryRow {
  const over = (peers: readonly ReceiveFigures[], figure: (one: ReceiveFigures) => number): Spread =>
    spread(figures.map((one, i) => figure(one) / figure(peers[i]!)))
  const rate = (one: ReceiveFigures): number => one.packetsPerSecond
  return {
    workers,
    flows,
    packetsPerSecond: spread(figures.map(rate)),
    gbps: spread(figures.map((one) => (rate(one) * PAYLOAD * 8) / 1e9)),
    cpuNs: spread(figures.map(({ cpuNs }) => cpuNs)),
    mainNs: spread(figures.map(({ mainNs }) => mainNs)),
    rateToInline: over(inline!, rate),
    cpuToInline: over(inline!, ({ cpuNs }) => cpuNs),
    rateToOneWorker: over(oneWorker!, rate),
    roomToOneWorker: over(oneWorker!, (one) => room(one, workers)),
  }
}

/** Packets per second that CPU time alone would allow, were `CORES` cores free: whichever is short, a thread or the cores. */
function room({ cpuNs, framesNs, mainNs }: ReceiveFigures, workers: number): number {
  const all = cpuNs + framesNs
  const longest = workers === 0 ? all : Math.max(mainNs, (all - mainNs) / workers)
  return 1e9 / Math.max(longest, all / CORES)
}

export function renderMemory(rows: readonly MemoryRow[]): string[] {
  return renderTable(
    [
      'flows',
      'workers',
      'M packets/s',
      'Gbit/s',
      'CPU ns/packet',
      'application',
      'rate x inline',
      'CPU x inline',
      'rate x 1 worker',
      'two free cores',
    ],
    rows.map((row) => [
      String(row.flows),
      row.workers === 0 ? 'inline' : String(row.workers),
      cell(row.packetsPerSecond, 2, 1e-6),
      cell(row.gbps, 1),
      cell(row.cpuNs, 0),
      cell(row.mainNs, 0),
      cell(row.rateToInline, 2),
      cell(row.cpuToInline, 2),
      cell(row.rateToOneWorker, 2),
      cell(row.roomToOneWorker, 2),
    ]),
  )
}
