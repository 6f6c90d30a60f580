import { IpAddress } from '../../address.ts'
import { get16, get32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import {
  ARP_BYTES,
  ARP_REPLY,
  ARP_REQUEST,
  arpField,
  arpOperation,
  arpSenderAddress,
  arpTargetAddress,
  isArpIpv4,
  putArp,
} from '../wire/arp.ts'
import { BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, ETHERTYPE_ARP } from '../wire/ethernet.ts'
import { isMac } from './dad.ts'
import type { DiscoveryOwner } from './discovery.ts'
import type { FrameOutput } from './frame-output.ts'
import { LEARN_CREATE, LEARN_OVERRIDE, LEARN_SOLICITED, type Neighbour } from './neighbours.ts'

/** ARP (RFC 826): answers for our own addresses, asks for those of neighbours. */
export class Arp {
  readonly #owner: DiscoveryOwner
  readonly #frames: FrameOutput
  readonly #counters: Counters

  constructor(owner: DiscoveryOwner, frames: FrameOutput, counters: Counters) {
    this.#owner = owner
    this.#frames = frames
    this.#counters = counters
  }

  /**
   * Takes an ARP packet at `at`; the caller has checked that 28 bytes are there. Returns whether the stacks of other queues may
   * learn from it.
   * @param heard one of them has told of it: it is not answered, but an address of ours is defended
   */
  input(bytes: Uint8Array, at: number, now: number, heard: boolean): boolean {
    if (!isArpIpv4(bytes, at)) {
      this.#counters.dropProtocol++
      return false
    }
    const owner = this.#owner
    const sender = arpSenderAddress(bytes, at)
    const target = arpTargetAddress(bytes, at)
    const mac = bytes.subarray(at + arpField.senderMac, at + arpField.senderMac + 6)
    const high = get16(mac, 0)
    const low = get32(mac, 2)
    const ours = isMac(mac, this.#frames.mac)
    if (!ours && owner.dad.arp(sender, target, mac, now)) return false
    const own = owner.addresses.find(
      (entry) => entry.own && entry.address.version === 4 && entry.address.w3 === target,
    )
    // Nobody but us has our addresses, and a group address is nobody's.
    const group = (high & 0x0100) !== 0 || (high | low) === 0
    if (owner.isLocal4(sender) || group) {
      this.#counters.dropNotForUs++
      // The stack that has tested the address defends it.
      return !ours && !group
    }
    const request = arpOperation(bytes, at) === ARP_REQUEST
    let news: Neighbour | null = null
    if (sender !== 0) {
      // RFC 826: an entry that exists is updated whoever the packet is for (so gratuitous ARP moves a neighbour); a new one
      // is made only by those who talk to us.
      const address = IpAddress.v4(sender)
      const local = own?.address ?? address
      let how = LEARN_OVERRIDE
      if (own !== undefined) how |= request ? LEARN_CREATE : LEARN_CREATE | LEARN_SOLICITED
      news = owner.neighbours.learn(address, mac, local, how, now)
    }
    if (own === undefined) {
      if (!heard) this.#counters.dropNotForUs++
    } else if (request && !heard) this.#send(ARP_REPLY, high, low, target, sender)
    if (news !== null) owner.resolved(news, now)
    // Not of what others ask each other all day, unless it was news here. A probe (RFC 5227) has no sender, and may be for an
    // address that another queue's stack tests.
    return !ours && (!request || own !== undefined || sender === target || sender === 0 || news !== null)
  }

  /** Asks for a neighbour's hardware address. */
  solicit(neighbour: Neighbour, unicast: boolean): void {
    const high = unicast ? neighbour.macHigh : BROADCAST_MAC_HIGH
    const low = unicast ? neighbour.macLow : BROADCAST_MAC_LOW
    this.#send(ARP_REQUEST, high, low, neighbour.local.w3, neighbour.address.w3)
  }

  /** Asks whether anybody has an address that we want (RFC 5227 2.1.1). */
  probe(address: IpAddress): void {
    this.#send(ARP_REQUEST, BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, 0, address.w3)
  }

  /** Tells everybody that an address is ours (RFC 5227 2.3). */
  announce(address: IpAddress): void {
    this.#send(ARP_REQUEST, BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, address.w3, address.w3)
  }

  /** @param local,target the sender's and the target's address, as integers */
  #send(operation: number, toHigh: number, toLow: number, local: number, target: number): void {
    const frames = this.#frames
    const at = frames.reserve()
    if (at < 0) return
    const arp = at + frames.putEthernet(at, toHigh, toLow, ETHERTYPE_ARP)
    const reply = operation === ARP_REPLY
    // A request does not know the target's hardware address, even where it goes to one.
    const targetHigh = reply ? toHigh : 0
    const targetLow = reply ? toLow : 0
    putArp(frames.nic.txMemory, arp, operation, frames.mac, local, targetHigh, targetLow, target)
    if (reply) this.#counters.arpRepliesSent++
    else this.#counters.arpRequestsSent++
    frames.commit(at, arp - at + ARP_BYTES)
  }
}
