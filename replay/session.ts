import { IpAddress } from '../address.ts'
import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import type { StreamDigest } from '../pcap/follow/digest.ts'
import { gapMarker } from '../pcap/follow/report.ts'
import type { FollowedStream } from '../pcap/follow/streams.ts'
import type { Numbers, Refused } from '../pcap/play/numbers.ts'
import type { Ends } from '../pcap/play/translate.ts'
import type { Tcb } from '../stack/tcp/tcb.ts'
import { pseudoHeaderSum6, pseudoHeaderSumOf } from '../stack/wire/checksum.ts'
import { seqDiff } from '../stack/wire/seq.ts'
import { LOCAL4, LOCAL6, remoteAddress } from './endpoint.ts'

/** Timestamps of the captured endpoint that are remembered with what ours said at the time. */
const TIMESTAMP_PAIRS = 32
const NO_PAIRS = new Int32Array(0)
/** Acknowledgements further ahead than this are nonsense, and are played as nonsense. */
const BELIEVABLE = 2 ** 30

/** Bytes of the stream that stand for others: what the capture lacks was played as zeros. */
interface Filler {
  /** Bytes from the start of the stream. */
  readonly at: number
  readonly length: number
  /** What takes their place in the digest and in what is handed out; null = nothing. */
  readonly marker: Uint8Array | null
}

/** Takes a stream as it comes out of our endpoint. */
export interface SessionSink {
  /** A completion, as the ring gave it. */
  completed(session: ReplaySession, area: Uint8Array, offset: number, length: number): void
  /** Bytes of the stream: what stands for a hole instead of the zeros that were played for it. */
  data(session: ReplaySession, bytes: Uint8Array, at: number, length: number): void
}

/** What a capture says of a connection's ends. */
export interface SessionEnds {
  readonly version: 4 | 6
  /** The played side's address, and the one in whose place our endpoint is. */
  readonly remote: IpAddress
  readonly local: IpAddress
  /** The played side's port, and the other. */
  readonly ports: { readonly source: number; readonly destination: number }
  /** Folded sum of both addresses. */
  readonly sum: number
}

/** @param segment any one of the conversation @param sent the played side has sent it */
export function sessionEnds(segment: SegmentDecoder, sent: boolean): SessionEnds {
  const s = segment
  const source = new IpAddress(s.source0, s.source1, s.source2, s.source3)
  const destination = new IpAddress(s.destination0, s.destination1, s.destination2, s.destination3)
  const [remote, local] = sent ? [source, destination] : [destination, source]
  const [from, to] = sent ? [s.sourcePort, s.destinationPort] : [s.destinationPort, s.sourcePort]
  const ports = { source: from, destination: to }
  return { version: s.version, remote, local, ports, sum: pseudoHeaderSumOf(s, 0, 0) }
}

/** One role in one conversation: `played` is the side whose segments go to our endpoint, which is in the place of the other. */
export class ReplaySession implements Numbers {
  readonly id: number
  /** Whose stream is played. */
  readonly who: FollowedStream
  readonly version: 4 | 6
  readonly about: SessionEnds
  readonly ports: { readonly source: number; readonly destination: number }
  /** The address that the played side has towards our endpoint. */
  readonly remote: IpAddress
  /** That, and ours. */
  readonly ends: Ends
  /** The addresses of the capture: the played side's, and the one in whose place our endpoint is. */
  readonly captured: { readonly remote: IpAddress; readonly local: IpAddress }
  /** Folded sums of both addresses, as captured and as our endpoint sees them. */
  readonly capturedSum: number
  readonly addressSum: number
  /** Our socket; -1 before there is one. */
  fd = -1
  tcb: Tcb | null = null
  /** The connection is established. */
  open = false
  /** Our stream was ended; nothing is sent any more. */
  shut = false
  /** Errno the stream from the played side ended with, 0 = its FIN; -1 = it has not. */
  endedWith = -1
  /** Why it is not played, or not to its end. */
  skipped: string | null = null
  released = false
  /** What waits for the connection. */
  heldSyns: Uint8Array[] = []
  synPayload: { seq: number; bytes: Uint8Array } | null = null
  refused: Refused | null = null

  /** What our endpoint is to send once the connection is established. */
  early: Uint8Array[] = []
  earlyBytes = 0
  /** More was to be sent than the played side's acknowledgements allow: nothing is sent any more. */
  choked = false

  // What our endpoint has said, as seen on its way out.
  ourIss = 0
  ourIssKnown = false
  /** Behind the last sequence number it has used. */
  ourMax = 0
  timestamps = false
  ourTsVal = 0

  // What the captured one in its place had said.
  theirIss = 0
  theirIssKnown = false

  // The played side's last words, for segments that are made in its name.
  lastAck = 0
  lastWindow = 0
  lastTsVal = 0

  // What came out.
  bytes = 0
  completions = 0
  copiedBytes = 0
  fillers: Filler[] = []
  /** Bytes delivered by the ring, fillers included, and how many were fillers. */
  position = 0
  filledBytes = 0
  unsentBytes = 0
  digest: StreamDigest | null = null

