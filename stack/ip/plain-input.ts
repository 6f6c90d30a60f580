import { littleEndian, straddle, swap16 } from '../../bytes.ts'
import { RX_CSUM_GOOD, RX_CSUM_PARTIAL, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_VERIFIED,
  type Counters,
  RX_FRAGMENTS,
  RX_FRAMES,
  RX_SEGMENTS,
} from '../counters.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { Segment } from '../tcp/segment.ts'
import { addSums, fold, pseudoHeaderSum, swapSum } from '../wire/checksum.ts'
import { wordsOfMac } from '../wire/ethernet.ts'
import { ACK, PSH } from '../wire/tcp.ts'
import type { InputContext, UpperLayer } from './context.ts'
import type { FragmentSums } from './fragment-sums.ts'
import { sideWordsOf } from './frame-headers.ts'
import type { Link } from './link.ts'
import { PlainInput6 } from './plain-input6.ts'

/** Ethernet, IPv4 without options, TCP. */
const TCP_AT = 34
const PLAIN_BYTES = TCP_AT + 20
const TIMESTAMPED_BYTES = PLAIN_BYTES + 12
/** Words 3 and 11 as little-endian machines read them: EtherType 0x0800 with version 4 and IHL 5; data offsets 5 and 8. */
const IPV4_PLAIN = 0x450008
/** The same for EtherType 0x86dd with version 6, whatever traffic class and flow label. */
const IPV6_PLAIN = 0x60dd86
const IPV6_MASK = 0xf0ffff
const OFFSET_PLAIN = 0x50
const OFFSET_TIMESTAMPED = 0x80
const PROTOCOL_TCP = 6
/** Flags and fragment offset, less the don't-fragment bit. */
const FRAGMENT_BITS = 0xffbf
/** NOP NOP TIMESTAMPS 10, in the halves of two words. */
const NOP_NOP = 0x0101
const KIND_TIMESTAMPS = 0x0a08

/**
 * The fast path's parser: bulk data has one shape, so its headers are read word by word straight into locals, each word
 * once, instead of being copied and parsed. Whatever has another shape, or is not the next segment of its connection, is
 * left for `EthernetInput`, which begins again from a copy of its own: nothing read here is used there.
 */
export class PlainInput {
  readonly #memory: QueueMemory
  readonly #link: Link
  readonly #counters: Counters
  readonly #burst: RxBurst
  readonly #segment: Segment
  readonly #tcp: UpperLayer
  readonly #partial: boolean
  readonly #sideWords: Uint32Array
  /** Our hardware address, as the frame's first six bytes read. */
  #macLow = 0
  #macHigh = 0
  readonly #sums: FragmentSums
  readonly #plain6: PlainInput6
  /** Frames carry no tags: those that should are for the slow path. */
  readonly #untagged: boolean

  constructor(context: InputContext) {
    const { nic, link } = context
    this.#memory = context.memory
    this.#link = link
    this.#counters = context.counters
    this.#burst = context.burst
    this.#segment = context.segment
    this.#tcp = context.tcp
    this.#sums = context.sums
    this.#untagged = link.frames.vlan.length === 0
    this.#plain6 = new PlainInput6(context)
    this.#partial = nic.info.partialChecksums
    this.#sideWords = sideWordsOf(nic)
    this.readMac()
  }

