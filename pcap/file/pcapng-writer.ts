import { release, type } from 'node:os'
import { ArgumentError } from '../../errors.ts'
import {
  checkBoolean,
  checkBytes,
  checkInteger,
  checkObject,
  checkSink,
  checkString,
  checkThat,
} from '../check.ts'
import * as format from './format.ts'
import { checkOriginal, checkRange, checkTime, Output } from './output.ts'
import type { CaptureSink } from './sink.ts'

/** What a pcapng file says of itself, and how it is written. */
export interface PcapngWriterOptions {
  /** Default `zcrx`. */
  application?: string
  /** Default is the name and release of the system that runs. */
  os?: string
  /** What it was captured on. Default: nothing is said. */
  hardware?: string
  /** About the file as a whole. */
  comment?: string
  /** Default false. */
  bigEndian?: boolean
  /** Default 65536. */
  bufferBytes?: number
}

/** What a pcapng file says of an interface. */
export interface CaptureInterface {
  /** `LINKTYPE_*`. */
  linkType: number
  /** Most bytes captured of a packet; 0 = no limit. Default 0. Packets are not cut to it. */
  snapLength?: number
  /** Such as `eth0`. */
  name?: string
  /** For people. */
  description?: string
  /** Six bytes. */
  mac?: Uint8Array
  /** What was captured, as a filter for people. */
  filter?: string
}

/** Since the epoch. */
export interface CaptureTime {
  /** Whole seconds. */
  seconds: number
  /** 0 to 999999999. */
  nanoseconds: number
}

/** What an interface counted until `time`. */
export interface CaptureStatistics {
  /** When this was counted. */
  time: CaptureTime
  /** When the capture began and ended. */
  start?: CaptureTime
  /** When the capture ended. */
  end?: CaptureTime
  /** Packets that arrived. */
  received?: number
  /** Packets that the interface dropped for want of resources. */
  interfaceDrops?: number
  /** Packets that the operating system dropped. */
  osDrops?: number
  /** Packets that reached the program. */
  delivered?: number
  /** For people. */
  comment?: string
}

/** Fixed part of an enhanced packet block, type and length included. */
const PACKET_HEADER_BYTES = 28
const NAME_RECORD_IPV4 = 1
const NAME_RECORD_IPV6 = 2
const NO_LIMIT = Number.POSITIVE_INFINITY

/** What there is to say of a packet beside its bytes. */
export interface PacketDetails {
  /** Where it lies in the bytes that are given, and how many it has; default all of them. */
  readonly at?: number
  /** Bytes of it; default up to the end of what is given. */
  readonly length?: number
  /** Bytes on the wire, when fewer were captured. */
  readonly originalLength?: number
  /** 0 not known, 1 inbound, 2 outbound. */
  readonly direction?: number
  /** UTF-8, at most 65535 bytes each. */
  readonly comment?: string | readonly string[]
  /** Packets that were lost between the one before on this interface and this one; 0 is not written. */
  readonly dropCount?: number
}

const NO_DETAILS: PacketDetails = {}

/**
 * Writes a pcapng file of one section (draft-ietf-opsawg-pcapng), times in nanoseconds. Allocates nothing per packet
 * but a view for `set`; what was written is with the sink after `flush` or `close`, always in whole blocks.
 */
export class PcapngWriter {
  readonly #out: Output
  readonly #snapLengths: number[] = []
  #original = 0
  #direction = 0

  /** @throws ArgumentError, and what the sink throws */
  constructor(sink: CaptureSink, options: PcapngWriterOptions = {}) {
    checkSink('sink', sink)
    checkObject('options', options)
    for (const name of ['application', 'os', 'hardware', 'comment'] as const) checkString(name, options[name])
    checkBoolean('bigEndian', options.bigEndian)
    const out = new Output(sink, options.bigEndian ?? false, options.bufferBytes ?? 65_536)
    this.#out = out
    this.#begin(format.BLOCK_SECTION)
    out.room(16)
    out.u32(format.BYTE_ORDER_MAGIC)
    out.u16(1)
    out.u16(0)
    // The length of the section is not known beforehand: -1.
    out.u32(0xffff_ffff)
    out.u32(0xffff_ffff)
    this.#text(format.SECTION_HARDWARE, options.hardware)
    this.#text(format.SECTION_OS, options.os ?? `${type()} ${release()}`)
    this.#text(format.SECTION_APPLICATION, options.application ?? 'zcrx')
    this.#text(format.OPTION_COMMENT, options.comment)
    this.#endOptions()
    this.#end()
  }

  /** Bytes of the file so far, those not yet flushed included. */
  get length(): number {
    return this.#out.length
  }

  /** Bytes of the file that the sink has taken; they end with a block. */
  get flushed(): number {
    return this.#out.handed
  }

