import { PcapError } from '../../errors.ts'
import * as format from './format.ts'
import { type CapturedPacket, text, walkOptions } from './packet.ts'
import { CaptureInterface, type CaptureParser, MICROSECONDS, Section } from './parser.ts'
import { TickScale } from './time.ts'
import type { FileWindow } from './window.ts'

/** Interfaces of a section and names of it that are remembered; a file can't make us keep more. */
const MAX_INTERFACES = 65_536
const MAX_NAMES = 65_536
/** Characters of all texts of a section; what is beyond them stays empty. */
const MAX_TEXT = 16 << 20
/** What lies in front of the packet's bytes in an enhanced packet block. */
const ENHANCED_HEAD = 28
const SIMPLE_HEAD = 12

/** pcapng (draft-ietf-opsawg-pcapng): sections of blocks, each with its byte order. */
export class PcapngParser implements CaptureParser {
  interfaces: CaptureInterface[] = []
  section = new Section()
  passing = -1
  readonly #window: FileWindow
  #littleEndian = true
  /** Bytes of a block that are still to be passed over, without its trailing length; -1 = none. */
  #skip = -1
  #skippedLength = 0
  #seconds = 0
  #nanoseconds = 0
  #names = 0
  #text = 0

  constructor(window: FileWindow) {
    this.#window = window
  }

  next(packet: CapturedPacket): number {
    const window = this.#window
    for (;;) {
      if (this.#skip >= 0) {
        const needed = this.#passOver()
        if (needed > 0) return needed
        continue
      }
      const { start, view } = window
      const waiting = window.end - start
      if (waiting < format.BLOCK_OVERHEAD) return format.BLOCK_OVERHEAD
      const type = view.getUint32(start, this.#littleEndian)
      if (type === format.BLOCK_SECTION) this.#byteOrder(start)
      const length = view.getUint32(start + 4, this.#littleEndian)
      if (length < format.BLOCK_OVERHEAD || (length & 3) !== 0) this.#corrupt(`a block of ${length} bytes`)
      const kept = isKept(type)
      if (!kept) {
        this.section.skippedBlocks++
        this.#skip = length - 4
        this.#skippedLength = length
        this.passing = window.offset()
        continue
      }
      if (length > format.MAX_BLOCK_BYTES) this.#corrupt(`a block of ${length} bytes is not believed`)
      if (waiting < length) return length
      if (view.getUint32(start + length - 4, this.#littleEndian) !== length) {
        this.#corrupt('the two lengths of a block differ')
      }
      if (type === format.BLOCK_ENHANCED_PACKET) this.#enhanced(packet, start, length, false)
      else if (type === format.BLOCK_PACKET) this.#enhanced(packet, start, length, true)
      else if (type === format.BLOCK_SIMPLE_PACKET) this.#simple(packet, start, length)
      else {
        this.#description(type, start, length)
        window.start = start + length
        continue
      }
      packet.offset = window.offset(start)
      packet.littleEndian = this.#littleEndian
      window.start = start + length
      return 0
    }
  }

  /** An enhanced packet block, or the obsolete packet block, whose interface is half a word. */
  #enhanced(packet: CapturedPacket, start: number, length: number, obsolete: boolean): void {
    const { view, bytes } = this.#window
    const littleEndian = this.#littleEndian
    if (length < ENHANCED_HEAD + 4) this.#corrupt('a packet block without room for its head')
    const id = obsolete ? view.getUint16(start + 8, littleEndian) : view.getUint32(start + 8, littleEndian)
    const captured = view.getUint32(start + 20, littleEndian)
    const device = this.#interface(id)
    const padded = (captured + 3) & ~3
    if (captured > format.MAX_PACKET_BYTES || ENHANCED_HEAD + padded + 4 > length) {
      this.#corrupt(`a packet of ${captured} bytes in a block of ${length}`)
    }
    const wireLength = view.getUint32(start + 24, littleEndian)
    const { scale } = device
    scale.convert(view.getUint32(start + 12, littleEndian), view.getUint32(start + 16, littleEndian))
    packet.bytes = bytes
    packet.at = start + ENHANCED_HEAD
    packet.length = captured
    packet.wireLength = Math.max(wireLength, captured)
    packet.seconds = scale.seconds
    packet.nanoseconds = scale.nanoseconds
    packet.timed = true
    packet.interface = id
    packet.linkType = device.linkType
    packet.optionsAt = start + ENHANCED_HEAD + padded
    packet.optionsEnd = start + length - 4
    this.#seconds = scale.seconds
    this.#nanoseconds = scale.nanoseconds
  }

  /** A simple packet block has neither time nor interface: the first one, and what the interface kept of it. */
  #simple(packet: CapturedPacket, start: number, length: number): void {
    const { view, bytes } = this.#window
    if (length < SIMPLE_HEAD + 4) this.#corrupt('a simple packet block without room for its head')
    const device = this.#interface(0)
    const wireLength = view.getUint32(start + 8, this.#littleEndian)
    const limit = device.snapLength === 0 ? wireLength : device.snapLength
    const captured = Math.min(wireLength, limit, length - SIMPLE_HEAD - 4)
    if (captured > format.MAX_PACKET_BYTES) this.#corrupt(`a packet of ${captured} bytes`)
    packet.bytes = bytes
    packet.at = start + SIMPLE_HEAD
    packet.length = captured
    packet.wireLength = wireLength
    packet.seconds = this.#seconds
    packet.nanoseconds = this.#nanoseconds
    packet.timed = false
    packet.interface = 0
    packet.linkType = device.linkType
    packet.optionsAt = 0
    packet.optionsEnd = 0
  }

  #interface(id: number): CaptureInterface {
    const device = this.interfaces[id]
    if (device === undefined) this.#corrupt(`a packet of interface ${id}, which the section does not have`)
    return device
  }

  #byteOrder(start: number): void {
    const magic = this.#window.view.getUint32(start + 8, true)
    if (magic === format.BYTE_ORDER_MAGIC) this.#littleEndian = true
    else if (magic === 0x4d3c_2b1a) this.#littleEndian = false
    else this.#corrupt('a section header in no known byte order')
  }

