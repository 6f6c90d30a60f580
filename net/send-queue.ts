import { ConnectionError, ZcrxError } from '../errors.ts'
import { EPIPE, errnoName } from '../uapi/abi/errno.ts'

/** Pieces up to so many bytes are copied when they are given, so that nobody has to wait for them. */
const SMALL_BYTES = 512
/** Of what small pieces are gathered in while others are on their way. */
const GATHER_BYTES = 8192

/** What a queue asks of its connection's ring. */
export interface SendRequests {
  /** Whether a SEND_ZC of these bytes would send them from where they lie. */
  canLend(bytes: Uint8Array): boolean
  /**
   * Issues a SEND of the bytes, or with `returned` a SEND_ZC. Returns the copy that is sent in their place, if it is one of them all; else null.
   * @param returned called when nothing looks at the bytes any more
   */
  send(bytes: Uint8Array, returned: (() => void) | null): Uint8Array | null
}

const NOTHING = (): void => {}
/** Of whatever was copied at once. */
const DONE: Promise<void> = Promise.resolve()

/** Bytes to send, and who waits for them. */
class Piece {
  bytes: Uint8Array
  /** They are this queue's own. */
  readonly copied: boolean
  /** Of the memory of a gathering piece, bytes that are taken; -1 for any other. */
  gathered: number
  readonly lent: boolean
  /** Parts that were lent to the kernel and are not back. */
  owed = 0
  /** All was taken. */
  taken = false
  promise: Promise<void> = DONE
  #resolve: () => void = NOTHING
  #reject: (error: Error) => void = NOTHING

  constructor(bytes: Uint8Array, copied: boolean, lent: boolean, gathered = -1) {
    this.bytes = bytes
    this.copied = copied
    this.lent = lent
    this.gathered = gathered
    if (copied) return
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  settle(): void {
    if (this.taken && this.owed === 0) this.#resolve()
  }

  fail(error: Error): void {
    // Who does not wait for it has other ways to hear that the connection is over.
    this.promise.catch(NOTHING)
    this.#reject(error)
  }
}

/** What a connection has to send, one piece after the other. */
export class SendQueue {
  readonly #requests: SendRequests
  readonly #most: number
  readonly #pieces: Piece[] = []
  /** Pieces that were taken whole, and parts of which the kernel still looks at. */
  readonly #lent = new Set<Piece>()
  #failed: Error | null = null
  #room: Promise<void> | null = null
  #roomAgain: () => void = NOTHING
  /** A SEND is under way. */
  sending = false
  /** Bytes that were given and not taken yet. */
  waiting = 0
  /** Bytes that were taken. */
  taken = 0

  /** @param most bytes that may wait when more are given */
  constructor(requests: SendRequests, most: number) {
    this.#requests = requests
    this.#most = most
  }

  get empty(): boolean {
    return this.#pieces.length === 0
  }

