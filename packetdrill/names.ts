import * as abi from '../uapi/abi/index.ts'
import { UnsupportedError } from './errors.ts'
import type { Value } from './script/ast.ts'

/** Names of numbers in scripts, as far as there is something behind them. */
const NUMBERS: Readonly<Record<string, number>> = {
  AF_INET: 2,
  AF_INET6: 10,
  SOCK_STREAM: abi.SOCK_STREAM,
  SOCK_NONBLOCK: abi.SOCK_NONBLOCK,
  SOCK_CLOEXEC: 0o2_000_000,
  IPPROTO_IP: 0,
  IPPROTO_TCP: abi.IPPROTO_TCP,
  SOL_TCP: abi.IPPROTO_TCP,
  SOL_IP: abi.IPPROTO_IP,
  IPPROTO_IPV6: abi.IPPROTO_IPV6,
  SOL_IPV6: abi.IPPROTO_IPV6,
  SOL_SOCKET: abi.SOL_SOCKET,
  SHUT_RD: abi.SHUT_RD,
  SHUT_WR: abi.SHUT_WR,
  SHUT_RDWR: abi.SHUT_RDWR,
  MSG_OOB: abi.MSG_OOB,
  MSG_PEEK: abi.MSG_PEEK,
  MSG_TRUNC: abi.MSG_TRUNC,
  MSG_DONTWAIT: abi.MSG_DONTWAIT,
  MSG_WAITALL: abi.MSG_WAITALL,
  MSG_NOSIGNAL: abi.MSG_NOSIGNAL,
  MSG_MORE: abi.MSG_MORE,
  POLLIN: abi.POLLIN,
  POLLPRI: abi.POLLPRI,
  POLLOUT: abi.POLLOUT,
  POLLERR: abi.POLLERR,
  POLLHUP: abi.POLLHUP,
  POLLRDHUP: abi.POLLRDHUP,
  F_GETFL: 3,
  F_SETFL: 4,
  O_RDWR: 2,
  O_NONBLOCK: abi.SOCK_NONBLOCK,
  SO_REUSEADDR: abi.SO_REUSEADDR,
  SO_REUSEPORT: abi.SO_REUSEPORT,
  SO_TYPE: abi.SO_TYPE,
  SO_ERROR: abi.SO_ERROR,
  SO_SNDBUF: abi.SO_SNDBUF,
  SO_RCVBUF: abi.SO_RCVBUF,
  SO_KEEPALIVE: abi.SO_KEEPALIVE,
  SO_LINGER: abi.SO_LINGER,
  SO_ACCEPTCONN: abi.SO_ACCEPTCONN,
  SO_PROTOCOL: abi.SO_PROTOCOL,
  SO_DOMAIN: abi.SO_DOMAIN,
  IP_TOS: abi.IP_TOS,
  IP_TTL: abi.IP_TTL,
  IPV6_TCLASS: abi.IPV6_TCLASS,
  IPV6_UNICAST_HOPS: abi.IPV6_UNICAST_HOPS,
  TCP_NODELAY: abi.TCP_NODELAY,
  TCP_MAXSEG: abi.TCP_MAXSEG,
  TCP_CORK: abi.TCP_CORK,
  TCP_NOPUSH: abi.TCP_CORK,
  TCP_KEEPIDLE: abi.TCP_KEEPIDLE,
  TCP_KEEPINTVL: abi.TCP_KEEPINTVL,
  TCP_KEEPCNT: abi.TCP_KEEPCNT,
  TCP_QUICKACK: abi.TCP_QUICKACK,
  TCP_CONGESTION: abi.TCP_CONGESTION,
  TCP_USER_TIMEOUT: abi.TCP_USER_TIMEOUT,
  TCP_FASTOPEN: abi.TCP_FASTOPEN,
  SIOCINQ: 0x541b,
  FIONREAD: 0x541b,
  SIOCOUTQ: 0x5411,
  INADDR_ANY: 0,
}

const ERRNO_ALIASES: Readonly<Record<string, string>> = { EWOULDBLOCK: 'EAGAIN', ENOTSUP: 'EOPNOTSUPP' }

const STATES: Readonly<Record<string, number>> = {
  ESTABLISHED: abi.TCP_ESTABLISHED,
  SYN_SENT: abi.TCP_SYN_SENT,
  SYN_RECV: abi.TCP_SYN_RECV,
  SYN_RECEIVED: abi.TCP_SYN_RECV,
  FIN_WAIT1: abi.TCP_FIN_WAIT1,
  FIN_WAIT_1: abi.TCP_FIN_WAIT1,
  FIN_WAIT2: abi.TCP_FIN_WAIT2,
  FIN_WAIT_2: abi.TCP_FIN_WAIT2,
  TIME_WAIT: abi.TCP_TIME_WAIT,
  CLOSE: abi.TCP_CLOSE,
  CLOSED: abi.TCP_CLOSE,
  CLOSE_WAIT: abi.TCP_CLOSE_WAIT,
  LAST_ACK: abi.TCP_LAST_ACK,
  LISTEN: abi.TCP_LISTEN,
  CLOSING: abi.TCP_CLOSING,
}

/** A number of `struct tcp_info` for `TCP_NAME`, `TCPI_NAME` or `NAME`; null when there is no such state. */
export function stateNumber(name: string): number | null {
  const short = name.replace(/^(?:TCP_|TCPS_|TCPI_)/, '')
  return Object.hasOwn(STATES, short) ? STATES[short]! : null
}

export function stateText(state: number): string {
  return Object.entries(STATES).find(([, number]) => number === state)?.[0] ?? `${state}`
}

/** Positive errno of a name, null when there is none. */
export function errnoNumber(name: string): number | null {
  const known = Object.hasOwn(ERRNO_ALIASES, name) ? ERRNO_ALIASES[name]! : name
  const value = (abi as unknown as Record<string, unknown>)[known]
  return /^E[A-Z0-9]+$/.test(known) && typeof value === 'number' ? value : null
}

/** A number or names of numbers joined by `|`. @throws UnsupportedError for names that nothing stands behind */
export function numberValue(value: Value, what: string): number {
  if (value.kind === 'number') return value.value
  if (value.kind === 'macro' && value.args.length === 1 && /^(?:htons|htonl|ntohs|ntohl)$/.test(value.name)) {
    return numberValue(value.args[0]!, what)
  }
  if (value.kind !== 'names') throw new UnsupportedError(value.at, `${what} of this form`)
  let sum = 0
  for (const name of value.names) {
    if (/^-?\d/.test(name)) sum |= Number(name)
    else if (Object.hasOwn(NUMBERS, name)) sum |= NUMBERS[name]!
    else throw new UnsupportedError(value.at, name)
  }
  return sum
}
