import { ArgumentError } from '../../errors.ts'
import { IPPROTO_TCP } from '../../stack/wire/ipv4.ts'
import { ACK, FIN, PSH, RST, SYN } from '../../stack/wire/tcp.ts'
import { checkArray, checkInteger, checkThat } from '../check.ts'
import { Capture, type Frame } from './capture.ts'
import { checkPacketsOptions, checkPause, checkSegment, checkSide } from './check.ts'
import { type Endpoint, parseEndpoint } from './endpoint.ts'
import { encodeFragments, encodeIp, type Packet } from './ip.ts'
import { type Framing, frame, linkTypes } from './link.ts'
import { type Data, dataBytes, otherSide, type Side } from './pattern.ts'
import { Received } from './received.ts'
import { encodeOptions, encodeSegment, parseFlags } from './segment.ts'
import type { PacketsOptions, SegmentOverrides, SegmentSpec } from './spec.ts'

const MAX_SACK_BLOCKS = 3
const DEFAULT_WINDOW = 65_535
const NANOSECONDS = 1e9

/** One record of the capture. */
interface Captured {
  /** Nanoseconds since `start`. */
  time: number
  from: Side
  bytes: Uint8Array
  originalLength: number
  comment: string
}

/** A packet of the script: the records it has, and what it says. */
interface Step {
  records: Captured[]
  from: Side
  packet: Packet | null
  /** Lets it arrive. Returns what takes that back, while nothing else has arrived. */
  arrive: () => () => void
  undo: () => void
}

class Sender {
  readonly endpoint: Endpoint
  readonly isn: number
  readonly clock: number
  /** Next sequence number, relative. */
  next = 0
  /** IPv4: conversations of neighbouring ports between the same hosts keep apart for 251 packets. */
  identification: number
  offersTimestamps = false
  /** Last timestamp value that came from the other side. */
  echo = 0
  received = new Received()

  constructor(endpoint: Endpoint, isn: number, clock: number) {
    this.endpoint = endpoint
    this.isn = isn
    this.clock = clock
    this.identification = (endpoint.port * 251) & 0xffff
  }
}

/**
 * Writes the packets of one TCP connection as a capture has them. Every method adds to the end, or changes the packet
 * before, and returns the builder.
 */
export class PacketBuilder extends Capture {
  readonly #options: PacketsOptions
  readonly #framing: Framing
  readonly #sides: Record<Side, Sender>
  readonly #records: Captured[] = []
  readonly #held = new Map<string, Step>()
  #last: Step | null = null
  /** Nanoseconds since `start`; the first packet is at 0. */
  #time = 0
  #started = false

