import { type Nic, RX_CSUM_GOOD, RX_CSUM_PARTIAL, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { Counters } from '../counters.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { Segment } from '../tcp/segment.ts'
import { ARP_BYTES } from '../wire/arp.ts'
import {
  addSums,
  fold,
  pseudoHeaderSum,
  subtractSums,
  sumBytes,
  sumWords,
  swapSum,
} from '../wire/checksum.ts'
import { ETHERNET_HEADER_BYTES, ETHERTYPE_ARP, ETHERTYPE_IPV4 } from '../wire/ethernet.ts'
import { IPPROTO_TCP, IPV4_FRAGMENT_MASK, IPV4_MIN_HEADER_BYTES } from '../wire/ipv4.ts'
import { TCP_MIN_HEADER_BYTES, TIMESTAMP_PREFIX, tcpField } from '../wire/tcp.ts'
import type { Link } from './link.ts'
import { type FastSegmentInput, PlainInput } from './plain-input.ts'

/** Longest headers we parse: Ethernet, IPv4 with options, TCP with options. */
const HEADER_BYTES = 144
/** Copied for every frame: Ethernet, plain IPv4, TCP with timestamps and a little more. The rest only when announced. */
const FIRST_COPY = 80
/** Segments up to this length are summed here; for longer ones the driver sums the whole burst in one call. */
const SUM_HERE = 256

/** TCP header with nothing but timestamps: what bulk data has. */
const TIMESTAMPED_HEADER_BYTES = TCP_MIN_HEADER_BYTES + 12

/** Takes parsed TCP segments. */
export interface SegmentInput extends FastSegmentInput {
  segment(segment: Segment, now: number): void
}

/**
 * From fragments in niovs to a parsed `Segment`: copies the headers out of memory the user can write to, checks every
 * length against the frame before a byte is read, verifies checksums, and counts what it drops.
 */
export class FrameInput {
  /** The current frame's headers, private to the stack. */
  readonly header: Uint8Array
  readonly #headerWords: Uint32Array
  readonly #header16: Uint16Array
  /** Big-endian reads of one instruction each. */
  readonly #view: DataView
  readonly #nic: Nic
  readonly #memory: QueueMemory
  readonly #link: Link
  readonly #counters: Counters
  readonly #segment: Segment
  readonly #tcp: SegmentInput
  readonly #burst: RxBurst
  readonly #partial: boolean
  readonly #sideWords: Uint32Array
  readonly #plain: PlainInput

  constructor(
    nic: Nic,
    memory: QueueMemory,
    link: Link,
    counters: Counters,
    burst: RxBurst,
    segment: Segment,
    tcp: SegmentInput,
  ) {
    const buffer = new ArrayBuffer(HEADER_BYTES)
    this.header = new Uint8Array(buffer)
    this.#headerWords = new Uint32Array(buffer)
    this.#header16 = new Uint16Array(buffer)
    this.#view = new DataView(buffer)
    this.#nic = nic
    this.#memory = memory
    this.#link = link
    this.#counters = counters
    this.#burst = burst
    this.#segment = segment
    this.#tcp = tcp
    this.#partial = nic.info.partialChecksums
    this.#plain = new PlainInput(nic, memory, link, counters, burst, segment, tcp)
    const side = nic.sideMemory
    this.#sideWords =
      side === null
        ? new Uint32Array(0)
        : new Uint32Array(side.buffer, side.byteOffset, side.byteLength >>> 2)
  }

  /** Takes every frame of the burst. */
  burst(now: number): void {
    const burst = this.#burst
    const flags = burst.flags
    const count = burst.count
    this.#plain.summed = false
    const memory = this.#memory
    memory.measure()
    memory.arriving = this.#nic.info.placement === 'area' ? count : 0
    let first = 0
    while (first < count) {
      let last = first
      while (last < count - 1 && (flags[last]! & 1) !== 0) last++
      last++
      if (memory.arriving > 0) memory.arriving -= last - first
      if (!this.#plain.frame(first, last, now)) {
        this.#segment.taken = false
        this.#frame(first, last, now)
        if (!this.#segment.taken) this.recycle(first, last)
      }
      first = last
    }
  }

  /** Frees the niovs of burst entries: nobody wants their bytes. */
  recycle(first: number, last: number): void {
    const burst = this.#burst
    if ((burst.flags[first]! & RX_SIDE) !== 0) return
    const pool = this.#memory.pool
    for (let i = first; i < last; i++) pool.put(burst.offset[i]! >>> pool.shift)
  }

  #frame(first: number, last: number, now: number): void {
    const counters = this.#counters
    const header = this.header
    const view = this.#view
    const available = this.#burst.length[first]!
    counters.rxFrames++
    counters.rxFragments += last - first
    if (available < ETHERNET_HEADER_BYTES + IPV4_MIN_HEADER_BYTES) {
      counters.dropMalformed++
      return
    }
    this.#copyHeaders(first, 0, Math.min(available, FIRST_COPY))
    const type = view.getUint16(12)
    if (type === ETHERTYPE_ARP) {
      if (available < ETHERNET_HEADER_BYTES + ARP_BYTES) counters.dropMalformed++
      else this.#link.inputArp(header, ETHERNET_HEADER_BYTES, now)
      return
    }
    if (type !== ETHERTYPE_IPV4) {
      counters.dropProtocol++
      return
    }
    // A switch that floods, or a promiscuous interface, shows us what is for others: it must not be answered.
    const mac = this.#nic.info.mac
    for (let i = 0; i < 6; i++) {
      if (header[i] !== mac[i]) {
        counters.dropNotForUs++
        return
      }
    }
    const versionIhl = header[ETHERNET_HEADER_BYTES]!
    const ipBytes = (versionIhl & 15) << 2
    const total = view.getUint16(ETHERNET_HEADER_BYTES + 2)
    if (
      versionIhl >>> 4 !== 4 ||
      ipBytes < IPV4_MIN_HEADER_BYTES ||
      total < ipBytes ||
      ETHERNET_HEADER_BYTES + ipBytes > available
    ) {
      counters.dropMalformed++
      return
    }
    if ((view.getUint16(ETHERNET_HEADER_BYTES + 6) & IPV4_FRAGMENT_MASK) !== 0) {
      counters.dropFragment++
      return
    }
    const destination = view.getInt32(ETHERNET_HEADER_BYTES + 16)
    if (!this.#link.isLocal4(destination)) {
      counters.dropNotForUs++
      return
    }
    if (header[ETHERNET_HEADER_BYTES + 9] !== IPPROTO_TCP) {
      counters.dropProtocol++
      return
    }
    this.#tcpFrame(first, last, available, ipBytes, total, destination, now)
  }

  #tcpFrame(
    first: number,
    last: number,
    available: number,
    ipBytes: number,
    total: number,
    destination: number,
    now: number,
  ): void {
    const counters = this.#counters
    const header = this.header
    const view = this.#view
    const tcp = ETHERNET_HEADER_BYTES + ipBytes
    const tcpTotal = total - ipBytes
    if (tcpTotal < TCP_MIN_HEADER_BYTES || tcp + TCP_MIN_HEADER_BYTES > available) {
      counters.dropMalformed++
      return
    }
    if (tcp + TCP_MIN_HEADER_BYTES > FIRST_COPY) {
      this.#copyHeaders(first, FIRST_COPY, Math.min(available, HEADER_BYTES))
    }
    const tcpBytes = (header[tcp + tcpField.dataOffset]! >>> 4) << 2
    if (tcpBytes < TCP_MIN_HEADER_BYTES || tcpBytes > tcpTotal || tcp + tcpBytes > available) {
      counters.dropMalformed++
      return
    }
    if (tcp + tcpBytes > FIRST_COPY && tcp + TCP_MIN_HEADER_BYTES <= FIRST_COPY) {
      this.#copyHeaders(first, FIRST_COPY, Math.min(available, HEADER_BYTES))
    }
    const frameBytes = this.#frameBytes(first, last)
    if (ETHERNET_HEADER_BYTES + total > frameBytes) {
      counters.dropMalformed++
      return
    }
    if (!this.#ipChecksumOk(ipBytes)) {
      counters.dropIpChecksum++
      return
    }
    const source = view.getInt32(ETHERNET_HEADER_BYTES + 12)
    if (!this.#checksumOk(first, last, frameBytes, tcp, tcpTotal, source, destination)) {
      counters.dropTcpChecksum++
      return
    }
    const segment = this.#segment
    segment.setV4(source, destination)
    segment.sourcePort = view.getUint16(tcp)
    segment.destinationPort = view.getUint16(tcp + 2)
    segment.seq = view.getInt32(tcp + 4)
    segment.ack = view.getInt32(tcp + 8)
    segment.flags = header[tcp + tcpField.flags]!
    segment.window = view.getUint16(tcp + tcpField.window)
    segment.length = tcpTotal - tcpBytes
    segment.optionsParsed = false
    segment.optionsAt = tcp + TCP_MIN_HEADER_BYTES
    segment.optionsLength = tcpBytes - TCP_MIN_HEADER_BYTES
    segment.plainTimestamps =
      tcpBytes === TIMESTAMPED_HEADER_BYTES && view.getInt32(tcp + TCP_MIN_HEADER_BYTES) === TIMESTAMP_PREFIX
    if (segment.plainTimestamps) segment.tsVal = view.getInt32(tcp + TCP_MIN_HEADER_BYTES + 4)
    segment.first = first
    segment.last = last
    segment.headerBytes = tcp + tcpBytes
    counters.rxSegments++
    this.#tcp.segment(segment, now)
  }

  /** The sum of all 16-bit words is 0xffff whichever way round their bytes are read (RFC 1071 section 2 (B)). */
  #ipChecksumOk(ipBytes: number): boolean {
    if (ipBytes !== IPV4_MIN_HEADER_BYTES)
      return sumBytes(this.header, ETHERNET_HEADER_BYTES, ipBytes) === 0xffff
    const h = this.#header16
    const sum = h[7]! + h[8]! + h[9]! + h[10]! + h[11]! + h[12]! + h[13]! + h[14]! + h[15]! + h[16]!
    return fold(sum) === 0xffff
  }

  /** Copies bytes `[from, to)` of the frame's first fragment; `from` is a multiple of four. */
  #copyHeaders(first: number, from: number, to: number): void {
    const side = (this.#burst.flags[first]! & RX_SIDE) !== 0
    const offset = this.#burst.offset[first]!
    if ((offset & 3) === 0) {
      // Whole words: up to three bytes more than announced, still inside the same chunk, which holds a multiple of four.
      const words = side ? this.#sideWords : this.#memory.pool.words
      const target = this.#headerWords
      const base = offset >>> 2
      const end = (to + 3) >>> 2
      for (let i = from >>> 2; i < end; i++) target[i] = words[base + i]!
      return
    }
    const bytes = side ? this.#nic.sideMemory! : this.#memory.pool.bytes
    for (let i = from; i < to; i++) this.header[i] = bytes[offset + i]!
  }

  #frameBytes(first: number, last: number): number {
    let bytes = 0
    for (let i = first; i < last; i++) bytes += this.#burst.length[i]!
    return bytes
  }

  #checksumOk(
    first: number,
    last: number,
    frameBytes: number,
    tcp: number,
    tcpTotal: number,
    source: number,
    destination: number,
  ): boolean {
    const flags = this.#burst.flags[first]!
    if ((flags & RX_CSUM_GOOD) !== 0) return true
    const pseudo = pseudoHeaderSum(source, destination, IPPROTO_TCP, tcpTotal)
    if (
      (flags & RX_CSUM_PARTIAL) !== 0 ||
      (this.#partial && this.#view.getUint16(tcp + tcpField.checksum) === pseudo)
    ) {
      this.#counters.checksumPartial++
      return true
    }
    this.#counters.checksumVerified++
    const whole = frameBytes === tcp + tcpTotal
    const sum =
      whole && tcpTotal > SUM_HERE
        ? this.#sumFromDriver(first, last, tcp)
        : this.#sumHere(first, last, tcp, tcpTotal)
    return addSums(sum, pseudo) === 0xffff
  }

  /** The driver has summed whole fragments: what lies in front of TCP is taken off again. */
  #sumFromDriver(first: number, last: number, tcp: number): number {
    const burst = this.#burst
    if (!this.#plain.summed) {
      this.#nic.sumFragments(burst)
      this.#plain.summed = true
    }
    let sum = subtractSums(burst.sum[first]!, sumBytes(this.header, 0, tcp))
    let odd = burst.length[first]! & 1
    for (let i = first + 1; i < last; i++) {
      sum = addSums(sum, odd !== 0 ? swapSum(burst.sum[i]!) : burst.sum[i]!)
      odd ^= burst.length[i]! & 1
    }
    return sum
  }

  #sumHere(first: number, last: number, tcp: number, tcpTotal: number): number {
    const burst = this.#burst
    const side = (burst.flags[first]! & RX_SIDE) !== 0
    const bytes = side ? this.#nic.sideMemory! : this.#memory.pool.bytes
    const words = side ? this.#sideWords : this.#memory.pool.words
    let sum = 0
    let left = tcpTotal
    let skip = tcp
    let odd = 0
    for (let i = first; i < last && left > 0; i++) {
      const length = Math.min(left, burst.length[i]! - skip)
      const part = sumWords(bytes, words, burst.offset[i]! + skip, length)
      sum = addSums(sum, odd !== 0 ? swapSum(part) : part)
      odd ^= length & 1
      left -= length
      skip = 0
    }
    return sum
  }
}
