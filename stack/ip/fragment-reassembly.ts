import type { Counters } from '../counters.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { PayloadTaker } from '../tcp/payload.ts'
import type { Segment } from '../tcp/segment.ts'
import { Timer, type TimerWheel } from '../timers.ts'
import type { InputContext } from './context.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { IpConfig } from './options.ts'

/** Headers kept of a first fragment, and what an error message quotes of its data. */
const KEPT_BYTES = 512 + 8
/** Most bytes of a packet, IP header included for IPv4 (RFC 791), excluded for IPv6 (RFC 8200). */
const MAX_PACKET = 65_535

/** ECN codepoints (RFC 3168 section 5). */
const NOT_ECT = 0
const CE = 3

/** A datagram that is being put together. Its bytes stay in the niovs they came in. */
export class Datagram {
  version = 4
  source0 = 0
  source1 = 0
  source2 = 0
  source3 = 0
  destination3 = 0
  destination2 = 0
  destination1 = 0
  destination0 = 0
  identification = 0
  protocol = 0
  /** Edges and lists of the pieces so far, in order; disjoint. */
  readonly starts: number[] = []
  readonly ends: number[] = []
  readonly heads: number[] = []
  /** Bytes of the whole, -1 until the last piece has come. */
  total = -1
  received = 0
  niovs = 0
  /** ECN codepoints that fragments came with, a bit each. */
  ecn = 0
  /** Fragments that have come. */
  count = 0
  deadline = 0
  /** It has failed: what still comes of it is dropped (RFC 5722 section 4). */
  dead = false
  /** The frame of the first fragment up to the end of the fragment's headers, and what follows, for error messages. */
  readonly header: Uint8Array = new Uint8Array(KEPT_BYTES)
  headerBytes = 0
  keptBytes = 0
  /** Position of the IP header in it. */
  ipAt = 0
  /** Next header behind the unfragmentable part (IPv6), or the protocol. */
  next = 0
}

/** What an IP header says of the fragment in the frame being processed. One object is filled again and again. */
export class IpFragment {
  /** Bytes into the frame: of the IP header, and of the data behind the fragment's headers. */
  ipAt = 0
  at = 0
  /** Bytes of data, and where in the datagram they belong. */
  length = 0
  offset = 0
  /** Others come behind it. */
  more = false
  identification = 0
  protocol = 0
}

class ExpiryTimer extends Timer {
  readonly #owner: FragmentReassembly

  constructor(owner: FragmentReassembly) {
    super()
    this.#owner = owner
  }

  override fire(now: number): void {
    this.#owner.expire(now)
  }
}

/**
 * Puts fragments together (RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5): bounded in datagrams, fragments and niovs,
 * over all and per source. Overlaps end the datagram (RFC 5722; Linux does so for IPv4 too), exact duplicates are dropped
 * alone (RFC 8200 4.5).
 */
export class FragmentReassembly {
  /** Called when a datagram's time is over whose first fragment has come. */
  onTimeout: (datagram: Datagram, now: number) => void = () => {}
  readonly #memory: QueueMemory
  readonly #fragments: Fragments
  readonly #payload: PayloadTaker
  readonly #wheel: TimerWheel
  readonly #counters: Counters
  readonly #config: IpConfig
  readonly #segment: Segment
  readonly #headers: FrameHeaders
  /** Oldest first. */
  readonly #datagrams: Datagram[] = []
  /** Datagrams that ended, to be used again. */
  readonly #spare: Datagram[] = []
  readonly #timer: ExpiryTimer = new ExpiryTimer(this)
  #niovs = 0

  constructor(context: InputContext, payload: PayloadTaker) {
    this.#memory = context.memory
    this.#fragments = context.fragments
    this.#payload = payload
    this.#wheel = context.wheel
    this.#counters = context.counters
    this.#config = context.config
    this.#segment = context.segment
    this.#headers = context.headers
  }

  /** Datagrams under way. */
  get pending(): number {
    return this.#datagrams.length
  }

