import { type Counted, counting, place } from '../counting.ts'

class Fields {
  // Frames and their fate.
  /** Frames that came from the NIC. */
  rxFrames = 0
  /** Fragments of those frames, as the NIC split them. */
  rxFragments = 0
  /** Frames given to the NIC. */
  txFrames = 0
  /** Frames too short for the header they announce, or whose lengths contradict each other. */
  dropMalformed = 0
  /** Not for our hardware or protocol address. */
  dropNotForUs = 0
  /** EtherType or IP protocol nobody here speaks. */
  dropProtocol = 0
  /** 802.1Q tags that are not ours. */
  dropVlan = 0
  /** Extension headers or IP options that can't be walked, or ask to be dropped. */
  dropExtension = 0
  /** Fragments with lengths that contradict each other, and all others of their datagrams. */
  dropFragment = 0
  /** Fragments that overlap, and all others of their datagrams (RFC 5722). */
  dropFragmentOverlap = 0
  /** Fragments for which there was no room, or that made room for others. */
  dropFragmentLimit = 0
  /** Fragments whose datagrams did not become whole in time. */
  dropFragmentTimeout = 0
  /** ICMP of a type that nobody here answers, or an error about none of our connections. */
  dropIcmp = 0
  /** ICMP whose checksum is wrong. */
  dropIcmpChecksum = 0
  /** Echo requests beyond the rate limit. */
  dropIcmpLimit = 0
  /** Neighbour discovery that does not come from this link, or is malformed (RFC 4861 section 7.1). */
  dropNdp = 0
  /** Redirects, and router advertisements when addresses are not configured from them. */
  dropRouting = 0
  /** IPv4 headers whose checksum is wrong. */
  dropIpChecksum = 0
  /** Segments whose checksum is wrong. */
  dropTcpChecksum = 0
  /** Malformed TCP options. */
  dropTcpOptions = 0
  /** No connection and no listener: answered with RST. */
  dropNoSocket = 0
  /** A connection of another queue's stack is meant (`Stack.siblings`), and its answer or a part of it came here: in silence. */
  dropOtherQueue = 0
  /** Segment outside the window (RFC 9293 3.10.7.4, first check): answered with ACK. */
  dropOutOfWindow = 0
  /** Bytes that were received before; the segment carried nothing new. */
  dropDuplicate = 0
  /** PAWS (RFC 7323 section 5). */
  dropPaws = 0
  /** An MD5 or authentication option (RFC 2385, RFC 5925) that nobody here has a key for. */
  dropSignature = 0
  /** ACK of something never sent, or too old (RFC 5961 section 5). */
  dropBadAck = 0
  /** Data for which there was no niov to spare. The peer sends it again. */
  dropNoMemory = 0
  /** Out-of-order data beyond the limit of holes per connection. */
  dropReassemblyLimit = 0
  /** SYN that found the listener's queue full. */
  dropBacklog = 0
  /** Data after close, or with both directions shut, or behind the peer's FIN. */
  dropAfterShutdown = 0

  // Receive side.
  /** Transport checksums accepted unfinished (pseudo-header sum only): a virtual peer on this machine. */
  checksumPartial = 0
  /** Transport checksums that were summed here and found right. */
  checksumVerified = 0
  /** TCP segments taken in. */
  rxSegments = 0
  /** Payload bytes taken in. */
  rxBytes = 0
  /** Segments that came before an earlier one, or while one was missing. */
  outOfOrderSegments = 0
  /** Out-of-order bytes given up again, so that data in order found memory. */
  reneged = 0
  /** Segments without timestamps although they were negotiated: taken, as by Linux (RFC 7323 section 3.2 would drop them). */
  noTimestamp = 0
  /** Duplicate bytes inside otherwise new segments. */
  duplicateBytes = 0
  /** ACKs that report duplicates (RFC 2883). */
  dsackSent = 0
  /** ACKs with SACK blocks. */
  sackSent = 0
  /** ACKs that ask whether a peer means it (RFC 5961). */
  challengeAcks = 0
  /** ACKs without data. */
  acksSent = 0
  /** ACKs that tell of a window which has opened as memory came free. */
  windowUpdates = 0
  /** Small payloads copied together into one niov under pressure. */
  packedBytes = 0
  /** Payload copied into the area because the driver could not place it there. */
  copiedBytes = 0

  /** Datagrams put together from fragments. */
  reassembled = 0
  /** Answers to ping. */
  icmpEchoReplies = 0
  /** ICMP errors about our connections that were believed. */
  icmpErrorsTaken = 0
  /** Path MTUs lowered by an ICMP message. */
  pathMtuLowered = 0

  // Between the stacks of an interface's queues (`Stack.siblings`).
  /** Frames told to the siblings; kept from them by a limit; told by them. */
  siblingTold = 0
  /** Frames kept from the siblings by a limit. */
  siblingUntold = 0
  /** Frames told by siblings. */
  siblingHeard = 0
  /** Connections that began again from another port, as the answer had come to another queue. */
  portMoves = 0

