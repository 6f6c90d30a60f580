import { LINKTYPE_ETHERNET } from '../../pcap/file/format.ts'
import { packetLine } from '../../pcap/line.ts'
import { SequenceTracker } from '../../pcap/sequence-tracker.ts'
import type { Target } from '../fuzzer.ts'
import { dictionary, smallCaptures } from './seeds.ts'

const LINKS = [0, LINKTYPE_ETHERNET, 12, 14, 101, 108, 113, 228, 229, 276]

/** The first byte says which link it is, the second how much of the frame was cut off. */
export const line: Target = {
  name: 'line',
  run: (bytes) => {
    const linkType = LINKS[(bytes[0] ?? 0) % LINKS.length]!
    const frame = bytes.subarray(2)
    const tracker = new SequenceTracker()
    const text = packetLine(frame, linkType, { tracker, wireLength: frame.length + (bytes[1] ?? 0) })
    if (text === '' || text.includes('NaN') || text.includes('undefined'))
      throw new Error(`the line is ${text}`)
  },
  seeds: () =>
    smallCaptures()
      .slice(0, -1)
      .flatMap((capture) =>
        capture.list.map(({ bytes, linkType }) => Uint8Array.of(LINKS.indexOf(linkType), 0, ...bytes)),
      ),
  dictionary,
  longest: 512,
}
