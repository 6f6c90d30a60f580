import type { IpAddress } from '../../address.ts'
import { MemoryLink, type MemoryLinkOptions } from '../../driver/memory/index.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED } from '../../stack/ip/neighbours.ts'
import type { IpConfig } from '../../stack/ip/options.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import type { Listener, Tcb } from '../../stack/tcp/tcb.ts'
import { ACK, SYN } from '../../stack/wire/tcp.ts'
import { CLIENT, plainMemory, SERVER, SERVER6 } from './stack-pair.ts'

/** The checksum of RFC 1071 as slowly and plainly as it can be written, independent of the stack's. */
export function plainSum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) + (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

/** What a test says of a frame; everything else is what an honest peer would send. */
export interface FrameSpec {
  /** Last byte of the destination's hardware address. */
  destinationMac?: number
  /** Last byte of the source's. */
  sourceMac?: number
  /** An IPv4 address, as an integer too. */
  source?: number | IpAddress
  destination?: number | IpAddress
  sourcePort?: number
  destinationPort?: number
  seq?: number
  ack?: number
  flags?: number
  window?: number
  /** TCP options, padded to a multiple of four. */
  options?: readonly number[]
  payload?: Uint8Array
  ipOptions?: readonly number[]
  protocol?: number
  etherType?: number
  flagsFragment?: number
  /** Lies: overwrite what follows from the lengths. */
  totalLength?: number
  ihl?: number
  dataOffset?: number
  version?: number
  badIpChecksum?: boolean
  badTcpChecksum?: boolean
  /** The TCP checksum field holds the pseudo-header sum only. */
  partialChecksum?: boolean
  /** Bytes behind the IP packet. */
  padding?: number
  /** The four bits behind the data offset; the lowest is AE (RFC 9768). */
  reserved?: number
  /** Codepoint of the IP header's ECN field. */
  ecn?: number
}

function wordOf(address: number | IpAddress): number {
  return typeof address === 'number' ? address : address.w3
}

const PEER_MAC = [2, 0, 0, 0, 0, 1]
const STACK_MAC = [2, 0, 0, 0, 0, 2]

export function buildFrame(spec: FrameSpec): Uint8Array {
  const options = [...(spec.options ?? [])]
  while (options.length % 4 !== 0) options.push(0)
  const ipOptions = [...(spec.ipOptions ?? [])]
  while (ipOptions.length % 4 !== 0) ipOptions.push(0)
  const payload = spec.payload ?? new Uint8Array(0)
  const ipBytes = 20 + ipOptions.length
  const tcpBytes = 20 + options.length
  const length = 14 + ipBytes + tcpBytes + payload.length
  const frame = new Uint8Array(length + (spec.padding ?? 0))
  const view = new DataView(frame.buffer)
  frame.set(STACK_MAC, 0)
  frame.set(PEER_MAC, 6)
  if (spec.destinationMac !== undefined) frame[5] = spec.destinationMac
  if (spec.sourceMac !== undefined) frame[11] = spec.sourceMac
  view.setUint16(12, spec.etherType ?? 0x0800)
  frame[14] = ((spec.version ?? 4) << 4) | (spec.ihl ?? ipBytes / 4)
  view.setUint16(16, spec.totalLength ?? ipBytes + tcpBytes + payload.length)
  view.setUint16(20, spec.flagsFragment ?? 0x4000)
  frame[22] = 64
  frame[23] = spec.protocol ?? 6
  view.setInt32(26, wordOf(spec.source ?? CLIENT))
  view.setInt32(30, wordOf(spec.destination ?? SERVER))
  frame.set(ipOptions, 34)
  const tcp = 14 + ipBytes
  view.setUint16(tcp, spec.sourcePort ?? 40_000)
  view.setUint16(tcp + 2, spec.destinationPort ?? 9000)
  view.setInt32(tcp + 4, spec.seq ?? 0)
  view.setInt32(tcp + 8, spec.ack ?? 0)
  frame[tcp + 12] = ((spec.dataOffset ?? tcpBytes / 4) << 4) | (spec.reserved ?? 0)
  frame[15] = spec.ecn ?? 0
  frame[tcp + 13] = spec.flags ?? ACK
  view.setUint16(tcp + 14, spec.window ?? 65_535)
  frame.set(options, tcp + 20)
  frame.set(payload, tcp + tcpBytes)
  finishChecksums(frame, length)
  if (spec.partialChecksum) view.setUint16(tcp + 16, pseudoSum(frame, length - tcp))
  if (spec.badTcpChecksum) view.setUint16(tcp + 16, view.getUint16(tcp + 16) ^ 0x0101)
  if (spec.badIpChecksum) view.setUint16(24, view.getUint16(24) ^ 0x0101)
  return frame
}

function pseudoSum(frame: Uint8Array, tcpLength: number): number {
  const pseudo = new Uint8Array(12)
  pseudo.set(frame.subarray(26, 34))
  pseudo[9] = 6
  pseudo[10] = tcpLength >> 8
  pseudo[11] = tcpLength
  return plainSum(pseudo)
}

/** Writes right IPv4 and TCP checksums into a frame whose IP packet ends at `end`, with the header length it announces. */
export function finishChecksums(frame: Uint8Array, end: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset)
  const tcp = 14 + Math.max(20, (frame[14]! & 15) * 4)
  if (tcp + 18 > end) return
  view.setUint16(24, 0)
  view.setUint16(24, ~plainSum(frame.subarray(14, tcp)) & 0xffff)
  view.setUint16(tcp + 16, 0)
  let sum = plainSum(frame.subarray(tcp, end)) + pseudoSum(frame, end - tcp)
  if (sum > 0xffff) sum -= 0xffff
  view.setUint16(tcp + 16, ~sum & 0xffff)
}

