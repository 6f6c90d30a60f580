import { Counters } from '../counters.ts'
import type { IpContext } from '../ip/context.ts'
import { FragmentSums } from '../ip/fragment-sums.ts'
import { FrameHeaders, HEADER_BYTES } from '../ip/frame-headers.ts'
import { FrameInput } from '../ip/frame-input.ts'
import { IcmpInput } from '../ip/icmp-input.ts'
import { Ipv4Input } from '../ip/ipv4-input.ts'
import { Ipv6Input } from '../ip/ipv6-input.ts'
import { PacketBytes } from '../ip/packet-bytes.ts'
import type { FragmentTaker, IcmpAnswers, SegmentTaker } from '../ip/packet-takers.ts'
import { Segment } from '../tcp/segment.ts'

/** A sibling does not tell of segments and fragments: what claims to be one is nobody's. */
const noSegments: SegmentTaker = { input: () => {} }
const noFragments: FragmentTaker = { add: () => null, begin: () => 0, end: () => {} }
/** `load`: the bytes are shown already. */
const noAnswers: IcmpAnswers = {
  load: () => {},
  echoReply: () => {},
  error: () => {},
  timeExceeded: () => {},
}

/**
 * Frames that the stacks of other queues tell of: the parsers of received frames once more, with the same checks, over a frame that
 * no queue holds; and with nobody who would answer, tell it on, or take anything but ARP, neighbour discovery and ICMP errors.
 */
export class Hearing {
  readonly #headers: FrameHeaders
  readonly #bytes: PacketBytes
  readonly #frames: FrameInput
  readonly #counters: Counters
  /** What is wrong with a frame was counted by who received it. */
  readonly #unused = new Counters()

  constructor(ip: IpContext) {
    const { nic, memory, fragments, burst } = ip
    this.#counters = ip.counters
    this.#headers = new FrameHeaders(nic, burst, memory)
    this.#bytes = new PacketBytes(nic, burst, memory, fragments)
    const context = {
      ...ip,
      counters: this.#unused,
      segment: new Segment(),
      headers: this.#headers,
      bytes: this.#bytes,
      sums: new FragmentSums(nic, burst),
    }
    const icmp = new IcmpInput(context, noAnswers, null)
    const ipv4 = new Ipv4Input(context, noFragments, noSegments, icmp, noAnswers)
    const ipv6 = new Ipv6Input(context, noFragments, noSegments, icmp, noAnswers)
    this.#frames = new FrameInput(context, ipv4, ipv6, null)
  }

  /** Takes a frame, from the Ethernet header on. */
  input(frame: Uint8Array, now: number): void {
    const available = Math.min(frame.length, HEADER_BYTES)
    this.#headers.bytes.set(frame.subarray(0, available))
    this.#headers.beginAssembled(available, frame.length)
    this.#bytes.setList(frame, frame.length, -1)
    this.#counters.siblingHeard++
    const { icmpErrorsTaken } = this.#unused
    this.#frames.input(now)
    this.#counters.icmpErrorsTaken += this.#unused.icmpErrorsTaken - icmpErrorsTaken
  }
}
