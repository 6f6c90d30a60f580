import type { IpAddress } from '../../address.ts'
import { put16, put32 } from '../../bytes.ts'
import type { LargeSends, Nic } from '../../driver/nic.ts'
import { type Counters, TX_FRAMES } from '../counters.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_MIN_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../wire/ethernet.ts'
import { IPV4_DF, IPV4_MIN_HEADER_BYTES, putIpv4 } from '../wire/ipv4.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../wire/ipv6.ts'
import type { OutgoingFrame } from './outgoing-frame.ts'

/** Frames out: transmit slots, and the Ethernet and IP headers in them. */
export class FrameOutput {
  readonly nic: Nic
  /** The NIC's own array: it has the address as it is now. */
  readonly mac: Uint8Array
  /** VLAN ids that frames carry, outer first. */
  readonly vlan: readonly number[]
  /** Bytes of the Ethernet header with the tags we send. */
  readonly linkBytes: number
  readonly #largeSends: LargeSends | null
  readonly #counters: Counters

  constructor(nic: Nic, counters: Counters, vlan: readonly number[]) {
    this.nic = nic
    this.mac = nic.info.mac
    this.vlan = vlan
    this.linkBytes = ETHERNET_HEADER_BYTES + 4 * vlan.length
    this.#largeSends = nic.roles.largeSends
    this.#counters = counters
  }

  /** Bytes in front of the transport header in frames that we build for an address of this version. */
  transportOffset(address: IpAddress): number {
    return this.linkBytes + (address.version === 4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES)
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
  send(frame: OutgoingFrame): void {
    const { at, source, destination, transportBytes } = frame
    const { txMemory } = this.nic
    const ip = at + this.linkBytes
    const v4 = source.version === 4
    this.putEthernet(at, frame.macHigh, frame.macLow, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)
    if (v4) {
      // RFC 6864 4.1: the identification of what can't be fragmented means nothing.
      putIpv4(
        txMemory,
        ip,
        IPV4_MIN_HEADER_BYTES + transportBytes,
        0,
        frame.protocol,
        source.w3,
        destination.w3,
        IPV4_DF,
        frame.trafficClass,
        frame.hopLimit,
      )
    } else {
      putIpv6(
        txMemory,
        ip,
        transportBytes,
        frame.protocol,
        source,
        destination,
        frame.flowLabel,
        frame.hopLimit,
        frame.trafficClass,
      )
    }
    const transport = this.transportOffset(source)
    const { segmentBytes } = frame
    if (segmentBytes === 0) this.commit(at, transport + transportBytes)
    else {
      const payload = transport + frame.headerBytes
      this.#counters.cells[TX_FRAMES]! += 1
      this.#largeSends!.txCommitLarge(at, transport + transportBytes, transport, payload, segmentBytes)
    }
  }

  /** Writes the Ethernet header with our tags at a slot; returns its bytes. */
  putEthernet(at: number, macHigh: number, macLow: number, type: number): number {
    const frame = this.nic.txMemory
    put16(frame, at, macHigh)
    put32(frame, at + 2, macLow)
    for (let i = 0; i < 6; i++) frame[at + 6 + i] = this.mac[i]!
    let next = at + 12
    for (let i = 0; i < this.vlan.length; i++) {
      // IEEE 802.1ad: the outer of two is a service tag.
      put16(frame, next, this.vlan.length === 2 && i === 0 ? ETHERTYPE_QINQ : ETHERTYPE_VLAN)
      put16(frame, next + 2, this.vlan[i]!)
      next += 4
    }
    put16(frame, next, type)
    return this.linkBytes
  }

  /** Queues the frame of `length` bytes in a slot. */
  commit(at: number, length: number): void {
    // Slots are reused: what pads a short frame must not be the rest of an older one.
    if (length < ETHERNET_MIN_BYTES) {
      this.nic.txMemory.fill(0, at + length, at + ETHERNET_MIN_BYTES)
      length = ETHERNET_MIN_BYTES
    }
    this.#counters.cells[TX_FRAMES]! += 1
    this.nic.txCommit(at, length)
  }
}
