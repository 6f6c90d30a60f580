import type { PayloadSink } from '../../stack/tcp/sink.ts'
import * as abi from '../abi/io-uring.ts'
import { type Addresser, Sqe } from '../abi/sqe.ts'
import type { BufferGroups } from './buffers.ts'
import type { FileTable, OpenFile, Waiter } from './files.ts'
import type { FixedFile, FixedFiles, UserData } from './fixed-files.ts'
import type { RingKeeper } from './keeper.ts'
import type { Ledger } from './ledger.ts'
import type { Socket, WaitQueue } from './socket.ts'
import type { KernelTimers } from './timers.ts'
import type { Timespec } from './timespec.ts'

/** An entry that waits for its turn: a copy, as its slot in the queue is the application's again. */
export class Entry extends Sqe {
  /** The entry that runs when this one has completed. */
  next: Entry | null = null
  /** Minus the errno it was refused with before it could run. */
  refused = 0
  /** Of a LINK_TIMEOUT. */
  timespec: Timespec | null = null
  /** Its slot in the ring's ledger; -1 without. */
  slot = -1

  constructor(from: Uint8Array, addresser: Addresser) {
    super(from.slice(), addresser)
  }

  /** The LINK_TIMEOUT behind it, which is not an entry of its own. */
  get limit(): Entry | null {
    if (this.opcode === abi.IORING_OP_LINK_TIMEOUT) return null
    return this.next?.opcode === abi.IORING_OP_LINK_TIMEOUT ? this.next : null
  }
}

/** A TIMEOUT that counts completions. */
export interface Counting {
  /** The ring has had this many, those of timeouts aside. */
  completed(completions: number): void
}

/** What requests see of their ring: `RingContext` says more of each. */
export interface RequestPort {
  readonly process: { readonly files: FileTable }
  readonly kernel: {
    readonly timers: KernelTimers
    /** Microseconds of the stacks' clock. */
    readonly now: number
  }
  readonly files: FixedFiles
  readonly buffers: BufferGroups
  /** What the kernel keeps for it is counted here. */
  readonly keeper: RingKeeper
  /** Null where nobody could outlive this thread. */
  readonly ledger: Ledger | null
  /** Inside the submission of a batch: completions other than data wait for its end. */
  readonly submitting: boolean
  /** Completions so far, and those of timeouts that fired, which do not count. */
  readonly completions: number
  timeoutCompletions: number
  readonly counting: Set<Counting>
  /** It can be cancelled from now on, and the time behind it runs. */
  track(request: Request): void
  /** It has something to do at the next entry. */
  schedule(request: Request): void
  /** Its last completion. */
  complete(request: Request, res: number, flags: number, extra?: readonly number[] | null): void
  /** One with MORE at once. False when there is no room. */
  postMore(request: Request, res: number, flags: number): boolean
  /** One that comes by task work. */
  postLater(of: UserData, res: number, flags: number): void
  /** Data completions: how many fit, one of them, and showing the user what was written. */
  cqSpace(): number
  postData(request: Request, res: number, offLow: number, offHigh: number): void
  publish(): void
}

/** One submitted entry on its way to its last completion. */
export abstract class Request implements Waiter {
  readonly context: RequestPort
  readonly opcode: number
  readonly fd: number
  readonly userDataLow: number
  readonly userDataHigh: number
  /** IOSQE_* */
  readonly flags: number
  /** What runs when this has completed. */
  readonly next: Entry | null
  /** The LINK_TIMEOUT behind this request: its entry, or a request while this one waits; neither once it has fired. */
  limitEntry: Entry | null = null
  limit: Request | null = null
  /** The slot of fixed files that names what it works on, kept until it has completed. */
  readonly fixed: FixedFile | null
  armed = 0
  /** On a `RequestList`, and its neighbours there; the list's. */
  listed = false
  before: Request | null = null
  after: Request | null = null
  /** On the context's list of requests with something to do. */
  scheduled = false
  finished = false
  /** Nothing is done for it any more; its completion is still to come. */
  cancelled = false
  /** Its ring's number with who knows which ring has which buffers (`Holders`); 0 without. */
  ring = 0
  /** Its slot in the ring's ledger; -1 without. */
  slot = -1
  /** Its number with who looks for buffers that are kept (`HeldWatch`); -1 without. */
  holder = -1

  constructor(context: RequestPort, sqe: Sqe) {
    this.context = context
    this.opcode = sqe.opcode
    this.fd = sqe.fd
    this.userDataLow = sqe.userDataLow
    this.userDataHigh = sqe.userDataHigh
    this.flags = sqe.flags
    this.fixed = (sqe.flags & abi.IOSQE_FIXED_FILE) === 0 ? null : (context.files.get(sqe.fd)?.hold() ?? null)
    // A LINK_TIMEOUT belongs to the request before it, and so does what follows both.
    this.limitEntry = sqe instanceof Entry ? sqe.limit : null
    if (this.limitEntry !== null) this.next = this.limitEntry.next
    else this.next = sqe instanceof Entry && sqe.opcode !== abi.IORING_OP_LINK_TIMEOUT ? sqe.next : null
  }

  /** What it waits on, for cancelling by descriptor. */
  get file(): OpenFile | null {
    return null
  }

  get sink(): PayloadSink | null {
    return null
  }

  /** Goes on: something the request waits for has happened. Runs inside `io_uring_enter`. */
  abstract run(): void
  /** Stops waiting, because of a cancellation or the end of the ring. */
  abstract detach(): void

  wake(_events = 0): void {
    this.context.schedule(this)
  }

  /** A last completion with this result breaks the chain and is always posted. */
  failedWith(res: number): boolean {
    return res < 0
  }

  /** Stops it at once; its completion is task work, and so comes behind that of the cancel (docs/conformance.md, V18). */
  cancel(): void {
    if (this.finished || this.cancelled) return
    this.cancelled = true
    this.detach()
    this.context.schedule(this)
  }

  /** Posts the last completion. @param flags IORING_CQE_F_* */
  finish(res: number, flags = 0): void {
    if (this.finished) return
    this.finished = true
    if (!this.cancelled) this.detach()
    this.context.complete(this, res, flags)
  }
}

/** Requests that have begun to wait on something. */
let armings = 0

/** A request that waits on a socket; it keeps the socket open, as an open file is kept on Linux. */
export abstract class SocketRequest extends Request {
  readonly socket: Socket

  constructor(context: RequestPort, sqe: Sqe, socket: Socket) {
    super(context, sqe)
    this.socket = socket
    socket.hold()
  }

  override get file(): OpenFile {
    return this.socket
  }

  /** Where it waits. */
  protected abstract readonly queue: WaitQueue

  /** Waits on the socket; the latest request is served first. */
  wait(): void {
    this.armed = ++armings
    this.socket.join(this.queue, this)
  }

  override detach(): void {
    this.socket.leave(this.queue, this)
    this.socket.drop()
  }
}