  /** Made when there is something to remember: most conversations of a scan never have. */
  #captured: Int32Array = NO_PAIRS
  #ours: Int32Array = NO_PAIRS
  #pairs = 0
  /** The last echo that was asked for, and what it is; -1 = none. */
  #echoed = -1
  #echo = 0

  constructor(id: number, who: FollowedStream, about: SessionEnds) {
    const { version } = about
    this.id = id
    this.who = who
    this.about = about
    this.remote = remoteAddress(version, id)
    this.ends = { remote: this.remote, local: version === 4 ? LOCAL4 : LOCAL6 }
    this.captured = about
    this.capturedSum = about.sum
    this.addressSum = pseudoHeaderSum6(this.remote, this.ends.local, 0, 0)
    this.version = version
    this.ports = about.ports
  }

  /** The same connection from its beginning on, with what was to be sent. */
  again(id: number): ReplaySession {
    const session = new ReplaySession(id, this.who, this.about)
    session.digest = this.digest
    session.early = this.early
    session.earlyBytes = this.earlyBytes
    session.copiedBytes = this.copiedBytes
    return session
  }

  /** Behind the last byte that our endpoint has said it takes. */
  get edge(): number {
    return this.tcb === null ? (this.ourIss + 1) | 0 : this.tcb.rcv.adv
  }

  /** The connection was reset or given up. */
  get endedBadly(): boolean {
    return this.endedWith > 0
  }

  // ---- numbers ----------------------------------------------------------------------------------------------------

  /** What the played side acknowledges, of what our endpoint has sent: never what it has not sent yet. */
  ack(captured: number): number {
    if (!this.theirIssKnown || !this.ourIssKnown) return captured
    const ahead = seqDiff(captured, this.theirIss)
    const sent = seqDiff(this.ourMax, this.ourIss)
    if (ahead > sent && ahead < BELIEVABLE) return this.ourMax
    return (this.ourIss + ahead) | 0
  }

  knows(captured: number): boolean {
    const ahead = seqDiff(captured, this.theirIss)
    return ahead >= 0 && ahead <= seqDiff(this.ourMax, this.ourIss)
  }

  /** Whether what the segment acknowledges is more than our endpoint is known to have sent. */
  acksBeyond(captured: number): boolean {
    return (
      this.theirIssKnown &&
      this.ourIssKnown &&
      seqDiff(captured, this.theirIss) > seqDiff(this.ourMax, this.ourIss)
    )
  }

  /** The played side's own clock is left as it was. */
  tsVal(captured: number): number {
    return captured
  }

  /** What our endpoint said when the captured one said `captured`. */
  tsEcr(captured: number): number {
    // Segments that follow each other mostly echo the same.
    if (captured === this.#echoed && this.#pairs > 0) return this.#echo
    this.#echoed = captured
    this.#echo = this.#echoOf(captured)
    return this.#echo
  }

  #echoOf(captured: number): number {
    for (let i = this.#pairs - 1; i >= Math.max(0, this.#pairs - TIMESTAMP_PAIRS); i--) {
      if (this.#captured[i % TIMESTAMP_PAIRS] === captured) return this.#ours[i % TIMESTAMP_PAIRS]!
    }
    return this.ourTsVal
  }

  /** The captured endpoint in our place said this timestamp now. */
  sawTimestamp(captured: number): void {
    if (captured === this.#echoed) this.#echoed = -1
    const last = (this.#pairs + TIMESTAMP_PAIRS - 1) % TIMESTAMP_PAIRS
    if (this.#pairs > 0 && this.#captured[last] === captured) {
      this.#ours[last] = this.ourTsVal
      return
    }
    if (this.#captured === NO_PAIRS) {
      this.#captured = new Int32Array(TIMESTAMP_PAIRS)
      this.#ours = new Int32Array(TIMESTAMP_PAIRS)
    }
    this.#captured[this.#pairs % TIMESTAMP_PAIRS] = captured
    this.#ours[this.#pairs % TIMESTAMP_PAIRS] = this.ourTsVal
    this.#pairs++
  }

  // ---- what comes out ---------------------------------------------------------------------------------------------

  /** Zeros will be played in the place of the next `length` bytes behind `at`. */
  willFill(at: number, length: number, marked: boolean): void {
    this.fillers.push({ at, length, marker: marked ? gapMarker(length) : null })
  }

  /** Bytes from our endpoint; fillers are exchanged for what they stand for. */
  deliver(area: Uint8Array, offset: number, length: number, sink: SessionSink): void {
    const end = offset + length
    while (offset < end) {
      const filler = this.fillers[0]
      if (filler === undefined || this.position < filler.at) {
        const part = filler === undefined ? end - offset : Math.min(end - offset, filler.at - this.position)
        this.#hand(area, offset, part, sink)
        offset += part
        this.position += part
        continue
      }
      const rest = filler.at + filler.length - this.position
      const part = Math.min(end - offset, rest)
      offset += part
      this.position += part
      this.filledBytes += part
      if (part < rest) continue
      this.fillers.shift()
      if (filler.marker !== null) this.#hand(filler.marker, 0, filler.marker.length, sink)
    }
  }

  #hand(bytes: Uint8Array, at: number, length: number, sink: SessionSink): void {
    this.bytes += length
    this.digest?.update(bytes, at, length)
    sink.data(this, bytes, at, length)
  }
}
