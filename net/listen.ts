import { IpAddress } from '../address.ts'
import { AddressError, ArgumentError } from '../errors.ts'
import { IPPROTO_TCP } from '../uapi/abi/in.ts'
import { SO_KEEPALIVE, SOL_SOCKET } from '../uapi/abi/socket.ts'
import { TCP_FASTOPEN, TCP_KEEPIDLE, TCP_NODELAY, TCP_USER_TIMEOUT } from '../uapi/abi/tcp.ts'
import type { System } from './system.ts'

/** Connections that may wait to be accepted: as of Node's servers. */
export const DEFAULT_BACKLOG = 511

/** Where to listen. */
export interface ListenOptions {
  /** As text; `0.0.0.0` and `::` are every IPv4 and every IPv6 address, now and later. Default: every address of both. */
  readonly address?: string
  /** TCP port; 0 takes any that is free. */
  readonly port: number
}

/** What `ServerOptions` say of where to listen. */
interface Where {
  readonly port?: number
  readonly listenOn?: string
  readonly listen?: readonly ListenOptions[]
}

/** What they say of the sockets. */
export interface ListenerOptions {
  readonly noDelay?: boolean
  readonly keepAlive?: boolean | number
  readonly userTimeoutMs?: number
  readonly fastOpen?: number
}

/** @throws ArgumentError when it is not said where */
export function listenersOf({ port, listenOn, listen }: Where): readonly ListenOptions[] {
  if (listen !== undefined && listen.length > 0) return listen
  if (port === undefined) throw new ArgumentError('no port to listen on', 'give port, or listen')
  return [{ port, ...(listenOn === undefined ? {} : { address: listenOn }) }]
}

/**
 * What to bind to, and whether the IPv6 wildcard leaves IPv4 out.
 * @throws ArgumentError when it is no address, AddressError when it is none of the host's
 */
export function listenAddress(
  system: System,
  named: string | undefined,
): { address: IpAddress; only: boolean } {
  if (named === undefined) return { address: system.listenAddress, only: false }
  const wanted = IpAddress.parse(named)
  if (wanted === null)
    throw new ArgumentError(`"${named}" is not an IP address`, 'write 192.0.2.1, or 2001:db8::1')
  if (wanted.unspecified) return { address: wanted, only: wanted.version === 6 }
  const address = system.addresses.find((one) => one.equals(wanted))
  if (address !== undefined) return { address, only: false }
  // Which of those it does not name are the machine's as well it says itself: 127.0.0.2, for one.
  if (system.sockets !== undefined) return { address: wanted, only: false }
  throw new AddressError(
    `"${named}" is none of the addresses ${system.addresses.join(', ')}`,
    'listen on one of them, or take it as an address of our own: ownAddress (--address of zcrxd)',
  )
}

/** Level, name and value of the socket options that are asked for. */
export function socketOptions(options: ListenerOptions): [number, number, number][] {
  const { noDelay = false, keepAlive = false, userTimeoutMs = 0, fastOpen = 0 } = options
  const wanted: [number, number, number][] = []
  if (noDelay) wanted.push([IPPROTO_TCP, TCP_NODELAY, 1])
  if (keepAlive !== false) wanted.push([SOL_SOCKET, SO_KEEPALIVE, 1])
  // The option is in seconds.
  if (typeof keepAlive === 'number')
    wanted.push([IPPROTO_TCP, TCP_KEEPIDLE, Math.max(1, Math.ceil(keepAlive / 1000))])
  if (userTimeoutMs > 0) wanted.push([IPPROTO_TCP, TCP_USER_TIMEOUT, userTimeoutMs])
  if (fastOpen > 0) wanted.push([IPPROTO_TCP, TCP_FASTOPEN, fastOpen])
  return wanted
}
