import { PcapError } from '../../errors.ts'
import { checkThat } from '../check.ts'
import {
  BLOCK_SECTION,
  PCAP_HEADER_BYTES,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
} from './format.ts'
import { gunzip } from './gunzip.ts'
import { packedOtherwise } from './packed.ts'
import { CapturedPacket } from './packet.ts'
import type { CaptureInterface, CaptureParser, Section } from './parser.ts'
import { PCAP_MAGIC_MODIFIED, PcapParser } from './pcap-parser.ts'
import { PcapngParser } from './pcapng-parser.ts'
import { type ByteSource, BytesSource, openSource, StreamSource } from './source.ts'
import { FileWindow } from './window.ts'

/**
 * Reads a capture from front to back: pcap (either byte order, micro- or nanoseconds) or pcapng, as it is or compressed with
 * gzip. Memory does not grow with the file. The loop that is fastest:
 *
 *     const packet = new CapturedPacket()
 *     do while (reader.next(packet)) use(packet)
 *     while (await reader.fill())
 */
export class CaptureReader implements AsyncIterable<CapturedPacket> {
  /** Which of the two the file is. */
  readonly format: 'pcap' | 'pcapng'
  /** The file is packed with gzip. */
  readonly compressed: boolean
  readonly #window: FileWindow
  readonly #parser: CaptureParser
  #needed = 1
  #count = 0
  #closed = false

  private constructor(window: FileWindow, parser: CaptureParser, compressed: boolean) {
    this.#window = window
    this.#parser = parser
    this.format = parser instanceof PcapParser ? 'pcap' : 'pcapng'
    this.compressed = compressed
  }

  /** Opens a file; `-` is standard input. @throws PcapError, ArgumentError */
  static open(path: string): Promise<CaptureReader> {
    checkThat('path', path, typeof path === 'string', 'the path of a capture, or "-"')
    return CaptureReader.#begin(openSource(path))
  }

  /** Reads from memory or from a stream, which is read as fast as packets are taken. @throws PcapError, ArgumentError */
  static from(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<CaptureReader> {
    const iterable = typeof (bytes as AsyncIterable<Uint8Array> | null)?.[Symbol.asyncIterator] === 'function'
    checkThat(
      'bytes',
      bytes,
      bytes instanceof Uint8Array || iterable,
      "a capture's bytes, or an asynchronous iteration of them",
    )
    return CaptureReader.#begin(
      bytes instanceof Uint8Array ? new BytesSource(bytes) : new StreamSource(bytes),
    )
  }

  static async #begin(source: ByteSource): Promise<CaptureReader> {
    let window = new FileWindow(source)
    try {
      await window.more(PCAP_HEADER_BYTES)
      const compressed = window.waiting >= 2 && window.bytes[0] === 0x1f && window.bytes[1] === 0x8b
      if (compressed) {
        window = new FileWindow(gunzip(window.bytes.slice(0, window.end), source))
        await window.more(PCAP_HEADER_BYTES)
      }
      return new CaptureReader(window, parserFor(window), compressed)
    } catch (error) {
      window.source.close()
      throw error
    }
  }

  /** Of pcap one, of pcapng those of the current section seen so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#parser.interfaces
  }

  /** What is said about the whole file. */
  get section(): Section {
    return this.#parser.section
  }

  /** Packets handed out. */
  get count(): number {
    return this.#count
  }

  /** Bytes read and handed out, of the unpacked file. */
  get offset(): number {
    return this.#window.offset()
  }

  /**
   * Fills `packet` with the next one. False when `fill` has to read on first. Everything `packet` had before is overwritten.
   * @throws PcapError where the file can't be understood; the packets in front of it have been handed out
   */
  next(packet: CapturedPacket): boolean {
    const needed = this.#parser.next(packet)
    if (needed > 0) {
      this.#needed = needed
      return false
    }
    packet.number = ++this.#count
    return true
  }

  /** Reads on. False at the end of the file. @throws PcapError */
  async fill(): Promise<boolean> {
    const window = this.#window
    if (this.#closed) return false
    if (!window.ended) await window.more(this.#needed)
    if (window.waiting >= this.#needed) return true
    const { passing } = this.#parser
    if (window.waiting === 0 && passing < 0) return false
    const there = `, of which ${window.waiting} of ${this.#needed} bytes are there`
    throw new PcapError(
      'PCAP_TRUNCATED',
      `the file ends within a record${passing < 0 ? there : ''}`,
      passing < 0 ? window.offset() : passing,
      'the packets in front of it are whole; whoever wrote it was stopped, or it was not copied to its end',
    )
  }

  /** Every packet as an object of its own: convenient rather than fast. Closes the reader at the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<CapturedPacket, void> {
    const packet = new CapturedPacket()
    try {
      do while (this.next(packet)) yield packet.copy()
      while (await this.fill())
    } finally {
      this.close()
    }
  }

  /** Closes the file. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#window.source.close()
  }
}

function parserFor(window: FileWindow): CaptureParser {
  if (window.waiting >= 4) {
    const little = window.view.getUint32(0, true)
    if (little === BLOCK_SECTION) return new PcapngParser(window)
    for (const littleEndian of [true, false]) {
      const magic = window.view.getUint32(0, littleEndian)
      const nanoseconds = magic === PCAP_MAGIC_NANOSECONDS
      if (nanoseconds || magic === PCAP_MAGIC_MICROSECONDS || magic === PCAP_MAGIC_MODIFIED) {
        if (window.waiting >= PCAP_HEADER_BYTES) return new PcapParser(window, littleEndian, magic)
        throw new PcapError('PCAP_TRUNCATED', 'the file ends within its header', 0)
      }
    }
  }
  const packed = packedOtherwise(window.bytes.subarray(window.start, window.end))
  if (packed !== null) throw packed
  throw new PcapError(
    'PCAP_FORMAT',
    window.waiting === 0 ? 'the file is empty' : 'this is neither pcap nor pcapng',
    0,
    'tcpdump, dumpcap, tshark and Wireshark write files that can be read; editcap converts others',
  )
}
