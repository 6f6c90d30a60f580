import { IORING_ASYNC_CANCEL_ALL, SOCKET_URING_OP_SETSOCKOPT } from '../uapi/abi/io-uring.ts'
import { SHUT_WR, SO_LINGER, SOL_SOCKET } from '../uapi/abi/socket.ts'
import type { ConnectionHost } from './connection.ts'
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

/** What the connection with this id, on this descriptor, asks of the ring. */
export function requestsOf(
  engine: Engine,
  id: number,
  fd: number,
): Omit<ConnectionHost, 'handler' | 'threw' | 'gone'> {
  const { sockets } = engine.system
  sockets?.opened(fd)
  /** Of the SEND that is under way: its bytes, and what stands for them. */
  let sent: readonly [Uint8Array, Uint8Array] | null = null
  return {
    area: engine.area,
    release: (offset) => engine.release(offset),
    send: (bytes) => {
      const staged = engine.stage(bytes)
      // What is a copy of the engine's own needs no other. Linux makes one on the way to itself all the same.
      const loan = staged === bytes || sockets !== undefined ? -1 : engine.loans.lend(staged, id)
      if (loan >= 0) engine.sqe().prepSendZc(fd, staged).setData(dataOf(LENT, loan))
      else {
        sent = [bytes, staged]
        engine.sqe().prepSend(fd, staged).setData(dataOf(SEND, id))
      }
      engine.wake()
    },
    sent: () => {
      if (sent !== null) engine.unstage(...sent)
      sent = null
    },
    close: () => {
      if (engine.closed) return
      // An armed receive would keep the connection open behind the descriptor: close(2) does not end it.
      engine.sqe().prepCancel(dataOf(RECEIVE, id)).setData(dataOf(CANCEL, id))
      engine.closing(fd).setData(dataOf(CLOSE, id))
      engine.wake()
    },
    reset: () => {
      if (engine.closed) return
      if (sockets === undefined) {
        engine
          .sqe()
          .prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_LINGER, engine.noLinger)
          .setData(dataOf(LINGER, id))
      } else sockets.setOption(fd, SOL_SOCKET, SO_LINGER, engine.noLinger)
      engine.sqe().prepCancelFd(fd, IORING_ASYNC_CANCEL_ALL).setData(dataOf(CANCEL, id))
      engine.closing(fd).setData(dataOf(CLOSE, id))
      engine.wake()
    },
    end: () => {
      if (sockets !== undefined) {
        sockets.shutdown(fd, SHUT_WR)
        return
      }
      engine.sqe().prepShutdown(fd, SHUT_WR).setData(dataOf(SHUTDOWN, id))
      engine.wake()
    },
    receive: () => {
      engine.receive(fd).setData(dataOf(RECEIVE, id))
    },
  }
}