  /** Bytes behind those given before. Resolves when they may be changed. @throws ZcrxError with so much waiting already, and what `send` throws */
  push(bytes: Uint8Array, lend: boolean): Promise<void> {
    if (this.#failed !== null) return refused(this.#failed)
    if (bytes.length === 0) return DONE
    if (this.waiting > this.#most)
      throw new ZcrxError(
        'ZCRX_SEND_BUFFER',
        `${this.waiting} bytes wait to be sent already`,
        'wait for send(): await connection.send(bytes); or raise sendBufferBytes',
      )
    if (this.sending) return this.#behind(bytes, lend)
    const small = !lend && bytes.length <= SMALL_BYTES
    // Of a small piece the requests make a copy, as a rule.
    const piece = small ? null : new Piece(bytes, false, lend)
    const copy = this.#requests.send(bytes, this.#loanOf(piece))
    const queued = piece ?? new Piece(copy ?? bytes, copy !== null, false)
    this.sending = true
    this.waiting += bytes.length
    this.#pieces.push(queued)
    return queued.copied ? this.room() : queued.promise
  }

  #behind(bytes: Uint8Array, lend: boolean): Promise<void> {
    this.waiting += bytes.length
    if (lend || bytes.length > SMALL_BYTES) {
      const piece = new Piece(bytes, false, lend)
      this.#pieces.push(piece)
      return piece.promise
    }
    const last = this.#pieces.length > 1 ? this.#pieces[this.#pieces.length - 1]! : null
    const room = last !== null && last.gathered >= 0 && last.gathered + bytes.length <= GATHER_BYTES
    const piece = room ? last : new Piece(new Uint8Array(GATHER_BYTES).subarray(0, 0), true, false, 0)
    if (!room) this.#pieces.push(piece)
    const whole = new Uint8Array(piece.bytes.buffer, 0, piece.gathered + bytes.length)
    whole.set(bytes, piece.gathered)
    piece.bytes = whole
    piece.gathered += bytes.length
    return this.room()
  }

  /** Resolves when no more than half of what may wait does, or nothing more will be sent: whoever waits for it is never refused. */
  room(): Promise<void> {
    if (this.waiting <= this.#most / 2 || this.#failed !== null) return DONE
    this.#room ??= new Promise((resolve) => {
      this.#roomAgain = resolve
    })
    return this.#room
  }

  #tellRoom(): void {
    if (this.#room === null || (this.waiting > this.#most / 2 && this.#failed === null)) return
    this.#room = null
    this.#roomAgain()
  }

  /** Counts what is about to be lent; null for what can't be. */
  #loanOf(piece: Piece | null): (() => void) | null {
    if (piece === null || !piece.lent || !this.#requests.canLend(piece.bytes)) return null
    piece.owed++
    return () => {
      piece.owed--
      if (piece.owed > 0) return
      this.#lent.delete(piece)
      // A reset gives it back too; that it was one is told in the same turn.
      queueMicrotask(() => {
        if (this.#failed === null) piece.settle()
        else piece.fail(this.#failed)
      })
    }
  }

  /**
   * A SEND has completed: goes on with the rest. What was sent is to be looked at before its copy is given back.
   * @param res bytes, or minus errno @throws what `send` throws; nothing waits any more then
   */
  sent(res: number): void {
    this.sending = false
    const first = this.#pieces[0]
    if (first === undefined) return
    if (res < 0) return
    this.taken += res
    this.waiting -= res
    this.#tellRoom()
    if (res < first.bytes.length) {
      const rest = first.bytes.subarray(res)
      first.bytes = first.copied ? rest.slice() : rest
      first.gathered = -1
      return
    }
    this.#pieces.shift()
    first.taken = true
    first.bytes = first.bytes.subarray(0, 0)
    if (first.owed > 0) this.#lent.add(first)
    first.settle()
  }

  /** Issues the next SEND, if something waits. @throws what `send` throws */
  next(): void {
    const first = this.#pieces[0]
    if (this.sending || first === undefined) return
    this.#requests.send(first.bytes, this.#loanOf(first))
    this.sending = true
  }

  /** Nothing more will be sent: who waits is told why. */
  fail(errno: number, address: string, port: number): void {
    this.#failed ??= new ConnectionError([errnoName(errno), errno], 'write', { address, port })
    for (const piece of this.#pieces.splice(0)) piece.fail(this.#failed)
    this.waiting = 0
    this.#tellRoom()
  }

  /** The ring has gone, and nobody will say any more that something is back. */
  lost(address: string, port: number): void {
    this.fail(EPIPE, address, port)
    for (const piece of this.#lent) piece.fail(this.#failed!)
    this.#lent.clear()
    this.sending = false
  }
}

/** A rejection that nobody has to look at. */
export function refused(error: Error): Promise<void> {
  const promise = Promise.reject(error)
  promise.catch(NOTHING)
  return promise
}