  /**
   * Takes one fragment of the frame being processed. Returns the datagram when it is whole; its pieces are then in `heads[0]`
   * and the caller's, and `release` must follow. A fragment that is not kept leaves the frame untaken.
   */
  add(fragment: IpFragment, now: number): Datagram | null {
    const { ipAt, at, length, offset, more, identification, protocol } = fragment
    const segment = this.#segment
    const headers = this.#headers
    const counters = this.#counters
    let datagram = this.#find(segment, identification, protocol)
    if (datagram === null) {
      datagram = this.#begin(segment, identification, protocol, now)
    } else if (datagram.dead) {
      counters.dropFragment++
      return null
    }
    datagram.count++
    const end = offset + length
    const most = segment.version === 4 ? MAX_PACKET - (at - ipAt) : MAX_PACKET
    if (
      length === 0 ||
      end > most ||
      (more && (length & 7) !== 0) ||
      (datagram.total >= 0 && (end > datagram.total || (!more && end !== datagram.total))) ||
      (!more && datagram.ends.length > 0 && datagram.ends[datagram.ends.length - 1]! > end)
    ) {
      counters.dropFragment += this.#fail(datagram)
      return null
    }
    let index = datagram.starts.length
    while (index > 0 && datagram.starts[index - 1]! >= offset) index--
    if (index < datagram.starts.length && datagram.starts[index] === offset && datagram.ends[index] === end) {
      datagram.count--
      counters.dropDuplicate++
      return null
    }
    if (
      (index > 0 && datagram.ends[index - 1]! > offset) ||
      (index < datagram.starts.length && datagram.starts[index]! < end)
    ) {
      counters.dropFragmentOverlap += this.#fail(datagram)
      return null
    }
    if (!this.#roomFor(datagram, headers.last - headers.first)) {
      counters.dropFragmentLimit += this.#fail(datagram)
      return null
    }
    segment.first = headers.first
    segment.last = headers.last
    segment.headerBytes = at
    segment.length = length
    const head = this.#payload.take(segment)
    if (head < 0) {
      counters.dropFragmentLimit += this.#fail(datagram)
      return null
    }
    datagram.starts.splice(index, 0, offset)
    datagram.ends.splice(index, 0, end)
    datagram.heads.splice(index, 0, head)
    datagram.received += length
    datagram.ecn |= 1 << segment.ecn
    datagram.niovs += this.#payload.niovs
    this.#niovs += this.#payload.niovs
    if (!more) datagram.total = end
    if (offset === 0) this.#keepHeader(datagram, fragment)
    if (datagram.received !== datagram.total) return null
    if ((datagram.ecn & (1 << NOT_ECT)) !== 0 && (datagram.ecn & (1 << CE)) !== 0) {
      // RFC 3168 5.3: a mark on what can't be marked.
      counters.dropFragment += this.#fail(datagram)
      return null
    }
    // A mark on any fragment is one on the whole.
    if ((datagram.ecn & (1 << CE)) !== 0) segment.ecn = CE
    this.#join(datagram)
    counters.reassembled++
    return datagram
  }

  /** The caller is done with a whole datagram, whose list now belongs to somebody else or is freed with it. */
  release(datagram: Datagram): void {
    this.#remove(datagram)
  }

  /** Ends what has taken too long. */
  expire(now: number): void {
    for (let i = this.#datagrams.length - 1; i >= 0; i--) {
      const datagram = this.#datagrams[i]!
      if (datagram.deadline > now) continue
      if (!datagram.dead) {
        this.#counters.dropFragmentTimeout += datagram.count
        if (datagram.headerBytes > 0) this.onTimeout(datagram, now)
      }
      this.#free(datagram)
      this.#remove(datagram)
    }
    this.#arm()
  }

