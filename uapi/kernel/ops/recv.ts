import type { Stack } from '../../../stack/stack.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import { EAGAIN, EFAULT, EINVAL, ENOBUFS, ENOENT, ENOTCONN, EOPNOTSUPP } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import { MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_WAITALL } from '../../abi/socket.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { BufferGroup, Selection } from '../buffers.ts'
import { atEnd, copyOut, endResult, moreToRead, unreadable } from '../copy-out.ts'
import type { RingPort } from '../port.ts'
import { type RequestPort, SocketRequest } from '../request.ts'
import type { Socket, WaitQueue } from '../socket.ts'
import { Op } from './op.ts'
import { socketOf } from './operands.ts'
import { begin, reply } from './reply.ts'

/** Completions of one request before others get their turn, as on Linux. */
const MAX_TURNS = 32

/** Buffers of one bundle. */
const MAX_BUNDLE = 1024

/** MSG_* that ask for what is not served: errors in a queue, and what is for 32-bit callers. Others that TCP has no use for are passed over. */
const UNSERVED_FLAGS = 0x2000 | 0x8000_0000
/** User memory ends here on Linux; below it a pointer is not looked at before there is something to be written. */
const TASK_SIZE = 2 ** 47

export const recv: Op = new Op({
  code: abi.IORING_OP_RECV,
  ioprio: true,
  bufferSelect: true,
  prepare,
  start,
})

