/** Limits and timings of the IP layer. Times in microseconds. */
export interface IpConfig {
  /** Bulk data is taken a burst at a time; false: each frame is looked at for itself, which comes to the same and is slower. */
  bulk: boolean
  /** Entries that are worth a call of the addon's loops, where it is loaded; Infinity: those in JavaScript do it, and the same. */
  bulkLoopsFrom: number
  /** VLAN ids, outer first, at most two: what frames are sent with and must arrive with. Empty: untagged, or priority-tagged. */
  vlan: readonly number[]
  /** Echo replies a second; 0 = echo requests are not answered. */
  echoPerSecond: number
  /** ICMP errors sent a second (RFC 4443 2.4 (f), RFC 1812 4.3.2.8). */
  icmpErrorsPerSecond: number
  /** Datagrams in reassembly. */
  maxDatagrams: number
  /** Of them, from one source. */
  maxDatagramsPerSource: number
  /** Fragments of one datagram. */
  maxFragments: number
  /** How long an IPv4 datagram may take to come together (RFC 1122 3.3.2; Linux has 30 s). */
  reassemblyTimeoutUs: number
  /** The same for IPv6 (RFC 8200 4.5: 60 s). */
  reassemblyTimeout6Us: number
  /** Least path MTU believed for IPv4 (Linux `min_pmtu`); IPv6 has 1280. */
  minPathMtu: number
  /** How long a path MTU is remembered (RFC 1191 6.3, RFC 8201 5.3). */
  pathMtuLifeUs: number
  /** Path MTUs remembered. */
  maxPathMtus: number
  /** Neighbours remembered. */
  maxNeighbours: number
  /** How often a neighbour is asked, a second apart, before it counts as gone (RFC 4861 section 10: 3). */
  neighbourSolicits: number
  /**
   * Addresses of our own are tested for duplicates before they are used (RFC 4862 5.4, RFC 5227). With the defaults that takes
   * up to 2 s for IPv6 and 4 to 7 s for IPv4.
   */
  dad: boolean
  /** Neighbour solicitations that test an IPv6 address (RFC 4862 5.1, DupAddrDetectTransmits). */
  dadTransmits: number
  /** ARP probes that test an IPv4 address; this and what follows as in RFC 5227 section 1.1. */
  probeCount: number
  /** Longest random delay of the first probe. */
  probeWaitUs: number
  /** Shortest and longest time between probes. */
  probeMinUs: number
  /** Longest time between probes. */
  probeMaxUs: number
  /** Time from the last probe until the address is used. */
  announceWaitUs: number
  /** Announcements, two seconds apart. */
  announceCount: number
}

/** What an `IpConfig` is unless told otherwise. */
export const defaultIpConfig: IpConfig = {
  bulk: true,
  bulkLoopsFrom: 32,
  vlan: [],
  echoPerSecond: 1000,
  icmpErrorsPerSecond: 100,
  maxDatagrams: 64,
  maxDatagramsPerSource: 16,
  maxFragments: 128,
  reassemblyTimeoutUs: 30_000_000,
  reassemblyTimeout6Us: 60_000_000,
  minPathMtu: 552,
  pathMtuLifeUs: 600_000_000,
  maxPathMtus: 1024,
  maxNeighbours: 1024,
  neighbourSolicits: 3,
  dad: false,
  dadTransmits: 1,
  probeCount: 3,
  probeWaitUs: 1_000_000,
  probeMinUs: 1_000_000,
  probeMaxUs: 2_000_000,
  announceWaitUs: 2_000_000,
  announceCount: 2,
}
