import { IpAddress } from '../address.ts'
import { ConnectionError } from '../errors.ts'
import * as errnos from '../uapi/abi/errno.ts'
import { sockaddrOf } from '../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_STREAM } from '../uapi/abi/socket.ts'
import { Scratch } from '../uapi/ring/arena.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import { CANCEL, dataOf, OPTION } from './connection-requests.ts'
import type { IpEnd } from './ends.ts'
import type { Lane } from './lane.ts'
import { type ListenerOptions, socketOptions } from './listen.ts'
import { placeForSockaddr } from './listening-sockets.ts'
import { endOf } from './local-names.ts'
import { checkSignal } from './options.ts'

/** Where to connect, and how. */
export interface Target extends ListenerOptions {
  readonly address: IpAddress
  readonly port: number
  /** Where to connect from: an address of the host's, a port, or both; 0 = any. */
  readonly local: { readonly address: IpAddress | null; readonly port: number }
  readonly signal: AbortSignal | undefined
  /** Longest wait in milliseconds; 0 = as long as the stack tries. */
  readonly timeoutMs: number
  readonly handler: ConnectionHandler | null
}

/** What to do about it, where there is something to say. */
const REMEDIES: Readonly<Record<number, string>> = {
  [errnos.ECONNREFUSED]: 'nobody listens there',
  [errnos.EHOSTUNREACH]:
    'nobody answers for the address (ARP, neighbour discovery): is the peer up, and on this link?',
  [errnos.ENETUNREACH]: 'no route leads there: give a gateway, or a longer prefix',
  [errnos.ETIMEDOUT]: 'nobody answers: is the address right, and does a firewall drop it?',
  [errnos.EADDRNOTAVAIL]: 'the address to connect from is none of the host’s, or all of its ports are taken',
  [errnos.EADDRINUSE]: 'the port to connect from is taken: leave localPort out',
  [errnos.EACCES]: 'a rule of the machine forbids it',
}

/** @param res minus errno */
function failure(res: number, syscall: string, { address, port }: Target): ConnectionError {
  const errno = Math.abs(res)
  const where = syscall === 'connect' ? { address: address.toString(), port } : {}
  return new ConnectionError([errnos.errnoName(errno), errno], syscall, where, REMEDIES[errno] ?? '')
}

/** Connects by this lane. @throws ConnectionError, AbortError; nothing is left then */
export async function dial(lane: Lane, target: Target): Promise<Connection> {
  const { engine, calls } = lane
  const { address } = target
  const family = address.version === 4 ? AF_INET : AF_INET6
  const fd = await calls.call((sqe) => sqe.prepSocket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))
  if (fd < 0) throw failure(fd, 'socket', target)
  engine.system.sockets?.opened(fd)
  try {
    for (const option of socketOptions(target)) engine.setOption(fd, option, dataOf(OPTION))
    await bound(lane, fd, target)
    await connected(lane, fd, target)
    const local = await nameOf(lane, fd)
    if (engine.closed) throw failure(-errnos.ECANCELED, 'connect', target)
    const connection = lane.adopt(fd, { address, port: target.port }, local, target.handler)
    connection.start()
    engine.wake()
    return connection
  } catch (error) {
    if (!engine.closed) {
      engine.closing(fd).setData(dataOf(CANCEL))
      engine.wake()
    }
    throw error
  }
}

/** Takes the local address and port that were asked for. */
async function bound(lane: Lane, fd: number, target: Target): Promise<void> {
  const { local, address } = target
  if (local.address === null && local.port === 0) return
  const scratch = new Scratch(lane.engine.ring.arena)
  try {
    const any = address.version === 4 ? IpAddress.any4 : IpAddress.any6
    const sockaddr = scratch.lend(sockaddrOf(local.address ?? any, local.port))
    const res = await lane.calls.call((sqe) => sqe.prepBind(fd, sockaddr))
    if (res < 0) throw failure(res, 'bind', target)
  } finally {
    scratch.end()
  }
}

/** Waits for the handshake, no longer than may be. */
async function connected(lane: Lane, fd: number, target: Target): Promise<void> {
  const { signal, timeoutMs, address, port } = target
  let number = -1
  let late = false
  const cancel = (): void => lane.calls.cancel(number)
  const timer =
    timeoutMs > 0
      ? setTimeout(() => {
          late = true
          cancel()
        }, timeoutMs)
      : null
  signal?.addEventListener('abort', cancel, { once: true })
  const scratch = new Scratch(lane.engine.ring.arena)
  try {
    checkSignal(signal)
    const peer = scratch.lend(sockaddrOf(address, port))
    const res = await lane.calls.call(
      (sqe) => sqe.prepConnect(fd, peer),
      (call) => {
        number = call
      },
    )
    checkSignal(signal)
    if (late && res !== 0) throw failure(-errnos.ETIMEDOUT, 'connect', target)
    if (res < 0) throw failure(res, 'connect', target)
  } finally {
    if (timer !== null) clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
    scratch.end()
  }
}

/** The address and port that a socket has. */
async function nameOf(lane: Lane, fd: number): Promise<IpEnd> {
  const { sockets } = lane.engine.system
  const scratch = new Scratch(lane.engine.ring.arena)
  try {
    const { sockaddr, length } = placeForSockaddr(scratch)
    if (sockets !== undefined) sockets.name(fd, sockaddr)
    else await lane.calls.call((sqe) => sqe.prepCmdGetsockname(fd, sockaddr, length))
    return endOf(sockaddr, 0)
  } finally {
    scratch.end()
  }
}
