import { type Context, compare, type Live } from './compare.ts'
import { Failure } from './failure.ts'
import { Flow, type Flows } from './flow.ts'
import { formatSegment, formatTime } from './format.ts'
import { ACK_LATE_US, type Switch } from './lenient.ts'
import type { Packet, ScriptEvent } from './script/ast.ts'
import type { Settings } from './settings.ts'
import type { StackUnderTest } from './stack-under-test.ts'
import { onesSum } from './wire/bytes.ts'
import { decodeIp, PROTOCOL_ICMPV6, PROTOCOL_TCP, pseudoHeader } from './wire/ip.ts'
import { decodeSegment, NO_FLAGS, type Segment } from './wire/tcp.ts'

/** How long a packet is waited for before it counts as missing. */
const PATIENCE_US = 2_000_000
/** Neighbour discovery and multicast listeners: not part of any script. */
const HOUSEKEEPING = new Set([130, 131, 132, 133, 134, 135, 136, 137, 143])

/** Meets the segments that a script expects with those that leave the stack. */
export class Expectations {
  readonly #host: StackUnderTest
  readonly #flows: Flows
  readonly #settings: Settings
  readonly #lenient: ReadonlySet<Switch>
  readonly #used: Set<Switch>
  readonly #queue: Live[] = []

  constructor(
    host: StackUnderTest,
    flows: Flows,
    settings: Settings,
    lenient: ReadonlySet<Switch>,
    used: Set<Switch>,
  ) {
    this.#host = host
    this.#flows = flows
    this.#settings = settings
    this.#lenient = lenient
    this.#used = used
  }

