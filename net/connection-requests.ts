import { IORING_ASYNC_CANCEL_ALL, SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { SHUT_WR, SO_LINGER, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { ConnectionHandler, ConnectionHost } from './connection.ts'
import type { Engine } from './engine.ts'

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

/** `user_data` of a request. */
export function dataOf(kind: number, id = 0): number {
  return kind * 2 ** 32 + id
}

/** Whose connections they are. */
export interface ConnectionOwner {
  readonly engine: Engine
  readonly handler: ConnectionHandler | null
  /** A callback for this connection threw. */
  threw(id: number, error: unknown): void
  /** Nothing refers to this id any more. */
  left(id: number): void
}

/** What the connection with this id, on this descriptor, asks of its ring and its owner. */
export class ConnectionRequests implements ConnectionHost {
  readonly handler: ConnectionHandler | null
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
    this.handler = owner.handler
    owner.engine.system.sockets?.opened(fd)
  }

  get area(): Uint8Array {
    return this.#owner.engine.area
  }

  threw(error: unknown): void {
    this.#owner.threw(this.#id, error)
  }

  gone(): void {
    this.#owner.left(this.#id)
  }

  release(offset: number): void {
    this.#owner.engine.release(offset)
  }

  send(bytes: Uint8Array): void {
    const { engine } = this.#owner
    const staged = engine.stage(bytes)
    // What is a copy of the engine's own needs no other. Linux makes one on the way to itself all the same.
    const loan =
      staged === bytes || engine.system.sockets !== undefined ? -1 : engine.loans.lend(staged, this.#id)
    if (loan >= 0) engine.sqe().prepSendZc(this.#fd, staged).setData(dataOf(LENT, loan))
    else {
      this.#sent = bytes
      this.#staged = staged
      engine.sqe().prepSend(this.#fd, staged).setData(dataOf(SEND, this.#id))
    }
    engine.wake()
  }

  sent(): void {
    if (this.#sent !== null) this.#owner.engine.unstage(this.#sent, this.#staged!)
    this.#sent = null
    this.#staged = null
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
