import { renderTable } from '../daemon/cli/table.ts'
import { type Spread, spread } from './spread.ts'
import type { ReceiveCase, ReceiveFigures, ReceiveOrder } from './workers-memory-child.ts'
import { Subject } from './workers-process.ts'
import { cell } from './workers-table.ts'

const PAYLOAD = 1448
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
  /** Rate over one worker's of the same round. */
  readonly rateToOneWorker: Spread
}

interface Receiver {
  readonly case: ReceiveCase
  readonly subject: Subject<ReceiveOrder, ReceiveFigures>
  readonly figures: ReceiveFigures[]
}

/**
 * Receives segments that lie in the area already, by turns inline and on workers, each case in a process of its own: nothing but the
 * stack, the rings and the application has to do with it.
 */
export async function measureMemory(packets: number, rounds: number): Promise<MemoryRow[]> {
  const receivers = CASES.map((one): Receiver => {
    const given: ReceiveCase = { ...one, payload: PAYLOAD }
    return { case: given, subject: new Subject('./workers-memory-child.js', given), figures: [] }
  })
  try {
    for (const { subject } of receivers) {
      await subject.ready
      // What compiles does so here; in parts, as whoever sleeps and wakes is to be compiled too.
      for (let i = 0; i < 4; i++) await subject.run({ packets })
    }
    for (let round = 0; round < rounds; round++)
      for (const receiver of receivers) receiver.figures.push(await receiver.subject.run({ packets }))
  } finally {
    for (const { subject } of receivers) subject.end()
  }
  return receivers.map((receiver) => rowOf(receiver, receivers, packets))
}

function rowOf(receiver: Receiver, all: readonly Receiver[], packets: number): MemoryRow {
  const { figures } = receiver
  const { workers, flows } = receiver.case
  const peer = (count: number): readonly ReceiveFigures[] =>
    all.find((other) => other.case.workers === count && other.case.flows === flows)!.figures
  const rate = ({ seconds }: ReceiveFigures): number => packets / seconds
  return {
    workers,
    flows,
    packetsPerSecond: spread(figures.map(rate)),
    gbps: spread(figures.map((one) => (rate(one) * PAYLOAD * 8) / 1e9)),
    cpuNs: spread(figures.map(({ cpuNs }) => cpuNs)),
    mainNs: spread(figures.map(({ mainNs }) => mainNs)),
    rateToInline: spread(figures.map((one, i) => rate(one) / rate(peer(0)[i]!))),
    cpuToInline: spread(figures.map(({ cpuNs }, i) => cpuNs / peer(0)[i]!.cpuNs)),
    rateToOneWorker: spread(figures.map((one, i) => rate(one) / rate(peer(1)[i]!))),
  }
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
    ]),
  )
}
