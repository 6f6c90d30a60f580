import type { Flow } from './flow.ts'
import { formatFlags, formatOption } from './format.ts'
import type { Switch } from './lenient.ts'
import type { Packet, TcpOption } from './script/ast.ts'
import type { Settings } from './settings.ts'
import type { IpPacket } from './wire/ip.ts'
import type { Segment } from './wire/tcp.ts'

/** A segment that left the stack. */
export interface Live {
  readonly at: number
  readonly ip: IpPacket
  readonly segment: Segment
  /** What is wrong with it whatever the script says; '' when nothing is. */
  readonly problem: string
}

export interface Context {
  readonly flow: Flow
  readonly settings: Settings
  readonly lenient: ReadonlySet<Switch>
  /** Switches that were really needed. */
  readonly used: Set<Switch>
  /** Since the script began, microseconds. */
  readonly sinceStartUs: number
}

/**
 * Compares what left with what the script expects. `live` is one segment, or several that are met as one.
 * Returns what differs, '' when nothing does.
 */
export function compare(expected: Packet, live: readonly Live[], context: Context): string {
  const first = live[0]!
  const last = live.at(-1)!
  const { flow } = context
  const scratch = new Set<Switch>()
  const inner: Context = { ...context, used: scratch }
  const faults: string[] = []
  for (const one of live) if (one.problem !== '') faults.push(one.problem)
  if (expected.ports !== null) {
    const { source, destination } = expected.ports
    if (source !== first.segment.source || destination !== first.segment.destination) faults.push('ports')
  }
  compareIp(expected, first.ip, faults)
  compareFlags(expected, first.segment, last.segment, inner, faults)
  const { isn, reopened } = flow
  if (expected.flags.syn && (isn === null || reopened) && expected.seq !== null) {
    flow.isn = { script: expected.seq, live: first.segment.seq }
  }
  compareNumbers(expected, live, inner, faults)
  for (const one of live) compareOptions(expected, one, inner, faults)
  if (faults.length > 0) {
    // What was not the awaited segment teaches nothing.
    flow.isn = isn
    return [...new Set(faults)].join(', ')
  }
  for (const each of scratch) context.used.add(each)
  learn(expected, first.segment, last.segment, flow)
  return ''
}

function compareIp(expected: Packet, ip: IpPacket, faults: string[]): void {
  if (expected.ip.ecn !== null && expected.ip.ecn !== (ip.tos & 3)) faults.push('ECN field')
  if (expected.ip.tos !== null && expected.ip.tos !== ip.tos) faults.push('TOS')
  if (expected.ip.ttl !== null && expected.ip.ttl !== ip.ttl) faults.push('TTL')
}

function compareFlags(
  expected: Packet,
  first: Segment,
  last: Segment,
  context: Context,
  faults: string[],
): void {
  const want = expected.flags
  const got = last.flags
  // Who writes the ECN field means that what belongs to it matters.
  const compareEcn = want.ece || want.cwr || want.ae || want.syn || expected.ip.ecn !== null
  const same =
    want.syn === first.flags.syn &&
    want.rst === got.rst &&
    want.ack === got.ack &&
    want.urg === got.urg &&
    want.fin === got.fin &&
    (!compareEcn || (want.ece === got.ece && want.cwr === got.cwr && want.ae === got.ae))
  if (!same) {
    // Both are lawful answers to a repeated SYN.
    const either =
      context.lenient.has('retransmitted-syn-gets-synack') &&
      context.flow.isn !== null &&
      formatFlags({ ...want, syn: false, ece: false }) === '.' &&
      formatFlags({ ...got, syn: false, ece: false }) === '.'
    if (either) context.used.add('retransmitted-syn-gets-synack')
    else faults.push('flags')
  }
  if (want.psh !== got.psh) {
    if (context.lenient.has('psh-ignored')) context.used.add('psh-ignored')
    else faults.push('PSH')
  }
}

