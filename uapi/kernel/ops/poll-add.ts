import { CLOSED, ESTABLISHED, FIN_WAIT_1, SYN_RECEIVED } from '../../../stack/tcp/state.ts'
import { EINVAL } from '../../abi/errno.ts'
import { IORING_OP_POLL_ADD, IORING_POLL_ADD_MULTI, IOSQE_CQE_SKIP_SUCCESS } from '../../abi/io-uring.ts'
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP } from '../../abi/poll.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { OpenFile } from '../files.ts'
import { isRing, type RingFile, type RingPort } from '../port.ts'
import { Request, type RequestPort, SocketRequest } from '../request.ts'
import { Socket, type WaitQueue } from '../socket.ts'
import { Op } from './op.ts'
import { fileOf } from './operands.ts'
import { begin, reply } from './reply.ts'

export const pollAdd: Op = new Op({ code: IORING_OP_POLL_ADD, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  if (sqe.bufGroup !== 0 || sqe.off !== 0 || sqe.addr !== 0) return -EINVAL
  if ((sqe.len & ~IORING_POLL_ADD_MULTI) !== 0) return -EINVAL
  const multishot = (sqe.len & IORING_POLL_ADD_MULTI) !== 0
  return multishot && (sqe.flags & IOSQE_CQE_SKIP_SUCCESS) !== 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const file = fileOf(context, sqe)
  if (file === null) return
  if (file instanceof Socket) startPoll(new PollRequest(context, sqe, file))
  else if (isRing(file)) begin(new RingPollRequest(context, sqe, file), true)
  // What has no poll of its own is always ready, as vfs_poll() has it.
  else reply(context, sqe, sqe.opFlags & (POLLIN | POLLOUT))
}

/** What a multishot finds true at first comes by task work, as what it finds later. */
function startPoll(request: PollRequest): void {
  if (!request.multishot) {
    begin(request, true)
    return
  }
  request.context.track(request)
  request.wait()
  const now = pollEvents(request.socket)
  if (now !== 0) request.wake(now)
}

/** What is told without being asked for. */
const UNASKED = POLLERR | POLLHUP | POLLRDHUP

/** Of a socket, once or multishot: completes with the events that are true, as poll(2) would give them. */
class PollRequest extends SocketRequest {
  readonly multishot: boolean
  readonly #events: number
  /** What woke it since it ran last, if that was one thing; 0: whatever is true. */
  #woken = 0

  constructor(context: RequestPort, sqe: Sqe, socket: Socket) {
    super(context, sqe, socket)
    this.#events = sqe.opFlags | UNASKED
    this.multishot = (sqe.len & IORING_POLL_ADD_MULTI) !== 0
  }

  /** What is not asked for does not wake it; what is stays true for it, whoever reads meanwhile. */
  override wake(events = 0): void {
    const urgent = (this.#events & POLLPRI) !== 0 ? pollEvents(this.socket) & POLLPRI : 0
    const woken = events === 0 ? 0 : (events | urgent) & this.#events
    if (events !== 0 && woken === 0) return
    this.#woken = this.scheduled ? 0 : woken
    super.wake()
  }

  protected override get queue(): WaitQueue {
    return 'pollers'
  }

  override run(): void {
    const events = this.#woken || pollEvents(this.socket) & this.#events
    this.#woken = 0
    if (events === 0) return
    if (!this.multishot || !this.context.postMore(this, events, 0)) this.finish(events)
  }
}

/** Of a ring's descriptor: completions are there, or entering that ring would bring some. */
class RingPollRequest extends Request {
  readonly #ring: RingFile
  readonly #events: number
  /** It may go on once: what a ring wakes ends, or two that watch each other would never rest (EPOLL_URING_WAKE). */
  #goesOn: boolean

  constructor(context: RequestPort, sqe: Sqe, ring: RingFile) {
    super(context, sqe)
    this.#ring = ring
    this.#events = sqe.opFlags
    this.#goesOn = (sqe.len & IORING_POLL_ADD_MULTI) !== 0
  }

  override get file(): OpenFile {
    return this.#ring
  }

  wait(): void {
    this.#ring.cq.pollers.push(this)
  }

  override run(): void {
    const events = this.#ring.pollEvents() & this.#events
    const goesOn = this.#goesOn
    this.#goesOn = false
    if (events === 0) return
    if (!goesOn || !this.context.postMore(this, events, 0)) this.finish(events)
  }

  override detach(): void {
    const { pollers } = this.#ring.cq
    const at = pollers.indexOf(this)
    if (at >= 0) pollers.splice(at, 1)
  }
}

/** What poll(2) says of a socket now. */
function pollEvents(socket: Socket): number {
  const { listener, tcb } = socket
  if (listener !== null) return listener.ready.length > 0 ? POLLIN : 0
  if (tcb === null) return POLLOUT | POLLHUP
  const { rcv, snd, state } = tcb
  const ended = rcv.finished || socket.readShut
  let events = 0
  if (state === CLOSED) {
    events |= POLLIN | POLLOUT | POLLRDHUP | POLLHUP
    if (tcb.error !== 0 && !socket.errorReported) events |= POLLERR
    return events
  }
  if (ended && (socket.writeShut || state >= FIN_WAIT_1) && snd.finQueued) events |= POLLHUP
  if (ended) events |= POLLIN | POLLRDHUP
  if (socket.readable) events |= POLLIN
  if (rcv.queuedBytes > 0 && tcb.urgentBytes() > 0) events |= POLLPRI
  const open = state >= ESTABLISHED || (state === SYN_RECEIVED && tcb.fastOpened)
  if (open && (snd.room() > 0 || socket.writeShut)) events |= POLLOUT
  // From now on the peer's progress is an event.
  if (open && snd.room() === 0) snd.wantsRoom = true
  return events
}
