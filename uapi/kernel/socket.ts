import type { IpAddress } from '../../address.ts'
import type { Stack } from '../../stack/stack.ts'
import { SocketOptions } from '../../stack/tcp/socket-options.ts'
import {
  CLOSED,
  ESTABLISHED,
  EVENT_CLOSED,
  EVENT_CONNECTED,
  EVENT_READABLE,
  EVENT_WRITABLE,
} from '../../stack/tcp/state.ts'
import type { Listener, Tcb } from '../../stack/tcp/tcb.ts'
import { POLLIN, POLLOUT } from '../abi/poll.ts'
import type { OpenFile, Waiter } from './files.ts'

/** What sockets need of the kernel. */
export interface SocketHost {
  readonly stacks: readonly Stack[]
  readonly ports: { release(socket: Socket): void }
  /** See `Kernel.unsteer`, `Kernel.steerConnections`. */
  unsteer(stack: Stack, address: IpAddress, port: number, v6Only: boolean): void
  steerConnections(stack: Stack, port: number): void
}

/** The queues of those who wait on a socket. */
export type WaitQueue = 'readers' | 'writers' | 'acceptors' | 'connectors' | 'pollers'

const NOBODY: readonly Waiter[] = Object.freeze([])

/** A TCP socket: what a descriptor names. Lives until descriptor and requests have let go. */
export class Socket implements OpenFile {
  readonly kind = 'socket'
  readonly kernel: SocketHost
  stack: Stack | null = null
  tcb: Tcb | null = null
  listener: Listener | null = null
  /** Address and port given by BIND, null before. */
  bound: { address: IpAddress; port: number } | null = null
  /** AF_INET or AF_INET6: which sockaddr it speaks. */
  readonly family: number
  /** SHUT_RD was called. */
  readShut = false
  /** SHUT_WR was called. */
  writeShut = false
  /** It was connected once. */
  #connected = false
  /** CONNECT has told that there is no connection: another may follow. */
  refused = false
  /** The connection's error has been reported to a reader: later reads see the end of the stream. */
  errorReported = false
  /**
   * Requests are answered EAGAIN or EINPROGRESS instead of waiting, as system calls are with O_NONBLOCK. A ring's are not, SOCK_NONBLOCK or
   * not: this is for whoever does for a program what system calls would.
   */
  nonBlocking = false
  /** What setsockopt asked for; those of a listener are inherited by what it accepts. */
  options: SocketOptions = SocketOptions.default
  /** Who waits, in the order in which they began: see `join`. */
  readers: readonly Waiter[] = NOBODY
  writers: readonly Waiter[] = NOBODY
  acceptors: readonly Waiter[] = NOBODY
  connectors: readonly Waiter[] = NOBODY
  pollers: readonly Waiter[] = NOBODY
  #references = 1

  constructor(kernel: SocketHost, family: number) {
    this.kernel = kernel
    this.family = family
  }

  /** Makes the socket the owner of a connection. */
  adopt(stack: Stack, tcb: Tcb): void {
    this.stack = stack
    this.tcb = tcb
    tcb.owner = this
    this.options = tcb.options
    this.#connected = tcb.state >= ESTABLISHED
    this.refused = false
    this.errorReported = false
    this.#chooseSink()
  }

  /** Somebody waits behind those who do. */
  join(queue: WaitQueue, waiter: Waiter): void {
    const waiting = this[queue]
    // Most queues never have more than one: no room is kept for others.
    if (waiting.length === 0) this[queue] = [waiter]
    else (waiting as Waiter[]).push(waiter)
    this.#chooseSink()
  }

  /** Somebody waits no longer. */
  leave(queue: WaitQueue, waiter: Waiter): void {
    const waiting = this[queue]
    const at = waiting.indexOf(waiter)
    if (at < 0) return
    if (waiting.length === 1) this[queue] = NOBODY
    else (waiting as Waiter[]).splice(at, 1)
    this.#chooseSink()
  }

