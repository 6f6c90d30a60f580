import { V4_MAPPED } from '../../address.ts'
import { straddle, swap16 } from '../../bytes.ts'
import { RX_CSUM_GOOD, RX_CSUM_PARTIAL, type RxBurst } from '../../driver/nic.ts'
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_VERIFIED,
  type Counters,
  RX_FRAGMENTS,
  RX_FRAMES,
  RX_SEGMENTS,
} from '../counters.ts'
import type { Segment } from '../tcp/segment.ts'
import { addSums, fold, swapSum } from '../wire/checksum.ts'
import { ACK, PSH } from '../wire/tcp.ts'
import type { InputContext, UpperLayer } from './context.ts'
import type { FragmentSums } from './fragment-sums.ts'
import type { Link } from './link.ts'

/** Ethernet, IPv6 without extension headers, TCP. */
const TCP_AT = 54
const PLAIN_BYTES = TCP_AT + 20
const TIMESTAMPED_BYTES = PLAIN_BYTES + 12
const OFFSET_PLAIN = 0x50
const OFFSET_TIMESTAMPED = 0x80
const PROTOCOL_TCP = 6
/** NOP NOP TIMESTAMPS 10, in the halves of two words. */
const NOP_NOP = 0x0101
const KIND_TIMESTAMPS = 0x0a08

/** Sum of a word's halves. */
function halves(word: number): number {
  return (word & 0xffff) + (word >>> 16)
}

/** The IPv6 part of the fast path's parser: see `PlainInput`, which has looked at the first four words. */
export class PlainInput6 {
  readonly #link: Link
  readonly #counters: Counters
  readonly #burst: RxBurst
  readonly #sums: FragmentSums
  readonly #segment: Segment
  readonly #tcp: UpperLayer
  readonly #partial: boolean

  constructor(context: InputContext) {
    this.#link = context.link
    this.#counters = context.counters
    this.#burst = context.burst
    this.#sums = context.sums
    this.#segment = context.segment
    this.#tcp = context.tcp
    this.#partial = context.nic.info.partialChecksums
  }

  /** Takes the frame in burst entries `[first, last)`, which begins at word `at`, if it is plain and expected. */
  frame(first: number, last: number, words: Uint32Array, at: number, now: number): boolean {
    const burst = this.#burst
    const available = burst.length[first]!
    const flags = burst.flags[first]!
    const w5 = words[at + 5]!
    if (available < PLAIN_BYTES || (w5 & 0xff) !== PROTOCOL_TCP) return false
    const w16 = words[at + 16]!
    if (((w16 >>> 24) & ~PSH) !== ACK) return false
    const dataOffset = (w16 >>> 16) & 0xff
    const w18 = words[at + 18]!
    let headerBytes = PLAIN_BYTES
    const segment = this.#segment
    if (dataOffset === OFFSET_TIMESTAMPED) {
      const w19 = words[at + 19]!
      if (available < TIMESTAMPED_BYTES || w18 >>> 16 !== NOP_NOP || (w19 & 0xffff) !== KIND_TIMESTAMPS)
        return false
      const w20 = words[at + 20]!
      segment.tsVal = straddle(w19, w20)
      segment.tsEcr = straddle(w20, words[at + 21]!)
      segment.plainTimestamps = true
      headerBytes = TIMESTAMPED_BYTES
    } else if (dataOffset === OFFSET_PLAIN) segment.plainTimestamps = false
    else return false

    const w4 = words[at + 4]!
    const tcpTotal = swap16(w4 >>> 16)
    const payload = tcpTotal + TCP_AT - headerBytes
    if (payload <= 0) return false
    let frameBytes = available
    for (let i = first + 1; i < last; i++) frameBytes += burst.length[i]!
    if (tcpTotal + TCP_AT > frameBytes) return false
    const w6 = words[at + 6]!
    const w7 = words[at + 7]!
    const w8 = words[at + 8]!
    const w9 = words[at + 9]!
    const w10 = words[at + 10]!
    const w11 = words[at + 11]!
    const w12 = words[at + 12]!
    const w13 = words[at + 13]!
    const source0 = straddle(w5, w6)
    const source1 = straddle(w6, w7)
    const source2 = straddle(w7, w8)
    // IPv4 in disguise (RFC 4942 2.2) would find the connection of an IPv4 peer.
    if (source0 === 0 && source1 === 0 && source2 === V4_MAPPED) return false
    const destination0 = straddle(w9, w10)
    const destination1 = straddle(w10, w11)
    const destination2 = straddle(w11, w12)
    const destination3 = straddle(w12, w13)
    if (destination2 === V4_MAPPED && destination1 === 0 && destination0 === 0) return false
    if (!this.#link.isLocalWords(destination0, destination1, destination2, destination3)) return false
    const w17 = words[at + 17]!
    let partial = 0
    let verified = 0
    if ((flags & RX_CSUM_GOOD) === 0) {
      // Little-endian halves, so the folded sum has its bytes exchanged (RFC 1071 section 2 (B)).
      const addresses =
        (w5 >>> 16) +
        halves(w6) +
        halves(w7) +
        halves(w8) +
        halves(w9) +
        halves(w10) +
        halves(w11) +
        halves(w12) +
        (w13 & 0xffff)
      const pseudo = fold(swapSum(fold(addresses)) + tcpTotal + PROTOCOL_TCP)
      if ((flags & RX_CSUM_PARTIAL) !== 0 || (this.#partial && swap16(w17 >>> 16) === pseudo)) partial = 1
      else {
        // Padding behind the packet would be in the driver's sums.
        if (frameBytes !== TCP_AT + tcpTotal) return false
        const front =
          halves(words[at]!) +
          halves(words[at + 1]!) +
          halves(words[at + 2]!) +
          halves(words[at + 3]!) +
          halves(w4) +
          (w5 & 0xffff) +
          addresses
        const sum = this.#sums.behind(first, last, swapSum(fold(front)))
        if (addSums(sum, pseudo) !== 0xffff) return false
        verified = 1
      }
    }
    const w14 = words[at + 14]!
    const w15 = words[at + 15]!
    segment.version = 6
    segment.source0 = source0
    segment.source1 = source1
    segment.source2 = source2
    segment.source3 = straddle(w8, w9)
    segment.destination0 = destination0
    segment.destination1 = destination1
    segment.destination2 = destination2
    segment.destination3 = destination3
    segment.sourcePort = swap16(w13 >>> 16)
    segment.destinationPort = swap16(w14 & 0xffff)
    segment.seq = straddle(w14, w15)
    segment.ack = straddle(w15, w16)
    segment.flags = w16 >>> 24
    segment.ecn = (words[at + 3]! >>> 28) & 3
    segment.window = swap16(w17 & 0xffff)
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
}