  /** @throws ArgumentError for an address that isn't one, or two of different versions */
  constructor(options: PacketsOptions) {
    super(() => this.#frames())
    checkPacketsOptions(options)
    const client = parseEndpoint(options.client)
    const server = parseEndpoint(options.server)
    if (client.version !== server.version)
      throw new ArgumentError(`${options.client} and ${options.server} are of different versions of IP`)
    const { isn = {}, clock = {} } = options
    this.#options = options
    this.#sides = {
      client: new Sender(client, isn.client ?? 1_000_000, clock.client ?? 1000),
      server: new Sender(server, isn.server ?? 2_000_000, clock.server ?? 500_000),
    }
    this.#framing = {
      link: options.link ?? 'ethernet',
      vlan: options.vlan ?? [],
      pppoe: options.pppoe ?? null,
      mac: { client: Uint8Array.of(2, 0, 0, 0, 0, 1), server: Uint8Array.of(2, 0, 0, 0, 0, 2) },
    }
  }

  /** The client's SYN. */
  syn(spec: SegmentOverrides = {}): this {
    return this.send('client', { seq: 0, flags: 'S', ...spec })
  }

  /** The server's answer to it. */
  synAck(spec: SegmentOverrides = {}): this {
    return this.send('server', { seq: 0, flags: 'SA', ...spec })
  }

  /** The three segments of a handshake, with the options given in both SYNs. */
  handshake(spec: SegmentOverrides = {}): this {
    return this.syn(spec).synAck(spec).ack()
  }

  /** A segment without data that acknowledges what has arrived. */
  ack(side: Side = 'client', spec: SegmentOverrides = {}): this {
    return this.send(side, spec)
  }

  /** Something from the client: data, or a whole description. */
  client(what: Data | SegmentSpec, spec: SegmentOverrides = {}): this {
    return this.#say('client', what, spec)
  }

  /** Something from the server. */
  server(what: Data | SegmentSpec, spec: SegmentOverrides = {}): this {
    return this.#say('server', what, spec)
  }

  /** A segment with FIN and ACK. */
  fin(side: Side = 'client', spec: SegmentSpec = {}): this {
    return this.send(side, { flags: 'FA', ...spec })
  }

  /** A segment with RST and ACK. */
  rst(side: Side = 'client', spec: SegmentSpec = {}): this {
    return this.send(side, { flags: 'RA', ...spec })
  }

  /** Both FINs and their ACKs. @param first who closes first */
  close(first: Side = 'client'): this {
    checkSide('first', first)
    return this.fin(first).fin(otherSide(first)).ack(first)
  }

  /** Any segment. @throws ArgumentError when it can't be encoded */
  send(from: Side, spec: SegmentSpec): this {
    checkSegment(from, spec)
    const sender = this.#sides[from]
    const receiver = this.#sides[otherSide(from)]
    this.#pass(spec.after)
    const seq = spec.seq ?? sender.next
    const payload = dataBytes(spec.data ?? 0, from, Math.max(0, seq - 1))
    const flags = spec.flags === undefined ? ACK | (payload.length > 0 ? PSH : 0) : parseFlags(spec.flags)
    const timestamps = this.#timestamps(sender, receiver, spec, flags)
    const end = seq + payload.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)
    const segment = encodeSegment({
      source: sender.endpoint,
      destination: receiver.endpoint,
      seq: sender.isn + seq,
      ack:
        (flags & ACK) === 0 && spec.ack === undefined ? 0 : receiver.isn + (spec.ack ?? sender.received.next),
      flags,
      window: spec.window ?? this.#options.window ?? DEFAULT_WINDOW,
      urgent: spec.urgent ?? 0,
      payload,
      options: encodeOptions({
        mss: spec.mss,
        sackPermitted: spec.sackPermitted,
        timestamps,
        windowScale: spec.windowScale,
        sack: this.#sack(sender, receiver, spec),
        raw: spec.options,
      }),
      checksum: spec.checksum ?? this.#options.checksum ?? 'good',
      dataOffset: spec.dataOffset,
    })
    if (seq <= sender.next) sender.next = Math.max(sender.next, end)
    const packet: Packet = {
      source: sender.endpoint,
      destination: receiver.endpoint,
      protocol: IPPROTO_TCP,
      payload: segment,
      fields: { identification: sender.identification++ & 0xffff, ...this.#options.ip, ...spec },
    }
    // A segment that no receiver would take is not something that has arrived.
    const taken = spec.checksum !== 'bad' && (flags & RST) === 0 && ((flags & SYN) === 0 || seq === 0)
    const arrive = (): (() => void) => {
      const { received, echo } = receiver
      if (taken) {
        receiver.received = received.with(seq, end)
        if (timestamps !== undefined) receiver.echo = timestamps[0]
      }
      return () => Object.assign(receiver, { received, echo })
    }
    return this.#add(from, packet, [encodeIp(packet)], arrive, spec.comment ?? '')
  }

  /** A whole frame as it is, from the link's header on. */
  raw(bytes: Uint8Array, { from = 'client' as Side, after = undefined as number | undefined } = {}): this {
    checkThat('bytes', bytes, bytes instanceof Uint8Array, 'the frame as a Uint8Array')
    checkSide('from', from)
    this.#pass(after)
    const record = this.#record(from, bytes.slice(), '')
    this.#records.push(record)
    const nothing = (): void => {}
    this.#last = { records: [record], from, packet: null, arrive: () => nothing, undo: nothing }
    return this
  }

  /** Lets time pass before the next packet, beside its own. @param us microseconds */
  wait(us: number): this {
    checkThat('us', us, us !== undefined, 'microseconds')
    checkPause('us', us)
    this.#time += Math.round(us * 1000)
    return this
  }

  // ---- the packet before ----------------------------------------------------------------------------------------

  /** It is not in the capture, though it has arrived. */
  drop(): this {
    this.#remove(this.#before())
    return this
  }

  /** It is in the capture, but has not arrived. */
  lose(): this {
    this.#before().undo()
    return this
  }

  /** It comes later, with `release`: neither captured nor arrived until then. */
  hold(name: string): this {
    checkThat('name', name, typeof name === 'string', 'a text')
    const step = this.#before()
    step.undo()
    this.#remove(step)
    this.#held.set(name, step)
    return this
  }

  /** The packet that was held, now. @throws ArgumentError when there is none of the name */
  release(name: string, { after = undefined as number | undefined } = {}): this {
    const step = this.#held.get(name)
    if (step === undefined) throw new ArgumentError(`nothing is held as ${name}`)
    this.#held.delete(name)
    return this.#again(step, after)
  }

  /** The same once more, bit for bit: a duplicate, or after `lose` what is sent again. */
  repeat({ after = undefined as number | undefined } = {}): this {
    return this.#again(this.#before(), after)
  }

  /**
   * It comes in fragments of IP. @param bytes of payload in each, a multiple of 8 @param order numbers of the fragments,
   * from 0, as they come: some may be missing or come twice @throws ArgumentError
   */
  fragment(bytes: number, { order = undefined as readonly number[] | undefined } = {}): this {
    const step = this.#before()
    if (step.packet === null) throw new ArgumentError('raw frames are not fragmented')
    checkThat('bytes', bytes, Number.isInteger(bytes), 'bytes of payload in each fragment')
    checkArray('order', order, 2 ** 16, (name, index) => checkInteger(name, index, 0, 2 ** 16))
    const fragments = encodeFragments(step.packet, bytes)
    const [first] = this.#remove(step)
    step.records = (order ?? [...fragments.keys()]).map((index, i) => {
      const fragment = fragments[index]
      if (fragment === undefined)
        throw new ArgumentError(`there is no fragment ${index}`, `there are ${fragments.length}`)
      if (i > 0) this.#pass(undefined)
      const record = this.#record(step.from, this.#frame(step.from, step.packet!, fragment), first!.comment)
      return { ...record, time: i === 0 ? first!.time : record.time }
    })
    this.#records.push(...step.records)
    this.#last = step
    return this
  }

  /** Changes the bytes of its frame (of each, when it is fragmented), in place or by returning others. */
  mutate(change: (bytes: Uint8Array) => Uint8Array | undefined): this {
    checkThat('change', change, typeof change === 'function', 'a function')
    for (const record of this.#before().records) {
      const bytes = change(record.bytes) ?? record.bytes
      checkThat('what change returns', bytes, bytes instanceof Uint8Array, 'bytes, or undefined')
      if (bytes.length !== record.bytes.length) record.originalLength = bytes.length
      record.bytes = bytes
    }
    return this
  }

  /** Only its first bytes were captured. */
  truncate(bytes: number): this {
    checkThat('bytes', bytes, bytes !== undefined, 'how many bytes were captured')
    checkInteger('bytes', bytes, 0, 2 ** 31)
    for (const record of this.#before().records) record.bytes = record.bytes.slice(0, bytes)
    return this
  }

  // ---- inside -----------------------------------------------------------------------------------------------------

  #say(from: Side, what: Data | SegmentSpec, spec: SegmentOverrides): this {
    checkThat(
      'the segment',
      what,
      what !== null && what !== undefined,
      'data, or an object that describes it',
    )
    const plain = typeof what !== 'object' || what instanceof Uint8Array
    return this.send(from, plain ? { ...spec, data: what } : { ...what, ...spec })
  }

  #pass(us: number | undefined): void {
    checkPause('after', us)
    if (this.#started || us !== undefined) this.#time += Math.round((us ?? this.#options.step ?? 100) * 1000)
    this.#started = true
  }

  #timestamps(
    sender: Sender,
    receiver: Sender,
    spec: SegmentSpec,
    flags: number,
  ): readonly [number, number] | undefined {
    const wanted =
      spec.timestamps ?? (sender.offersTimestamps && receiver.offersTimestamps && (flags & RST) === 0)
    if (wanted === false) return undefined
    if ((flags & SYN) !== 0) sender.offersTimestamps = true
    if (wanted !== true) return wanted
    return [(sender.clock + Math.floor(this.#time / 1e6)) >>> 0, (flags & ACK) === 0 ? 0 : sender.echo]
  }

  #sack(sender: Sender, receiver: Sender, spec: SegmentSpec): [number, number][] {
    const blocks = spec.sack === true ? sender.received.blocks(MAX_SACK_BLOCKS) : spec.sack || []
    return blocks.map(([left, right]) => [receiver.isn + left, receiver.isn + right])
  }

  #add(from: Side, packet: Packet, packets: Uint8Array[], arrive: Step['arrive'], comment: string): this {
    const records = packets.map((bytes) => this.#record(from, this.#frame(from, packet, bytes), comment))
    this.#records.push(...records)
    this.#last = { records, from, packet, arrive, undo: arrive() }
    return this
  }

  #frame(from: Side, packet: Packet, bytes: Uint8Array): Uint8Array {
    return frame(this.#framing, from, packet.source.version, bytes)
  }

  #record(from: Side, bytes: Uint8Array, comment: string): Captured {
    return { time: this.#time, from, bytes, originalLength: bytes.length, comment }
  }

  #before(): Step {
    if (this.#last === null) throw new ArgumentError('there is no packet before')
    return this.#last
  }

  #remove(step: Step): Captured[] {
    this.#records.splice(this.#records.length - step.records.length)
    this.#last = null
    return step.records
  }

  #again(step: Step, after: number | undefined): this {
    const records = step.records.map((record) => {
      this.#pass(after)
      return { ...record, bytes: record.bytes.slice(), time: this.#time }
    })
    this.#records.push(...records)
    this.#last = { ...step, records, undo: step.arrive() }
    return this
  }

  #frames(): Frame[] {
    const start = this.#options.start ?? 1_700_000_000
    const linkType = linkTypes[this.#framing.link]
    return this.#records.map(({ time, from, bytes, originalLength, comment }) => {
      const nanoseconds = Math.round((start % 1) * 1e6) * 1000 + (time % NANOSECONDS)
      return {
        seconds: Math.floor(start) + Math.floor(time / NANOSECONDS) + Math.floor(nanoseconds / NANOSECONDS),
        nanoseconds: nanoseconds % NANOSECONDS,
        bytes,
        originalLength,
        linkType,
        from,
        comment,
      }
    })
  }
}

/** Begins a capture of one connection. @throws ArgumentError */
export function packets(options: PacketsOptions): PacketBuilder {
  return new PacketBuilder(options)
}
