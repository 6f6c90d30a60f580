import { type PcapResult, pcapTable } from '../pcap.ts'
import type { Figures, Result } from './types.ts'

interface PcapRun extends Result {
  readonly packets: number
  readonly fileBytes: number
  readonly rounds: number
  readonly results: readonly PcapResult[]
}

export const pcap: Figures<PcapRun> = {
  runs: {
    full: [['--packets', '200000', '--rounds', '3', '--json']],
    quick: [['--packets', '20000', '--rounds', '1', '--json']],
  },
  sections: ([run]) => [
    {
      caption: `Median (min-max) of ${run!.rounds} rounds of ${run!.packets} packets, ${(run!.fileBytes / 1e6).toFixed(0)} MB:`,
      table: pcapTable(run!.results),
    },
  ],
  plots: ([run]) => [
    {
      name: 'pcap',
      title: 'Captures: reading, following and replaying',
      description:
        'Millions of packets of a capture in a second of one core, by the tools of Wireshark and by this package; median with a line from the least to the most round.',
      unit: 'million packets per CPU second',
      digits: 2,
      groups: [
        {
          title: '',
          bars: run!.results.map(({ name, peer, packetsPerCpuSecond }) => ({
            label: name,
            whose: peer === null && /^(?:capinfos|tshark)/.test(name) ? 'others' : 'ours',
            value: packetsPerCpuSecond,
          })),
        },
      ],
    },
  ],
}
