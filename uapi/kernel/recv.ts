import type { Stack } from '../../stack/stack.ts'
import { CLOSED } from '../../stack/tcp/state.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import { EAGAIN, EFAULT, ENOTCONN } from '../abi/errno.ts'
import { MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL } from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { type Request, SocketRequest } from './request.ts'
import type { Socket } from './socket.ts'

/**
 * IORING_OP_RECV: copies what is queued to the caller's memory. Bytes that lie in a registered area are copied out of it and
 * their buffers freed. Completes with the bytes copied, 0 at the end of the stream, or the connection's error, once.
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
    const peek = (this.#flags & MSG_PEEK) !== 0
    if (tcb.rcv.head >= 0) {
      if (this.#unreadable(stack, tcb)) {
        this.finish(this.#done || -EFAULT)
        return
      }
      if (peek) this.#done = 0
      this.#done += peek ? this.#peek(stack, tcb) : this.#take(stack, tcb)
    }
    const enough = (this.#flags & MSG_WAITALL) !== 0 ? this.#bytes.length : Math.min(1, this.#bytes.length)
    if (this.#done >= enough) this.finish(this.#done)
    else if (this.#atEnd(tcb)) this.#finishAtEnd(tcb)
    else if (nonBlocking || (this.#flags & MSG_DONTWAIT) !== 0) this.finish(this.#done || -EAGAIN)
  }

  override failedWith(res: number): boolean {
    return res < 0 || ((this.#flags & MSG_WAITALL) !== 0 && res < this.#bytes.length)
  }

  /** Data in an area is for RECV_ZC alone: the kernel's CPU can't be counted on to see it (kernel record point 70). */
  #unreadable(stack: Stack, tcb: Tcb): boolean {
    const { fragments, memory } = stack
    return memory.pools[fragments.pool[tcb.rcv.head]!]!.owner !== null
  }

  /** Copies without consuming; returns the bytes. */
  #peek(stack: Stack, tcb: Tcb): number {
    const { fragments, memory } = stack
    let done = 0
    for (let node = tcb.rcv.head; node >= 0 && done < this.#bytes.length; node = fragments.next[node]!) {
      if (memory.pools[fragments.pool[node]!]!.owner !== null) break
      const bytes = Math.min(fragments.length[node]!, this.#bytes.length - done)
      const offset = fragments.offset[node]!
      const from = memory.pools[fragments.pool[node]!]!.bytes
      this.#bytes.set(from.subarray(offset, offset + bytes), done)
      done += bytes
    }
    return done
  }

  /** Copies and frees what is queued; with MSG_TRUNC frees only. Returns the bytes. */
  #take(stack: Stack, tcb: Tcb): number {
    const { fragments, memory } = stack
    const { rcv } = tcb
    let done = 0
    while (rcv.head >= 0 && this.#done + done < this.#bytes.length) {
      const node = rcv.head
      if (memory.pools[fragments.pool[node]!]!.owner !== null) break
      const bytes = Math.min(fragments.length[node]!, this.#bytes.length - this.#done - done)
      if ((this.#flags & MSG_TRUNC) === 0) {
        const offset = fragments.offset[node]!
        const from = memory.pools[fragments.pool[node]!]!.bytes
        this.#bytes.set(from.subarray(offset, offset + bytes), this.#done + done)
      }
      rcv.head = fragments.dropFront(node, bytes)
      done += bytes
    }
    if (rcv.head < 0) rcv.tail = -1
    rcv.queuedBytes -= done
    // Buffers came free: a window that was small for want of them opens.
    if (done > 0) stack.kick()
    return done
  }

  #atEnd(tcb: Tcb): boolean {
    return tcb.rcv.head < 0 && (tcb.rcv.finished || this.socket.readShut || tcb.state === CLOSED)
  }

  #finishAtEnd(tcb: Tcb): void {
    // After a FIN the stream has ended in order; an error that followed is for who writes.
    if (this.#done > 0 || tcb.rcv.finished) this.finish(this.#done)
    else this.finish(-this.socket.takeError())
  }
}
