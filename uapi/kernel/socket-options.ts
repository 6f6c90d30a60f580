import { defaultTcpConfig, type TcpConfig } from '../../stack/tcp/options.ts'
import { ESTABLISHED } from '../../stack/tcp/state.ts'
import * as errno from '../abi/errno.ts'
import { IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP } from '../abi/in.ts'
import * as abi from '../abi/io-uring.ts'
import {
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TYPE,
  SOL_SOCKET,
} from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import {
  TCP_CONGESTION,
  TCP_CORK,
  TCP_FASTOPEN,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
} from '../abi/tcp.ts'
import type { AddressSpace } from './address-space.ts'
import { getIpOption, setIpOption } from './ip-options.ts'
import type { Socket } from './socket.ts'
import { tcpInfo } from './tcp-info.ts'

/** TCP_CA_NAME_MAX */
const CONGESTION_NAME_BYTES = 16
/** Bounds of Linux's TCP_MAXSEG. */
const MIN_MAXSEG = 88
const MAX_MAXSEG = 32_767
/** MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL (seconds), MAX_TCP_KEEPCNT. */
const MAX_KEEP_SECONDS = 32_767
const MAX_KEEP_COUNT = 127
/** MSS of a connection that has none yet (RFC 9293 3.7.1). */
const DEFAULT_MSS = 536
const SECOND_US = 1_000_000

/** SOCKET_URING_OP_GETSOCKOPT and _SETSOCKOPT: the bytes read or 0, or minus errno. @param readsEveryLevel `Kernel.readsEveryLevel` */
export function socketOption(
  space: AddressSpace,
  sqe: Sqe,
  socket: Socket,
  readsEveryLevel: boolean,
): number {
  const { level, optname, optlen } = sqe
  const gets = sqe.cmdOp === abi.SOCKET_URING_OP_GETSOCKOPT
  if (gets && level !== SOL_SOCKET && !readsEveryLevel) return -errno.EOPNOTSUPP
  if (optlen > 0x7fff_ffff) return -errno.EINVAL
  const there = gets ? space.writable(sqe.addr3, optlen) : space.view(sqe.addr3, optlen)
  const value = optlen === 0 ? new Uint8Array(0) : there
  if (value === null) return -errno.EFAULT
  if (level === IPPROTO_IP || level === IPPROTO_IPV6) return ipLevel(socket, sqe.cmdOp, level, optname, value)
  if (level !== SOL_SOCKET && level !== IPPROTO_TCP) return -errno.ENOPROTOOPT
  if (gets) return get(socket, level, optname, value)
  return set(socket, level, optname, value)
}

function get(socket: Socket, level: number, optname: number, value: Uint8Array): number {
  if (level === IPPROTO_TCP && optname === TCP_INFO) return put(value, tcpInfo(socket).bytes)
  if (level === IPPROTO_TCP && optname === TCP_CONGESTION) {
    const name = new Uint8Array(CONGESTION_NAME_BYTES)
    name.set(new TextEncoder().encode(socket.options.congestion || configOf(socket).congestion))
    return put(value, name)
  }
  if (level === SOL_SOCKET && optname === SO_LINGER) {
    const { lingerUs } = socket.options
    return put(value, ints(lingerUs < 0 ? 0 : 1, Math.max(0, Math.floor(lingerUs / SECOND_US))))
  }
  const number = level === SOL_SOCKET ? getSocketLevel(socket, optname) : getTcpLevel(socket, optname)
  return number === null ? -errno.ENOPROTOOPT : put(value, ints(number))
}

/** What holds where the socket did not ask for anything. */
function configOf(socket: Socket): TcpConfig {
  return (socket.stack ?? socket.kernel.stacks[0])?.tcp.context.config ?? defaultTcpConfig
}

function getSocketLevel(socket: Socket, optname: number): number | null {
  const { options } = socket
  const defaults = configOf(socket)
  switch (optname) {
    case SO_ERROR:
      return socket.takeError()
    case SO_TYPE:
      return 1
    case SO_PROTOCOL:
      return IPPROTO_TCP
    case SO_DOMAIN:
      return socket.family
    case SO_ACCEPTCONN:
      return socket.listener === null ? 0 : 1
    case SO_REUSEADDR:
      return Number(options.reuseAddress)
    case SO_REUSEPORT:
      return Number(options.reusePort)
    case SO_OOBINLINE:
      return Number(options.oobInline)
    case SO_KEEPALIVE:
      return options.keepAlive ? 1 : 0
    // Linux answers double what was set: half of its buffers is for bookkeeping.
    case SO_RCVBUF:
      return 2 * (options.receiveBuffer || defaults.maxWindow)
    case SO_RCVLOWAT:
      return options.receiveLowWater
    case SO_SNDBUF:
      return 2 * (options.sendBuffer || defaults.sendBuffer)
    default:
      return null
  }
}

function getTcpLevel(socket: Socket, optname: number): number | null {
  const { options, tcb } = socket
  const defaults = configOf(socket)
  switch (optname) {
    case TCP_NODELAY:
      return options.noDelay ? 1 : 0
    case TCP_CORK:
      return options.cork ? 1 : 0
    case TCP_MAXSEG:
      if (tcb !== null && tcb.state >= ESTABLISHED) return tcb.snd.mss
      return options.maxSeg || DEFAULT_MSS
    case TCP_KEEPIDLE:
      return Math.floor((options.keepIdleUs || defaults.keepIdleUs) / SECOND_US)
    case TCP_KEEPINTVL:
      return Math.floor((options.keepIntervalUs || defaults.keepIntervalUs) / SECOND_US)
    case TCP_KEEPCNT:
      return options.keepCount || defaults.keepCount
    case TCP_USER_TIMEOUT:
      return Math.floor(options.userTimeoutUs / 1000)
    case TCP_FASTOPEN:
      return options.fastOpen
    case TCP_QUICKACK:
      return 1
    default:
      return null
  }
}

