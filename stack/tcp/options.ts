import type { EcnMode } from './ecn.ts'

/** Limits and timings of the TCP module. Times in microseconds. */
export interface TcpConfig {
  /** Largest receive window of one connection, bytes. */
  maxWindow: number
  /**
   * Windows begin small and grow with what arrives (Fisk and Feng 2001), as with Linux's tcp_moderate_rcvbuf; false: they are
   * at their largest from the start.
   */
  moderateWindow: boolean
  /**
   * What happens when the area runs short. `window`: windows promise no more than there are niovs for, so that peers wait, and
   * small payloads are packed together by copying. `drop`, as Linux: windows don't look at the area; the NIC drops frames
   * it has no niov for (`nicFillEmpty`), and retransmissions bring them later.
   */
  backpressure: 'window' | 'drop'
  /** Send buffer of one connection, bytes; allocated as it fills. */
  sendBuffer: number
  /** Longest delay of an ACK (RFC 9293 3.8.6.3 allows 500 ms). */
  delayedAckUs: number
  /**
   * Bytes that a connection may bring for one ACK while bursts come in so full that another one follows at once; 0: each burst is answered.
   * Linux does the same of what it coalesces (GRO), up to 64 KiB.
   */
  stretchAckBytes: number
  /** TIME-WAIT; RFC 9293's 2 MSL is 4 minutes, Linux uses 60 s as we do. */
  timeWaitUs: number
  /** How long an orphaned connection may stay in FIN-WAIT-2. */
  finWait2Us: number
  /** SYN retransmissions before an attempt is given up: with 7 it lasts 255 s (RFC 9293 3.8.3 asks for 3 minutes). */
  synRetries: number
  /** SYN,ACK retransmissions before a half-open connection is given up. */
  synAckRetries: number
  /** Retransmission timeout before the first measurement (RFC 6298 2.1). */
  initialRtoUs: number
  /** Data retransmissions before the connection is given up: R2 of RFC 9293 3.8.3. */
  dataRetries: number
  /** Most connections in SYN-RECEIVED per listener; beyond it SYNs are answered with cookies. */
  maxHalfOpen: number
  /** SYN cookies (RFC 4987) when half-open connections reach their limit; without them SYNs are dropped then. */
  synCookies: boolean
  /** Most connections; those that are closed and wait in TIME-WAIT or FIN-WAIT-2 are not counted. */
  maxConnections: number
  /** Most connections that are closed and wait in TIME-WAIT or FIN-WAIT-2; beyond it the oldest go first (`timeWaitOverflow`). Linux: tcp_max_tw_buckets. */
  maxTimeWait: number
  /** Most holes remembered per connection. */
  maxHoles: number
  /** Challenge ACKs per second (RFC 5961 section 10). */
  challengeAcksPerSecond: number
  /** Most ACKs per second and connection that answer unacceptable segments without data: two ends can't ACK each other for ever. */
  invalidAcksPerSecond: number
  /** Keepalive, for sockets that ask for it: first probe, further ones, and how many go unanswered (RFC 9293 3.8.4). */
  keepIdleUs: number
  /** Time between keepalive probes. */
  keepIntervalUs: number
  /** Keepalive probes that go unanswered before a connection ends. */
  keepCount: number
  /** Congestion control of sockets that don't choose: RFC 9438 or RFC 5681. */
  congestion: 'cubic' | 'reno'
  /** Initial congestion window, bytes; 0 = RFC 6928's. */
  initialWindow: number
  /** RACK-TLP (RFC 8985); without it loss is told from SACK as in RFC 6675. */
  rack: boolean
  /** Spreads what a window allows over the round trip. */
  pacing: boolean
  /** Tries smaller segments when large ones vanish (RFC 4821). */
  blackHoleDetection: boolean
  /** ECN: not at all; when the peer asks (RFC 3168); asked for; asked for and accepted with RFC 9768. */
  ecn: EcnMode
  /** Timestamps are offered and taken (RFC 7323). */
  timestamps: boolean
  /** Selective acknowledgments are offered and taken (RFC 2018). */
  sack: boolean
  /** Duplicates are reported (RFC 2883). */
  dsack: boolean
  /** Windows are scaled where the peer does too (RFC 7323). */
  windowScaling: boolean
}

/** What a `TcpConfig` is unless told otherwise. */
export const defaultTcpConfig: TcpConfig = {
  maxWindow: 65_535 << 8,
  moderateWindow: true,
  backpressure: 'window',
  sendBuffer: 4 << 20,
  delayedAckUs: 40_000,
  stretchAckBytes: 24_000,
  timeWaitUs: 60_000_000,
  finWait2Us: 60_000_000,
  synRetries: 7,
  synAckRetries: 5,
  initialRtoUs: 1_000_000,
  dataRetries: 15,
  maxHalfOpen: 1024,
  synCookies: true,
  maxConnections: 65_536,
  maxTimeWait: 32_768,
  maxHoles: 1024,
  challengeAcksPerSecond: 1000,
  invalidAcksPerSecond: 10,
  keepIdleUs: 7_200_000_000,
  keepIntervalUs: 75_000_000,
  keepCount: 9,
  congestion: 'cubic',
  initialWindow: 0,
  rack: true,
  pacing: false,
  blackHoleDetection: true,
  ecn: 'accept',
  timestamps: true,
  sack: true,
  dsack: true,
  windowScaling: true,
}