  /** Microseconds by which something may be early or late that comes `sinceUs` after what was before it. */
  tolerance(sinceUs: number): number {
    return Math.max(this.#settings.toleranceUs, (sinceUs * this.#settings.tolerancePercent) / 100)
  }

  leftovers(): Live[] {
    this.#decode()
    return this.#queue.splice(0)
  }

  /**
   * Waits for a segment between `first` and `last` and compares it. Returns what met it. @throws Failure
   * @param until when nothing is waited for any longer that may come whenever (`last` is infinite)
   */
  meet(
    expected: Packet,
    event: ScriptEvent,
    first: number,
    last: number,
    sinceUs: number,
    until: number,
  ): Live {
    const tolerance = this.tolerance(sinceUs)
    const deadline = Number.isFinite(last) ? last + tolerance + PATIENCE_US : until + tolerance
    let skipped = ''
    for (;;) {
      const live = this.#next(deadline)
      if (live === null)
        throw new Failure(event, event.text, `nothing until ${this.#time(deadline)}${skipped}`)
      const flow = this.#flows.forOutbound(live.segment)
      const group = this.#gather(expected, live, flow, deadline)
      const difference = flow === null ? 'ports' : compare(expected, group, this.#context(flow))
      if (difference === '') {
        this.#checkTime(expected, event, live, first - tolerance, last + tolerance, flow!)
        return live
      }
      if (flow !== null && group.length === 1 && this.#maySkip(live.segment, flow)) {
        skipped = `, after ${this.#describe(expected, group, flow)} (${difference})`
        continue
      }
      throw new Failure(event, event.text, `${this.#describe(expected, group, flow)} (${difference})`)
    }
  }

  #checkTime(
    expected: Packet,
    event: ScriptEvent,
    live: Live,
    first: number,
    last: number,
    flow: Flow,
  ): void {
    if (live.at >= first && live.at <= last) return
    if (isPureAck(expected)) {
      const kind = flow.finInjected ? 'delayed-fin-ack-40ms' : 'ack-timing'
      for (const each of [kind, 'ack-timing'] as const) {
        // Early is what a quick ACK is; late it may be by half a second.
        if (!this.#lenient.has(each) || live.at > last + ACK_LATE_US) continue
        this.#used.add(each)
        return
      }
    }
    const when = live.at < first ? 'early' : 'late'
    throw new Failure(
      event,
      `${event.text} at ${this.#time(when === 'early' ? first : last)}`,
      `it ${when}, at ${this.#time(live.at)}`,
    )
  }

  /** A pure ACK that the script does not mention, once for each data segment it injected. */
  #maySkip(segment: Segment, flow: Flow): boolean {
    const pure = segment.payload.length === 0 && isPureAck({ flags: segment.flags, length: 0 })
    if (!pure || !this.#lenient.has('ack-timing') || flow.ackCredit === 0) return false
    flow.ackCredit--
    this.#used.add('ack-timing')
    return true
  }

  /** Several segments in a row that meet one of the script's together (segmentation offload). */
  #gather(expected: Packet, first: Live, flow: Flow | null, deadline: number): Live[] {
    const group = [first]
    let length = first.segment.payload.length
    if (this.#settings.strictSegments || flow === null || length === 0 || expected.length <= length)
      return group
    if (first.segment.flags.syn || first.segment.flags.rst || first.segment.flags.fin) return group
    while (length < expected.length) {
      const next = this.#peek(deadline)
      if (next === null || !this.#continues(first, next, length)) break
      const rest = length + next.segment.payload.length < expected.length
      if (rest && next.segment.payload.length !== first.segment.payload.length) {
        if (!this.#lenient.has('coalesce-out')) break
        this.#used.add('coalesce-out')
      }
      group.push(next)
      this.#queue.shift()
      length += next.segment.payload.length
    }
    return group
  }

  #continues(first: Live, next: Live, length: number): boolean {
    const { segment } = next
    return (
      segment.source === first.segment.source &&
      segment.destination === first.segment.destination &&
      segment.payload.length > 0 &&
      segment.ack === first.segment.ack &&
      segment.seq === (first.segment.seq + length) >>> 0
    )
  }

  #context(flow: Flow): Context {
    return {
      flow,
      settings: this.#settings,
      lenient: this.#lenient,
      used: this.#used,
      sinceStartUs: this.#host.clock.now() - this.#host.startUs,
    }
  }

  #next(deadline: number): Live | null {
    const live = this.#peek(deadline)
    if (live !== null) this.#queue.shift()
    return live
  }

  #peek(deadline: number): Live | null {
    this.#decode()
    if (this.#queue.length > 0) return this.#queue[0]!
    this.#host.runTo(deadline, () => {
      this.#decode()
      return this.#queue.length > 0
    })
    return this.#queue[0] ?? null
  }

  #decode(): void {
    for (const { at, bytes } of this.#host.departures.splice(0)) {
      const ip = decodeIp(bytes)
      if (ip === null)
        throw new Failure({ at: { line: 1, column: 1 } }, 'IP packets', 'a frame that holds none')
      if (ip.protocol === PROTOCOL_ICMPV6 && HOUSEKEEPING.has(ip.payload[0] ?? 0)) continue
      const segment = ip.protocol === PROTOCOL_TCP ? decodeSegment(ip.payload) : null
      let { problem } = ip
      const pseudo = pseudoHeader(ip.source, ip.destination, PROTOCOL_TCP, ip.payload.length)
      if (ip.protocol !== PROTOCOL_TCP) problem ||= `IP protocol ${ip.protocol}`
      else if (segment === null) problem ||= 'TCP header length'
      else if (onesSum(pseudo, ip.payload) !== 0xffff) problem ||= 'wrong TCP checksum'
      this.#queue.push({ at, ip, segment: segment ?? NOTHING, problem })
    }
  }

  /** What came, in the numbers of the script as far as they are known. */
  #describe(expected: Packet, group: readonly Live[], flow: Flow | null): string {
    const { segment, ip } = group[0]!
    const numbers = new Flow(0, 0)
    numbers.isn = flow?.isn ?? null
    numbers.firstTs = flow?.firstTs ?? null
    // A first SYN has the number that the script gives it.
    if (numbers.isn === null && segment.flags.syn)
      numbers.isn = { script: expected.seq ?? 0, live: segment.seq }
    const mapped = numbers.inScriptNumbers(segment)
    const more = group.length > 1 ? ` and ${group.length - 1} more` : ''
    // Of one connection among several it says which.
    const named = flow === null || this.#flows.all.length > 1
    const ports = named ? `${segment.source} > ${segment.destination} ` : ''
    return `${formatSegment(mapped, ip.tos).replace('> ', `> ${ports}`)}${more}`
  }

  #time(us: number): string {
    return formatTime(us - this.#host.startUs)
  }
}

const NOTHING: Segment = {
  source: 0,
  destination: 0,
  seq: 0,
  ack: 0,
  flags: NO_FLAGS,
  window: 0,
  urgent: 0,
  options: [],
  payload: new Uint8Array(0),
}

function isPureAck(packet: Pick<Packet, 'flags' | 'length'>): boolean {
  const { ack, syn, fin, rst } = packet.flags
  return ack && !syn && !fin && !rst && packet.length === 0
}
