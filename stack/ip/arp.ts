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
import type { Link } from './link.ts'
import type { Neighbour } from './neighbours.ts'

/** ARP (RFC 826): answers for our own addresses, asks for those of neighbours. */
export class Arp {
  readonly #link: Link
  readonly #counters: Counters

  constructor(link: Link, counters: Counters) {
    this.#link = link
    this.#counters = counters
  }

  /** Takes an ARP packet at `at`; the caller has checked that 28 bytes are there. */
  input(bytes: Uint8Array, at: number, now: number): void {
    if (!isArpIpv4(bytes, at)) {
      this.#counters.dropProtocol++
      return
    }
    const link = this.#link
    const sender = arpSenderAddress(bytes, at)
    const target = arpTargetAddress(bytes, at)
    const mac = bytes.subarray(at + arpField.senderMac, at + arpField.senderMac + 6)
    const high = get16(mac, 0)
    const low = get32(mac, 2)
    if (!isMac(mac, link.mac) && link.dad.arp(sender, target, mac, now)) return
    const own = link.addresses.find(
      (entry) => entry.own && entry.address.version === 4 && entry.address.w3 === target,
    )
    // Nobody but us has our addresses, and a group address is nobody's.
    if (link.isLocal4(sender) || (high & 0x0100) !== 0 || (high | low) === 0) {
      this.#counters.dropNotForUs++
      return
    }
    const request = arpOperation(bytes, at) === ARP_REQUEST
    let news: Neighbour | null = null
    if (sender !== 0) {
      // RFC 826: an entry that exists is updated whoever the packet is for (so gratuitous ARP moves a neighbour); a new one
      // is made only by those who talk to us.
      const address = IpAddress.v4(sender)
      const local = own?.address ?? address
      news = link.neighbours.learn(
        address,
        mac,
        local,
        own !== undefined,
        !request && own !== undefined,
        true,
        now,
      )
    }
    if (own === undefined) this.#counters.dropNotForUs++
    else if (request) this.#send(ARP_REPLY, high, low, target, high, low, sender)
    if (news !== null) link.onResolved(news, now)
  }

  /** Asks for a neighbour's hardware address. */
  solicit(neighbour: Neighbour, unicast: boolean): void {
    const high = unicast ? neighbour.macHigh : BROADCAST_MAC_HIGH
    const low = unicast ? neighbour.macLow : BROADCAST_MAC_LOW
    this.#send(ARP_REQUEST, high, low, neighbour.local.w3, 0, 0, neighbour.address.w3)
  }

  /** Asks whether anybody has an address that we want (RFC 5227 2.1.1). */
  probe(address: IpAddress): void {
    this.#send(ARP_REQUEST, BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, 0, 0, 0, address.w3)
  }

  /** Tells everybody that an address is ours (RFC 5227 2.3). */
  announce(address: IpAddress): void {
    this.#send(ARP_REQUEST, BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, address.w3, 0, 0, address.w3)
  }

  #send(
    operation: number,
    toHigh: number,
    toLow: number,
    local: number,
    targetHigh: number,
    targetLow: number,
    target: number,
  ): void {
    const link = this.#link
    const at = link.reserve()
    if (at < 0) return
    const frame = link.nic.txMemory
    const arp = at + link.putEthernet(at, toHigh, toLow, ETHERTYPE_ARP)
    putArp(frame, arp, operation, link.mac, local, targetHigh, targetLow, target)
    if (operation === ARP_REQUEST) this.#counters.arpRequestsSent++
    else this.#counters.arpRepliesSent++
    link.commit(at, arp - at + ARP_BYTES)
  }
}
