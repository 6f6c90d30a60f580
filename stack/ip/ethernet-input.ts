import { type FrameObserver, type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import { type Counters, DropWatch, RX_FRAGMENTS, RX_FRAMES } from '../counters.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import { Teller } from '../siblings/teller.ts'
import { PayloadTaker } from '../tcp/payload.ts'
import type { Segment } from '../tcp/segment.ts'
import { Assembled } from './assembled.ts'
import { BulkInput } from './bulk-input.ts'
import type { InputContext, IpContext } from './context.ts'
import { DatagramOutput } from './datagram-output.ts'
import { FragmentReassembly } from './fragment-reassembly.ts'
import { FragmentSums } from './fragment-sums.ts'
import { FrameHeaders } from './frame-headers.ts'
import { FrameInput } from './frame-input.ts'
import { IcmpInput } from './icmp-input.ts'
import { IcmpOutput } from './icmp-output.ts'
import { Ipv4Input } from './ipv4-input.ts'
import { Ipv6Input } from './ipv6-input.ts'
import { PacketBytes } from './packet-bytes.ts'
import { PlainInput } from './plain-input.ts'
import { SegmentInput } from './segment-input.ts'

/**
 * From fragments in niovs to packets: walks the burst and hands each frame on. Every length is checked against the frame before
 * a byte is read, and what is dropped is counted.
 */
export class EthernetInput {
  readonly reassembly: FragmentReassembly
  readonly teller: Teller
  readonly #nic: Nic
  readonly #memory: QueueMemory
  readonly #counters: Counters
  readonly #burst: RxBurst
  readonly #segment: Segment
  readonly #headers: FrameHeaders
  readonly #sums: FragmentSums
  readonly #plain: PlainInput
  readonly #bulk: BulkInput
  readonly #frames: FrameInput
  /** Null unless the NIC wants to know what becomes of frames. */
  readonly #observer: FrameObserver | null
  readonly #watch: DropWatch | null

  constructor(ip: IpContext) {
    const { nic, memory, fragments, counters, burst } = ip
    this.#nic = nic
    this.#memory = memory
    this.#counters = counters
    this.#burst = burst
    this.#segment = ip.segment
    this.#observer = nic.roles.observer
    this.#watch = this.#observer === null ? null : new DropWatch(counters)
    this.#headers = new FrameHeaders(nic, burst, memory)
    this.#sums = new FragmentSums(nic, burst)
    const bytes = new PacketBytes(nic, burst, memory, fragments)
    const context: InputContext = { ...ip, headers: this.#headers, bytes, sums: this.#sums }
    this.#plain = new PlainInput(context)
    this.#bulk = new BulkInput(ip, this.#sums)
    const reassembly = new FragmentReassembly(
      context,
      new PayloadTaker(nic, burst, memory, fragments, counters),
    )
    this.reassembly = reassembly
    const assembled = new Assembled(context, reassembly)
    const icmpOutput = new IcmpOutput(context, new DatagramOutput(ip.link, counters, ip.entropy))
    this.teller = new Teller(this.#headers, bytes, counters)
    const icmp = new IcmpInput(context, icmpOutput, this.teller)
    const segments = new SegmentInput(context)
    const ipv4 = new Ipv4Input(context, assembled, segments, icmp, icmpOutput)
    const ipv6 = new Ipv6Input(context, assembled, segments, icmp, icmpOutput)
    this.#frames = new FrameInput(context, ipv4, ipv6, this.teller)
    reassembly.onTimeout = (datagram, now) => {
      if (datagram.version === 4) ipv4.timedOut(datagram, now)
      else ipv6.timedOut(datagram, now)
    }
  }

  /** The current frame's headers. */
  get header(): Uint8Array {
    return this.#headers.bytes
  }

  /** Takes every frame of the burst. */
  burst(now: number): void {
    const burst = this.#burst
    const flags = burst.flags
    const count = burst.count
    this.#sums.reset()
    const memory = this.#memory
    memory.measure()
    const { placement } = this.#nic.info
    memory.arriving = placement === 'area' ? count : 0
    if (placement === 'split') memory.holdBurst(burst)
    const watch = this.#watch
    watch?.begin()
    let first = 0
    const bulk = this.#bulk.enabled ? this.#bulk : null
    bulk?.begin()
    while (first < count) {
      if (bulk !== null) {
        first = bulk.take(first, count, now)
        if (first === count) break
      }
      let last = first
      while (last < count - 1 && (flags[last]! & 1) !== 0) last++
      last++
      if (memory.arriving > 0) memory.arriving -= last - first
      if (!this.#plain.frame(first, last, now)) {
        this.#segment.taken = false
        this.#frame(first, last, now)
        if (watch !== null) this.#observer!.settled(first, last, watch.cause(this.#segment.taken))
        if (!this.#segment.taken) this.recycle(first, last)
      } else if (watch !== null) this.#observer!.settled(first, last, null)
      first = last
    }
    if (placement === 'split') memory.dropBurst(burst)
  }

  /** Frees the niovs of burst entries: nobody wants their bytes. */
  recycle(first: number, last: number): void {
    const burst = this.#burst
    if ((burst.flags[first]! & RX_SIDE) !== 0) return
    const pool = this.#memory.pool
    for (let i = first; i < last; i++) pool.put(burst.offset[i]! >>> pool.shift)
  }

  #frame(first: number, last: number, now: number): void {
    const counters = this.#counters
    counters.cells[RX_FRAMES]! += 1
    counters.cells[RX_FRAGMENTS]! += last - first
    this.#headers.begin(first, last)
    this.#frames.input(now)
  }

  /** The interface's hardware address is another one. */
  readMac(): void {
    this.#plain.readMac()
    this.#bulk.readMac()
  }
}
