import { ArgumentError } from '../../errors.ts'
import { checkObject, checkThat } from '../check.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../file/format.ts'
import { MemorySink, PcapngWriter, PcapWriter } from '../file/writer.ts'
import type { Side } from './pattern.ts'

/** One captured packet. */
export interface Frame {
  /** Since the epoch. */
  readonly seconds: number
  /** 0 to 999999999. */
  readonly nanoseconds: number
  /** What was captured, from the link's header on. */
  readonly bytes: Uint8Array
  /** Bytes on the wire; more than `bytes` has when the capture was cut. */
  readonly originalLength: number
  /** `LINKTYPE_*`. */
  readonly linkType: number
  /** Who sent it. */
  readonly from: Side
  /** For people; may be empty. */
  readonly comment: string
}

/** How packets are written as a pcap file. */
export interface PcapOptions {
  /** Times in nanoseconds (default) or microseconds. */
  nanoseconds?: boolean
  /** Byte order of the file's own numbers. Default false. */
  bigEndian?: boolean
  /** What the file says about the longest packet. */
  snapLength?: number
}

/** Packets in the order of a capture, and files of them. */
export class Capture {
  /** The packets as they are now; builders may go on. */
  get list(): Frame[] {
    return this.frames()
  }

  /** Makes `list`. */
  readonly frames: () => Frame[]

  constructor(frames: () => Frame[]) {
    this.frames = frames
  }

  /** A pcapng file, an interface for each link type. What the client sends is outbound. */
  pcapng({ bigEndian = false, comment = '' } = {}): Uint8Array {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink, { bigEndian, os: '', ...(comment === '' ? {} : { comment }) })
    const interfaces = new Map<number, number>()
    for (const frame of this.list) {
      const known = interfaces.get(frame.linkType)
      const index = known ?? writer.addInterface({ linkType: frame.linkType })
      interfaces.set(frame.linkType, index)
      const direction = frame.from === 'client' ? DIRECTION_OUTBOUND : DIRECTION_INBOUND
      const { seconds, nanoseconds, bytes, originalLength } = frame
      writer.packet(index, seconds, nanoseconds, bytes, {
        originalLength,
        direction,
        comment: frame.comment,
      })
    }
    writer.close()
    return sink.bytes()
  }

  /** A pcap file. @throws ArgumentError when the packets are of several link types */
  pcap(options: PcapOptions = {}): Uint8Array {
    checkObject('options', options)
    const frames = this.list
    const linkType = frames[0]?.linkType ?? 1
    if (frames.some((frame) => frame.linkType !== linkType)) {
      throw new ArgumentError('a pcap file has packets of one link type', 'write a pcapng file')
    }
    const sink = new MemorySink()
    const writer = new PcapWriter(sink, { linkType, ...options })
    for (const { seconds, nanoseconds, bytes, originalLength } of frames) {
      writer.packet(seconds, nanoseconds, bytes, 0, bytes.length, originalLength)
    }
    writer.close()
    return sink.bytes()
  }
}

/** Several captures as one, by time; of equal times the earlier capture comes first. @throws ArgumentError */
export function merge(...captures: Pick<Capture, 'list'>[]): Capture {
  for (const [i, capture] of captures.entries()) {
    checkThat(`captures[${i}]`, capture, Array.isArray(capture?.list), 'captures, as packets() begins them')
  }
  return new Capture(() =>
    captures
      .flatMap(({ list }) => list)
      .sort((a, b) => a.seconds - b.seconds || a.nanoseconds - b.nanoseconds),
  )
}
