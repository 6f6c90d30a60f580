import { IORING_ASYNC_CANCEL_ALL, SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { SHUT_WR, SO_LINGER, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { ConnectionHost } from './connection-host.ts'
import type { Engine } from './engine.ts'
import { worthLending } from './loans.ts'

/** Kinds of request, in the high half of user_data; the low half is a connection's id, or a listener's. */
export const SETUP = 1
export const ACCEPT = 2
export const RECEIVE = 3
export const SEND = 4
export const CLOSE = 5
/** Its completion tells nothing: those of the requests that are cancelled do. */
export const CANCEL = 6
const SHUTDOWN = 7
/** Its completion tells nothing: the descriptor is closed next. */
const LINGER = 8
/** A SEND_ZC: the low half is a loan's number (`Loans`). */
export const LENT = 9

/** Its completion gives back the memory of an option's value: the low half is the option's number. */
export const OPTION = 10
/** The low half is a connection's id: its local address is known. */
export const NAME = 11
/** A request of whoever connects: the low half is a call's number. */
export const CALL = 12

/** `user_data` of a request. */
export function dataOf(kind: number, id = 0): number {
  return kind * 2 ** 32 + id
}

/** Limits of a connection that nobody has said any of. */
export const DEFAULT_SEND_BUFFER_BYTES = 4 << 20
export const DEFAULT_RECEIVE_BUFFER_BYTES = 1 << 20

/** How much may wait in a connection. */
export interface BufferLimits {
  /**
   * Bytes given to `send` that may wait, of each connection, when more are given: the rest is refused with `ZCRX_SEND_BUFFER`. A peer that does
   * not read costs no more. Default 4 MiB.
   */
  readonly sendBufferBytes?: number
  /**
   * Bytes received that may wait for whoever reads a connection (iteration, streams): more stays in the socket and closes the peer's window, so
   * that one that is not read does not take the area from the others. Default 1 MiB.
   */
  readonly receiveBufferBytes?: number
}

/** Whose connections they are. */
export interface ConnectionOwner {
  readonly engine: Engine
  readonly limits: BufferLimits
  /** A connection wants the process to stay alive, or does no longer. */
  hold(by: 1 | -1): void
  /** Something has arrived on this connection: it is told at the end of the batch. */
  news(id: number): void
  /** Bytes were copied for whoever reads a stream. */
  copied(bytes: number): void
  /** A callback for this connection threw. */
  threw(id: number, error: unknown): void
  /** Nothing refers to this id any more. */
  left(id: number): void
}

/** What the connection with this id, on this descriptor, asks of its ring and its owner. */
export class ConnectionRequests implements ConnectionHost {
  readonly #owner: ConnectionOwner
  readonly #id: number
  readonly #fd: number
  /** Of the SEND that is under way: its bytes, and what stands for them; null without one. */
  #sent: Uint8Array | null = null
  #staged: Uint8Array | null = null

  constructor(owner: ConnectionOwner, id: number, fd: number) {
    this.#owner = owner
    this.#id = id
    this.#fd = fd
    owner.engine.system.sockets?.opened(fd)
  }

  get area(): Uint8Array {
    return this.#owner.engine.area
  }

  get sendBufferBytes(): number {
    return this.#owner.limits.sendBufferBytes ?? DEFAULT_SEND_BUFFER_BYTES
  }

  get receiveBufferBytes(): number {
    return this.#owner.limits.receiveBufferBytes ?? DEFAULT_RECEIVE_BUFFER_BYTES
  }

  threw(error: unknown): void {
    this.#owner.threw(this.#id, error)
  }

  gone(): void {
    this.#owner.left(this.#id)
  }

  news(): void {
    this.#owner.news(this.#id)
  }

  copied(bytes: number): void {
    this.#owner.copied(bytes)
  }

  hold(by: 1 | -1): void {
    this.#owner.hold(by)
  }

  wake(): void {
    this.#owner.engine.wake()
  }

  release(offset: number): void {
    this.#owner.engine.release(offset)
  }

  canLend(bytes: Uint8Array): boolean {
    return this.#owner.engine.ring.arena.reaches(bytes)
  }

  send(bytes: Uint8Array, returned: (() => void) | null): Uint8Array | null {
    const { engine } = this.#owner
    if (returned !== null) {
      const loan = engine.loans.lend({ owner: this.#id, copy: null, returned })
      engine.sqe().prepSendZc(this.#fd, bytes).setData(dataOf(LENT, loan))
      engine.wake()
      return null
    }
    const staged = engine.stage(bytes)
    // What is a copy of the engine's own needs no other. Linux makes one on the way to itself all the same.
    if (staged !== bytes && engine.system.sockets === undefined && worthLending(staged)) {
      const loan = engine.loans.lend({ owner: this.#id, copy: staged, returned: null })
      engine.sqe().prepSendZc(this.#fd, staged).setData(dataOf(LENT, loan))
    } else {
      this.#sent = bytes
      this.#staged = staged
      engine.sqe().prepSend(this.#fd, staged).setData(dataOf(SEND, this.#id))
    }
    engine.wake()
    return staged !== bytes && staged.length === bytes.length ? staged : null
  }

  sent(): void {
    if (this.#sent !== null) this.#owner.engine.unstage(this.#sent, this.#staged!)
    this.#sent = null
    this.#staged = null
  }

  pause(): void {
    const { engine } = this.#owner
    if (engine.closed) return
    engine.sqe().prepCancel(dataOf(RECEIVE, this.#id)).setData(dataOf(CANCEL, this.#id))
    engine.wake()
  }

  setOption(level: number, name: number, value: number): void {
    const { engine } = this.#owner
    if (!engine.closed) engine.setOption(this.#fd, [level, name, value], dataOf(OPTION))
  }

  close(): void {
    const { engine } = this.#owner
    if (engine.closed) return
    // An armed receive would keep the connection open behind the descriptor: close(2) does not end it.
    engine.sqe().prepCancel(dataOf(RECEIVE, this.#id)).setData(dataOf(CANCEL, this.#id))
    engine.closing(this.#fd).setData(dataOf(CLOSE, this.#id))
    engine.wake()
  }

  reset(): void {
    const { engine } = this.#owner
    if (engine.closed) return
    const { sockets } = engine.system
    if (sockets === undefined) {
      engine
        .sqe()
        .prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, this.#fd, SOL_SOCKET, SO_LINGER, engine.noLinger)
        .setData(dataOf(LINGER, this.#id))
    } else sockets.setOption(this.#fd, SOL_SOCKET, SO_LINGER, engine.noLinger)
    engine.sqe().prepCancelFd(this.#fd, IORING_ASYNC_CANCEL_ALL).setData(dataOf(CANCEL, this.#id))
    engine.closing(this.#fd).setData(dataOf(CLOSE, this.#id))
    engine.wake()
  }

  end(): void {
    const { engine } = this.#owner
    const { sockets } = engine.system
    if (sockets !== undefined) {
      sockets.shutdown(this.#fd, SHUT_WR)
      return
    }
    engine.sqe().prepShutdown(this.#fd, SHUT_WR).setData(dataOf(SHUTDOWN, this.#id))
    engine.wake()
  }

  receive(): void {
    this.#owner.engine.receive(this.#fd).setData(dataOf(RECEIVE, this.#id))
  }
}