  /** Describes an interface. Returns its number, counting from 0. @throws ArgumentError */
  addInterface(options: CaptureInterface): number {
    checkObject('options', options)
    const { linkType, snapLength = 0, mac } = options
    checkThat('linkType', linkType, linkType !== undefined, 'one of LINKTYPE_*')
    checkInteger('linkType', linkType, 0, 0xffff)
    checkInteger('snapLength', snapLength, 0, 0xffff_ffff)
    checkBytes('mac', mac, 6, 6)
    for (const name of ['name', 'description', 'filter'] as const) checkString(name, options[name])
    const out = this.#out
    this.#begin(format.BLOCK_INTERFACE)
    out.room(8)
    out.u16(linkType)
    out.u16(0)
    out.u32(snapLength)
    this.#text(format.INTERFACE_NAME, options.name)
    this.#text(format.INTERFACE_DESCRIPTION, options.description)
    if (mac !== undefined) this.#bytes(format.INTERFACE_MAC, mac)
    out.room(8)
    out.u16(format.INTERFACE_TSRESOL)
    out.u16(1)
    out.u8(9)
    out.pad()
    // The first byte says what kind of filter it is: 0 = text.
    this.#text(format.INTERFACE_FILTER, options.filter === undefined ? undefined : `\0${options.filter}`)
    this.#endOptions()
    this.#end()
    return this.#snapLengths.push(snapLength === 0 ? NO_LIMIT : snapLength) - 1
  }

  /**
   * Writes one packet.
   * @param seconds since the epoch
   * @throws ArgumentError, and what the sink throws
   */
  packet(
    index: number,
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    details: PacketDetails = NO_DETAILS,
  ): void {
    const { at = 0, length = bytes.length - at, originalLength = length } = details
    const { direction = format.DIRECTION_UNKNOWN, comment = '', dropCount = 0 } = details
    checkRange(bytes, at, length)
    this.begin(index, seconds, nanoseconds, originalLength, direction)
    this.append(bytes, at, length)
    this.end(comment, dropCount)
  }

