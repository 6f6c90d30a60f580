import { copyBytes } from '../../../copies.ts'
import { COMPLETIONS, ZERO_COPIED_BYTES } from '../../../diagnostics.ts'
import type { PagePool } from '../../../stack/memory/page-pool.ts'
import type { Stack } from '../../../stack/stack.ts'
import type { PayloadSink } from '../../../stack/tcp/sink.ts'
import { CLOSED, SYN_RECEIVED } from '../../../stack/tcp/state.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'
import { EFAULT, EINVAL, ENOMEM, ENOSPC, ENOTCONN } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { DirectTarget } from '../direct.ts'
import type { RingPort } from '../port.ts'
import { type RequestPort, SocketRequest } from '../request.ts'
import type { Socket, WaitQueue } from '../socket.ts'
import type { ZcrxIfq } from '../zcrx.ts'
import { Op } from './op.ts'
import { socketOf } from './operands.ts'
import { reply } from './reply.ts'

/** Fragments one request may deliver before others get their turn: the kernel stops after 20 packets. */
const FRAGMENTS_PER_TURN = 512

/** Most bytes of a copy: a page, however large the buffers are. */
const COPY_BYTES = 4096

/** More bytes than one run delivers. */
const FAR = 0x3fff_ffff

/** Not an errno: the request is scheduled and goes on later. */
const AGAIN = -1

export const recvZc: Op = new Op({ code: abi.IORING_OP_RECV_ZC, ioprio: true, prepare, start })

/** Any message flag is one too many; the id is looked at before the descriptor (docs/conformance.md, V3 and V4). */
function prepare(context: RingPort, sqe: Sqe): number {
  const { ioprio } = sqe
  const known = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
  if (sqe.off !== 0 || sqe.addr !== 0 || sqe.addr3 !== 0 || sqe.opFlags !== 0) return -EINVAL
  if (context.ifqs[sqe.zcrxIfqIdx] === undefined) return -EINVAL
  return (ioprio & ~known) !== 0 || (ioprio & abi.IORING_RECV_MULTISHOT) === 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const socket = socketOf(context, sqe)
  if (socket === null) return
  const { tcb } = socket
  if (tcb === null || (tcb.state !== CLOSED && tcb.state < SYN_RECEIVED)) {
    reply(context, sqe, -ENOTCONN)
    return
  }
  const id = sqe.zcrxIfqIdx
  const request = new RecvZcRequest(context, sqe, socket, context.ifqs[id]!, context.direct.of(id))
  context.track(request)
  request.wait()
  if ((sqe.ioprio & abi.IORING_RECVSEND_POLL_FIRST) !== 0) request.wake()
  else request.run()
}

/** IORING_OP_RECV_ZC: one completion per piece of data, one without data at the end. */
export class RecvZcRequest extends SocketRequest implements PayloadSink {
  readonly #ifq: ZcrxIfq
  readonly #limited: boolean
  #left: number
  /** The fragment that was copied in part, and where its rest begins. */
  #cutNode = -1
  #cutOffset = 0
  /** Bytes that the run may still deliver: up to the limit, and to an urgent byte that is not in line. */
  #allowed = FAR
  /** Data may have to be moved between areas. */
  #moving = false
  /** What may complete it straight from a burst. */
  readonly #direct: DirectTarget

  constructor(context: RequestPort, sqe: Sqe, socket: Socket, ifq: ZcrxIfq, direct: DirectTarget) {
    super(context, sqe, socket)
    this.#direct = direct
    this.#ifq = ifq
    this.#left = sqe.len
    this.#limited = sqe.len !== 0
  }

  protected override get queue(): WaitQueue {
    return 'readers'
  }

  override get sink(): PayloadSink {
    return this
  }

  /** `run` would have nothing to look at between two pieces. */
  ready(rare: object | null): DirectTarget | null {
    return this.#direct.live &&
      !this.#limited &&
      (rare === null || this.socket.untilUrgent() === Number.POSITIVE_INFINITY)
      ? this.#direct
      : null
  }

