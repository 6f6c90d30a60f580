/** Limits and timings of the TCP module. Times in microseconds. */
export interface TcpConfig {
  /** Largest receive window of one connection, bytes. */
  maxWindow: number
  /** Send buffer of one connection, bytes; a power of two. */
  sendBuffer: number
  /** Longest delay of an ACK (RFC 9293 3.8.6.3 allows 500 ms). */
  delayedAckUs: number
  /** TIME-WAIT; RFC 9293's 2 MSL is 4 minutes, Linux uses 60 s as we do. */
  timeWaitUs: number
  /** How long an orphaned connection may stay in FIN-WAIT-2. */
  finWait2Us: number
  /** SYN,ACK retransmissions before a half-open connection is given up. */
  synRetries: number
  /** Data retransmissions before the connection is given up: R2 of RFC 9293 3.8.3. */
  dataRetries: number
  /** Most connections in SYN-RECEIVED per listener. */
  maxHalfOpen: number
  /** Most connections. */
  maxConnections: number
  /** Most holes remembered per connection. */
  maxHoles: number
  /** Challenge ACKs per second (RFC 5961 section 10). */
  challengeAcksPerSecond: number
  timestamps: boolean
  sack: boolean
  windowScaling: boolean
}

export const defaultTcpConfig: TcpConfig = {
  maxWindow: 4 << 20,
  sendBuffer: 1 << 20,
  delayedAckUs: 40_000,
  timeWaitUs: 60_000_000,
  finWait2Us: 60_000_000,
  synRetries: 5,
  dataRetries: 15,
  maxHalfOpen: 1024,
  maxConnections: 65_536,
  maxHoles: 1024,
  challengeAcksPerSecond: 1000,
  timestamps: true,
  sack: true,
  windowScaling: true,
}
