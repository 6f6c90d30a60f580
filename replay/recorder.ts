import type { IpAddress } from '../address.ts'
import { get16, put16, put32 } from '../bytes.ts'
import { FRAGMENT, SEGMENT, SegmentDecoder } from '../pcap/decode/segment.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND, LINKTYPE_ETHERNET } from '../pcap/file/format.ts'
import { type CaptureSink, PcapngWriter } from '../pcap/file/writer.ts'
import { fold, sumBytes } from '../stack/wire/checksum.ts'
import { ETHERNET_HEADER_BYTES } from '../stack/wire/ethernet.ts'
import { IPPROTO_TCP } from '../stack/wire/ipv4.ts'
import { tcpField } from '../stack/wire/tcp.ts'
import type { ReplaySession } from './session.ts'

/** Frames of one burst at the most. */
interface Played {
  readonly stream: number
  readonly frame: Uint8Array
  readonly us: number
}

/** A frame that an endpoint received or sent, with the addresses of the capture. */
export interface RecordedFrame {
  /** Whose segments are played to the endpoint. */
  readonly plays: 'client' | 'server'
  /** Number of the conversation. */
  readonly stream: number
  readonly received: boolean
  /** Since the epoch. */
  readonly seconds: number
  readonly nanoseconds: number
  readonly bytes: Uint8Array
  /** Why the stack dropped it; empty when it did not. */
  readonly comment: string
}

/** Takes what is recorded. */
export interface RecordTaker {
  /** False when it takes no more. */
  frame(frame: RecordedFrame): boolean
  close(): void
}

/** Recorded frames as a capture. */
export class RecordWriter implements RecordTaker {
  readonly #writer: PcapngWriter
  readonly #interfaces: Record<'client' | 'server', number>

  constructor(sink: CaptureSink) {
    this.#writer = new PcapngWriter(sink, { comment: 'replayed by zcrx' })
    const add = (name: string, description: string): number =>
      this.#writer.addInterface({ linkType: LINKTYPE_ETHERNET, name, description })
    this.#interfaces = {
      client: add('zcrx-server', 'our endpoint in the place of servers'),
      server: add('zcrx-client', 'our endpoint in the place of clients'),
    }
  }

  frame({ plays, received, seconds, nanoseconds, bytes, comment }: RecordedFrame): boolean {
    const direction = received ? DIRECTION_INBOUND : DIRECTION_OUTBOUND
    const index = this.#interfaces[plays]
    this.#writer.packet(index, seconds, nanoseconds, bytes, { direction, comment })
    return true
  }

  close(): void {
    this.#writer.close()
  }
}

/**
 * Writes down what replayed endpoints received and sent, with the addresses of the original: what was played, with the reason where
 * the stack dropped it, and what our endpoint said to it.
 */
export class Recorder {
  readonly #takers: readonly RecordTaker[]
  /** Nobody takes any more frames: they need not be recorded. */
  done = false
  readonly #decoder = new SegmentDecoder()
  /** Frames that the stack has not looked at yet, by whose they are. */
  readonly #waiting: Record<'client' | 'server', Played[]> = { client: [], server: [] }
  /** What our endpoint said while it looked at a frame: it goes behind the frame. */
  readonly #answers: Record<'client' | 'server', Played[]> = { client: [], server: [] }
  /** Epoch seconds and nanoseconds of the replay's time 0. */
  #seconds = 0
  #nanoseconds = 0

  constructor(takers: readonly RecordTaker[]) {
    this.#takers = takers
  }

  /** What the replay's clock counts from. */
  begin(seconds: number, nanoseconds: number): void {
    this.#seconds = seconds
    this.#nanoseconds = nanoseconds
  }

  /** A frame was put into the queue of the endpoint that `plays` is played to. The frame is the recorder's from now on. */
  played(plays: 'client' | 'server', session: ReplaySession, frame: Uint8Array, us: number): void {
    this.#restore(frame, session, true)
    this.#waiting[plays].push({ stream: session.who.stream, frame, us })
  }

  /** The stack has looked at the oldest frame that waits. */
  settled(plays: 'client' | 'server', cause: string | null): void {
    const played = this.#waiting[plays].shift()
    if (played !== undefined) {
      this.#write(plays, played, true, cause === null ? '' : `dropped: ${cause}`)
    }
    for (const answer of this.#answers[plays]) this.#write(plays, answer, false, '')
    this.#answers[plays] = []
  }

  /** Our endpoint sends a frame. */
  sent(
    plays: 'client' | 'server',
    session: ReplaySession,
    memory: Uint8Array,
    at: number,
    length: number,
    us: number,
  ): void {
    const frame = memory.slice(at, at + length)
    this.#restore(frame, session, false)
    const answer = { stream: session.who.stream, frame, us }
    if (this.#waiting[plays].length > 0) this.#answers[plays].push(answer)
    else this.#write(plays, answer, false, '')
  }

  close(): void {
    for (const plays of ['client', 'server'] as const) {
      while (this.#waiting[plays].length > 0) this.settled(plays, null)
    }
    for (const taker of this.#takers) taker.close()
  }

  #write(
    plays: 'client' | 'server',
    { stream, frame, us }: Played,
    received: boolean,
    comment: string,
  ): void {
    const total = this.#nanoseconds + Math.round(us * 1000)
    const seconds = this.#seconds + Math.floor(total / 1e9)
    const recorded = { plays, stream, received, seconds, nanoseconds: total % 1e9, bytes: frame, comment }
    let wanted = false
    for (const taker of this.#takers) wanted = taker.frame(recorded) || wanted
    this.done = !wanted
  }

  /** The addresses of the capture again. @param inbound the frame comes from the played side */
  #restore(frame: Uint8Array, session: ReplaySession, inbound: boolean): void {
    const segment = this.#decoder
    const ip = ETHERNET_HEADER_BYTES
    const found = segment.decodeIp(frame, ip, frame.length, frame.length)
    const first = found === FRAGMENT && segment.protocol === IPPROTO_TCP && segment.fragmentOffset === 0
    const checksumAt = (found === SEGMENT ? segment.tcpAt : segment.dataAt) + tcpField.checksum
    if ((found === SEGMENT || first) && checksumAt + 2 <= frame.length) {
      const field = get16(frame, checksumAt)
      const length = found === SEGMENT ? segment.headerBytes + segment.payloadBytes : 0
      const unfinished = field === fold(session.addressSum + IPPROTO_TCP + length)
      const change = session.capturedSum + (~session.addressSum & 0xffff)
      put16(
        frame,
        checksumAt,
        unfinished
          ? fold(session.capturedSum + IPPROTO_TCP + length)
          : ~fold((~field & 0xffff) + fold(change)) & 0xffff,
      )
    }
    const { captured } = session
    const source = inbound ? captured.remote : captured.local
    const destination = inbound ? captured.local : captured.remote
    if (session.version === 4) putAddresses4(frame, ip, source, destination)
    else {
      source.put(frame, ip + 8)
      destination.put(frame, ip + 24)
    }
  }
}

function putAddresses4(frame: Uint8Array, ip: number, source: IpAddress, destination: IpAddress): void {
  const headerBytes = (frame[ip]! & 15) * 4
  const field = get16(frame, ip + 10)
  put16(frame, ip + 10, 0)
  const before = sumBytes(frame, ip, headerBytes)
  put32(frame, ip + 12, source.w3)
  put32(frame, ip + 16, destination.w3)
  const after = sumBytes(frame, ip, headerBytes)
  put16(frame, ip + 10, ~fold((~field & 0xffff) + after + (~before & 0xffff)) & 0xffff)
}
