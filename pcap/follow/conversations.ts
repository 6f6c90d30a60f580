import { randomBytes } from 'node:crypto'
import { formatEndpoint, IpAddress } from '../../address.ts'
import { seqDiff } from '../../stack/wire/seq.ts'
import { ACK, RST, SYN } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from '../decode/segment.ts'

/** Conversations that are open at a time, unless said otherwise. */
export const DEFAULT_OPEN_CONVERSATIONS = 16_384
/** For each open one so many closed ones are remembered, so that late segments of theirs don't count as new conversations. */
const REMEMBERED = 4
/** An open conversation that was quiet for so long makes room for others. */
const QUIET_SECONDS = 60
/** Open conversations that are looked at before one is closed that is not quiet. */
const TRIES = 64

/** Bytes that a SYN brings at the most, and that may be acknowledged with it. */
const LONGEST_SYN = 65_535

/** Of `Conversation`: who sent a segment. */
export type Side = 0 | 1

/** Two endpoints and what is known of their sequence numbers. */
export class Conversation<T> {
  /** In order of first packets, from 0, as Wireshark numbers its streams. */
  readonly number: number
  /** Endpoint 0 sent the first segment. */
  readonly addresses: readonly [IpAddress, IpAddress]
  readonly ports: readonly [number, number]
  /** Which of them is the client: it sent the SYN, did not send the SYN,ACK, or else was seen first. */
  readonly client: Side
  /** The segment that is 0 in each direction, as far as it is known. */
  readonly base: [number, number] = [0, 0]
  readonly based: [boolean, boolean] = [false, false]
  /** What the user of the table keeps with it. */
  readonly data: T
  /** Seconds of the capture's clock at its latest segment. */
  seenAt = 0
  /** Both ends have ended it: it may be closed before others. */
  ended = false
  /** It was closed: what still comes of it is not looked at. */
  closed = false
  /** Only named so far: by a quotation, or by a header that is damaged. */
  readonly named: boolean
  /** The live one whose ends its SYN would take, as long as nobody has taken it up. */
  older: Conversation<T> | null = null
  /** The latest sequence number of each direction. */
  readonly latest: [number, number] = [0, 0]
  /** In its hash chain. */
  next: Conversation<T> | null = null

  constructor(
    number: number,
    segment: SegmentDecoder,
    make: (conversation: Conversation<T>) => T,
    named = false,
  ) {
    this.number = number
    this.named = named
    this.addresses = [
      new IpAddress(segment.source0, segment.source1, segment.source2, segment.source3),
      new IpAddress(segment.destination0, segment.destination1, segment.destination2, segment.destination3),
    ]
    this.ports = [segment.sourcePort, segment.destinationPort]
    this.client = (segment.flags & (SYN | ACK)) === (SYN | ACK) ? 1 : 0
    this.data = make(this)
  }

  /** Both ends are the same: nobody can tell who sent what. */
  get toItself(): boolean {
    return this.ports[0] === this.ports[1] && this.addresses[0].equals(this.addresses[1])
  }

  /** `192.0.2.1:9000`, `[2001:db8::1]:9000` */
  endpoint(side: Side): string {
    return formatEndpoint(this.addresses[side].toString(), this.ports[side])
  }
}

/**
 * Conversations by their endpoints, in either direction. VLANs and interfaces don't count, as in Wireshark. A SYN that does not begin
 * where the known one did begins another conversation of the same endpoints. If the known one is alive, it goes on until
 * somebody takes the SYN up: an end that only challenges it (RFC 9293 3.10.7.4) has not.
 */
export class ConversationTable<T> {
  /** Who sent the segment that `find` was last asked about. */
  side: Side = 0
  /**
   * How much later than known its sender's sequence numbers begin, as the segment says that `find` was last asked about: a
   * SYN,ACK behind a late segment of an earlier connection. 0 for nearly all.
   */
  rebased = 0
  /** Conversations so far. */
  count = 0
  /** Conversations that were closed before the capture's end because too many were open. */
  evicted = 0
  readonly #make: (conversation: Conversation<T>) => T
  readonly #close: (conversation: Conversation<T>) => void
  readonly #limit: number
  /** Open ones in order of their beginning, and closed ones that are remembered in that of their closing. */
  #open: Conversation<T>[] = []
  #openFrom = 0
  #opened = 0
  #closed: Conversation<T>[] = []
  #closedFrom = 0
  #heads: (Conversation<T> | null)[] = new Array(256).fill(null)
  #live = 0
  #last: Conversation<T> | null = null
  /** Those that were only named, by their endpoints. */
  readonly #named = new Map<string, Conversation<T>>()
  readonly #key: number

