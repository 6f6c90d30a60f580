/**
 * What `setsockopt` can change for one socket. A listener's are inherited by the connections it accepts. Objects are shared
 * until changed: `SocketOptions.default` serves every socket that never asked for anything.
 */
export class SocketOptions {
  static readonly default: SocketOptions = new SocketOptions()

  /** IPV6_V6ONLY: an IPv6 wildcard listener takes no IPv4 (RFC 3493 5.3; off by default, as on Linux). */
  v6Only = false
  /** TCP_NODELAY: small segments leave at once (no Nagle, RFC 9293 3.7.4). */
  noDelay = false
  /** TCP_CORK: only full segments leave, until it is cleared. */
  cork = false
  /** SO_KEEPALIVE (RFC 9293 3.8.4; off by default). */
  keepAlive = false
  /** TCP_KEEPIDLE, microseconds; 0 = `TcpConfig.keepIdleUs`. */
  keepIdleUs = 0
  /** TCP_KEEPINTVL, microseconds; 0 = `TcpConfig.keepIntervalUs`. */
  keepIntervalUs = 0
  /** TCP_KEEPCNT; 0 = `TcpConfig.keepCount`. */
  keepCount = 0
  /** TCP_USER_TIMEOUT, microseconds (RFC 9293 3.9.1.1 USER TIMEOUT); 0 = `TcpConfig.dataRetries` decides. */
  userTimeoutUs = 0
  /** TCP_MAXSEG: most payload bytes of a segment, both announced and sent; 0 = what the MTU gives. */
  maxSeg = 0
  /** IP_TOS, IPV6_TCLASS: differentiated services codepoint, in the upper six bits (RFC 2474; RFC 9293 3.9.2, MUST-48). */
  trafficClass = 0
  /** IP_TTL, IPV6_UNICAST_HOPS; 0 = 64 (RFC 9293 3.9.2, MUST-49). */
  hopLimit = 0
  /** SO_RCVBUF: largest receive window, bytes; 0 = `TcpConfig.maxWindow`. */
  receiveBuffer = 0
  /** SO_RCVLOWAT: bytes that wake a reader; with less, only the end of the stream or a window about to close does. */
  receiveLowWater = 1
  /** SO_SNDBUF: half of the send buffer, bytes; 0 = `TcpConfig.sendBuffer`. */
  sendBuffer = 0
  /** SO_LINGER: -1 = off; 0 = close resets the connection; more: microseconds that CLOSE waits for what is unsent. */
  lingerUs = -1
  /**
   * SO_OOBINLINE: urgent data stays in line, which RFC 6093 section 6 asks for; on by default, unlike Linux's. Off: RECV_ZC stops
   * in front of the urgent byte for good, RECV steps over it.
   */
  oobInline = true
  /** TCP_CONGESTION; '' = `TcpConfig.congestion`. */
  congestion: '' | 'reno' | 'cubic' = ''
  /** TCP_FASTOPEN on a listener: most connections opened by data in a SYN that are not yet acknowledged (RFC 7413); 0 = off. */
  fastOpen = 0

  /** A copy that may be changed. */
  with(changes: Partial<Omit<SocketOptions, 'with'>>): SocketOptions {
    return Object.assign(new SocketOptions(), this, changes)
  }
}
