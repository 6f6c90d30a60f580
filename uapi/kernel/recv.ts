import { EAGAIN, EFAULT, ENOTCONN } from '../abi/errno.ts'
import { MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL } from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { atEnd, copyOut, endResult, moreToRead, unreadable } from './copy-out.ts'
import { type Request, SocketRequest } from './request.ts'
import type { Socket } from './socket.ts'

/**
 * IORING_OP_RECV: copies what is queued to the caller's memory. Completes with the bytes copied, 0 at the end of the stream,
 * or the connection's error, once.
 */
export class RecvRequest extends SocketRequest {
  readonly #bytes: Uint8Array
  readonly #flags: number
  #done = 0

  constructor(context: RingContext, sqe: Sqe, socket: Socket, bytes: Uint8Array) {
    super(context, sqe, socket)
    this.#bytes = bytes
    this.#flags = sqe.opFlags
  }

  protected override queue(): Request[] {
    return this.socket.readers
  }

  override run(): void {
    const { tcb, stack, nonBlocking } = this.socket
    if (tcb === null || stack === null) {
      this.finish(-ENOTCONN)
      return
    }
    if (tcb.rcv.head >= 0) {
      if (unreadable(stack, tcb)) {
        this.finish(this.#done || -EFAULT)
        return
      }
      if ((this.#flags & MSG_PEEK) !== 0) this.#done = 0
      this.#done += copyOut(this.socket, stack, tcb, this.#bytes.subarray(this.#done), this.#flags)
    }
    const enough = (this.#flags & MSG_WAITALL) !== 0 ? this.#bytes.length : Math.min(1, this.#bytes.length)
    if (this.#done >= enough) this.finish(this.#done, moreToRead(tcb))
    else if (atEnd(this.socket, tcb)) {
      const res = this.#done || endResult(this.socket, tcb)
      this.finish(res, res < 0 ? 0 : moreToRead(tcb))
    } else if (nonBlocking || (this.#flags & MSG_DONTWAIT) !== 0) this.finish(this.#done || -EAGAIN)
  }

  override failedWith(res: number): boolean {
    return res < 0 || ((this.#flags & MSG_WAITALL) !== 0 && res < this.#bytes.length)
  }
}
