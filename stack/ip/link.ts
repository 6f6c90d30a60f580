import type { Nic } from '../../driver/nic.ts'
import type { Counters } from '../counters.ts'
import type { Segment } from '../tcp/segment.ts'
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
import { get16, get32 } from '../wire/bytes.ts'
import {
  BROADCAST_MAC_HIGH,
  BROADCAST_MAC_LOW,
  ETHERNET_HEADER_BYTES,
  ETHERNET_MIN_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  putEthernet,
} from '../wire/ethernet.ts'
import { IPV4_MIN_HEADER_BYTES, putIpv4 } from '../wire/ipv4.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../wire/ipv6.ts'
import { IpAddress } from './address.ts'
import { type Neighbour, Neighbours } from './neighbours.ts'

/** An address of the interface. */
export interface InterfaceAddress {
  readonly address: IpAddress
  /**
   * True: the address is this stack's alone, which answers and asks ARP (or neighbour solicitations) for it. False: it is the host's, whose kernel does
   * that; peers are answered at the hardware address their frames came from.
   */
  readonly own: boolean
}

/** Frames out, and ARP: everything between IP and the NIC. */
export class Link {
  readonly nic: Nic
  readonly mac: Uint8Array
  readonly addresses: InterfaceAddress[] = []
  readonly neighbours: Neighbours = new Neighbours()
  readonly #counters: Counters
  /** Called when a neighbour's hardware address becomes known. */
  onResolved: (neighbour: Neighbour, now: number) => void = () => {}

  constructor(nic: Nic, counters: Counters) {
    this.nic = nic
    this.mac = nic.info.mac
    this.#counters = counters
  }

  /** Whether frames to this address are for us. */
  isLocal(address: IpAddress): boolean {
    for (const entry of this.addresses) if (entry.address.equals(address)) return true
    return false
  }

  /** The same for an IPv4 address as an integer. */
  isLocal4(address: number): boolean {
    const { addresses } = this
    for (let i = 0; i < addresses.length; i++) {
      const own = addresses[i]!.address
      if (own.w3 === address && own.version === 4) return true
    }
    return false
  }

  /** The interface's object for the address a segment came to, which all its connections share. */
  localOf(segment: Segment): IpAddress {
    for (const { address } of this.addresses) {
      if (
        address.w3 === segment.destination3 &&
        address.w2 === segment.destination2 &&
        address.w1 === segment.destination1 &&
        address.w0 === segment.destination0
      ) {
        return address
      }
    }
    return segment.destination()
  }

  /** The address of ours that a connection to `remote` begins at; null when we have none of its version. */
  localFor(remote: IpAddress): IpAddress | null {
    const { version, linkLocal } = remote
    const candidates = this.addresses.filter(({ address }) => address.version === version)
    const best = candidates.find(({ address }) => address.linkLocal === linkLocal) ?? candidates[0]
    return best?.address ?? null
  }

  /** Whether we, not the host's kernel, speak ARP for this address of ours. */
  isOwn(address: IpAddress): boolean {
    for (const entry of this.addresses) if (entry.address.equals(address)) return entry.own
    return false
  }

  /** Bytes in front of the transport header in frames that we build for an address of this version. */
  transportOffset(address: IpAddress): number {
    return ETHERNET_HEADER_BYTES + (address.version === 4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES)
  }

  /**
   * Byte offset in `nic.txMemory` of a transmit slot, -1 when none is free (counted). The transport header goes
   * `transportOffset` bytes behind it.
   */
  reserve(): number {
    const at = this.nic.txReserve()
    if (at < 0) this.#counters.noTransmitSlot++
    return at
  }