  #find(segment: Segment, identification: number, protocol: number): Datagram | null {
    for (const datagram of this.#datagrams) {
      if (
        datagram.identification === identification &&
        datagram.version === segment.version &&
        // RFC 8200 4.5: the next header does not tell datagrams apart.
        (segment.version === 6 || datagram.protocol === protocol) &&
        sameSource(datagram, segment) &&
        datagram.destination3 === segment.destination3 &&
        datagram.destination2 === segment.destination2 &&
        datagram.destination1 === segment.destination1 &&
        datagram.destination0 === segment.destination0
      ) {
        return datagram
      }
    }
    return null
  }

  #begin(segment: Segment, identification: number, protocol: number, now: number): Datagram {
    const config = this.#config
    let ofSource = 0
    let oldest: Datagram | null = null
    for (const other of this.#datagrams) {
      if (!sameSource(other, segment)) continue
      ofSource++
      oldest ??= other
    }
    if (ofSource >= config.maxDatagramsPerSource) this.#evict(oldest!)
    else if (this.#datagrams.length >= config.maxDatagrams) this.#evict(this.#datagrams[0]!)
    const datagram = this.#spare.pop() ?? new Datagram()
    datagram.version = segment.version
    datagram.source0 = segment.source0
    datagram.source1 = segment.source1
    datagram.source2 = segment.source2
    datagram.source3 = segment.source3
    datagram.destination0 = segment.destination0
    datagram.destination1 = segment.destination1
    datagram.destination2 = segment.destination2
    datagram.destination3 = segment.destination3
    datagram.identification = identification
    datagram.protocol = protocol
    datagram.deadline =
      now + (segment.version === 4 ? config.reassemblyTimeoutUs : config.reassemblyTimeout6Us)
    this.#datagrams.push(datagram)
    this.#arm()
    return datagram
  }

  /** Whether `niovs` more may be held, by this datagram and by all; older datagrams make room. */
  #roomFor(datagram: Datagram, niovs: number): boolean {
    const memory = this.#memory
    if (datagram.count > this.#config.maxFragments || memory.available() < 2 * memory.reserve) return false
    const most = Math.max(16, memory.pool.total >>> 3)
    if (datagram.niovs + niovs > most) return false
    while (this.#niovs + niovs > most) {
      const oldest = this.#datagrams.find((other) => other !== datagram && other.niovs > 0)
      if (oldest === undefined) return false
      this.#evict(oldest)
    }
    return true
  }

  #keepHeader(datagram: Datagram, { ipAt, at, length, protocol }: IpFragment): void {
    const headers = this.#headers
    const quoted = Math.min(length, 8)
    if (headers.need(at + quoted)) datagram.keptBytes = at + quoted
    else datagram.keptBytes = at
    datagram.header.set(headers.bytes.subarray(0, datagram.keptBytes))
    datagram.headerBytes = at
    datagram.ipAt = ipAt
    datagram.next = protocol
  }

  /** One list of all pieces, in `heads[0]`. */
  #join(datagram: Datagram): void {
    const { heads } = datagram
    const fragments = this.#fragments
    for (let i = 1; i < heads.length; i++) fragments.next[fragments.lastOf(heads[i - 1]!)] = heads[i]!
    heads.length = 1
  }

  #evict(datagram: Datagram): void {
    if (!datagram.dead) this.#counters.dropFragmentLimit += datagram.count
    this.#free(datagram)
    this.#remove(datagram)
  }

  /** Gives its memory back and drops what still comes. Returns the fragments that are lost. */
  #fail(datagram: Datagram): number {
    this.#free(datagram)
    datagram.dead = true
    return datagram.count
  }

  #free(datagram: Datagram): void {
    for (const head of datagram.heads) this.#fragments.discardList(head)
    datagram.heads.length = 0
    this.#niovs -= datagram.niovs
    datagram.niovs = 0
  }

  #remove(datagram: Datagram): void {
    this.#niovs -= datagram.niovs
    this.#datagrams.splice(this.#datagrams.indexOf(datagram), 1)
    datagram.starts.length = 0
    datagram.ends.length = 0
    datagram.heads.length = 0
    datagram.total = -1
    datagram.received = 0
    datagram.niovs = 0
    datagram.count = 0
    datagram.ecn = 0
    datagram.dead = false
    datagram.headerBytes = 0
    datagram.keptBytes = 0
    this.#spare.push(datagram)
    this.#arm()
  }

  #arm(): void {
    let first = Number.POSITIVE_INFINITY
    for (const datagram of this.#datagrams) first = Math.min(first, datagram.deadline)
    if (first === Number.POSITIVE_INFINITY) this.#wheel.cancel(this.#timer)
    else this.#wheel.arm(this.#timer, first)
  }
}

function sameSource(datagram: Datagram, segment: Segment): boolean {
  return (
    datagram.source3 === segment.source3 &&
    datagram.source2 === segment.source2 &&
    datagram.source1 === segment.source1 &&
    datagram.source0 === segment.source0
  )
}