  // Send side.
  /** ICMP errors about what came here. */
  icmpErrorsSent = 0
  /** Payload bytes sent. */
  txBytes = 0
  /** Segments sent again. */
  retransmits = 0
  /** Retransmission timers that ran out. */
  retransmitTimeouts = 0
  /** Times that loss was told from ACKs, without waiting for the timer. */
  fastRetransmits = 0
  /** Retransmissions that proved needless (RFC 4015). */
  spuriousRetransmits = 0
  /** Duplicates that peers reported (RFC 2883). */
  dsackReceived = 0
  /** Peers that threw away what they had selectively acknowledged. */
  sackReneging = 0
  /** RFC 8985 section 7. */
  tailLossProbes = 0
  /** Probes of a closed window. */
  windowProbes = 0
  /** Keepalive probes. */
  keepAlivesSent = 0
  /** Segments made smaller because large ones vanished. */
  blackHoles = 0
  /** Segments with RST. */
  resetsSent = 0
  /** ARP questions. */
  arpRequestsSent = 0
  /** ARP answers. */
  arpRepliesSent = 0
  /** Neighbour solicitations (RFC 4861). */
  neighbourSolicitsSent = 0
  /** Fragments of datagrams other than TCP's. */
  fragmentsSent = 0
  /** Neighbour advertisements (RFC 4861). */
  neighbourAdvertsSent = 0
  /** Router solicitations (RFC 4861). */
  routerSolicitsSent = 0
  /** Router advertisements that were believed. */
  routerAdvertsTaken = 0
  /** Others that use an address of ours, or want to (RFC 5227, RFC 4862 5.4). */
  addressConflicts = 0
  /** Neighbours that did not answer. */
  neighbourFailed = 0
  /** Frames that had to wait for, or gave up on, a neighbour's hardware address. */
  noNeighbour = 0
  /** No transmit slot: what was lost this way is repaired by retransmission. */
  noTransmitSlot = 0

  // Connections.
  /** SYN,ACKs that remember nothing (RFC 4987), and connections made from their ACKs. */
  synCookiesSent = 0
  /** Connections made from the ACKs of those. */
  synCookiesTaken = 0
  /** Connections accepted with the data of their SYN (RFC 7413). */
  fastOpens = 0
  /** Connections that began here. */
  activeOpens = 0
  /** Connections that listeners took. */
  passiveOpens = 0
  /** Connections that the peer's reset ended. */
  connectionsReset = 0
  /** Connections whose peer did not answer in time. */
  connectionsTimedOut = 0
  /** Handshakes that nobody completed. */
  halfOpenExpired = 0
  /** Connections whose TIME-WAIT, or wait for the peer's FIN, ended early for want of room (`TcpConfig.maxTimeWait`). */
  timeWaitOverflow = 0
}

/**
 * What happened, by cause. Every frame that is not delivered is counted in exactly one of the `drop…` fields. Counts that grow
 * without end, so they lie in a Float64Array.
 */
export type Counters = Fields & Counted
export const Counters: new () => Counters = counting(Fields)

// What every packet counts.
export const RX_FRAMES: number = place(Counters, 'rxFrames')
export const RX_FRAGMENTS: number = place(Counters, 'rxFragments')
export const RX_SEGMENTS: number = place(Counters, 'rxSegments')
export const RX_BYTES: number = place(Counters, 'rxBytes')
export const CHECKSUM_PARTIAL: number = place(Counters, 'checksumPartial')
export const CHECKSUM_VERIFIED: number = place(Counters, 'checksumVerified')
export const ACKS_SENT: number = place(Counters, 'acksSent')
export const TX_FRAMES: number = place(Counters, 'txFrames')
export const TX_BYTES: number = place(Counters, 'txBytes')

/** `ipChecksum` for `dropIpChecksum`. */
function causeOf(name: string): string {
  return name[4]!.toLowerCase() + name.slice(5)
}

/** The `drop…` counters that are not zero, by cause without the prefix, first letter in lower case. */
export function dropsByCause(counters: Counters): Record<string, number> {
  const drops: Record<string, number> = {}
  for (const [name, value] of Object.entries(counters) as [string, number][]) {
    if (name.startsWith('drop') && value > 0) drops[causeOf(name)] = value
  }
  return drops
}

const DROPS = Object.keys(new Counters()).filter((name) => name.startsWith('drop')) as (keyof Fields)[]
const CAUSES = DROPS.map(causeOf)
/** Counts fragments that made room for others too: alone it does not say that the frame at hand was dropped. */
const MAKES_ROOM = DROPS.indexOf('dropFragmentLimit')

/** Tells from the counters what becomes of one frame after the other. */
export class DropWatch {
  readonly #counters: Counters
  readonly #before = new Float64Array(DROPS.length)

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** What is counted from now on is the next frame's. */
  begin(): void {
    for (let i = 0; i < DROPS.length; i++) this.#before[i] = this.#counters[DROPS[i]!]
  }

  /**
   * Why the frame since `begin`, or since the one before, was dropped; null if it was not.
   * @param taken the stack keeps the frame's memory
   */
  cause(taken: boolean): string | null {
    const before = this.#before
    let found = -1
    for (let i = 0; i < DROPS.length; i++) {
      const count = this.#counters[DROPS[i]!]
      if (count === before[i]) continue
      before[i] = count
      if (i === MAKES_ROOM ? !taken && found < 0 : found < 0 || found === MAKES_ROOM) found = i
    }
    return found < 0 ? null : CAUSES[found]!
  }
}