  /**
   * @param make what is kept with a new conversation
   * @param close told when one is closed: another of the same endpoints began, or too many are open
   * @param limit conversations that may be open at a time
   */
  constructor(
    make: (conversation: Conversation<T>) => T,
    close: (conversation: Conversation<T>) => void,
    limit: number = DEFAULT_OPEN_CONVERSATIONS,
  ) {
    this.#make = make
    this.#close = close
    this.#limit = limit
    // A capture can't choose endpoints that collide.
    this.#key = randomBytes(4).readInt32LE() | 1
  }

  /** The conversation of a segment, a new one if need be. @param now seconds of the capture's clock */
  find(segment: SegmentDecoder, now: number): Conversation<T> {
    this.rebased = 0
    const last = this.#last
    if (last !== null && (segment.flags & SYN) === 0 && this.#matches(last, segment)) {
      if (!last.based[0] || !last.based[1]) this.#base(last, segment)
      last.latest[this.side] = segment.seq
      last.seenAt = now
      return last
    }
    const slot = this.#hash(segment) & (this.#heads.length - 1)
    const known = this.#lookUp(segment, slot)
    let found = known === null ? null : this.#settled(known, segment)
    if (found === null) {
      found = this.#create(segment)
      if (known !== null) this.#replace(known, found, slot)
      this.side = 0
      found.seenAt = now
      this.#add(found, slot)
      this.#makeRoom(found, now)
    }
    this.#base(found, segment)
    found.latest[this.side] = segment.seq
    found.seenAt = now
    this.#last = found.older === null && !this.#isOlder(found, known) ? found : null
    return found
  }

