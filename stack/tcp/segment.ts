import { IpAddress, V4_MAPPED } from '../../address.ts'
import type { Counters } from '../counters.ts'
import { TcpOptions } from '../wire/tcp.ts'

/** One received TCP segment, parsed. A single instance is overwritten for every segment. */
export class Segment {
  /** 4 or 6. */
  version = 4
  /** Words of the addresses in network order, IPv4 v4-mapped as in `IpAddress`. */
  source0 = 0
  source1 = 0
  source2 = V4_MAPPED
  source3 = 0
  destination0 = 0
  destination1 = 0
  destination2 = V4_MAPPED
  destination3 = 0
  sourcePort = 0
  destinationPort = 0
  seq = 0
  ack = 0
  flags = 0
  /** Codepoint of the IP header's ECN field (RFC 3168 section 5). */
  ecn = 0
  /** Raw, unscaled. */
  window = 0
  /** Payload bytes. */
  length = 0
  readonly options: TcpOptions = new TcpOptions()
  /** The options are timestamps in their usual form and nothing else; `tsVal` and `tsEcr` are then valid. */
  plainTimestamps = false
  tsVal = 0
  tsEcr = 0
  /** Whether the options have been parsed yet: the fast path does without. */
  optionsParsed = false
  /** Where the options lie in the header buffer, and how many bytes. */
  optionsAt = 0
  optionsLength = 0
  /** Entries `[first, last)` of the burst hold the frame. */
  first = 0
  last = 0
  /** Bytes of headers in front of the payload, all in entry `first` (or at the start of `list`). */
  headerBytes = 0
  /** A packet put together from fragments: its transport header and payload as a list, instead of burst entries; else -1. */
  list = -1
  /** The frame's niovs have found a new place and must not be recycled. */
  taken = false

  /** Sets both addresses to IPv4, given as integers. */
  setV4(source: number, destination: number): void {
    if (this.version !== 4) {
      this.version = 4
      this.source0 = this.source1 = this.destination0 = this.destination1 = 0
      this.source2 = this.destination2 = V4_MAPPED
    }
    this.source3 = source
    this.destination3 = destination
  }

  /** Like `setV6` of the header of a packet of our own: its source is the destination of what answers it. */
  setV6Swapped(view: DataView, at: number): void {
    this.version = 6
    this.destination0 = view.getInt32(at + 8)
    this.destination1 = view.getInt32(at + 12)
    this.destination2 = view.getInt32(at + 16)
    this.destination3 = view.getInt32(at + 20)
    this.source0 = view.getInt32(at + 24)
    this.source1 = view.getInt32(at + 28)
    this.source2 = view.getInt32(at + 32)
    this.source3 = view.getInt32(at + 36)
  }

  /** Sets both addresses to IPv6, read from a header at `at`. */
  setV6(view: DataView, at: number): void {
    this.version = 6
    this.source0 = view.getInt32(at + 8)
    this.source1 = view.getInt32(at + 12)
    this.source2 = view.getInt32(at + 16)
    this.source3 = view.getInt32(at + 20)
    this.destination0 = view.getInt32(at + 24)
    this.destination1 = view.getInt32(at + 28)
    this.destination2 = view.getInt32(at + 32)
    this.destination3 = view.getInt32(at + 36)
  }

  /** A new object: not for every packet. */
  source(): IpAddress {
    return new IpAddress(this.source0, this.source1, this.source2, this.source3)
  }

  /** A new object: not for every packet. */
  destination(): IpAddress {
    return new IpAddress(this.destination0, this.destination1, this.destination2, this.destination3)
  }

  /** Parses the options, if nobody has yet; malformed ones are counted. @param header what `optionsAt` indexes */
  parseOptions(header: Uint8Array, counters: Counters): void {
    if (this.optionsParsed) return
    this.optionsParsed = true
    if (!this.options.parse(header, this.optionsAt, this.optionsLength)) counters.dropTcpOptions++
  }
}
