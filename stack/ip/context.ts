import type { Nic, RxBurst } from '../../driver/nic.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { TcpBulk } from '../tcp/bulk.ts'
import type { Segment } from '../tcp/segment.ts'
import type { TimerWheel } from '../timers.ts'
import type { FragmentSums } from './fragment-sums.ts'
import type { FrameHeaders } from './frame-headers.ts'
import type { Link } from './link.ts'
import type { IpConfig } from './options.ts'
import type { PacketBytes } from './packet-bytes.ts'

/** TCP as IP sees it: takes segments, and errors about those that it sent. */
export interface UpperLayer {
  /** Its part of bulk data. */
  readonly bulk: TcpBulk
  /** Takes the expected segment of an established connection; false, and nothing is changed, for any other. */
  fastSegment(segment: Segment, now: number): boolean
  /** Takes a parsed segment whose checksum is right. */
  segment(segment: Segment, now: number): void
  /**
   * An error about a segment that we may have sent; returns whether we did.
   * @param quoted our segment, addresses and ports as if it had come from the peer, with its sequence number
   */
  icmpError(quoted: Segment, errno: number, now: number): boolean
  /** The same of one that was too big. @param mtu of the next hop, 0 when not said @param packetBytes of the packet */
  icmpTooBig(quoted: Segment, mtu: number, packetBytes: number, now: number): boolean
}

/** What the IP module is made over. Its parts take from here what they need when they are made. */
export interface IpContext {
  readonly nic: Nic
  readonly memory: QueueMemory
  readonly fragments: Fragments
  readonly link: Link
  readonly wheel: TimerWheel
  readonly counters: Counters
  readonly entropy: Entropy
  readonly config: IpConfig
  /** The burst being processed. */
  readonly burst: RxBurst
  /** Addresses, and what else is known, of the packet being processed. */
  readonly segment: Segment
  readonly tcp: UpperLayer
}

/** The same with the views of the packet being processed that the parts share. */
export interface InputContext extends IpContext {
  readonly headers: FrameHeaders
  readonly bytes: PacketBytes
  readonly sums: FragmentSums
}
