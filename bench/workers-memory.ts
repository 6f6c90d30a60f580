import { cell } from './harness.ts'
import { type Spread, spread } from './spread.ts'
import { type Table, table } from './table.ts'
import type { ReceiveCase, ReceiveFigures, ReceiveOrder } from './workers-memory-child.ts'
import { Subject } from './workers-process.ts'

const PAYLOAD = 1448
const CORES = 2
/** Rounds' worth of packets before those that are measured, and how many are. */
const WARM_UPS = 4
const MEASURED = 3
/** Two processes at once, each inline, that have nothing to do with each other: what two cores of this machine give at the most. */
const APART = 2
const CASES = [1, 64].flatMap((flows) => [
  ...[0, 1, 2].map((workers) => ({ workers, flows, processes: 1 })),
  { workers: 0, flows, processes: APART },
])

/** One case of receiving frames in place. */
export interface MemoryRow {
  /** 0: inline. */
  readonly workers: number
  /** At once, each by itself; the figures are of all together. */
  readonly processes: number
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
    for (const one of CASES)
      figures.get(one)!.push(await receive({ ...one, payload: PAYLOAD }, one.processes, packets))
  return CASES.map((one) => {
    const peer = (workers: number): ReceiveFigures[] =>
      figures.get(
        CASES.find(
          ({ workers: n, flows, processes }) => n === workers && flows === one.flows && processes === 1,
        )!,
      )!
    return rowOf(one, figures.get(one)!, [peer(0), peer(1)])
  })
}

async function receive(given: ReceiveCase, processes: number, packets: number): Promise<ReceiveFigures> {
  const script = './workers-memory-child.js'
  const subjects = Array.from(
    { length: processes },
    () => new Subject<ReceiveOrder, ReceiveFigures>(script, given),
  )
  const each = async (order: ReceiveOrder): Promise<ReceiveFigures[]> =>
    Promise.all(subjects.map((subject) => subject.run(order)))
  try {
    await Promise.all(subjects.map(({ ready }) => ready))
    // What is compiled is so here; in parts, as whoever sleeps and wakes is to be compiled too.
    for (let i = 0; i < WARM_UPS; i++) await each({ packets })
    return together(await each({ packets: MEASURED * packets }))
  } finally {
    for (const subject of subjects) subject.end()
  }
}

/** Rates add up, costs are the same packets' on average. */
function together(all: readonly ReceiveFigures[]): ReceiveFigures {
  const sum = (figure: keyof ReceiveFigures): number => all.reduce((total, one) => total + one[figure], 0)
  return {
    packetsPerSecond: sum('packetsPerSecond'),
    cpuNs: sum('cpuNs') / all.length,
    framesNs: sum('framesNs') / all.length,
    mainNs: sum('mainNs') / all.length,
  }
}

function rowOf(
  { workers, flows, processes }: Case,
  figures: readonly ReceiveFigures[],
  [inline, oneWorker]: readonly (readonly ReceiveFigures[])[],
): MemoryRow {
  const over = (peers: readonly ReceiveFigures[], figure: (one: ReceiveFigures) => number): Spread =>
    spread(figures.map((one, i) => figure(one) / figure(peers[i]!)))
  const rate = (one: ReceiveFigures): number => one.packetsPerSecond
  return {
    workers,
    processes,
    flows,
    packetsPerSecond: spread(figures.map(rate)),
    gbps: spread(figures.map((one) => (rate(one) * PAYLOAD * 8) / 1e9)),
    cpuNs: spread(figures.map(({ cpuNs }) => cpuNs)),
    mainNs: spread(figures.map(({ mainNs }) => mainNs)),
    rateToInline: over(inline!, rate),
    cpuToInline: over(inline!, ({ cpuNs }) => cpuNs),
    rateToOneWorker: over(oneWorker!, rate),
    roomToOneWorker: over(oneWorker!, (one) => room(one, workers || processes)),
  }
}

/**
 * Packets per second that CPU time alone would allow, were `CORES` cores free: whichever is short, a thread or the cores.
 * @param threads that share the stacks' work; inline they have the application's as well
 */
function room({ cpuNs, framesNs, mainNs }: ReceiveFigures, threads: number): number {
  const all = cpuNs + framesNs
  const apart = mainNs < all / 2
  const longest = apart ? Math.max(mainNs, (all - mainNs) / threads) : all / threads
  return 1e9 / Math.max(longest, all / CORES)
}

/** What a row is called. */
export function whatReceives({ workers, processes }: Pick<MemoryRow, 'workers' | 'processes'>): string {
  if (workers > 0) return `${workers} ${workers === 1 ? 'worker' : 'workers'}`
  return processes > 1 ? `inline, ${processes} processes` : 'inline'
}

export function memoryTable(rows: readonly MemoryRow[]): Table {
  return table(
    [
      'flows',
      'what',
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
      whatReceives(row),
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