  /** The interface's hardware address is another one. */
  readMac(): void {
    const [low, high] = wordsOfMac(this.#link.mac)
    this.#macLow = low >>> 0
    this.#macHigh = high
  }

  /** Takes the frame in burst entries `[first, last)` if it is plain and expected. */
  frame(first: number, last: number, now: number): boolean {
    const burst = this.#burst
    const offset = burst.offset[first]!
    const available = burst.length[first]!
    const flags = burst.flags[first]!
    if (!littleEndian || (offset & 3) !== 0 || available < PLAIN_BYTES) return false
    const words = (flags & RX_SIDE) !== 0 ? this.#sideWords : this.#memory.pool.words
    const at = offset >>> 2
    if (words[at] !== this.#macLow || (words[at + 1]! & 0xffff) !== this.#macHigh) return false
    const w3 = words[at + 3]!
    const w5 = words[at + 5]!
    if ((w3 & IPV6_MASK) === IPV6_PLAIN)
      return this.#untagged && this.#plain6.frame(first, last, words, at, now)
    if (
      (w3 & 0xffffff) !== IPV4_PLAIN ||
      (w5 & FRAGMENT_BITS) !== 0 ||
      w5 >>> 24 !== PROTOCOL_TCP ||
      !this.#untagged
    )
      return false
    const w4 = words[at + 4]!
    const w6 = words[at + 6]!
    const w7 = words[at + 7]!
    const w8 = words[at + 8]!
    // Little-endian halves: the sum of all must be 0xffff whichever way round their bytes are (RFC 1071 section 2 (B)).
    const ipSum =
      (w3 >>> 16) +
      (w4 & 0xffff) +
      (w4 >>> 16) +
      (w5 & 0xffff) +
      (w5 >>> 16) +
      (w6 & 0xffff) +
      (w6 >>> 16) +
      (w7 & 0xffff) +
      (w7 >>> 16) +
      (w8 & 0xffff)
    if (fold(ipSum) !== 0xffff) return false
    const w11 = words[at + 11]!
    if (((w11 >>> 24) & ~PSH) !== ACK) return false
    const dataOffset = (w11 >>> 16) & 0xff
    let headerBytes = PLAIN_BYTES
    const segment = this.#segment
    if (dataOffset === OFFSET_TIMESTAMPED) {
      const w13 = words[at + 13]!
      const w14 = words[at + 14]!
      if (available < TIMESTAMPED_BYTES || w13 >>> 16 !== NOP_NOP || (w14 & 0xffff) !== KIND_TIMESTAMPS)
        return false
      const w15 = words[at + 15]!
      segment.tsVal = straddle(w14, w15)
      segment.tsEcr = straddle(w15, words[at + 16]!)
      segment.plainTimestamps = true
      headerBytes = TIMESTAMPED_BYTES
    } else if (dataOffset === OFFSET_PLAIN) segment.plainTimestamps = false
    else return false

    const tcpTotal = swap16(w4 & 0xffff) - 20
    const payload = tcpTotal + TCP_AT - headerBytes
    if (payload <= 0) return false
    let frameBytes = available
    for (let i = first + 1; i < last; i++) frameBytes += burst.length[i]!
    if (tcpTotal + TCP_AT > frameBytes) return false
    const source = straddle(w6, w7)
    const destination = straddle(w7, w8)
    if (!this.#link.isLocal4(destination)) return false
    const w12 = words[at + 12]!
    let partial = 0
    let verified = 0
    if ((flags & RX_CSUM_GOOD) === 0) {
      const pseudo = pseudoHeaderSum(source, destination, PROTOCOL_TCP, tcpTotal)
      if ((flags & RX_CSUM_PARTIAL) !== 0 || (this.#partial && swap16(w12 >>> 16) === pseudo)) {
        partial = 1
      } else {
        // Padding behind the packet would be in the driver's sums.
        if (frameBytes !== TCP_AT + tcpTotal) return false
        if (!this.#verify(first, last, words, at, ipSum - (w3 >>> 16), pseudo)) return false
        verified = 1
      }
    }
    const w9 = words[at + 9]!
    const w10 = words[at + 10]!
    segment.setV4(source, destination)
    segment.sourcePort = swap16(w8 >>> 16)
    segment.destinationPort = swap16(w9 & 0xffff)
    segment.seq = straddle(w9, w10)
    segment.ack = straddle(w10, w11)
    segment.flags = w11 >>> 24
    segment.ecn = (w3 >>> 24) & 3
    segment.window = swap16(w12 & 0xffff)
    segment.length = payload
    segment.optionsParsed = false
    segment.optionsLength = headerBytes - PLAIN_BYTES
    segment.first = first
    segment.last = last
    segment.headerBytes = headerBytes
    if (!this.#tcp.fastSegment(segment, now)) return false
    const { cells } = this.#counters
    cells[RX_FRAMES]! += 1
    cells[RX_FRAGMENTS]! += last - first
    cells[RX_SEGMENTS]! += 1
    cells[CHECKSUM_PARTIAL]! += partial
    cells[CHECKSUM_VERIFIED]! += verified
    return true
  }

  /**
   * Verifies the checksum from the driver's sums of whole fragments, less what lies in front of TCP.
   * @param ipSum sum of the IPv4 header's little-endian halves without its first
   */
  #verify(
    first: number,
    last: number,
    words: Uint32Array,
    at: number,
    ipSum: number,
    pseudo: number,
  ): boolean {
    const w0 = words[at]!
    const w1 = words[at + 1]!
    const w2 = words[at + 2]!
    const w3 = words[at + 3]!
    const front =
      (w0 & 0xffff) +
      (w0 >>> 16) +
      (w1 & 0xffff) +
      (w1 >>> 16) +
      (w2 & 0xffff) +
      (w2 >>> 16) +
      (w3 & 0xffff) +
      (w3 >>> 16) +
      ipSum
    return addSums(this.#sums.behind(first, last, swapSum(fold(front))), pseudo) === 0xffff
  }
}