function prepare(_context: RingPort, sqe: Sqe): number {
  const { ioprio } = sqe
  const known = abi.IORING_RECVSEND_POLL_FIRST | abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_BUNDLE
  if (sqe.off !== 0 || (ioprio & ~known) !== 0) return -EINVAL
  if ((ioprio & abi.IORING_RECV_MULTISHOT) === 0) return sqe.optlen === 0 ? 0 : -EINVAL
  const selects = (sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0
  return selects && (sqe.opFlags & MSG_WAITALL) === 0 ? 0 : -EINVAL
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  const refused = refusal(sqe, socket)
  if (refused !== 0) {
    reply(context, sqe, refused)
    return
  }
  if ((sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0) {
    receive(new RecvSelectRequest(context, sqe, socket), sqe)
    return
  }
  const bytes = sqe.len === 0 ? new Uint8Array(0) : context.space.writable(sqe.addr, sqe.len)
  if (bytes === null && sqe.addr + sqe.len > TASK_SIZE) reply(context, sqe, -EFAULT)
  else receive(new RecvRequest(context, sqe, socket, bytes), sqe)
}

/** What is wrong with the flags of the message: 0 or minus errno. */
function refusal(sqe: Sqe, socket: Socket): number {
  if ((sqe.opFlags & UNSERVED_FLAGS) !== 0) return -EOPNOTSUPP
  if ((sqe.opFlags & MSG_OOB) === 0) return 0
  // There is an urgent byte to be asked for only while there is one, and it is not in line.
  return socket.untilUrgent() === Number.POSITIVE_INFINITY ? -EINVAL : -EOPNOTSUPP
}

/** With POLL_FIRST the socket is not looked at before there is something to be read. */
function receive(request: RecvRequest | RecvSelectRequest, sqe: Sqe): void {
  const { context, socket } = request
  const { tcb } = socket
  if ((sqe.ioprio & abi.IORING_RECVSEND_POLL_FIRST) === 0 || tcb === null) {
    begin(request, true)
    return
  }
  context.track(request)
  request.wait()
  if (tcb.rcv.head >= 0 || atEnd(socket, tcb)) request.wake()
  else if (socket.nonBlocking || (sqe.opFlags & MSG_DONTWAIT) !== 0) request.finish(-EAGAIN)
}

/**
 * Without buffer selection: copies what is queued to the caller's memory. Completes with the bytes copied, 0 at the end of the
 * stream, or the connection's error, once.
 */
class RecvRequest extends SocketRequest {
  /** Null where the entry names no memory. */
  readonly #bytes: Uint8Array | null
  readonly #length: number
  readonly #flags: number
  #done = 0

  constructor(context: RequestPort, sqe: Sqe, socket: Socket, bytes: Uint8Array | null) {
    super(context, sqe, socket)
    this.#bytes = bytes
    this.#length = sqe.len
    this.#flags = sqe.opFlags
  }

  protected override get queue(): WaitQueue {
    return 'readers'
  }

  override run(): void {
    const { tcb, stack, nonBlocking } = this.socket
    if (tcb === null || stack === null) {
      this.finish(-ENOTCONN)
      return
    }
    if (tcb.rcv.head >= 0) {
      if (this.#bytes === null || unreadable(stack, tcb)) {
        this.finish(-EFAULT)
        return
      }
      if ((this.#flags & MSG_PEEK) !== 0) this.#done = 0
      this.#done += copyOut(this.socket, stack, tcb, this.#bytes.subarray(this.#done), this.#flags)
    }
    const enough = (this.#flags & MSG_WAITALL) !== 0 ? this.#length : 1
    // Who asks for nothing waits for something to be there all the same.
    if (this.#done >= enough || (this.#length === 0 && tcb.rcv.head >= 0))
      this.finish(this.#done, moreToRead(tcb))
    else if (atEnd(this.socket, tcb)) {
      // Who waits for all has asked again behind what it got, and so has had the error.
      const end = endResult(this.socket, tcb)
      const res = this.#done || end
      this.finish(res, res < 0 ? 0 : moreToRead(tcb))
    } else if (nonBlocking || (this.#flags & MSG_DONTWAIT) !== 0) this.finish(-EAGAIN)
  }

  override failedWith(res: number): boolean {
    return res < 0 || ((this.#flags & MSG_WAITALL) !== 0 && res < this.#length)
  }

  /** What was received is told, whatever keeps the rest from it. */
  override finish(res: number, flags = 0): void {
    super.finish(res < 0 && this.#done > 0 ? this.#done : res, flags)
  }
}

/**
 * With IOSQE_BUFFER_SELECT, once or multishot: copies to buffers of a group. A buffer is chosen before the
 * socket is looked at, so that a group without any ends the request (ENOBUFS) whether data is there or not.
 */
class RecvSelectRequest extends SocketRequest {
  readonly #groupId: number
  readonly #flags: number
  readonly #multishot: boolean
  /** Data may go on in the buffers behind the first. */
  readonly #bundle: boolean
  /** Most bytes of a completion, 0 = what the buffer holds. */
  readonly #most: number
  /** Bytes until a multishot ends. */
  #left: number
  /** MSG_WAITALL: the buffer that is being filled, the bytes in it, and its flags. */
  #held: Selection | null = null
  #done = 0
  #heldFlags = 0

  constructor(context: RequestPort, sqe: Sqe, socket: Socket) {
    super(context, sqe, socket)
    this.#groupId = sqe.bufGroup
    this.#flags = sqe.opFlags
    this.#multishot = (sqe.ioprio & abi.IORING_RECV_MULTISHOT) !== 0
    this.#bundle = (sqe.ioprio & abi.IORING_RECVSEND_BUNDLE) !== 0
    this.#most = sqe.len
    this.#left = this.#multishot && sqe.optlen !== 0 ? sqe.optlen : Number.POSITIVE_INFINITY
  }

  protected override get queue(): WaitQueue {
    return 'readers'
  }

  override failedWith(res: number): boolean {
    return res < 0 || ((this.#flags & MSG_WAITALL) !== 0 && res < (this.#held?.bytes?.length ?? 0))
  }

  /** What was received is told, whatever keeps the rest from it. */
  override finish(res: number, flags = 0): void {
    if (res < 0 && this.#done > 0) super.finish(this.#done, this.#heldFlags)
    else super.finish(res, flags)
  }

  override run(): void {
    const { tcb, stack } = this.socket
    if (tcb === null || stack === null) {
      this.finish(-ENOTCONN)
      return
    }
    for (let turns = 0; turns < MAX_TURNS; turns++) if (!this.#receive(stack, tcb)) return
    this.context.schedule(this)
  }

  /** One completion's worth. True when there is more to be had at once. */
  #receive(stack: Stack, tcb: Tcb): boolean {
    const group = this.context.buffers.get(this.#groupId)
    const selection = this.#held ?? group?.peek(this.#most) ?? null
    if (group === null && this.#held === null) this.finish(this.#bundle ? -ENOENT : -ENOBUFS)
    else if (selection === null || group === null) this.finish(-ENOBUFS)
    else if (tcb.rcv.head < 0) this.#atNothing(tcb)
    else if (selection.bytes === null || unreadable(stack, tcb)) {
      this.finish(this.#done || -EFAULT, this.#heldFlags)
    } else if (selection.bytes.length === 0)
      this.finish(this.#bundle ? -ENOBUFS : 0, this.#bundle ? 0 : moreToRead(tcb))
    else if ((this.#flags & MSG_WAITALL) !== 0 && !this.#bundle)
      this.#fill(stack, tcb, group, selection, selection.bytes)
    else return this.#deliver(stack, tcb, group, selection)
    return false
  }

  #atNothing(tcb: Tcb): void {
    if (atEnd(this.socket, tcb)) {
      const end = endResult(this.socket, tcb)
      const res = this.#done || end
      this.finish(res, this.#heldFlags | (res < 0 ? 0 : moreToRead(tcb)))
    } else if (this.socket.nonBlocking || (this.#flags & MSG_DONTWAIT) !== 0) {
      this.finish(this.#done || -EAGAIN, this.#heldFlags)
    }
  }

  /** MSG_WAITALL: fills one buffer, which is this request's alone from its first byte on. */
  #fill(stack: Stack, tcb: Tcb, group: BufferGroup, selection: Selection, bytes: Uint8Array): void {
    if (this.#held === null) {
      this.#held = selection
      this.#heldFlags = flagsOf(selection, group.commit(bytes.length))
    }
    this.#done += copyOut(this.socket, stack, tcb, bytes.subarray(this.#done), this.#flags)
    if (this.#done === bytes.length) this.finish(this.#done, this.#heldFlags | moreToRead(tcb))
    else if (tcb.rcv.head < 0) this.#atNothing(tcb)
  }

  #deliver(stack: Stack, tcb: Tcb, group: BufferGroup, first: Selection): boolean {
    let total = copyOut(this.socket, stack, tcb, first.bytes!, this.#flags)
    let rest = group.commit(total)
    const full = total === first.bytes!.length && total !== this.#most
    if (this.#bundle && full && tcb.rcv.queuedBytes > 1 && (this.#flags & MSG_PEEK) === 0) {
      const more = this.#goOn(stack, tcb, group, total)
      total += more.bytes
      rest = more.bytes > 0 ? more.rest : rest
    }
    this.#left -= Math.min(total, this.#left)
    const flags = flagsOf(first, rest) | moreToRead(tcb)
    // A bundle that took the last buffer ends: Linux would not look for another.
    const ends = !this.#multishot || this.#left === 0 || (this.#bundle && group.peek(0) === null)
    if (ends || !this.context.postMore(this, total, flags)) {
      this.finish(total, flags)
      return false
    }
    if ((flags & abi.IORING_CQE_F_SOCK_NONEMPTY) !== 0) return true
    // An error behind the data, or that nothing more is read, is found by task work.
    if (atEnd(this.socket, tcb)) this.wake()
    return false
  }

  /**
   * A bundle goes on in the buffers behind its first, as Linux was seen to do it: in as many as what is left takes if all are as long as the
   * next; but one that would not be filled is left to a completion of its own, unless it is the next or can be used up bit by bit.
   */
  #goOn(stack: Stack, tcb: Tcb, group: BufferGroup, done: number): { bytes: number; rest: boolean } {
    const { queuedBytes } = tcb.rcv
    const left = this.#most === 0 ? queuedBytes : Math.min(queuedBytes, this.#most - done)
    let bytes = 0
    let rest = false
    let next = group.peek(0)
    const length = next?.bytes?.length ?? 0
    // Empty ones may be as many as somebody adds meanwhile.
    const most = length === 0 ? 0 : Math.min(MAX_BUNDLE - 1, Math.ceil(left / length))
    for (let taken = 0; taken < most && bytes < left && next !== null && next.bytes !== null; taken++) {
      const wanted = Math.min(next.bytes.length, left - bytes)
      if (wanted < next.bytes.length && taken > 0 && !group.incremental) break
      const copied = copyOut(this.socket, stack, tcb, next.bytes.subarray(0, wanted), this.#flags)
      bytes += copied
      rest = group.commit(copied)
      if (copied < wanted) break
      next = group.peek(0)
    }
    return { bytes, rest }
  }
}

function flagsOf(selection: Selection, rest: boolean): number {
  const id = (selection.id << abi.IORING_CQE_BUFFER_SHIFT) | abi.IORING_CQE_F_BUFFER
  return rest ? id | abi.IORING_CQE_F_BUF_MORE : id
}
