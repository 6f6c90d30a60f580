import type { CapturedPacket } from './packet.ts'
import { TickScale } from './time.ts'

/** Resolution of time stamps where none is said (`if_tsresol`): as a power of ten. */
export const MICROSECONDS = 6

/** An interface that packets were captured on. */
export class CaptureInterface {
  /** `LINKTYPE_*`. */
  readonly linkType: number
  /** Bytes of a packet that were kept at the most; 0 = all. */
  readonly snapLength: number
  /** As the file says; may be empty. */
  name = ''
  /** As the file says; may be empty. */
  description = ''
  /** What its time stamps count, and from when. */
  scale: TickScale = new TickScale(MICROSECONDS, 0)
  /** What its statistics block says, the last one; -1 = not said. */
  received = -1
  /** Frames lost for want of room, at the interface and in the system together; -1 = not said. */
  dropped = -1

  constructor(linkType: number, snapLength: number) {
    this.linkType = linkType
    this.snapLength = snapLength
  }
}

/** What a section header says, and what was found in the section besides packets. */
export class Section {
  /** What it was captured on; may be empty. */
  hardware = ''
  /** System that it was captured on; may be empty. */
  os = ''
  /** Program that wrote it; may be empty. */
  application = ''
  /** About the section as a whole. */
  readonly comments: string[] = []
  /** Names by address, of name resolution blocks. */
  readonly names: Map<string, string[]> = new Map()
  /** Blocks passed over: secrets, custom and unknown ones. */
  skippedBlocks = 0
}

/** What reads one of the formats out of a window. */
export interface CaptureParser {
  readonly interfaces: readonly CaptureInterface[]
  readonly section: Section
  /** Where in the file the record begins that is being passed over; -1 = none is. */
  readonly passing: number
  /** Fills `packet` with the next one; else the bytes that have to wait in the window for more to be said. @throws PcapError */
  next(packet: CapturedPacket): number
}