  /** Completes the reserved frame with its Ethernet and IP headers and queues it. */
  send(
    at: number,
    macHigh: number,
    macLow: number,
    source: IpAddress,
    destination: IpAddress,
    protocol: number,
    transportBytes: number,
    identification: number,
  ): void {
    const frame = this.nic.txMemory
    const ip = at + ETHERNET_HEADER_BYTES
    if (source.version === 4) {
      putEthernet(frame, at, macHigh, macLow, this.mac, ETHERTYPE_IPV4)
      const total = IPV4_MIN_HEADER_BYTES + transportBytes
      putIpv4(frame, ip, total, identification, protocol, source.w3, destination.w3)
    } else {
      putEthernet(frame, at, macHigh, macLow, this.mac, ETHERTYPE_IPV6)
      putIpv6(frame, ip, transportBytes, protocol, source, destination, 0)
    }
    this.#commit(at, this.transportOffset(source) + transportBytes)
  }

  /** Largest IP packet on the way to an address, bytes. */
  mtuTo(_remote: IpAddress): number {
    return this.nic.info.mtu
  }

  /** Finds a neighbour's hardware address, or asks for it and returns null. */
  resolve(local: IpAddress, address: IpAddress, now: number): Neighbour | null {
    const neighbour = this.neighbours.lookup(address)
    if (neighbour !== null) return neighbour
    this.#counters.noNeighbour++
    this.ask(local, address, now)
    return null
  }

  /** Asks for a neighbour's hardware address, at most once a second; `onResolved` follows when the answer is news. */
  ask(local: IpAddress, address: IpAddress, now: number): void {
    if (!this.neighbours.mayAsk(address, now)) return
    this.#sendArp(ARP_REQUEST, BROADCAST_MAC_HIGH, BROADCAST_MAC_LOW, local.w3, 0, 0, address.w3)
  }

  /** Takes an ARP packet at `at`; the caller has checked that 28 bytes are there. */
  inputArp(bytes: Uint8Array, at: number, now: number): void {
    if (!isArpIpv4(bytes, at)) {
      this.#counters.dropProtocol++
      return
    }
    const sender = arpSenderAddress(bytes, at)
    const target = arpTargetAddress(bytes, at)
    const mac = bytes.subarray(at + arpField.senderMac, at + arpField.senderMac + 6)
    const forUs = this.addresses.some(
      ({ own, address }) => own && address.version === 4 && address.w3 === target,
    )
    // RFC 826: an entry that exists is updated whoever the packet is for; a new one is made only by those who talk to us.
    const news = sender === 0 ? null : this.neighbours.learn(IpAddress.v4(sender), mac, forUs)
    if (!forUs) this.#counters.dropNotForUs++
    else if (arpOperation(bytes, at) === ARP_REQUEST) {
      const [high, low] = [get16(mac, 0), get32(mac, 2)]
      this.#sendArp(ARP_REPLY, high, low, target, high, low, sender)
    }
    if (news !== null) this.onResolved(news, now)
  }

  #sendArp(
    operation: number,
    toHigh: number,
    toLow: number,
    local: number,
    targetHigh: number,
    targetLow: number,
    target: number,
  ): void {
    const at = this.reserve()
    if (at < 0) return
    const frame = this.nic.txMemory
    putEthernet(frame, at, toHigh, toLow, this.mac, ETHERTYPE_ARP)
    putArp(frame, at + ETHERNET_HEADER_BYTES, operation, this.mac, local, targetHigh, targetLow, target)
    if (operation === ARP_REQUEST) this.#counters.arpRequestsSent++
    else this.#counters.arpRepliesSent++
    this.#commit(at, ETHERNET_HEADER_BYTES + ARP_BYTES)
  }

  #commit(at: number, length: number): void {
    // Slots are reused: what pads a short frame must not be the rest of an older one.
    if (length < ETHERNET_MIN_BYTES) {
      this.nic.txMemory.fill(0, at + length, at + ETHERNET_MIN_BYTES)
      length = ETHERNET_MIN_BYTES
    }
    this.#counters.txFrames++
    this.nic.txCommit(at, length)
  }
}