  /**
   * Ends that a packet names without being a segment between them: quoted in an ICMP error, or damaged behind its ports. As in
   * Wireshark they have a number from here on.
   */
  name(segment: SegmentDecoder): void {
    const slot = this.#hash(segment) & (this.#heads.length - 1)
    const known = this.#lookUp(segment, slot)
    if (known !== null && this.#settled(known, segment, true) !== null) return
    const ends = endsOf(segment)
    let before = this.#named.get(ends)
    if (before !== undefined && this.#matches(before, segment) && this.#begins(before, segment)) {
      this.#named.delete(ends)
      this.#close(before)
      before = undefined
    }
    const named = before ?? new Conversation(this.count++, segment, this.#make, true)
    // A quotation says nothing about where its stream begins.
    if (segment.numbered && this.#matches(named, segment)) this.#base(named, segment)
    if (before !== undefined) return
    this.#named.set(ends, named)
    if (this.#named.size <= this.#limit) return
    for (const [oldest, conversation] of this.#named) {
      this.#named.delete(oldest)
      this.#close(conversation)
      return
    }
  }

  /** Closes those that are still open, in the order of their beginning. */
  closeAll(): void {
    for (let i = this.#openFrom; i < this.#open.length; i++) this.#shut(this.#open[i]!)
    this.#open = []
    this.#openFrom = 0
    for (const conversation of this.#named.values()) this.#close(conversation)
    this.#named.clear()
  }

  #lookUp(segment: SegmentDecoder, slot: number): Conversation<T> | null {
    let found: Conversation<T> | null = this.#heads[slot] ?? null
    while (found !== null && !this.#matches(found, segment)) found = found.next
    return found
  }

  /** With the number that its ends have been given already, if they have. */
  #create(segment: SegmentDecoder): Conversation<T> {
    if (this.#named.size > 0) {
      const ends = endsOf(segment)
      const named = this.#named.get(ends)
      this.#named.delete(ends)
      if (named !== undefined) {
        this.#matches(named, segment)
        if (!this.#begins(named, segment)) return new Conversation(named.number, segment, this.#make)
        this.#close(named)
      }
    }
    return new Conversation(this.count++, segment, this.#make)
  }

  /** A SYN begins another conversation of the same ends. What is alive goes on beside it for now. */
  #replace(known: Conversation<T>, begun: Conversation<T>, slot: number): void {
    this.#unlink(known, slot)
    const live = known.older ?? known
    if (live !== known) this.#shut(known)
    if (live.ended || live.closed) this.#shut(live)
    else begun.older = live
  }

  #isOlder(found: Conversation<T>, known: Conversation<T> | null): boolean {
    return known !== null && known.older === found
  }

  /**
   * Whose segment it is, of `known` and the older one that may still be alive; null when its SYN begins another one.
   * @param asking nothing is decided by it
   */
  #settled(known: Conversation<T>, segment: SegmentDecoder, asking = false): Conversation<T> | null {
    const { older } = known
    if ((segment.flags & (SYN | ACK)) === SYN) {
      if (!this.#begins(known, segment)) return known
      if (older === null) return null
      this.#matches(older, segment)
      return this.#begins(older, segment) ? null : older
    }
    if (older === null) return known
    const { flags, seq, ack } = segment
    const first = (known.base[0] + 1) | 0
    const fromSyn = this.side === 0
    let taken: boolean
    if ((flags & (SYN | ACK)) === (SYN | ACK)) taken = !fromSyn && isWithin(seqDiff(ack, first), LONGEST_SYN)
    else if ((flags & RST) !== 0 && !fromSyn && ack === first) return known
    else {
      // Whose numbers are nearer.
      const said = fromSyn ? seq : ack
      this.#matches(older, segment)
      const sender: Side = fromSyn ? this.side : this.side === 0 ? 1 : 0
      const fromNew = seqDiff(said, first)
      taken =
        (fromSyn || (flags & ACK) !== 0) &&
        fromNew >= 0 &&
        fromNew < Math.abs(seqDiff(said, older.latest[sender]))
    }
    if (asking) return taken ? known : older
    if (taken) {
      known.older = null
      this.#shut(older)
      this.#matches(known, segment)
      return known
    }
    this.#matches(older, segment)
    return older
  }

  #shut(conversation: Conversation<T>): void {
    if (conversation.closed) return
    conversation.closed = true
    this.#opened--
    this.#close(conversation)
  }

  /** Of the oldest open ones that which ended, or was quiet the longest, makes room. */
  #makeRoom(newest: Conversation<T>, now: number): void {
    this.#opened++
    this.#open.push(newest)
    if (this.#opened <= this.#limit) return
    while (this.#open[this.#openFrom]!.closed) this.#openFrom++
    if (this.#openFrom > this.#limit || this.#open.length - this.#openFrom > 2 * this.#limit) {
      this.#open = this.#open.filter(({ closed }) => !closed)
      this.#openFrom = 0
    }
    let chosen = this.#open[this.#openFrom]!
    for (let at = this.#openFrom, tries = 0; tries < TRIES && at < this.#open.length; at++) {
      const candidate = this.#open[at]!
      if (candidate.closed) continue
      tries++
      if (candidate.seenAt < chosen.seenAt) chosen = candidate
      if (candidate.ended || now - candidate.seenAt > QUIET_SECONDS) {
        chosen = candidate
        break
      }
    }
    this.#evict(chosen)
  }

  #evict(conversation: Conversation<T>): void {
    this.evicted++
    this.#shut(conversation)
    this.#closed.push(conversation)
    if (this.#closed.length - this.#closedFrom <= this.#limit * REMEMBERED) return
    const forgotten = this.#closed[this.#closedFrom++]!
    const slot = this.#hashOf(forgotten) & (this.#heads.length - 1)
    if (this.#unlink(forgotten, slot) && forgotten.older?.closed === false) this.#add(forgotten.older, slot)
    if (this.#closedFrom <= this.#limit) return
    this.#closed = this.#closed.slice(this.#closedFrom)
    this.#closedFrom = 0
  }

  #matches(conversation: Conversation<T>, s: SegmentDecoder): boolean {
    const [p0, p1] = conversation.ports
    const [a0, a1] = conversation.addresses
    if (p0 === s.sourcePort && p1 === s.destinationPort && isSource(a0, s) && isDestination(a1, s)) {
      this.side = 0
      return true
    }
    if (p1 === s.sourcePort && p0 === s.destinationPort && isSource(a1, s) && isDestination(a0, s)) {
      this.side = 1
      return true
    }
    return false
  }

  /** A SYN that is not the known one again. */
  #begins(conversation: Conversation<T>, segment: SegmentDecoder): boolean {
    if ((segment.flags & (SYN | ACK)) !== SYN) return false
    return conversation.based[this.side] && conversation.base[this.side] !== segment.seq
  }

  /** What is acknowledged first says where the other side began, if that has not been seen. */
  #base({ base, based }: Conversation<T>, { flags, seq, ack }: SegmentDecoder): void {
    const { side } = this
    if (!based[side]) {
      based[side] = true
      base[side] = (flags & SYN) !== 0 ? seq : (seq - 1) | 0
    } else if ((flags & (SYN | ACK)) === (SYN | ACK)) {
      this.rebased = (seq - base[side]) | 0
      base[side] = seq
    }
    const other = side === 0 ? 1 : 0
    if (based[other] || (flags & ACK) === 0) return
    based[other] = true
    base[other] = (ack - 1) | 0
  }

  #add(conversation: Conversation<T>, slot: number): void {
    conversation.next = this.#heads[slot]!
    this.#heads[slot] = conversation
    if (++this.#live <= this.#heads.length) return
    const old = this.#heads
    this.#heads = new Array(old.length * 2).fill(null)
    for (const head of old) {
      for (let at = head; at !== null; ) {
        const next: Conversation<T> | null = at.next
        const to = this.#hashOf(at) & (this.#heads.length - 1)
        at.next = this.#heads[to]!
        this.#heads[to] = at
        at = next
      }
    }
  }

  /** False when another one has replaced it since. */
  #unlink(conversation: Conversation<T>, slot: number): boolean {
    if (this.#last === conversation) this.#last = null
    let before: Conversation<T> | null = null
    for (let at: Conversation<T> | null = this.#heads[slot]!; at !== conversation; at = at.next) {
      if (at === null) return false
      before = at
    }
    if (before === null) this.#heads[slot] = conversation.next
    else before.next = conversation.next
    conversation.next = null
    this.#live--
    return true
  }

  /** The same for both directions. */
  #hash(s: SegmentDecoder): number {
    const from = this.#mix(s.source0, s.source1, s.source2, s.source3, s.sourcePort)
    return from + this.#mix(s.destination0, s.destination1, s.destination2, s.destination3, s.destinationPort)
  }

  #hashOf({ addresses: [a, b], ports: [p, q] }: Conversation<T>): number {
    return this.#mix(a.w0, a.w1, a.w2, a.w3, p) + this.#mix(b.w0, b.w1, b.w2, b.w3, q)
  }

  #mix(w0: number, w1: number, w2: number, w3: number, port: number): number {
    const key = this.#key
    let h = Math.imul(w0 ^ key, 0x9e37_79b1)
    h = Math.imul((h ^ (h >>> 15)) + w1, key)
    h = Math.imul((h ^ (h >>> 13)) + w2, 0x85eb_ca6b)
    h = Math.imul((h ^ (h >>> 15)) + w3, key)
    h = Math.imul((h ^ (h >>> 13)) + port, 0x9e37_79b1)
    return h ^ (h >>> 16)
  }
}

/** The same for both directions. */
function endsOf(s: SegmentDecoder): string {
  const source = `${s.source0},${s.source1},${s.source2},${s.source3},${s.sourcePort}`
  const destination = `${s.destination0},${s.destination1},${s.destination2},${s.destination3},${s.destinationPort}`
  return source < destination ? `${source} ${destination}` : `${destination} ${source}`
}

function isWithin(ahead: number, most: number): boolean {
  return ahead >= 0 && ahead <= most
}

function isSource(address: IpAddress, s: SegmentDecoder): boolean {
  return (
    address.w3 === s.source3 &&
    address.w2 === s.source2 &&
    address.w1 === s.source1 &&
    address.w0 === s.source0
  )
}

function isDestination(address: IpAddress, s: SegmentDecoder): boolean {
  return (
    address.w3 === s.destination3 &&
    address.w2 === s.destination2 &&
    address.w1 === s.destination1 &&
    address.w0 === s.destination0
  )
}
