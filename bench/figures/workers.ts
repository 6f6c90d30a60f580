import { scaled } from '../spread.ts'
import { type EchoRow, echoTable } from '../workers-echo.ts'
import { type MemoryRow, memoryTable, whatReceives } from '../workers-memory.ts'
import { type VethRow, vethTable } from '../workers-veth.ts'
import type { Figures, Result } from './types.ts'

interface WorkersRun extends Result {
  readonly packets: number
  readonly rounds: number
  readonly memory: readonly MemoryRow[]
  /** Absent without root. */
  readonly veth?: readonly VethRow[]
  readonly echo: readonly EchoRow[]
}

export const workers: Figures<WorkersRun> = {
  runs: {
    full: [['--rounds', '3', '--packets', '200000', '--echoes', '2000']],
    quick: [['--rounds', '1', '--packets', '50000', '--echoes', '300']],
  },
  sections: ([run]) => {
    const of = `median (min-max) of ${run!.rounds} rounds:`
    return [
      { caption: `Frames in place, ${run!.packets} packets a turn; ${of}`, table: memoryTable(run!.memory) },
      { caption: `Eight streams from Linux over veth; ${of}`, table: vethTable(run!.veth ?? []) },
      { caption: `An echo of 64 bytes; ${of}`, table: echoTable(run!.echo) },
    ]
  },
  plots: ([run]) => [
    {
      name: 'workers',
      title: 'Frames in place: a server inline and on workers',
      description:
        'Millions of packets a second that a server receives out of memory, inline, on one worker and on two, and two processes; median with a line from the least to the most round.',
      unit: 'million packets a second',
      digits: 2,
      groups: [...new Set(run!.memory.map(({ flows }) => flows))].map((flows) => ({
        title: flows === 1 ? '1 flow' : `${flows} flows`,
        bars: run!.memory
          .filter((row) => row.flows === flows)
          .map((row) => ({
            label: whatReceives(row),
            whose: 'ours',
            value: scaled(row.packetsPerSecond, 1e-6),
          })),
      })),
    },
  ],
}