function compareNumbers(expected: Packet, live: readonly Live[], context: Context, faults: string[]): void {
  const { flow } = context
  const first = live[0]!.segment
  const last = live.at(-1)!.segment
  const length = live.reduce((sum, one) => sum + one.segment.payload.length, 0)
  if (expected.seq !== null && flow.toLive(expected.seq) !== first.seq) {
    // A pure ACK in place of a repeated SYN,ACK carries the number behind the SYN.
    const behindSyn =
      expected.flags.syn !== first.flags.syn && context.used.has('retransmitted-syn-gets-synack')
    if (!behindSyn) faults.push('sequence number')
  }
  const ack = expected.flags.ack ? (expected.ack ?? 0) >>> 0 : 0
  if (ack !== last.ack) {
    if (context.lenient.has('window-edge') && flow.moved(ack) === last.ack) context.used.add('window-edge')
    else faults.push('ack number')
  }
  if (length !== expected.length) faults.push('payload length')
  if (live.some((one) => one.segment.payload.some((byte) => byte !== 0))) faults.push('payload')
  if ((expected.urgent ?? 0) !== (expected.flags.urg ? last.urgent : 0)) faults.push('urgent pointer')
  compareWindow(expected, last, context, faults)
}

function compareWindow(expected: Packet, live: Segment, context: Context, faults: string[]): void {
  if (expected.window === null || expected.window === live.window) return
  if (!context.lenient.has('win-ignored')) {
    faults.push('window')
    return
  }
  const { flow } = context
  if (live.window === 0 && expected.window !== 0) faults.push('window is 0')
  const edge = (live.ack + live.window * 2 ** (live.flags.syn ? 0 : flow.liveShift)) >>> 0
  const moved = flow.liveEdge === null || live.flags.rst ? 0 : (edge - flow.liveEdge) | 0
  // Rounding down to the scale is no step back (RFC 7323 2.4).
  if (moved < -(2 ** flow.liveShift)) faults.push('right edge of the window moves left')
  context.used.add('win-ignored')
}

function compareOptions(expected: Packet, live: Live, context: Context, faults: string[]): void {
  if (expected.options === null) return
  const got = live.segment.options
  if (sameOptions(expected.options, got, context)) return
  if (context.lenient.has('dsack-optional')) {
    const without = withoutDsack(expected, context.flow)
    if (without !== null && sameOptions(without, got, context)) {
      context.used.add('dsack-optional')
      return
    }
  }
  if (expected.flags.syn && context.lenient.has('syn-options-semantic')) {
    if (sameMeaning(expected.options, got, context)) {
      context.used.add('syn-options-semantic')
      return
    }
  }
  faults.push('options')
}

function sameOptions(expected: readonly TcpOption[], got: readonly TcpOption[], context: Context): boolean {
  return expected.length === got.length && expected.every((option, i) => sameOption(option, got[i]!, context))
}

function sameOption(expected: TcpOption, got: TcpOption, context: Context): boolean {
  if (expected.kind === 'TS' && got.kind === 'TS') {
    if (expected.echo !== null && expected.echo >>> 0 !== got.echo) return false
    return expected.value === null || sameTimestamp(expected.value, got.value!, context)
  }
  if (expected.kind === 'sack' && got.kind === 'sack') {
    return formatOption(unsigned(expected, context)) === formatOption(got)
  }
  if (expected.kind === 'cookie') return got.kind === 'FO' && got.bytes.length > 0
  return formatOption(expected) === formatOption(got)
}

function unsigned(option: TcpOption & { kind: 'sack' }, context: Context): TcpOption {
  const edge = (value: number): number => {
    if (!context.lenient.has('window-edge')) return value >>> 0
    const moved = context.flow.moved(value)
    if (moved !== value >>> 0) context.used.add('window-edge')
    return moved
  }
  return { kind: 'sack', blocks: option.blocks.map(([left, right]) => [edge(left), edge(right)] as const) }
}

