/**
 * What `setsockopt` can change for one socket. A listener's are inherited by the connections it accepts. Objects are shared
 * until changed: `SocketOptions.default` serves every socket that never asked for anything.
 */
export class SocketOptions {
  static readonly default: SocketOptions = new SocketOptions()

  /** SO_REUSEADDR: the port may be bound by several that ask so, while none of them listens (socket(7)). */
  readonly reuseAddress: boolean = false
  /** SO_REUSEPORT: the same, also while one listens; a second one can't. */
  readonly reusePort: boolean = false
  /** IPV6_V6ONLY: an IPv6 wildcard listener takes no IPv4 (RFC 3493 5.3; off by default, as on Linux). */
  readonly v6Only: boolean = false
  /** TCP_NODELAY: small segments leave at once (no Nagle, RFC 9293 3.7.4). */
  readonly noDelay: boolean = false
  /** TCP_CORK: only full segments leave, until it is cleared. */
  readonly cork: boolean = false
  /** SO_KEEPALIVE (RFC 9293 3.8.4; off by default). */
  readonly keepAlive: boolean = false
  /** TCP_KEEPIDLE, microseconds; 0 = `TcpConfig.keepIdleUs`. */
  readonly keepIdleUs: number = 0
  /** TCP_KEEPINTVL, microseconds; 0 = `TcpConfig.keepIntervalUs`. */
  readonly keepIntervalUs: number = 0
  /** TCP_KEEPCNT; 0 = `TcpConfig.keepCount`. */
  readonly keepCount: number = 0
  /** TCP_USER_TIMEOUT, microseconds (RFC 9293 3.9.1.1 USER TIMEOUT); 0 = `TcpConfig.dataRetries` decides. */
  readonly userTimeoutUs: number = 0
  /** TCP_MAXSEG: most payload bytes of a segment, both announced and sent; 0 = what the MTU gives. */
  readonly maxSeg: number = 0
  /** IP_TOS, IPV6_TCLASS: differentiated services codepoint, in the upper six bits (RFC 2474; RFC 9293 3.9.2, MUST-48). */
  readonly trafficClass: number = 0
  /** IP_TTL, IPV6_UNICAST_HOPS; 0 = 64 (RFC 9293 3.9.2, MUST-49). */
  readonly hopLimit: number = 0
  /** SO_RCVBUF: largest receive window, bytes; 0 = `TcpConfig.maxWindow`. */
  readonly receiveBuffer: number = 0
  /** SO_RCVLOWAT: bytes that wake a reader; with less, only the end of the stream or a window about to close does. */
  readonly receiveLowWater: number = 1
  /** SO_SNDBUF: half of the send buffer, bytes; 0 = `TcpConfig.sendBuffer`. */
  readonly sendBuffer: number = 0
  /** SO_LINGER: -1 = off; 0 = close resets the connection; more: microseconds that CLOSE waits for what is unsent. */
  readonly lingerUs: number = -1
  /**
   * SO_OOBINLINE: urgent data stays in line, which RFC 6093 section 6 asks for; on by default, unlike Linux's. Off: RECV_ZC stops
   * in front of the urgent byte for good, RECV steps over it.
   */
  readonly oobInline: boolean = true
  /** TCP_CONGESTION; '' = `TcpConfig.congestion`. */
  readonly congestion: '' | 'reno' | 'cubic' = ''
  /** TCP_FASTOPEN on a listener: most connections opened by data in a SYN that are not yet acknowledged (RFC 7413); 0 = off. */
  readonly fastOpen: number = 0

  /** A copy that may be changed. */
  with(changes: Partial<Omit<SocketOptions, 'with'>>): SocketOptions {
    return Object.assign(new SocketOptions(), this, changes)
  }
}