/** A segment the stack sent. */
export interface Seen {
  at: number
  destination: number
  destinationPort: number
  seq: number
  ack: number
  flags: number
  window: number
  options: Uint8Array
  payload: Uint8Array
}

export interface RawOptions extends Omit<MemoryLinkOptions, 'now'> {
  /** The address is the stack's alone; default true. */
  own?: boolean
  niovs?: number
  tcp?: Partial<TcpConfig>
  ip?: Partial<IpConfig>
  backlog?: number
}

/** One stack, listening on port 9000, and a peer that sends whatever the test wants to. */
export class RawPeer {
  readonly clock = new VirtualClock(1_000_000)
  readonly link: MemoryLink
  readonly stack: Stack
  readonly listener: Listener
  /** Frames from the stack that are not TCP over IPv4. */
  readonly others: Uint8Array[] = []

  constructor(options: RawOptions = {}) {
    this.link = new MemoryLink({ seed: 1, ...options, now: () => this.clock.now() })
    this.stack = new Stack({
      nic: this.link.b,
      memory: plainMemory(options.niovs ?? 256),
      clock: this.clock,
      entropy: seededEntropy(5),
      ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
      ...(options.ip === undefined ? {} : { ip: options.ip }),
    })
    this.stack.addAddress(SERVER, options.own ?? true)
    this.stack.addAddress(SERVER6, options.own ?? true)
    this.listener = this.stack.tcp.listen(SERVER, 9000, options.backlog ?? 16)!
  }

  /** Puts bytes on the wire and lets the stack see them. */
  inject(frame: Uint8Array): Seen[] {
    this.link.a.inject(frame)
    return this.poll()
  }

  send(spec: FrameSpec): Seen[] {
    return this.inject(buildFrame(spec))
  }

  /** A frame to another hardware address, six bytes. */
  framed(spec: FrameSpec, destinationMac: readonly number[]): Uint8Array {
    const frame = buildFrame(spec)
    frame.set(destinationMac)
    return frame
  }

  /** Polls until nothing more arrives now; returns what the stack sent meanwhile. */
  poll(): Seen[] {
    while (this.stack.poll() > 0) {}
    return this.seen()
  }

