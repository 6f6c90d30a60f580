import { IpAddress } from '../../address.ts'
import { HOP_LIMIT } from '../wire/ipv6.ts'

/**
 * What the headers of a frame that leaves say, in front of the transport header that its sender has written. Whoever sends keeps
 * one of a protocol and fills it for every frame.
 */
export class OutgoingFrame {
  /** Of the transport header (IANA protocol-numbers). */
  readonly protocol: number
  /** Byte offset of its transmit slot in `nic.txMemory`: see `FrameOutput.reserve`. */
  at = 0
  /** Hardware address it goes to, first two and last four bytes. */
  macHigh = 0
  macLow = 0
  source: IpAddress = IpAddress.any4
  destination: IpAddress = IpAddress.any4
  /** Bytes of transport header and payload. */
  transportBytes = 0
  /** Of IPv6 (RFC 6437). */
  flowLabel = 0
  /** With the ECN codepoint (RFC 3168 section 5). */
  trafficClass = 0
  /** Or TTL. */
  hopLimit: number
  /** Not 0: the device cuts the payload behind `headerBytes` of transport header into segments of so many bytes. */
  segmentBytes = 0
  headerBytes = 0

  constructor(protocol: number, hopLimit = HOP_LIMIT) {
    this.protocol = protocol
    this.hopLimit = hopLimit
  }
}
