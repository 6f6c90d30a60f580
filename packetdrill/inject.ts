import { type Position, ScriptError, UnsupportedError } from './errors.ts'
import type { Family } from './family.ts'
import type { Flow } from './flow.ts'
import type { Switch } from './lenient.ts'
import type { IcmpPacket, Packet, TcpOption } from './script/ast.ts'
import type { Settings } from './settings.ts'
import { checksum, put16 } from './wire/bytes.ts'
import { encodeIp, PROTOCOL_TCP, pseudoHeader } from './wire/ip.ts'
import { encodeSegment, NO_FLAGS, type Segment } from './wire/tcp.ts'

/** Of a TCP header, quoted by ICMP errors (RFC 792). */
const QUOTED_BYTES = 8

export interface InjectContext {
  readonly family: Family
  readonly flow: Flow
  readonly settings: Settings
  readonly lenient: ReadonlySet<Switch>
  readonly used: Set<Switch>
  readonly mtu: number
}

/** The IP packet of an injected segment, in the numbers of the wire. @throws ScriptError */
export function buildInbound(packet: Packet, at: Position, context: InjectContext): Uint8Array {
  const { family, flow } = context
  if (packet.flags.syn) noteSyn(packet, flow)
  const by = context.lenient.has('window-edge') ? flow.distance(packet.seq!) : 0
  if (by !== 0) context.used.add('window-edge')
  const { syn, fin } = packet.flags
  flow.noteInjected(packet.seq!, packet.length + (syn ? 1 : 0) + (fin ? 1 : 0), by)
  const segment: Segment = {
    source: flow.remotePort,
    destination: flow.localPort,
    seq: (packet.seq! + by) >>> 0,
    ack: packet.flags.ack ? flow.toLive(packet.ack ?? 0) : (packet.ack ?? 0) >>> 0,
    flags: packet.flags,
    window: packet.window!,
    urgent: packet.urgent ?? 0,
    options: packet.options!.map((option) => liveOption(option, at, context)),
    payload: new Uint8Array(packet.length),
  }
  if (packet.length > 0) flow.ackCredit++
  if (packet.flags.fin) flow.finInjected = true
  const bytes = encodeSegment(segment)
  if (bytes === null)
    throw new ScriptError(at, 'TCP options must add up to a multiple of 4 bytes, at most 40')
  put16(bytes, 16, checksum(pseudoHeader(family.remote, family.local, PROTOCOL_TCP, bytes.length), bytes))
  const { tos, ecn, ttl } = packet.ip
  const ip = encodeIp({
    source: family.remote,
    destination: family.local,
    protocol: PROTOCOL_TCP,
    payload: bytes,
    tos: (tos ?? 0) | (ecn ?? 0),
    ...(ttl === null ? {} : { ttl }),
  })
  if (ip.length > context.mtu) {
    if (!context.lenient.has('oversize-in')) {
      throw new UnsupportedError(
        at,
        `${ip.length} bytes do not fit an MTU of ${context.mtu}; oversize-in is off`,
      )
    }
    context.used.add('oversize-in')
  }
  return ip
}

function noteSyn(packet: Packet, flow: Flow): void {
  if (flow.remoteIsn !== null && packet.seq !== flow.remoteIsn && !packet.flags.ack) flow.reopened = true
  flow.remoteIsn = packet.seq
  // One in the midst of a connection is none of its numbers.
  if (!flow.established || flow.finInjected) flow.scriptNext = packet.seq!
  // Without our peer's option ours means nothing (RFC 7323 2.2).
  if (packet.flags.ack && !packet.options!.some((option) => option.kind === 'wscale')) {
    flow.scriptShift = 0
    flow.liveShift = 0
  }
}

function liveOption(option: TcpOption, at: Position, context: InjectContext): TcpOption {
  const { flow } = context
  if (option.kind === 'sack') {
    return {
      kind: 'sack',
      blocks: option.blocks.map(([left, right]) => [flow.toLive(left), flow.toLive(right)] as const),
    }
  }
  if (option.kind === 'cookie') {
    if (flow.cookie === null) throw new UnsupportedError(at, 'a cookie that was not given in this script')
    return { kind: 'FO', bytes: flow.cookie }
  }
  if (option.kind !== 'TS') return option
  if (option.value === null || option.echo === null)
    throw new ScriptError(at, 'injected timestamps must be written')
  return { kind: 'TS', value: option.value >>> 0, echo: liveEcho(option.echo >>> 0, at, context) }
}

function liveEcho(script: number, at: Position, context: InjectContext): number {
  const { flow, settings } = context
  const seen = flow.timestamps.get(script)
  if (seen !== undefined) return seen
  if (settings.tsEcrScaled && flow.firstTs !== null) {
    return (script - flow.firstTs.script + flow.firstTs.live) >>> 0
  }
  // What no SYN of the stack's preceded echoes nothing.
  if (script === 0 || flow.firstTs === null) return script
  throw new ScriptError(at, `ecr ${script} is no timestamp that was seen (--tcp_ts_ecr_scaled?)`)
}

/** The IP packet of an ICMP error about a segment of the stack's. @throws ScriptError */
export function buildIcmp(packet: IcmpPacket, context: InjectContext): Uint8Array {
  const { family, flow } = context
  const { seq, length } = packet.quoted ?? { seq: flow.isn?.script ?? 0, length: 0 }
  const tcp = encodeSegment({
    source: flow.localPort,
    destination: flow.remotePort,
    seq: flow.toLive(seq),
    ack: 0,
    flags: { ...NO_FLAGS, ack: true },
    window: 0,
    urgent: 0,
    options: [],
    payload: new Uint8Array(length),
  })!
  const whole = encodeIp({
    source: family.local,
    destination: family.remote,
    protocol: PROTOCOL_TCP,
    payload: tcp,
  })
  const quoted = whole.subarray(0, whole.length - tcp.length + QUOTED_BYTES)
  const error = family.icmpError(packet.type, packet.code, packet.mtu ?? 0, quoted)
  if (error === null) {
    const code = packet.code === null ? '' : ` ${packet.code}`
    throw new ScriptError(packet.at, `${family.name} has no ICMP ${packet.type}${code}`)
  }
  return error
}