  override run(): void {
    const { tcb, stack } = this.socket
    if (tcb === null || stack === null) {
      this.finish(0)
      return
    }
    const rcv = tcb.rcv
    let beforeUrgent = false
    if (rcv.head >= 0) {
      const before = rcv.queuedBytes
      const error = this.#drain(stack, tcb)
      if (this.#limited) this.#left -= before - rcv.queuedBytes
      beforeUrgent = this.#allowed === 0
      this.context.publish()
      if (error === AGAIN) return
      const done = this.#limited && this.#left === 0
      // Having delivered something while it was submitted, a request goes on, or ends, at the next entry: only a limit that is
      // reached ends it here. Every end is a completion of its own, without data (docs/conformance.md, V7 to V9).
      if (!done && this.context.submitting && rcv.queuedBytes < before) {
        if (error !== 0 || rcv.finished || tcb.state === CLOSED || this.socket.readShut)
          this.context.schedule(this)
        return
      }
      if (error !== 0) {
        this.finish(-error)
        return
      }
      // Having had data it does not look whether its own side was shut before: that is for the next time it is woken.
      const ended = rcv.finished || tcb.state === CLOSED || beforeUrgent
      if (!done && !ended && rcv.queuedBytes < before) return
    }
    if (this.#limited && this.#left === 0) this.finish(0)
    else if (rcv.head < 0 || beforeUrgent) this.#atEnd(tcb)
  }

  /** The end of the stream breaks a chain, the limit does not: then all that was asked for has come. */
  override failedWith(res: number): boolean {
    return res < 0 || !this.#limited || this.#left > 0
  }

  /** Posts what is queued. Returns 0, AGAIN when it will be called again, or the errno that ends the request. */
  #drain(stack: Stack, tcb: Tcb): number {
    const rcv = tcb.rcv
    let space = this.context.cqSpace()
    let turns = FRAGMENTS_PER_TURN
    const { holders } = this.#ifq
    this.#moving = this.#ifq.moves
    this.#allowed = Math.min(FAR, this.#limited ? this.#left : FAR, this.socket.untilUrgent())
    while (rcv.head >= 0) {
      if (this.#allowed === 0) return 0
      if (holders?.exhausted(this) === true) return AGAIN
      if (space <= 0) space = this.context.cqSpace()
      if (space-- <= 0) {
        // A copy looks for its buffer first.
        const from = stack.memory.pools[stack.fragments.pool[rcv.head]!]!
        if (from.owner !== this.#ifq && this.#ifq.poolWithFree() === null) return ENOMEM
        // Running full while a batch is submitted is forgiven until the next entry (docs/conformance.md, V11).
        if (!this.context.submitting) return ENOSPC
        this.context.schedule(this)
        return AGAIN
      }
      if (turns-- === 0) {
        this.context.schedule(this)
        return AGAIN
      }
      const error = this.#deliver(stack, tcb)
      if (error !== 0) return error
    }
    return 0
  }

  /** Posts one completion for (a part of) the first fragment. Returns a positive errno when it can't be delivered. */
  #deliver(stack: Stack, tcb: Tcb): number {
    const { fragments, memory } = stack
    const rcv = tcb.rcv
    const ifq = this.#ifq
    const node = rcv.head
    const pool = memory.pools[fragments.pool[node]!]!
    if (pool.owner !== ifq) return this.#copy(stack, tcb, pool, ifq.poolWithFree())
    if (this.#moving) {
      const target = ifq.overflowPool()
      if (target !== null) return this.#copy(stack, tcb, pool, target)
    }
    const offset = fragments.offset[node]!
    const length = fragments.length[node]!
    const bytes = Math.min(length, this.#allowed)
    this.context.postData(this, bytes, offset, pool.areaId << 16)
    const niov = offset >>> pool.shift
    if (bytes === length) {
      rcv.head = fragments.next[node]!
      if (rcv.head < 0) rcv.tail = -1
      rcv.niovs -= fragments.weight[node]!
      fragments.remove(node)
      pool.handToUser(niov)
    } else {
      // A limit cuts the piece: the rest stays, and the buffer has to come back twice.
      fragments.offset[node] = offset + bytes
      fragments.length[node] = length - bytes
      pool.shareWithUser(niov)
    }
    ifq.held?.handed(pool, niov, this)
    ifq.holders?.handed(pool, niov, this)
    this.#count(tcb, bytes)
    ifq.stats.cells[ZERO_COPIED_BYTES]! += bytes
    return 0
  }

  /** Copy fallback: the bytes were received into other memory. One buffer per completion, as the kernel's copy mode. */
  #copy(stack: Stack, tcb: Tcb, from: PagePool, target: PagePool | null): number {
    const { fragments } = stack
    const rcv = tcb.rcv
    const ifq = this.#ifq
    const node = rcv.head
    // Bytes in another application's area are not ours to read (docs/conformance.md, V13).
    if (from.owner !== null && from.owner !== ifq) return EFAULT
    if (target === null) return ENOMEM
    const niov = target.take()
    const length = fragments.length[node]!
    const bytes = Math.min(length, COPY_BYTES, this.#allowed)
    const offset = fragments.offset[node]!
    const at = niov * target.niovSize
    copyBytes(target.bytes, at, from.bytes, offset, bytes)
    target.shareWithUser(niov)
    ifq.held?.handed(target, niov, this)
    ifq.holders?.handed(target, niov, this)
    this.context.postData(this, bytes, at, target.areaId << 16)
    if (bytes === length) {
      rcv.head = fragments.next[node]!
      if (rcv.head < 0) rcv.tail = -1
      rcv.niovs -= fragments.weight[node]!
      fragments.discard(node)
    } else {
      fragments.offset[node] = offset + bytes
      fragments.length[node] = length - bytes
    }
    this.#count(tcb, bytes)
    // What came beside an area that the NIC writes to otherwise is neither counted nor told, as on Linux the payload in the
    // linear part of a packet (docs/conformance.md, C7).
    if (from !== stack.memory.linear)
      ifq.countCopy(bytes, node !== this.#cutNode || offset !== this.#cutOffset)
    this.#cutNode = bytes === length ? -1 : node
    this.#cutOffset = offset + bytes
    return 0
  }

  #count(tcb: Tcb, bytes: number): void {
    tcb.rcv.queuedBytes -= bytes
    this.#allowed -= bytes
    this.#ifq.stats.cells[COMPLETIONS]! += 1
  }

  #atEnd(tcb: Tcb): void {
    const { socket } = this
    // After a FIN an error is for who writes.
    if (!tcb.rcv.finished && tcb.state === CLOSED && tcb.error !== 0 && !socket.errorReported) {
      socket.errorReported = true
      this.finish(-tcb.error)
    } else if (tcb.rcv.finished || socket.readShut || tcb.state === CLOSED) this.finish(0)
  }
}
