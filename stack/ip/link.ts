import type { Nic } from '../../driver/nic.ts'
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
import {
  BROADCAST_MAC,
  ETHERNET_HEADER_BYTES,
  ETHERNET_MIN_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  putEthernet,
} from '../wire/ethernet.ts'
import { IPV4_MIN_HEADER_BYTES, putIpv4 } from '../wire/ipv4.ts'
import { Neighbours } from './neighbours.ts'

const ZERO_MAC = new Uint8Array(6)
/** Bytes in front of a transport header in frames that we build. */
export const L4_OFFSET = ETHERNET_HEADER_BYTES + IPV4_MIN_HEADER_BYTES

/** An address of the interface. */
export interface InterfaceAddress {
  /** As an integer. */
  readonly address: number
  /**
   * True: the address is this stack's alone, which answers and asks ARP for it. False: it is the host's, whose kernel does
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
  onResolved: (address: number, now: number) => void = () => {}

  constructor(nic: Nic, counters: Counters) {
    this.nic = nic
    this.mac = nic.info.mac
    this.#counters = counters
  }

  /** Whether frames to this address are for us. */
  isLocal(address: number): boolean {
    for (const entry of this.addresses) if (entry.address === address) return true
    return false
  }

  /** Whether we, not the host's kernel, speak ARP for this address of ours. */
  isOwn(address: number): boolean {
    for (const entry of this.addresses) if (entry.address === address) return entry.own
    return false
  }

  /**
   * Byte offset in `nic.txMemory` of a transmit slot, -1 when none is free (counted). The transport header goes
   * `L4_OFFSET` bytes behind it.
   */
  reserve(): number {
    const at = this.nic.txReserve()
    if (at < 0) this.#counters.noTransmitSlot++
    return at
  }

  /** Completes the reserved frame with its Ethernet and IPv4 headers and queues it. */
  send(
    at: number,
    mac: Uint8Array,
    source: number,
    destination: number,
    protocol: number,
    transportBytes: number,
    identification: number,
  ): void {
    const frame = this.nic.txMemory
    putEthernet(frame, at, mac, this.mac, ETHERTYPE_IPV4)
    putIpv4(
      frame,
      at + ETHERNET_HEADER_BYTES,
      IPV4_MIN_HEADER_BYTES + transportBytes,
      identification,
      protocol,
      source,
      destination,
    )
    this.#commit(at, L4_OFFSET + transportBytes)
  }

  /** Finds a neighbour's hardware address, or asks for it and returns false. */
  resolve(local: number, address: number, mac: Uint8Array, now: number): boolean {
    if (this.neighbours.lookup(address, mac)) return true
    this.#counters.noNeighbour++
    this.ask(local, address, now)
    return false
  }

  /** Asks for a neighbour's hardware address, at most once a second; `onResolved` follows when the answer is news. */
  ask(local: number, address: number, now: number): void {
    if (!this.neighbours.mayAsk(address, now)) return
    this.#sendArp(ARP_REQUEST, BROADCAST_MAC, local, ZERO_MAC, address)
  }

  /** Takes an ARP packet at `at`; the caller has checked that 28 bytes are there. */
  inputArp(bytes: Uint8Array, at: number, now: number): void {
    if (!isArpIpv4(bytes, at)) {
      this.#counters.dropProtocol++
      return
    }
    const sender = arpSenderAddress(bytes, at)
    const target = arpTargetAddress(bytes, at)
    const mac = bytes.slice(at + arpField.senderMac, at + arpField.senderMac + 6)
    const forUs = this.addresses.some((entry) => entry.own && entry.address === target)
    // RFC 826: an entry that exists is updated whoever the packet is for; a new one is made only by those who talk to us.
    const news = sender !== 0 && this.neighbours.learn(sender, mac, forUs)
    if (!forUs) this.#counters.dropNotForUs++
    else if (arpOperation(bytes, at) === ARP_REQUEST) this.#sendArp(ARP_REPLY, mac, target, mac, sender)
    if (news) this.onResolved(sender, now)
  }

  #sendArp(operation: number, to: Uint8Array, local: number, targetMac: Uint8Array, target: number): void {
    const at = this.reserve()
    if (at < 0) return
    const frame = this.nic.txMemory
    putEthernet(frame, at, to, this.mac, ETHERTYPE_ARP)
    putArp(frame, at + ETHERNET_HEADER_BYTES, operation, this.mac, local, targetMac, target)
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