  /** Lets time pass, polling whenever the stack wants to be; returns what it sent, with times. */
  pass(us: number): Seen[] {
    const end = this.clock.now() + us
    const seen: Seen[] = []
    while (this.clock.now() < end) {
      this.clock.advanceTo(Math.min(end, this.stack.nextDeadline()))
      seen.push(...this.poll())
    }
    return seen
  }

  seen(): Seen[] {
    const direction = this.link.bToA
    const seen: Seen[] = []
    for (let length = direction.peek(); length >= 0; length = direction.peek()) {
      const frame = direction.frame().slice(0, length)
      direction.drop()
      const view = new DataView(frame.buffer)
      if (view.getUint16(12) !== 0x0800 || frame[23] !== 6) {
        this.others.push(frame)
        continue
      }
      const total = view.getUint16(16)
      const tcpBytes = (frame[46]! >>> 4) * 4
      seen.push({
        at: this.clock.now(),
        destination: view.getInt32(30),
        destinationPort: view.getUint16(36),
        seq: view.getInt32(38),
        ack: view.getInt32(42),
        flags: frame[47]!,
        window: view.getUint16(48),
        options: frame.slice(54, 34 + tcpBytes),
        payload: frame.slice(34 + tcpBytes, 14 + total),
      })
    }
    return seen
  }

  /** A connection that the stack opens to port 9000 of the raw peer; its SYN is on the wire. */
  connect(): Tcb {
    const now = this.clock.now()
    this.stack.link.neighbours.learn(
      CLIENT,
      Uint8Array.from(PEER_MAC),
      SERVER,
      LEARN_CREATE | LEARN_SOLICITED | LEARN_OVERRIDE,
      now,
    )
    return this.stack.tcp.connect(SERVER, 0, CLIENT, 9000, now)!
  }

  /** A connection from the raw peer, accepted. `flow` keeps the sequence numbers the peer should use next. */
  open(spec: FrameSpec & { seq?: number } = {}): { tcb: Tcb; flow: Flow } {
    const isn = spec.seq ?? 1000
    const syn = this.send({ ...spec, seq: isn, flags: SYN })
    const answer = syn.find((segment) => segment.flags === (SYN | ACK))
    if (answer === undefined) throw new Error('no SYN,ACK')
    const flow = new Flow(
      this,
      { ...spec, options: timestampsOf(spec.options), flags: ACK },
      (isn + 1) | 0,
      (answer.seq + 1) | 0,
    )
    this.send(flow.next({}))
    const tcb = this.stack.tcp.accept(this.listener)
    if (tcb === null) throw new Error('not accepted')
    return { tcb, flow }
  }
}

/** The timestamps among a SYN's options, aligned: once negotiated, every segment carries them (RFC 7323 section 3.2). */
function timestampsOf(options: readonly number[] = []): number[] {
  const at = options.findIndex((byte, i) => byte === 8 && options[i + 1] === 10)
  return at < 0 ? [] : [1, 1, ...options.slice(at, at + 10)]
}

/** The peer's side of one connection. */
export class Flow {
  readonly #peer: RawPeer
  readonly #base: FrameSpec
  /** Sequence number of the peer's next byte. */
  seq: number
  /** What the peer acknowledges. */
  ack: number

  constructor(peer: RawPeer, base: FrameSpec, seq: number, ack: number) {
    this.#peer = peer
    this.#base = base
    this.seq = seq
    this.ack = ack
  }

  next(spec: FrameSpec): FrameSpec {
    return { ...this.#base, seq: this.seq, ack: this.ack, ...spec }
  }

  /** Sends a segment; `offset` is relative to the next expected byte. */
  segment(spec: FrameSpec, offset = 0): Seen[] {
    return this.#peer.send(this.next({ seq: (this.seq + offset) | 0, ...spec }))
  }

  /** Sends data in order. */
  data(payload: Uint8Array, spec: FrameSpec = {}): Seen[] {
    const seen = this.#peer.send(this.next({ payload, ...spec }))
    this.seq = (this.seq + payload.length) | 0
    return seen
  }
}

export function ascending(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => from + i)
}