  /** Begins a packet whose bytes come in pieces: `append` each, then `end`. */
  begin(
    index: number,
    seconds: number,
    nanoseconds: number,
    originalLength: number,
    direction = format.DIRECTION_UNKNOWN,
  ): void {
    if (!(index >= 0 && index < this.#snapLengths.length))
      throw new ArgumentError(`there is no interface ${index}`, 'call addInterface() first')
    checkTime(seconds, nanoseconds)
    checkOriginal(originalLength)
    if (direction !== 0 && direction !== 1 && direction !== 2)
      throw new ArgumentError(`direction is ${direction}`, 'give 0 (not known), 1 (inbound) or 2 (outbound)')
    const out = this.#out
    this.#begin(format.BLOCK_ENHANCED_PACKET)
    out.room(20)
    out.u32(index)
    out.ticks(seconds, nanoseconds)
    out.u32(0)
    out.u32(0)
    this.#original = originalLength
    this.#direction = direction
  }

  /** The next bytes of the packet. @throws ArgumentError beyond 262144 bytes; the packet is forgotten then. */
  append(bytes: Uint8Array, at = 0, length = bytes.length - at): void {
    const out = this.#out
    out.check()
    checkRange(bytes, at, length)
    if (out.at - out.start - PACKET_HEADER_BYTES + length > format.MAX_PACKET_BYTES) {
      out.abandon()
      throw new ArgumentError(`a packet of more than ${format.MAX_PACKET_BYTES} bytes`, 'cut it')
    }
    out.copy(bytes, at, length)
  }

  /** Ends the packet. */
  end(comment: string | readonly string[] = '', dropCount = 0): void {
    const out = this.#out
    out.check()
    const captured = out.at - out.start - PACKET_HEADER_BYTES
    out.patch(out.start + 20, captured)
    out.patch(out.start + 24, Math.max(this.#original, captured))
    out.pad()
    const direction = this.#direction
    if (direction !== 0 || dropCount > 0 || comment.length > 0) {
      out.room(20)
      if (direction !== 0) {
        out.u16(format.PACKET_FLAGS)
        out.u16(4)
        out.u32(direction)
      }
      if (dropCount > 0) this.#count(format.PACKET_DROPCOUNT, dropCount)
      if (typeof comment === 'string') this.#text(format.OPTION_COMMENT, comment)
      else for (const each of comment) this.#text(format.OPTION_COMMENT, each)
      this.#endOptions()
    }
    this.#end()
  }

  /**
   * A simple packet block: of interface 0, without a time. @throws ArgumentError for a captured length that the block
   * can't express: it has to be the original length, or the interface's snap length if that is less.
   */
  simplePacket(bytes: Uint8Array, at = 0, length = bytes.length - at, originalLength = length): void {
    checkRange(bytes, at, length)
    const snapLength = this.#snapLengths[0]
    if (snapLength === undefined)
      throw new ArgumentError('there is no interface 0', 'call addInterface() first')
    if (length !== Math.min(snapLength, originalLength))
      throw new ArgumentError(`a simple packet with ${length} bytes of ${originalLength}`)
    const out = this.#out
    this.#begin(format.BLOCK_SIMPLE_PACKET)
    out.room(4)
    out.u32(originalLength)
    out.copy(bytes, at, length)
    out.pad()
    this.#end()
  }

  /** An interface statistics block. */
  statistics(index: number, statistics: CaptureStatistics): void {
    if (!(index >= 0 && index < this.#snapLengths.length))
      throw new ArgumentError(`there is no interface ${index}`)
    const { time, start, end } = statistics
    for (const each of [time, start, end]) if (each !== undefined) checkTime(each.seconds, each.nanoseconds)
    const out = this.#out
    this.#begin(format.BLOCK_INTERFACE_STATISTICS)
    out.room(12)
    out.u32(index)
    out.ticks(time.seconds, time.nanoseconds)
    this.#time(format.STATISTICS_START, start)
    this.#time(format.STATISTICS_END, end)
    this.#count(format.STATISTICS_RECEIVED, statistics.received)
    this.#count(format.STATISTICS_INTERFACE_DROPS, statistics.interfaceDrops)
    this.#count(format.STATISTICS_OS_DROPS, statistics.osDrops)
    this.#count(format.STATISTICS_DELIVERED, statistics.delivered)
    this.#text(format.OPTION_COMMENT, statistics.comment)
    this.#endOptions()
    this.#end()
  }

  /** Names of addresses (4 or 16 bytes, network order). */
  nameResolution(records: readonly { address: Uint8Array; names: readonly string[] }[]): void {
    for (const { address } of records)
      if (address.length !== 4 && address.length !== 16)
        throw new ArgumentError(`an address of ${address.length} bytes`)
    const out = this.#out
    this.#begin(format.BLOCK_NAME_RESOLUTION)
    for (const { address, names } of records) {
      out.room(4)
      out.u16(address.length === 4 ? NAME_RECORD_IPV4 : NAME_RECORD_IPV6)
      out.u16(0)
      const from = out.at - out.start
      out.copy(address, 0, address.length)
      for (const name of names) {
        out.text(name)
        out.room(1)
        out.u8(0)
      }
      const length = out.at - out.start - from
      if (length > 0xffff) {
        out.abandon()
        throw new ArgumentError(`${length} bytes of names for one address`, 'give at most 65535')
      }
      out.patch16(out.start + from - 2, length)
      out.pad()
    }
    out.room(4)
    out.u32(0)
    this.#end()
  }

  /** Secrets to decrypt what follows; `type` is a number of the specification (0x544c534b: a TLS key log). */
  secrets(type: number, bytes: Uint8Array): void {
    const out = this.#out
    this.#begin(format.BLOCK_DECRYPTION_SECRETS)
    out.room(8)
    out.u32(type)
    out.u32(bytes.length)
    out.copy(bytes, 0, bytes.length)
    out.pad()
    this.#end()
  }

  /** A block of any type, its body as it is, with zeros up to a multiple of four bytes. */
  rawBlock(type: number, body: Uint8Array): void {
    this.#begin(type)
    this.#out.copy(body, 0, body.length)
    this.#out.pad()
    this.#end()
  }

  /** Hands everything to the sink, in whole blocks. @throws what the sink throws */
  flush(): void {
    this.#out.flush()
  }

  /** Flushes and closes the sink. Idempotent. @throws what the sink throws */
  close(): void {
    this.#out.close()
  }

  #begin(type: number): void {
    const out = this.#out
    out.begin()
    out.room(8)
    out.u32(type)
    out.u32(0)
  }

  #end(): void {
    const out = this.#out
    out.room(4)
    const length = out.at - out.start + 4
    out.patch(out.start + 4, length)
    out.u32(length)
    out.end()
  }

  #text(code: number, text: string | undefined): void {
    if (text === undefined || text === '') return
    const out = this.#out
    out.room(4)
    out.u16(code)
    out.u16(0)
    const length = out.text(text)
    out.patch16(out.at - length - 2, length)
    out.pad()
  }

  #bytes(code: number, bytes: Uint8Array): void {
    const out = this.#out
    out.room(4)
    out.u16(code)
    out.u16(bytes.length)
    out.copy(bytes, 0, bytes.length)
    out.pad()
  }

  #count(code: number, count: number | undefined): void {
    if (count === undefined) return
    const out = this.#out
    out.room(12)
    out.u16(code)
    out.u16(8)
    out.u64(count)
  }

  #time(code: number, time: CaptureTime | undefined): void {
    if (time === undefined) return
    const out = this.#out
    out.room(12)
    out.u16(code)
    out.u16(8)
    out.ticks(time.seconds, time.nanoseconds)
  }

  #endOptions(): void {
    this.#out.room(4)
    this.#out.u32(format.OPTION_END)
  }
}