  /** Payload may go straight to whoever reads, when he is alone and nobody else wants to know of it. */
  #chooseSink(): void {
    const { tcb, readers } = this
    if (tcb === null) return
    const alone = readers.length === 1 && this.pollers.length === 0 && this.options.receiveLowWater <= 1
    tcb.sink = alone ? readers[0]!.sink : null
  }

  /** A connection that was asked for came to nothing, and no CONNECT has told. */
  get unanswered(): boolean {
    return this.tcb !== null && this.tcb.state === CLOSED && !this.#connected && !this.refused
  }

  /** Changes options of the socket, and of the connection or listener it has. Returns 0, the result of the call. */
  setOptions(changes: Partial<Omit<SocketOptions, 'with'>>): 0 {
    const { tcb, stack, listener } = this
    this.options = this.options.with(changes)
    if (listener !== null) listener.options = this.options
    this.#chooseSink()
    if (tcb !== null && stack !== null && tcb.state !== CLOSED) {
      stack.tcp.setOptions(tcb, this.options, stack.clock.now())
    }
    return 0
  }

  /** Bytes in front of an urgent byte that is not in line; Infinity when there is none, or urgent data is in line. */
  untilUrgent(): number {
    const { tcb } = this
    if (tcb === null || tcb.options.oobInline) return Number.POSITIVE_INFINITY
    const bytes = tcb.urgentBytes()
    return bytes === 0 ? Number.POSITIVE_INFINITY : bytes - 1
  }

  /** The connection's error, a positive errno, the first time it is asked for; 0 from then on. */
  takeError(): number {
    const { tcb } = this
    if (tcb === null || tcb.state !== CLOSED || this.errorReported) return 0
    this.errorReported = true
    return tcb.error
  }

  hold(): void {
    this.#references++
  }

  dup(): void {
    this.hold()
  }

  release(): void {
    this.drop()
  }

  /** Gives a reference back, as `hold` has taken it: requests that wait go on, closed or not. The last one closes the connection or the listener. */
  drop(): void {
    if (--this.#references > 0) return
    const { stack, tcb } = this
    this.kernel.ports.release(this)
    if (stack === null) return
    this.stopListening()
    if (tcb !== null) {
      // SO_LINGER with no time to linger: what is unsent is thrown away, and the peer is told (RFC 9293 3.10.5).
      if (this.options.lingerUs === 0 && tcb.state !== CLOSED) {
        tcb.orphaned = true
        tcb.owner = null
        stack.tcp.abort(tcb)
      } else stack.tcp.close(tcb, stack.clock.now())
    }
    this.tcb = null
  }

  /** Connections that wait to be accepted are reset; the port stays the socket's. */
  stopListening(): void {
    const { stack, listener, bound, options } = this
    if (stack === null || listener === null || bound === null) return
    this.listener = null
    stack.tcp.unlisten(listener)
    this.kernel.steerConnections(stack, bound.port)
    this.kernel.unsteer(stack, bound.address, bound.port, options.v6Only)
    wakeAll(this.acceptors)
    wakeAll(this.pollers)
  }

  /** Something happened to the connection. @param events EVENT_* */
  onEvents(events: number): void {
    if ((events & EVENT_CONNECTED) !== 0) this.#connected = true
    if ((events & EVENT_CLOSED) !== 0) {
      this.#wakeForEnd()
      return
    }
    if (this.pollers.length > 0) this.#wakePollers(events)
    if ((events & EVENT_CONNECTED) !== 0) wakeAll(this.connectors)
    if ((events & (EVENT_WRITABLE | EVENT_CONNECTED)) !== 0) wakeAll(this.writers)
    if ((events & EVENT_READABLE) !== 0 && this.readers.length > 0) {
      // Of several receivers the one submitted last comes first; what he leaves, or can't come for any more, is for those before him.
      const tcb = this.tcb
      const ended = tcb === null || tcb.rcv.finished || tcb.state === CLOSED
      if (tcb !== null && tcb.rcv.head < 0 && ended) wakeAll(this.readers)
      else if (ended || this.readable)
        for (let i = this.readers.length - 1; i >= 0; i--) this.readers[i]!.wake()
    }
  }

  /** There is one error for all: as on Linux it is for who began to wait last. */
  #wakeForEnd(): void {
    const all = [...this.pollers, ...this.connectors, ...this.writers, ...this.readers]
    wakeAll(all.sort((one, other) => other.armed - one.armed))
  }

  /** Pollers are woken as Linux wakes them: by data and room as such, by what changes the connection with all that is true then. */
  #wakePollers(events: number): void {
    const { tcb } = this
    if ((events & EVENT_CONNECTED) !== 0 || tcb === null || tcb.rcv.finished) {
      wakeAll(this.pollers)
      return
    }
    const readable = (events & EVENT_READABLE) !== 0 && (this.readable || tcb.urgentBytes() > 0)
    const happened = (readable ? POLLIN : 0) | ((events & EVENT_WRITABLE) !== 0 ? POLLOUT : 0)
    if (happened !== 0) wakeAll(this.pollers, happened)
  }

  /** So much waits that a reader is to be woken: SO_RCVLOWAT, but no peer is left standing before a closed window. */
  get readable(): boolean {
    const { tcb } = this
    if (tcb === null || tcb.rcv.queuedBytes === 0) return false
    return tcb.rcv.queuedBytes >= this.options.receiveLowWater || tcb.rcv.window() <= tcb.snd.mss
  }

  /** Connections wait to be accepted: the requests submitted first get them. */
  onAcceptable(): void {
    wakeAll(this.pollers, POLLIN)
    const waiting = this.listener?.ready.length ?? 0
    for (let i = 0; i < Math.min(waiting, this.acceptors.length); i++) this.acceptors[i]!.wake()
  }
}

function wakeAll(waiters: readonly Waiter[], events = 0): void {
  for (const waiter of waiters) waiter.wake(events)
}
