import { RX_CSUM_GOOD, RX_CSUM_PARTIAL, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import { CHECKSUM_PARTIAL, CHECKSUM_VERIFIED, type Counters, RX_SEGMENTS } from '../counters.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { Segment } from '../tcp/segment.ts'
import { addSums, pseudoHeaderSum, pseudoHeaderSumOf, sumBytes, sumWords, swapSum } from '../wire/checksum.ts'
import { IPPROTO_TCP } from '../wire/ipv4.ts'
import { TCP_MIN_HEADER_BYTES, TIMESTAMP_PREFIX, tcpField } from '../wire/tcp.ts'
import type { InputContext, UpperLayer } from './context.ts'
import type { FragmentSums } from './fragment-sums.ts'
import { type FrameHeaders, sideWordsOf } from './frame-headers.ts'
import type { PacketBytes } from './packet-bytes.ts'
import type { SegmentTaker } from './packet-takers.ts'

/** Segments up to this length are summed here; for longer ones the driver sums the whole burst in one call. */
const SUM_HERE = 256
/** TCP header with nothing but timestamps: what bulk data has. */
const TIMESTAMPED_HEADER_BYTES = TCP_MIN_HEADER_BYTES + 12

/** TCP behind either IP header: lengths, checksum, and the fields of a `Segment` whose addresses are already set. */
export class SegmentInput implements SegmentTaker {
  readonly #side: Uint8Array | null
  readonly #memory: QueueMemory
  readonly #counters: Counters
  readonly #burst: RxBurst
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #sums: FragmentSums
  readonly #segment: Segment
  readonly #tcp: UpperLayer
  readonly #partial: boolean
  readonly #sideWords: Uint32Array

  constructor(context: InputContext) {
    const { nic } = context
    this.#side = nic.roles.sideMemory
    this.#memory = context.memory
    this.#counters = context.counters
    this.#burst = context.burst
    this.#headers = context.headers
    this.#bytes = context.bytes
    this.#sums = context.sums
    this.#segment = context.segment
    this.#tcp = context.tcp
    this.#partial = nic.info.partialChecksums
    this.#sideWords = sideWordsOf(nic)
  }

  /** @param tcp bytes from the start of the frame to the TCP header @param tcpTotal bytes of header and payload */
  input(tcp: number, tcpTotal: number, now: number): void {
    const counters = this.#counters
    const headers = this.#headers
    const header = headers.bytes
    if (tcpTotal < TCP_MIN_HEADER_BYTES || !headers.need(tcp + TCP_MIN_HEADER_BYTES)) {
      counters.dropMalformed++
      return
    }
    const tcpBytes = (header[tcp + tcpField.dataOffset]! >>> 4) << 2
    if (
      tcpBytes < TCP_MIN_HEADER_BYTES ||
      tcpBytes > tcpTotal ||
      !headers.need(tcp + tcpBytes) ||
      tcp + tcpTotal > headers.frameBytes
    ) {
      counters.dropMalformed++
      return
    }
    if (!this.#checksumOk(tcp, tcpTotal)) {
      counters.dropTcpChecksum++
      return
    }
    const segment = this.#segment
    const { view } = headers
    segment.sourcePort = view.getUint16(tcp)
    segment.destinationPort = view.getUint16(tcp + 2)
    segment.seq = view.getInt32(tcp + 4)
    segment.ack = view.getInt32(tcp + 8)
    // AE lies in front of the other flags (RFC 9768).
    segment.flags = header[tcp + tcpField.flags]! | ((header[tcp + tcpField.dataOffset]! & 1) << 8)
    segment.window = view.getUint16(tcp + tcpField.window)
    segment.length = tcpTotal - tcpBytes
    segment.optionsParsed = false
    segment.optionsAt = tcp + TCP_MIN_HEADER_BYTES
    segment.optionsLength = tcpBytes - TCP_MIN_HEADER_BYTES
    segment.plainTimestamps =
      tcpBytes === TIMESTAMPED_HEADER_BYTES && view.getInt32(tcp + TCP_MIN_HEADER_BYTES) === TIMESTAMP_PREFIX
    if (segment.plainTimestamps) {
      segment.tsVal = view.getInt32(tcp + TCP_MIN_HEADER_BYTES + 4)
      segment.tsEcr = view.getInt32(tcp + TCP_MIN_HEADER_BYTES + 8)
    }
    segment.first = headers.first
    segment.last = headers.last
    segment.headerBytes = segment.list >= 0 ? tcpBytes : tcp + tcpBytes
    counters.cells[RX_SEGMENTS]! += 1
    this.#tcp.segment(segment, now)
  }

  #checksumOk(tcp: number, tcpTotal: number): boolean {
    const segment = this.#segment
    const pseudo =
      segment.version === 4
        ? pseudoHeaderSum(segment.source3, segment.destination3, IPPROTO_TCP, tcpTotal)
        : pseudoHeaderSumOf(segment, IPPROTO_TCP, tcpTotal)
    if (segment.list >= 0) {
      // What flags say of one fragment, they don't say of the packet.
      this.#counters.cells[CHECKSUM_VERIFIED]! += 1
      return addSums(this.#bytes.sum(tcp, tcpTotal), pseudo) === 0xffff
    }
    const { first, last, frameBytes, view } = this.#headers
    const flags = this.#burst.flags[first]!
    if ((flags & RX_CSUM_GOOD) !== 0) return true
    if (
      (flags & RX_CSUM_PARTIAL) !== 0 ||
      (this.#partial && view.getUint16(tcp + tcpField.checksum) === pseudo)
    ) {
      this.#counters.cells[CHECKSUM_PARTIAL]! += 1
      return true
    }
    this.#counters.cells[CHECKSUM_VERIFIED]! += 1
    const whole = frameBytes === tcp + tcpTotal
    const sum =
      whole && tcpTotal > SUM_HERE
        ? this.#sums.behind(first, last, sumBytes(this.#headers.bytes, 0, tcp))
        : this.#sumHere(first, last, tcp, tcpTotal)
    return addSums(sum, pseudo) === 0xffff
  }

  #sumHere(first: number, last: number, tcp: number, tcpTotal: number): number {
    const burst = this.#burst
    const { areas } = this.#memory
    let sum = 0
    let left = tcpTotal
    let skip = tcp
    let odd = 0
    for (let i = first; i < last && left > 0; i++) {
      const length = Math.min(left, burst.length[i]! - skip)
      const side = (burst.flags[i]! & RX_SIDE) !== 0
      const pool = areas[burst.area[i]!]!
      const bytes = side ? this.#side! : pool.bytes
      const part = sumWords(bytes, side ? this.#sideWords : pool.words, burst.offset[i]! + skip, length)
      sum = addSums(sum, odd !== 0 ? swapSum(part) : part)
      odd ^= length & 1
      left -= length
      skip = 0
    }
    return sum
  }
}
