import { accessSync, constants } from 'node:fs'
import { PcapNic } from '../../pcap/play/index.ts'
import { obstacleOf } from '../examine/index.ts'
import type { DeviceKind } from './kind.ts'

/** A capture file, played once: `pcap:FILE`. Everything behind the colon is the path. */
export interface PcapSpec {
  readonly driver: 'pcap'
  /** Path of the capture. */
  readonly file: string
}

export const pcap: DeviceKind<PcapSpec> = {
  scheme: 'pcap',
  form: 'pcap:FILE',
  parse(text) {
    const file = text.rest
    if (file === '') throw text.wrong('no file is named')
    return { driver: 'pcap', file }
  },
  open: ({ file }) => [PcapNic.open(file)],
  several: 'a capture is played once, in its order',
  candidates: ({ file }) => [{ name: 'pcap', driver: 'pcap', mode: 'replay', device: `pcap:${file}` }],
  observe({ file }) {
    const unreadable = obstacleOf(() => accessSync(file, constants.R_OK))
    if (unreadable === null) return [{ check: 'file', found: `${file} can be read` }]
    return [{ check: 'file', found: unreadable.message, closes: ['pcap'] }]
  },
}
