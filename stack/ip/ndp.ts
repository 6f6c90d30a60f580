import { IpAddress } from '../../address.ts'
import { get16, get32, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
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
import type { DiscoveryOwner } from './discovery.ts'
import type { FrameOutput } from './frame-output.ts'
import { ALL_NODES, NDP_HOP_LIMIT, sendMessage, solicitedNode } from './ndp-output.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED, type Neighbour } from './neighbours.ts'
import { OutgoingFrame } from './outgoing-frame.ts'

/** Takes router advertisements (RFC 4861 4.2). */
export interface RouterAdvertTaker {
  /**
   * A message at `at` whose checksum, hop limit and code are right; `length` bytes are all in `bytes`. False when it is
   * malformed.
   */
  advertised(bytes: Uint8Array, at: number, length: number, source: IpAddress, now: number): boolean
}

/** A message of type 133 to 137 as it came, its checksum right. */
export interface NdpMessage {
  /** Of the frame, from its beginning; all of the message is in it. */
  readonly bytes: Uint8Array
  /** Where the message begins, and its bytes. */
  readonly at: number
  readonly length: number
  /** Of the IPv6 header. */
  readonly hopLimit: number
  readonly source: IpAddress
  readonly destination: IpAddress
  /** The stack of another queue has told of it: it is not answered. */
  readonly heard: boolean
}

/** Neighbour discovery (RFC 4861): answers for our own addresses, asks for those of neighbours. */
export class Ndp {
  /** Null: routes come from the configuration. */
  routers: RouterAdvertTaker | null = null
  /** There are other queues, whose stacks may want what comes to a group here. */
  shared = false
  readonly #owner: DiscoveryOwner
  readonly #frames: FrameOutput
  readonly #counters: Counters
  readonly #frame = new OutgoingFrame(IPPROTO_ICMPV6, NDP_HOP_LIMIT)

  constructor(owner: DiscoveryOwner, frames: FrameOutput, counters: Counters) {
    this.#owner = owner
    this.#frames = frames
    this.#counters = counters
  }

  /** Whether packets to this multicast group are ours: all nodes, and the solicited-node groups of our own addresses. */
  joined(w0: number, w1: number, w2: number, w3: number): boolean {
    if (w0 !== ALL_NODES.w0 || w1 !== 0) return false
    const { dad } = this.#owner
    if (this.shared && ((w2 === 0 && w3 === 1) || (w2 === 1 && w3 >>> 24 === 0xff))) return true
    if (w2 === 0 && w3 === 1 && (this.routers !== null || dad.tests6)) return true
    if (w2 === 1 && w3 >>> 24 === 0xff && dad.joined(w3)) return true
    for (const { address, own } of this.#owner.addresses) {
      if (!own || address.version !== 6) continue
      if (w2 === 0 && w3 === 1) return true
      if (w2 === 1 && w3 >>> 24 === 0xff && ((w3 ^ address.w3) & 0xffffff) === 0) return true
    }
    return false
  }

  /** Returns whether the stacks of other queues may learn from the message. */
  input(message: NdpMessage, now: number): boolean {
    const { bytes, at, length, hopLimit, source } = message
    const type = bytes[at]!
    if (type === NDP_REDIRECT || (type === NDP_ROUTER_ADVERTISEMENT && this.routers === null)) {
      this.#counters.dropRouting++
      return type === NDP_ROUTER_ADVERTISEMENT && hopLimit === NDP_HOP_LIMIT
    }
    if (type === NDP_ROUTER_ADVERTISEMENT) {
      const valid = hopLimit === NDP_HOP_LIMIT && bytes[at + 1] === 0
      if (valid && this.routers!.advertised(bytes, at, length, source, now)) return true
      this.#counters.dropNdp++
      return false
    }
    if (
      hopLimit !== NDP_HOP_LIMIT ||
      bytes[at + 1] !== 0 ||
      (type !== NDP_NEIGHBOUR_SOLICITATION && type !== NDP_NEIGHBOUR_ADVERTISEMENT) ||
      length < NDP_NEIGHBOUR_BYTES
    ) {
      this.#counters.dropNdp++
      return false
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
      return false
    }
    const mac = option < 0 ? null : bytes.subarray(option, option + 6)
    if (this.#owner.dad.tests(target)) {
      const from = mac ?? bytes.subarray(6, 12)
      if (type === NDP_NEIGHBOUR_ADVERTISEMENT) this.#owner.dad.advertised(target, from, now)
      else {
        const nonce = nonceOf(bytes, at + NDP_NEIGHBOUR_BYTES, at + length)
        this.#owner.dad.solicited(target, source, nonce, from, now)
      }
      return false
    }
    return type === NDP_NEIGHBOUR_SOLICITATION
      ? this.#solicited(message, target, mac, now)
      : this.#advertised(message, target, mac, now)
  }

  /** Asks for a neighbour's hardware address. */
  solicit(neighbour: Neighbour, unicast: boolean): void {
    const { address, local } = neighbour
    const group = solicitedNode(address)
    // RFC 2464 section 7: 33:33 and the group's last four bytes.
    const high = unicast ? neighbour.macHigh : 0x3333
    const low = unicast ? neighbour.macLow : group.w3
    this.#counters.neighbourSolicitsSent++
    this.#address(high, low, local, unicast ? address : group)
    this.#send(NDP_NEIGHBOUR_SOLICITATION, 0, address)
  }

  /** RFC 4861 7.2.3, 7.2.4. */
  #solicited(message: NdpMessage, target: IpAddress, mac: Uint8Array | null, now: number): boolean {
    const { source, heard } = message
    const owner = this.#owner
    const own = owner.addresses.find((entry) => entry.own && entry.address.equals(target))
    if (own === undefined) {
      if (!heard) this.#counters.dropNotForUs++
      // A test of an address (RFC 4862 5.4) that another queue's stack may be testing.
      return source.unspecified
    }
    if (source.unspecified) {
      // Somebody tests whether the address is free (RFC 4862 5.4): it is not, and everybody may hear it.
      if (mac !== null || !message.destination.equals(solicitedNode(target))) this.#counters.dropNdp++
      else if (!heard) this.#advertise(0x3333, ALL_NODES.w3, own.address, ALL_NODES, NDP_OVERRIDE)
      return false
    }
    if (owner.isLocal(source) || !source.unicast) {
      this.#counters.dropNdp++
      return false
    }
    // Without the option the asker is answered where its frame came from, if it was meant for us alone (7.2.3).
    let high = get16(message.bytes, 6)
    let low = get32(message.bytes, 8)
    if (mac !== null) {
      const news = owner.neighbours.learn(source, mac, own.address, LEARN_CREATE | LEARN_OVERRIDE, now)
      high = get16(mac, 0)
      low = get32(mac, 2)
      if (news !== null) owner.resolved(news, now)
    }
    if (!heard) this.#advertise(high, low, own.address, source, NDP_SOLICITED | NDP_OVERRIDE)
    return mac !== null
  }

  /** RFC 4861 7.2.5. */
  #advertised(message: NdpMessage, target: IpAddress, mac: Uint8Array | null, now: number): boolean {
    const { destination } = message
    const owner = this.#owner
    const flags = message.bytes[message.at + 4]!
    const solicited = (flags & NDP_SOLICITED) !== 0
    if (owner.isLocal(target) && owner.isOwn(target)) this.#counters.addressConflicts++
    if ((solicited && destination.multicast) || owner.isLocal(target)) {
      this.#counters.dropNdp++
      return false
    }
    const known = owner.neighbours.lookup(target)
    if (mac === null) {
      // 7.2.5: without an address it can only confirm the one we have.
      if (known !== null && solicited) owner.neighbours.confirm(target, now)
      return true
    }
    const override = (flags & NDP_OVERRIDE) !== 0 ? LEARN_OVERRIDE : 0
    const how = solicited ? override | LEARN_SOLICITED : override
    const news = owner.neighbours.learn(target, mac, destination, how, now)
    const entry = owner.neighbours.lookup(target)
    if (entry !== null) entry.router = (flags & NDP_ROUTER) !== 0
    if (news !== null) owner.resolved(news, now)
    return true
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
    this.#address(high, low, local, to)
    this.#send(NDP_NEIGHBOUR_ADVERTISEMENT, flags, local)
  }

  /** From whom to whom the next message goes. */
  #address(macHigh: number, macLow: number, source: IpAddress, destination: IpAddress): void {
    const frame = this.#frame
    frame.macHigh = macHigh
    frame.macLow = macLow
    frame.source = source
    frame.destination = destination
  }

  /** Sends a message about `target` that has our hardware address in it. */
  #send(type: number, flags: number, target: IpAddress): void {
    const frames = this.#frames
    const frame = this.#frame
    frame.at = frames.reserve()
    if (frame.at < 0) return
    frame.transportBytes = NDP_NEIGHBOUR_BYTES + 8
    const { txMemory } = frames.nic
    const at = frame.at + frames.transportOffset(frame.source)
    put32(txMemory, at, type << 24)
    put32(txMemory, at + 4, flags << 24)
    target.put(txMemory, at + 8)
    const option = type === NDP_NEIGHBOUR_SOLICITATION ? NDP_SOURCE_LINK_ADDRESS : NDP_TARGET_LINK_ADDRESS
    txMemory[at + 24] = option
    txMemory[at + 25] = 1
    for (let i = 0; i < 6; i++) txMemory[at + 26 + i] = frames.mac[i]!
    sendMessage(frames, frame)
  }
}

/** The nonce (RFC 3971 5.3.2) among options whose lengths were checked; null when there is none. */
function nonceOf(bytes: Uint8Array, from: number, end: number): Uint8Array | null {
  for (let at = from; at < end; at += bytes[at + 1]! * 8) {
    if (bytes[at] === NDP_NONCE) return bytes.subarray(at + 2, at + bytes[at + 1]! * 8)
  }
  return null
}
