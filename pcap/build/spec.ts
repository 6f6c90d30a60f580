import type { IpFields } from './ip.ts'
import type { LinkName } from './link.ts'
import type { Data, Side } from './pattern.ts'
import type { ChecksumMode } from './segment.ts'

/** A conversation and how it was captured. */
export interface PacketsOptions {
  /** `192.0.2.1:40000`, `[2001:db8::1]:40000`. */
  client: string
  /** Address and port, as `client`. */
  server: string
  /** When the first packet was captured: seconds since the epoch, exact to the microsecond. Default 1700000000. */
  start?: number
  /** Microseconds between packets. Default 100. */
  step?: number
  /** Initial sequence numbers. Default 1000000 and 2000000. */
  isn?: Partial<Record<Side, number>>
  /** Timestamp clocks (milliseconds) at `start`. Default 1000 and 500000. */
  clock?: Partial<Record<Side, number>>
  /** Window field of every segment that says none. Default 65535. */
  window?: number
  /** Default `ethernet`. */
  link?: LinkName
  /** VLAN ids, outer first. */
  vlan?: readonly number[]
  /** PPP over Ethernet session. */
  pppoe?: number
  /** Checksum of TCP in every segment that says none. */
  checksum?: ChecksumMode
  /** Fields of every IP header that says otherwise. Identifications count up, from a number that follows from the port. */
  ip?: IpFields
}

/** A segment. What isn't given follows from what went before. Sequence numbers are relative to the initial ones. */
export interface SegmentSpec extends IpFields {
  /** Payload: text, bytes, or a pattern. */
  data?: Data
  /**
   * Of the sender: 0 is its SYN, 1 its first byte. One that begins at or before what comes next moves that on; one beyond
   * doesn't.
   */
  seq?: number
  /** Of the other side. Default is all that has arrived in order. */
  ack?: number
  /** Letters of `FSRPAUEC`. Default `A`, with data `PA`. */
  flags?: string
  /** As in the field: not scaled. */
  window?: number
  /** Urgent pointer. */
  urgent?: number
  /** Maximum segment size option, bytes. */
  mss?: number
  /** SACK-permitted option. */
  sackPermitted?: boolean
  /** Window scale option: a shift. */
  windowScale?: number
  /** Value and echo; true for those of the clocks. By default as soon as both SYNs had them. */
  timestamps?: boolean | readonly [number, number]
  /** Blocks relative to the other side's initial sequence number; true for those that have arrived out of order. */
  sack?: boolean | readonly (readonly [number, number])[]
  /** Option bytes behind the others. */
  options?: Uint8Array
  /** Bytes that the data offset claims. */
  dataOffset?: number
  /** What the TCP checksum is; default as `PacketsOptions.checksum` says. */
  checksum?: ChecksumMode
  /** Microseconds since the packet before. */
  after?: number
  /** For people; written to pcapng. */
  comment?: string
}

/** Everything of a segment but its data. */
export type SegmentOverrides = Omit<SegmentSpec, 'data'>
