/** Limits and timings of the IP layer. Times in microseconds. */
export interface IpConfig {
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
}

export const defaultIpConfig: IpConfig = {
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
}