function sameTimestamp(script: number, live: number, context: Context): boolean {
  const { firstTs } = context.flow
  const { tsTickUs, toleranceUs, tolerancePercent } = context.settings
  if (firstTs === null || tsTickUs === 0) return true
  const difference = (live - firstTs.live - (script - firstTs.script)) | 0
  return (
    Math.abs(difference) * tsTickUs <= Math.max(toleranceUs, (context.sinceStartUs * tolerancePercent) / 100)
  )
}

/** The expectation without its D-SACK block (RFC 2883), null when it has none. */
function withoutDsack(expected: Packet, flow: Flow): readonly TcpOption[] | null {
  const at = expected.options!.findIndex((option) => option.kind === 'sack')
  const option = expected.options![at]
  if (option?.kind !== 'sack') return null
  const [[left, right] = [0, 0], ...rest] = option.blocks
  const below = ((right - flow.moved(expected.ack ?? 0)) | 0) <= 0
  const inside = rest.some(([from, to]) => ((left - from) | 0) >= 0 && ((to - right) | 0) >= 0)
  if (!below && !inside) return null
  if (rest.length > 0) return expected.options!.with(at, { kind: 'sack', blocks: rest })
  // With its only block the option goes, and what pads it.
  const others = expected.options!.toSpliced(at, 1)
  const pads = others.slice(0, at).map((each) => each.kind)
  return pads.at(-1) === 'nop' && pads.at(-2) === 'nop' ? others.toSpliced(at - 2, 2) : others
}

/** As sets, without padding; any window scale will do, but the MSS is exact. */
function sameMeaning(expected: readonly TcpOption[], got: readonly TcpOption[], context: Context): boolean {
  const want = meaningful(expected)
  const have = meaningful(got)
  if (want.length !== have.length) return false
  return want.every((option) => {
    const other = have.find((each) => each.kind === option.kind)
    if (other === undefined) return false
    return other.kind === 'wscale' || sameOption(option, other, context)
  })
}

function meaningful(options: readonly TcpOption[]): TcpOption[] {
  return options.filter((option) => option.kind !== 'nop' && option.kind !== 'eol')
}

/** What a segment that was met says for those that follow. */
function learn(expected: Packet, first: Segment, last: Segment, flow: Flow): void {
  if (first.flags.syn) {
    flow.reopened = false
    flow.scriptShift = shiftOf(expected.options ?? first.options)
    flow.liveShift = shiftOf(first.options)
  }
  for (const [i, option] of last.options.entries()) {
    if (option.kind === 'FO') flow.cookie = option.bytes
    if (option.kind !== 'TS') continue
    const written = expected.options?.find((each) => each.kind === 'TS') ?? expected.options?.[i]
    const script = written?.kind === 'TS' ? written.value : null
    if (script === null || script === undefined) continue
    flow.firstTs ??= { script, live: option.value! }
    flow.timestamps.set(script >>> 0, option.value!)
  }
  if (first.flags.rst || !last.flags.ack) return
  flow.liveEdge = (last.ack + last.window * 2 ** (first.flags.syn ? 0 : flow.liveShift)) >>> 0
  const advanced = expected.ack !== null && ((expected.ack - flow.scriptAck) | 0) > 0
  flow.scriptAck = expected.ack ?? flow.scriptAck
  if (((flow.scriptAck - flow.scriptNext) | 0) > 0) flow.scriptNext = flow.scriptAck
  if (expected.window !== null && expected.ack !== null) {
    flow.scriptEdge = (expected.ack + expected.window * 2 ** (first.flags.syn ? 0 : flow.scriptShift)) >>> 0
    // A window that was closed, and that the script says no more of, may be open by now.
  } else if (advanced || flow.scriptEdge === flow.scriptAck >>> 0) flow.scriptEdge = null
}

function shiftOf(options: readonly TcpOption[]): number {
  const option = options.find((each) => each.kind === 'wscale')
  return option?.kind === 'wscale' ? Math.min(14, option.value) : 0
}
