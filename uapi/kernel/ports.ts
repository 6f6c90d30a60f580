import type { IpAddress } from '../../address.ts'
import type { Stack } from '../../stack/stack.ts'
import type { SocketOptions } from '../../stack/tcp/socket-options.ts'
import { addressesMeet } from '../../stack/tcp/tcb.ts'
import { EADDRINUSE, EADDRNOTAVAIL } from '../abi/errno.ts'
import type { Socket } from './socket.ts'

/** Ports that are chosen for port 0 (RFC 6335 section 6). */
const FIRST_EPHEMERAL = 49_152
const EPHEMERAL_PORTS = 16_384

/** Knows which stack serves an address: `Kernel.stackFor`. */
interface StackFinder {
  stackFor(address: IpAddress): Stack | null
}

/** Who has bound which port, whether or not it listens or is connected by now. */
export class Ports {
  readonly #stacks: StackFinder
  readonly #bound = new Map<number, Set<Socket>>()
  /** Those whose ports were chosen here. */
  readonly #chosen = new WeakSet<Socket>()
  #next = 0

  constructor(stacks: StackFinder) {
    this.#stacks = stacks
  }

  /**
   * bind(2): 0 and the socket has stack and port, or minus errno. EADDRINUSE by Linux's rules: another socket, or a connection that
   * a socket has left behind, has the port at an address that meets this one, unless both have SO_REUSEADDR and the other does
   * not listen, or both have SO_REUSEPORT. @param port 0 = any that is free
   */
  bind(socket: Socket, address: IpAddress, port: number): number {
    const stack = this.#stacks.stackFor(address)
    if (stack === null) return -EADDRNOTAVAIL
    const chosen = port === 0 ? this.#free(socket, stack, address) : port
    if (chosen === 0 || (port !== 0 && this.#taken(socket, stack, address, port))) return -EADDRINUSE
    if (port === 0) this.#chosen.add(socket)
    socket.stack = stack
    socket.bound = { address, port: chosen }
    const sockets = this.#bound.get(chosen) ?? new Set()
    sockets.add(socket)
    this.#bound.set(chosen, sockets)
    return 0
  }

  /**
   * The port that a connection of the socket has to begin from; 0 when that is for the stack to choose. Where the interface has
   * several queues, a port that nobody named is no more than a place kept: answers to it may come to another queue.
   */
  portFor(socket: Socket, stack: Stack): number {
    return stack.siblings !== null && this.#chosen.has(socket) ? 0 : (socket.bound?.port ?? 0)
  }

  /** The socket's last reference is gone. What is left of its connection keeps the port by itself. */
  release(socket: Socket): void {
    const port = socket.bound?.port
    const sockets = port === undefined ? undefined : this.#bound.get(port)
    if (sockets?.delete(socket) === true && sockets.size === 0) this.#bound.delete(port!)
  }

  /** A port for 0; 0 when all are taken. */
  #free(socket: Socket, stack: Stack, address: IpAddress): number {
    for (let tries = 0; tries < EPHEMERAL_PORTS; tries++) {
      const port = FIRST_EPHEMERAL + (this.#next++ % EPHEMERAL_PORTS)
      // None is shared that nobody named.
      if (!this.#bound.has(port) && !this.#taken(socket, stack, address, port)) return port
    }
    return 0
  }

  #taken(socket: Socket, stack: Stack, address: IpAddress, port: number): boolean {
    const { options } = socket
    // Of a connection on another queue of the interface, whose options nobody knows here.
    if (!options.reusePort && (stack.siblings?.ports.sibling(port) ?? -1) >= 0) return true
    for (const other of this.#bound.get(port) ?? []) {
      if (other.stack !== stack || mayShare(options, other.options, other.listener !== null)) continue
      if (addressesMeet(address, options.v6Only, other.bound!.address, other.options.v6Only)) return true
    }
    if (stack.tcp.connections === 0) return false
    for (const tcb of stack.tcp) {
      if (tcb.localPort !== port || mayShare(options, tcb.options, false)) continue
      if (addressesMeet(address, options.v6Only, tcb.local, false)) return true
    }
    return false
  }
}

function mayShare(one: SocketOptions, other: SocketOptions, otherListens: boolean): boolean {
  return (one.reusePort && other.reusePort) || (one.reuseAddress && other.reuseAddress && !otherListens)
}
