import { PcapError } from '../../errors.ts'
import { MAX_PACKET_BYTES, PCAP_HEADER_BYTES, PCAP_MAGIC_NANOSECONDS, PCAP_RECORD_BYTES } from './format.ts'
import type { CapturedPacket } from './packet.ts'
import { CaptureInterface, type CaptureParser, Section } from './parser.ts'
import type { FileWindow } from './window.ts'

/** Of old Linux systems: records with eight bytes more, of which nothing is used here. */
export const PCAP_MAGIC_MODIFIED = 0xa1b2_cd34
const MODIFIED_RECORD_BYTES = 24

/** The classic format (draft-ietf-opsawg-pcap). */
export class PcapParser implements CaptureParser {
  readonly interfaces: readonly CaptureInterface[]
  readonly section = new Section()
  readonly passing = -1
  readonly #window: FileWindow
  readonly #littleEndian: boolean
  readonly #recordBytes: number
  /** Nanoseconds that one unit of the fraction is. */
  readonly #unit: number
  readonly #linkType: number

  /** The header waits in the window. @throws PcapError */
  constructor(window: FileWindow, littleEndian: boolean, magic: number) {
    const { view } = window
    this.#window = window
    this.#littleEndian = littleEndian
    this.#recordBytes = magic === PCAP_MAGIC_MODIFIED ? MODIFIED_RECORD_BYTES : PCAP_RECORD_BYTES
    this.#unit = magic === PCAP_MAGIC_NANOSECONDS ? 1 : 1000
    const major = view.getUint16(4, littleEndian)
    if (major !== 2) {
      throw new PcapError(
        'PCAP_FORMAT',
        `version ${major} of pcap is not known`,
        4,
        'convert it with editcap',
      )
    }
    // The upper bits say whether frames end in their check sequence, which no length of ours includes.
    this.#linkType = view.getUint32(20, littleEndian) & 0xffff
    this.interfaces = [new CaptureInterface(this.#linkType, view.getUint32(16, littleEndian))]
    window.start = PCAP_HEADER_BYTES
  }

  next(packet: CapturedPacket): number {
    const window = this.#window
    const { start, view } = window
    const headBytes = this.#recordBytes
    if (window.end - start < headBytes) return headBytes
    const littleEndian = this.#littleEndian
    const length = view.getUint32(start + 8, littleEndian)
    if (length > MAX_PACKET_BYTES) {
      throw new PcapError(
        'PCAP_CORRUPT',
        `a packet of ${length} bytes: more than ${MAX_PACKET_BYTES} are not believed`,
        window.offset(),
      )
    }
    if (window.end - start < headBytes + length) return headBytes + length
    const wireLength = view.getUint32(start + 12, littleEndian)
    let fraction = view.getUint32(start + 4, littleEndian) * this.#unit
    let seconds = view.getUint32(start, littleEndian)
    if (fraction >= 1e9) {
      seconds += Math.floor(fraction / 1e9)
      fraction %= 1e9
    }
    packet.bytes = window.bytes
    packet.at = start + headBytes
    packet.length = length
    packet.wireLength = Math.max(wireLength, length)
    packet.seconds = seconds
    packet.nanoseconds = fraction
    packet.timed = true
    packet.interface = 0
    packet.linkType = this.#linkType
    packet.offset = window.offset()
    packet.optionsAt = 0
    packet.optionsEnd = 0
    window.start = start + headBytes + length
    return 0
  }
}