  /** What is not a packet and has a meaning here. */
  #description(type: number, start: number, length: number): void {
    if (type === format.BLOCK_SECTION) this.#section(start, length)
    else if (type === format.BLOCK_INTERFACE) this.#newInterface(start, length)
    else if (type === format.BLOCK_INTERFACE_STATISTICS) this.#statistics(start, length)
    else this.#nameResolution(start + 8, start + length - 4)
  }

  #section(start: number, length: number): void {
    const { view, bytes } = this.#window
    if (length < 28) this.#corrupt('a section header without room for its head')
    const major = view.getUint16(start + 12, this.#littleEndian)
    if (major !== 1) {
      const remedy = 'convert it with editcap'
      throw new PcapError(
        'PCAP_FORMAT',
        `version ${major} of pcapng is not known`,
        this.#window.offset(start),
        remedy,
      )
    }
    const section = new Section()
    this.section = section
    this.interfaces = []
    this.#names = 0
    this.#text = 0
    this.#options(start + 24, start + length - 4, (code, at, size) => {
      if (code === format.OPTION_COMMENT) section.comments.push(text(bytes, at, size))
      else if (code === format.SECTION_HARDWARE) section.hardware = text(bytes, at, size)
      else if (code === format.SECTION_OS) section.os = text(bytes, at, size)
      else if (code === format.SECTION_APPLICATION) section.application = text(bytes, at, size)
    })
  }

  #newInterface(start: number, length: number): void {
    const { view, bytes } = this.#window
    const littleEndian = this.#littleEndian
    if (length < 20) this.#corrupt('an interface description without room for its head')
    if (this.interfaces.length >= MAX_INTERFACES) this.#corrupt(`more than ${MAX_INTERFACES} interfaces`)
    const device = new CaptureInterface(
      view.getUint16(start + 8, littleEndian),
      view.getUint32(start + 12, littleEndian),
    )
    let resolution = MICROSECONDS
    let offset = 0
    this.#options(start + 16, start + length - 4, (code, at, size) => {
      if (code === format.INTERFACE_NAME && this.#fits(size)) device.name = text(bytes, at, size)
      else if (code === format.INTERFACE_DESCRIPTION && this.#fits(size)) {
        device.description = text(bytes, at, size)
      } else if (code === format.INTERFACE_TSRESOL && size === 1) resolution = bytes[at]!
      else if (code === format.INTERFACE_TSOFFSET && size === 8) {
        offset = Number(view.getBigInt64(at, littleEndian))
      }
    })
    device.scale = new TickScale(resolution, offset)
    this.interfaces.push(device)
  }

  #statistics(start: number, length: number): void {
    const { view } = this.#window
    if (length < 24) this.#corrupt('interface statistics without room for their head')
    const device = this.interfaces[view.getUint32(start + 8, this.#littleEndian)]
    if (device === undefined) return
    let drops = -1
    this.#options(start + 20, start + length - 4, (code, at, size) => {
      if (size !== 8) return
      const value = Number(view.getBigUint64(at, this.#littleEndian))
      if (code === format.STATISTICS_RECEIVED) device.received = value
      else if (code === format.STATISTICS_INTERFACE_DROPS || code === format.STATISTICS_OS_DROPS) {
        drops = Math.max(0, drops) + value
      }
    })
    if (drops >= 0) device.dropped = drops
  }

  /** Records of an address and its names, each ended by a NUL. */
  #nameResolution(at: number, end: number): void {
    const { view, bytes } = this.#window
    while (at + 4 <= end) {
      const kind = view.getUint16(at, this.#littleEndian)
      const size = view.getUint16(at + 2, this.#littleEndian)
      if (kind === 0 || at + 4 + size > end) return
      const addressBytes = kind === 1 ? 4 : kind === 2 ? 16 : 0
      if (addressBytes > 0 && size > addressBytes) {
        const address = formatAddress(bytes.subarray(at + 4, at + 4 + addressBytes))
        const names = text0(bytes, at + 4 + addressBytes, size - addressBytes)
        if (this.#names + names.length <= MAX_NAMES && this.#fits(size)) {
          this.#names += names.length
          const known = this.section.names.get(address)
          if (known === undefined) this.section.names.set(address, names)
          else for (const name of names) known.push(name)
        }
      }
      at += 4 + ((size + 3) & ~3)
    }
  }

  /** Whether a text of so many bytes may still be kept. */
  #fits(size: number): boolean {
    if (this.#text + size > MAX_TEXT) return false
    this.#text += size
    return true
  }

  #options(at: number, end: number, visit: (code: number, at: number, length: number) => void): void {
    if (!walkOptions(this.#window.bytes, at, end, this.#littleEndian, visit)) {
      this.#corrupt('options that don’t fit into their block')
    }
  }

  /** Passes over a block that nobody reads, whatever its size. Returns the bytes that have to wait; 0 when it is done. */
  #passOver(): number {
    const window = this.#window
    const part = Math.min(this.#skip, window.end - window.start)
    window.start += part
    this.#skip -= part
    if (this.#skip > 0) return 1
    if (window.end - window.start < 4) {
      // Not yet over: the trailing length counts as part of it.
      return 4
    }
    if (window.view.getUint32(window.start, this.#littleEndian) !== this.#skippedLength) {
      this.#corrupt('the two lengths of a block differ')
    }
    window.start += 4
    this.#skip = -1
    this.passing = -1
    return 0
  }

  #corrupt(what: string): never {
    throw new PcapError('PCAP_CORRUPT', what, this.#window.offset())
  }
}

function isKept(type: number): boolean {
  return (
    type === format.BLOCK_ENHANCED_PACKET ||
    type === format.BLOCK_SIMPLE_PACKET ||
    type === format.BLOCK_PACKET ||
    type === format.BLOCK_INTERFACE ||
    type === format.BLOCK_INTERFACE_STATISTICS ||
    type === format.BLOCK_NAME_RESOLUTION ||
    type === format.BLOCK_SECTION
  )
}

function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16))
  return groups.join(':')
}

/** Texts that each end in a NUL. */
function text0(bytes: Uint8Array, at: number, length: number): string[] {
  const names: string[] = []
  const end = at + length
  for (let from = at; from < end; ) {
    const nul = bytes.indexOf(0, from)
    const stop = nul < 0 || nul > end ? end : nul
    if (stop === from) break
    names.push(text(bytes, from, stop - from))
    from = stop + 1
  }
  return names
}
