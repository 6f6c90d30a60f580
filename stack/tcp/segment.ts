import { TcpOptions } from '../wire/tcp.ts'

/** One received TCP segment, parsed. A single instance is overwritten for every segment. */
export class Segment {
  /** Addresses as integers. */
  source = 0
  destination = 0
  sourcePort = 0
  destinationPort = 0
  seq = 0
  ack = 0
  flags = 0
  /** Raw, unscaled. */
  window = 0
  /** Payload bytes. */
  length = 0
  readonly options: TcpOptions = new TcpOptions()
  /** Whether the options have been parsed yet: the fast path does without. */
  optionsParsed = false
  /** Where the options lie in the header buffer, and how many bytes. */
  optionsAt = 0
  optionsLength = 0
  /** Entries `[first, last)` of the burst hold the frame. */
  first = 0
  last = 0
  /** Bytes of headers in front of the payload, all in entry `first`. */
  headerBytes = 0
  /** The frame's niovs have found a new place and must not be recycled. */
  taken = false
}
