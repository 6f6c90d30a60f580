import { IpAddress } from '../../address.ts'
import { get16, get32, put16, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import { addSums, pseudoHeaderSum6, sumBytes } from '../wire/checksum.ts'
import { ETHERTYPE_IPV6 } from '../wire/ethernet.ts'
import {
  IPPROTO_ICMPV6,
  NDP_NEIGHBOUR_ADVERTISEMENT,
  NDP_NEIGHBOUR_BYTES,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_NONCE,
  NDP_OVERRIDE,
  NDP_REDIRECT,
  NDP_ROUTER,
  NDP_ROUTER_ADVERTISEMENT,
  NDP_SOLICITED,
  NDP_SOURCE_LINK_ADDRESS,
  NDP_TARGET_LINK_ADDRESS,
} from '../wire/icmp.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../wire/ipv6.ts'
import type { Link } from './link.ts'
import { ALL_NODES, NDP_HOP_LIMIT, solicitedNode } from './ndp-output.ts'
import type { Neighbour } from './neighbours.ts'

/** Takes router advertisements (RFC 4861 4.2). */
export interface RouterAdvertTaker {
  /**
   * A message at `at` whose checksum, hop limit and code are right; `length` bytes are all in `bytes`. False when it is
   * malformed.
   */
  advertised(bytes: Uint8Array, at: number, length: number, source: IpAddress, now: number): boolean
}

/** Neighbour discovery (RFC 4861): answers for our own addresses, asks for those of neighbours. */
export class Ndp {
  /** Null: routes come from the configuration. */
  routers: RouterAdvertTaker | null = null
  readonly #link: Link
  readonly #counters: Counters

  constructor(link: Link, counters: Counters) {
    this.#link = link
    this.#counters = counters
  }

  /** Whether packets to this multicast group are ours: all nodes, and the solicited-node groups of our own addresses. */
  joined(w0: number, w1: number, w2: number, w3: number): boolean {
    if (w0 !== ALL_NODES.w0 || w1 !== 0) return false
    const { dad } = this.#link
    if (w2 === 0 && w3 === 1 && (this.routers !== null || dad.tests6)) return true
    if (w2 === 1 && w3 >>> 24 === 0xff && dad.joined(w3)) return true
    for (const { address, own } of this.#link.addresses) {
      if (!own || address.version !== 6) continue
      if (w2 === 0 && w3 === 1) return true
      if (w2 === 1 && w3 >>> 24 === 0xff && ((w3 ^ address.w3) & 0xffffff) === 0) return true
    }
    return false
  }

  /**
   * Takes a message of type 133 to 137 at `at`, whose checksum is right; `length` bytes are all in `bytes`.
   * @param source,destination of the IPv6 header
   */
  input(
    bytes: Uint8Array,
    at: number,
    length: number,
    hopLimit: number,
    source: IpAddress,
    destination: IpAddress,
    now: number,
  ): void {
    const type = bytes[at]!
    if (type === NDP_REDIRECT || (type === NDP_ROUTER_ADVERTISEMENT && this.routers === null)) {
      this.#counters.dropRouting++
      return
    }
    if (type === NDP_ROUTER_ADVERTISEMENT) {
      const valid = hopLimit === NDP_HOP_LIMIT && bytes[at + 1] === 0
      if (!valid || !this.routers!.advertised(bytes, at, length, source, now)) this.#counters.dropNdp++
      return
    }
    if (
      hopLimit !== NDP_HOP_LIMIT ||
      bytes[at + 1] !== 0 ||
      (type !== NDP_NEIGHBOUR_SOLICITATION && type !== NDP_NEIGHBOUR_ADVERTISEMENT) ||
      length < NDP_NEIGHBOUR_BYTES
    ) {
      this.#counters.dropNdp++
      return
    }
    const target = IpAddress.at(bytes, at + 8)
    const option = this.#linkOption(
      bytes,
      at + NDP_NEIGHBOUR_BYTES,
      at + length,
      type === NDP_NEIGHBOUR_SOLICITATION ? NDP_SOURCE_LINK_ADDRESS : NDP_TARGET_LINK_ADDRESS,
    )
    if (option === -2 || target.multicast) {
      this.#counters.dropNdp++
      return
    }
    const mac = option < 0 ? null : bytes.subarray(option, option + 6)
    if (this.#link.dad.tests(target)) {
      const from = mac ?? bytes.subarray(6, 12)
      if (type === NDP_NEIGHBOUR_ADVERTISEMENT) this.#link.dad.advertised(target, from, now)
      else {
        const nonce = nonceOf(bytes, at + NDP_NEIGHBOUR_BYTES, at + length)
        this.#link.dad.solicited(target, source, nonce, from, now)
      }
      return
    }
    if (type === NDP_NEIGHBOUR_SOLICITATION) this.#solicited(bytes, target, mac, source, destination, now)
    else this.#advertised(bytes[at + 4]!, target, mac, destination, now)
  }

  /** Asks for a neighbour's hardware address. */
  solicit(neighbour: Neighbour, unicast: boolean): void {
    const { address, local } = neighbour
    const group = solicitedNode(address)
    // RFC 2464 section 7: 33:33 and the group's last four bytes.
    const high = unicast ? neighbour.macHigh : 0x3333
    const low = unicast ? neighbour.macLow : group.w3
    this.#counters.neighbourSolicitsSent++
    this.#send(high, low, local, unicast ? address : group, NDP_NEIGHBOUR_SOLICITATION, 0, address, true)
  }

  /** RFC 4861 7.2.3, 7.2.4. */
  #solicited(
    frame: Uint8Array,
    target: IpAddress,
    mac: Uint8Array | null,
    source: IpAddress,
    destination: IpAddress,
    now: number,
  ): void {
    const link = this.#link
    const own = link.addresses.find((entry) => entry.own && entry.address.equals(target))
    if (own === undefined) {
      this.#counters.dropNotForUs++
      return
    }
    if (source.unspecified) {
      // Somebody tests whether the address is free (RFC 4862 5.4): it is not, and everybody may hear it.
      if (mac !== null || !destination.equals(solicitedNode(target))) this.#counters.dropNdp++
      else this.#advertise(0x3333, ALL_NODES.w3, own.address, ALL_NODES, NDP_OVERRIDE)
      return
    }
    if (link.isLocal(source) || !source.unicast) {
      this.#counters.dropNdp++
      return
    }
    // Without the option the asker is answered where its frame came from, if it was meant for us alone (7.2.3).
    let high = get16(frame, 6)
    let low = get32(frame, 8)
    if (mac !== null) {
      const news = link.neighbours.learn(source, mac, own.address, true, false, true, now)
      high = get16(mac, 0)
      low = get32(mac, 2)
      if (news !== null) link.onResolved(news, now)
    }
    this.#advertise(high, low, own.address, source, NDP_SOLICITED | NDP_OVERRIDE)
  }

  /** RFC 4861 7.2.5. */
  #advertised(
    flags: number,
    target: IpAddress,
    mac: Uint8Array | null,
    destination: IpAddress,
    now: number,
  ): void {
    const link = this.#link
    const solicited = (flags & NDP_SOLICITED) !== 0
    if (link.isLocal(target) && link.isOwn(target)) this.#counters.addressConflicts++
    if ((solicited && destination.multicast) || link.isLocal(target)) {
      this.#counters.dropNdp++
      return
    }
    const known = link.neighbours.lookup(target)
    if (mac === null) {
      // 7.2.5: without an address it can only confirm the one we have.
      if (known !== null && solicited) link.neighbours.confirm(target, now)
      return
    }
    const override = (flags & NDP_OVERRIDE) !== 0
    const news = link.neighbours.learn(target, mac, destination, false, solicited, override, now)
    const entry = link.neighbours.lookup(target)
    if (entry !== null) entry.router = (flags & NDP_ROUTER) !== 0
    if (news !== null) link.onResolved(news, now)
  }

  /** Offset of a link-layer address in the options, -1 when there is none, -2 when they are malformed (RFC 4861 4.6). */
  #linkOption(bytes: Uint8Array, from: number, end: number, kind: number): number {
    let found = -1
    for (let at = from; at < end; ) {
      const size = at + 1 < end ? bytes[at + 1]! * 8 : 0
      if (size === 0 || at + size > end) return -2
      if (bytes[at] === kind && size === 8) {
        // A group address is nobody's.
        if ((bytes[at + 2]! & 1) !== 0) return -2
        found = at + 2
      }
      at += size
    }
    return found
  }

  /** Tells everybody an address's hardware address, which is another than it was (RFC 4861 7.2.6). */
  announce(address: IpAddress): void {
    this.#advertise(0x3333, ALL_NODES.w3, address, ALL_NODES, NDP_OVERRIDE)
  }

  #advertise(high: number, low: number, local: IpAddress, to: IpAddress, flags: number): void {
    this.#counters.neighbourAdvertsSent++
    this.#send(high, low, local, to, NDP_NEIGHBOUR_ADVERTISEMENT, flags, local, true)
  }

  #send(
    macHigh: number,
    macLow: number,
    source: IpAddress,
    destination: IpAddress,
    type: number,
    flags: number,
    target: IpAddress,
    withLinkAddress: boolean,
  ): void {
    const link = this.#link
    const slot = link.reserve()
    if (slot < 0) return
    const frame = link.nic.txMemory
    const ip = slot + link.putEthernet(slot, macHigh, macLow, ETHERTYPE_IPV6)
    const at = ip + IPV6_HEADER_BYTES
    const length = NDP_NEIGHBOUR_BYTES + (withLinkAddress ? 8 : 0)
    putIpv6(frame, ip, length, IPPROTO_ICMPV6, source, destination, 0, NDP_HOP_LIMIT)
    put32(frame, at, type << 24)
    put32(frame, at + 4, flags << 24)
    target.put(frame, at + 8)
    if (withLinkAddress) {
      frame[at + 24] = type === NDP_NEIGHBOUR_SOLICITATION ? NDP_SOURCE_LINK_ADDRESS : NDP_TARGET_LINK_ADDRESS
      frame[at + 25] = 1
      for (let i = 0; i < 6; i++) frame[at + 26 + i] = link.mac[i]!
    }
    const pseudo = pseudoHeaderSum6(source, destination, IPPROTO_ICMPV6, length)
    put16(frame, at + 2, ~addSums(pseudo, sumBytes(frame, at, length)) & 0xffff)
    link.commit(slot, at - slot + length)
  }
}

/** The nonce (RFC 3971 5.3.2) among options whose lengths were checked; null when there is none. */
function nonceOf(bytes: Uint8Array, from: number, end: number): Uint8Array | null {
  for (let at = from; at < end; at += bytes[at + 1]! * 8) {
    if (bytes[at] === NDP_NONCE) return bytes.subarray(at + 2, at + bytes[at + 1]! * 8)
  }
  return null
}
