import { type FrameObserver, type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import { type Counters, DropWatch, RX_FRAGMENTS, RX_FRAMES } from '../counters.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import { PayloadTaker } from '../tcp/payload.ts'
import type { Segment } from '../tcp/segment.ts'
import { ARP_BYTES } from '../wire/arp.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../wire/ethernet.ts'
import { Assembled } from './assembled.ts'
import type { InputContext, IpContext } from './context.ts'
import { isMac } from './dad.ts'
import { DatagramOutput } from './datagram-output.ts'
import { FragmentReassembly } from './fragment-reassembly.ts'
import { FragmentSums } from './fragment-sums.ts'
import { FrameHeaders } from './frame-headers.ts'
import { IcmpInput } from './icmp-input.ts'
import { IcmpOutput } from './icmp-output.ts'
import { Ipv4Input } from './ipv4-input.ts'
import { Ipv6Input } from './ipv6-input.ts'
import type { Link } from './link.ts'
import { PacketBytes } from './packet-bytes.ts'
import { PlainInput } from './plain-input.ts'
import { SegmentInput } from './segment-input.ts'

/** VLAN id in a tag control field (IEEE 802.1Q). */
const VLAN_ID = 0x0fff

/**
 * From fragments in niovs to packets: walks the burst, filters hardware addresses and VLAN tags, and hands each frame to ARP,
 * IPv4 or IPv6. Every length is checked against the frame before a byte is read, and what is dropped is counted.
 */
export class EthernetInput {
  readonly reassembly: FragmentReassembly
  readonly #nic: Nic
  readonly #memory: QueueMemory
  readonly #link: Link
  readonly #counters: Counters
  readonly #burst: RxBurst
  readonly #segment: Segment
  readonly #headers: FrameHeaders
  readonly #sums: FragmentSums
  readonly #plain: PlainInput
  readonly #ipv4: Ipv4Input
  readonly #ipv6: Ipv6Input
  /** Null unless the NIC wants to know what becomes of frames. */
  readonly #observer: FrameObserver | null
  readonly #watch: DropWatch | null

  constructor(ip: IpContext) {
    const { nic, memory, fragments, counters, burst } = ip
    this.#nic = nic
    this.#memory = memory
    this.#link = ip.link
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
    const reassembly = new FragmentReassembly(
      context,
      new PayloadTaker(nic, burst, memory, fragments, counters),
    )
    this.reassembly = reassembly
    const assembled = new Assembled(context, reassembly)
    const icmpOutput = new IcmpOutput(context, new DatagramOutput(ip.link, counters, ip.entropy))
    const icmp = new IcmpInput(context, icmpOutput)
    const segments = new SegmentInput(context)
    this.#ipv4 = new Ipv4Input(context, assembled, segments, icmp, icmpOutput)
    this.#ipv6 = new Ipv6Input(context, assembled, segments, icmp, icmpOutput)
    reassembly.onTimeout = (datagram, now) => {
      if (datagram.version === 4) this.#ipv4.timedOut(datagram, now)
      else this.#ipv6.timedOut(datagram, now)
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
    while (first < count) {
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
    const headers = this.#headers
    counters.cells[RX_FRAMES]! += 1
    counters.cells[RX_FRAGMENTS]! += last - first
    headers.begin(first, last)
    if (!headers.need(ETHERNET_HEADER_BYTES)) {
      counters.dropMalformed++
      return
    }
    const at = this.#tags()
    if (at < 0) return
    const type = headers.view.getUint16(at - 2)
    if (type === ETHERTYPE_ARP) {
      if (!headers.need(at + ARP_BYTES)) counters.dropMalformed++
      else this.#link.arp.input(headers.bytes, at, now)
      return
    }
    if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) {
      counters.dropProtocol++
      return
    }
    // A group is nobody's source: what answers it would go to everybody.
    if ((headers.bytes[6]! & 1) !== 0) {
      counters.dropNotForUs++
      return
    }
    // A switch that floods, or a promiscuous interface, shows us what is for others: it must not be answered.
    if (!this.#forUs(type)) {
      counters.dropNotForUs++
      return
    }
    if (type === ETHERTYPE_IPV4) this.#ipv4.input(at, now)
    else this.#ipv6.input(at, now)
  }

  /**
   * Steps over at most two VLAN tags (802.1Q, 802.1ad). Returns where the payload begins, -1 when the tags are not ours
   * (counted). A tag of VLAN 0 says the priority only and belongs to no VLAN.
   */
  #tags(): number {
    const headers = this.#headers
    const { vlan } = this.#link.frames
    let at = ETHERNET_HEADER_BYTES
    let matched = 0
    for (let tags = 0; ; tags++) {
      const type = headers.view.getUint16(at - 2)
      if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_QINQ) break
      if (tags === 2 || !headers.need(at + 4)) {
        this.#counters.dropMalformed++
        return -1
      }
      const id = headers.view.getUint16(at) & VLAN_ID
      if (id !== 0) {
        if (vlan[matched] !== id) {
          this.#counters.dropVlan++
          return -1
        }
        matched++
      }
      at += 4
    }
    if (matched === vlan.length) return at
    this.#counters.dropVlan++
    return -1
  }

  /** The interface's hardware address is another one. */
  readMac(): void {
    this.#plain.readMac()
  }

  /** Whether the frame's destination is our hardware address (or was, before it changed), or the group of an IPv6 multicast address (RFC 2464 section 7). */
  #forUs(type: number): boolean {
    const header = this.#headers.bytes
    if (type === ETHERTYPE_IPV6 && header[0] === 0x33 && header[1] === 0x33) {
      const { view } = this.#headers
      const low = view.getInt32(2)
      // Whether the group is one of ours, the IPv6 address says.
      return low === 1 || low >>> 24 === 0xff
    }
    const { mac, formerMacs } = this.#link
    if (isMac(header, mac)) return true
    for (let i = 0; i < formerMacs.length; i++) if (isMac(header, formerMacs[i]!)) return true
    return false
  }
}
