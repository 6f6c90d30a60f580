import { ArgumentError } from '../../errors.ts'
import { checkBoolean, checkInteger, checkObject, checkSink, checkThat } from '../check.ts'
import {
  MAX_PACKET_BYTES,
  PCAP_HEADER_BYTES,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
  PCAP_RECORD_BYTES,
} from './format.ts'
import { checkOriginal, checkRange, checkTime, Output } from './output.ts'
import type { CaptureSink } from './sink.ts'

/** What a pcap file says at its beginning. */
export interface PcapWriterOptions {
  /** `LINKTYPE_*`. */
  linkType: number
  /** What the file says about how long packets can be; default 262144. Packets are not cut to it. */
  snapLength?: number
  /** Times in nanoseconds (default), or in microseconds, which every old reader understands. */
  nanoseconds?: boolean
  /** Default false. */
  bigEndian?: boolean
  /** Default 65536. */
  bufferBytes?: number
}

/**
 * Writes a pcap file (draft-ietf-opsawg-pcap). Allocates nothing per packet but a view for `set`; what was written
 * is with the sink after `flush` or `close`.
 */
export class PcapWriter {
  readonly #out: Output
  readonly #nanoseconds: boolean
  #original = 0

  /** @throws ArgumentError, and what the sink throws */
  constructor(sink: CaptureSink, options: PcapWriterOptions) {
    checkSink('sink', sink)
    checkObject('options', options)
    checkThat('linkType', options.linkType, options.linkType !== undefined, 'one of LINKTYPE_*')
    checkInteger('linkType', options.linkType, 0, 0xffff_ffff)
    checkInteger('snapLength', options.snapLength, 0, 0xffff_ffff)
    checkBoolean('nanoseconds', options.nanoseconds)
    checkBoolean('bigEndian', options.bigEndian)
    const { linkType, snapLength = MAX_PACKET_BYTES, nanoseconds = true } = options
    this.#nanoseconds = nanoseconds
    const out = new Output(sink, options.bigEndian ?? false, options.bufferBytes ?? 65_536)
    this.#out = out
    out.begin()
    out.room(PCAP_HEADER_BYTES)
    out.u32(nanoseconds ? PCAP_MAGIC_NANOSECONDS : PCAP_MAGIC_MICROSECONDS)
    out.u16(2)
    out.u16(4)
    out.u32(0)
    out.u32(0)
    out.u32(snapLength)
    out.u32(linkType)
    out.end()
  }

  /** Bytes of the file so far, those not yet flushed included. */
  get length(): number {
    return this.#out.length
  }

  /**
   * Writes one packet.
   * @param seconds since the epoch, at most 2^32 - 1
   * @param originalLength bytes on the wire, when fewer were captured
   * @throws ArgumentError, and what the sink throws
   */
  packet(
    seconds: number,
    nanoseconds: number,
    bytes: Uint8Array,
    at = 0,
    length = bytes.length - at,
    originalLength = length,
  ): void {
    checkRange(bytes, at, length)
    this.begin(seconds, nanoseconds, originalLength)
    this.append(bytes, at, length)
    this.end()
  }

  /** Begins a packet whose bytes come in pieces. */
  begin(seconds: number, nanoseconds: number, originalLength: number): void {
    checkTime(seconds, nanoseconds, 0xffff_ffff)
    checkOriginal(originalLength)
    const out = this.#out
    out.begin()
    out.room(PCAP_RECORD_BYTES)
    out.u32(seconds)
    out.u32(this.#nanoseconds ? nanoseconds : Math.floor(nanoseconds / 1000))
    out.u32(0)
    out.u32(0)
    this.#original = originalLength
  }

  /** The next bytes of the packet. @throws ArgumentError beyond 262144 bytes; the packet is forgotten then. */
  append(bytes: Uint8Array, at = 0, length = bytes.length - at): void {
    const out = this.#out
    out.check()
    checkRange(bytes, at, length)
    if (out.at - out.start - PCAP_RECORD_BYTES + length > MAX_PACKET_BYTES) {
      out.abandon()
      throw new ArgumentError(`a packet of more than ${MAX_PACKET_BYTES} bytes`, 'cut it')
    }
    out.copy(bytes, at, length)
  }

  /** Ends the packet. */
  end(): void {
    const out = this.#out
    out.check()
    const captured = out.at - out.start - PCAP_RECORD_BYTES
    out.patch(out.start + 8, captured)
    out.patch(out.start + 12, Math.max(this.#original, captured))
    out.end()
  }

  /** Hands everything to the sink. @throws what the sink throws */
  flush(): void {
    this.#out.flush()
  }

  /** Flushes and closes the sink. Idempotent. @throws what the sink throws */
  close(): void {
    this.#out.close()
  }
}