function set(socket: Socket, level: number, optname: number, value: Uint8Array): number {
  if (level === IPPROTO_TCP && optname === TCP_CONGESTION) return setCongestion(socket, value)
  if (value.length < 4) return -errno.EINVAL
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const number = view.getInt32(0, true)
  if (level === IPPROTO_TCP) return setTcpLevel(socket, optname, number)
  switch (optname) {
    case SO_REUSEADDR:
      return socket.setOptions({ reuseAddress: number !== 0 })
    case SO_REUSEPORT:
      return socket.setOptions({ reusePort: number !== 0 })
    case SO_OOBINLINE:
      return socket.setOptions({ oobInline: number !== 0 })
    case SO_KEEPALIVE:
      return socket.setOptions({ keepAlive: number !== 0 })
    // A negative size is a large unsigned one to Linux, which cuts it to the limit.
    case SO_RCVBUF:
      return socket.setOptions({ receiveBuffer: clampBuffer(number, MIN_RECEIVE_BUFFER) })
    case SO_RCVLOWAT:
      return socket.setOptions({ receiveLowWater: number < 0 ? MAX_LOW_WATER : Math.max(1, number) })
    case SO_SNDBUF:
      return socket.setOptions({ sendBuffer: clampBuffer(number, MIN_SEND_BUFFER) })
    case SO_LINGER: {
      if (value.length < 8) return -errno.EINVAL
      const seconds = view.getInt32(4, true)
      return socket.setOptions({ lingerUs: number === 0 ? -1 : Math.max(0, seconds) * SECOND_US })
    }
    default:
      return -errno.ENOPROTOOPT
  }
}

/** The levels of IP, of either version. */
function ipLevel(socket: Socket, command: number, level: number, optname: number, value: Uint8Array): number {
  if (command === abi.SOCKET_URING_OP_GETSOCKOPT) {
    const number = getIpOption(socket, level, optname)
    return number === null ? -errno.ENOPROTOOPT : put(value, ints(number))
  }
  if (value.length < 4) return -errno.EINVAL
  const number = new DataView(value.buffer, value.byteOffset).getInt32(0, true)
  return setIpOption(socket, level, optname, number)
}

const MIN_RECEIVE_BUFFER = 1152
const MIN_SEND_BUFFER = 2304
const MAX_BUFFER = 1 << 29
const MAX_LOW_WATER = 0x7fff_ffff

function clampBuffer(bytes: number, least: number): number {
  return bytes < 0 ? MAX_BUFFER : Math.min(MAX_BUFFER, Math.max(least, bytes))
}

function setTcpLevel(socket: Socket, optname: number, number: number): number {
  switch (optname) {
    case TCP_NODELAY:
      return socket.setOptions({ noDelay: number !== 0 })
    case TCP_CORK:
      return socket.setOptions({ cork: number !== 0 })
    case TCP_MAXSEG:
      if (number !== 0 && (number < MIN_MAXSEG || number > MAX_MAXSEG)) return -errno.EINVAL
      return socket.setOptions({ maxSeg: number })
    case TCP_KEEPIDLE:
      if (number < 1 || number > MAX_KEEP_SECONDS) return -errno.EINVAL
      return socket.setOptions({ keepIdleUs: number * SECOND_US })
    case TCP_KEEPINTVL:
      if (number < 1 || number > MAX_KEEP_SECONDS) return -errno.EINVAL
      return socket.setOptions({ keepIntervalUs: number * SECOND_US })
    case TCP_KEEPCNT:
      if (number < 1 || number > MAX_KEEP_COUNT) return -errno.EINVAL
      return socket.setOptions({ keepCount: number })
    case TCP_USER_TIMEOUT:
      if (number < 0) return -errno.EINVAL
      return socket.setOptions({ userTimeoutUs: number * 1000 })
    case TCP_FASTOPEN:
      if (number < 0) return -errno.EINVAL
      return socket.setOptions({ fastOpen: number })
    case TCP_QUICKACK:
      return 0
    default:
      return -errno.ENOPROTOOPT
  }
}

function setCongestion(socket: Socket, value: Uint8Array): number {
  if (value.length < 1) return -errno.EINVAL
  const name = new TextDecoder().decode(value.slice(0, CONGESTION_NAME_BYTES)).replace(/\0.*$/s, '')
  if (name !== 'reno' && name !== 'cubic') return -errno.ENOENT
  return socket.setOptions({ congestion: name })
}

/** As much of the answer as the caller has room for; returns how much. */
function put(value: Uint8Array, answer: Uint8Array): number {
  const length = Math.min(value.length, answer.length)
  value.set(answer.subarray(0, length))
  return length
}

function ints(...numbers: number[]): Uint8Array {
  const bytes = new Uint8Array(numbers.length * 4)
  const view = new DataView(bytes.buffer)
  numbers.forEach((number, i) => {
    view.setInt32(i * 4, number, true)
  })
  return bytes
}
