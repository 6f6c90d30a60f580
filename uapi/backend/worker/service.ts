import { randomInt } from 'node:crypto'
import type { StackReport } from '../../../host/interface.ts'
import { EBADF, EMFILE } from '../../abi/errno.ts'
import type { RingContext } from '../../kernel/context.ts'
import type { OpenFile } from '../../kernel/files.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { Process } from '../../kernel/process.ts'
import { ZcrxFile, type ZcrxIfq } from '../../kernel/zcrx.ts'
import type { RingLink } from './messages.ts'
import { RingSession, type SessionOwner } from './session.ts'

/** Things that one user may have handed over to others. */
const MAX_HANDED = 1024
/** What one user may have here: descriptors, and things that are kept for him (`Keeper`). */
const MAX_FILES = 1 << 18
const MAX_KEPT = 1 << 20

/** Serves rings of other threads on a kernel of this one. It works when `turn` is called. */
export class KernelService implements SessionOwner {
  readonly kernel: Kernel
  readonly sessions: RingSession[] = []
  /** Rings that were ended because serving them threw. */
  faults = 0
  /** What is told of the queue as a whole. */
  report: () => StackReport = () => ({ frames: 0, copiedBytes: 0, drops: {}, tcp: {}, unsettled: 0 })
  /** Somebody asks for the end of it all; answered when it has returned. */
  onStop: (by: RingSession) => void = () => {}
  readonly #handed = new Map<number, { file: ZcrxFile; by: Process['files'] }>()
  #turning = false
  #now = 0
  readonly #clock = (): number => {
    if (this.#now === 0) this.#now = performance.now()
    return this.#now
  }

  constructor(kernel: Kernel) {
    this.kernel = kernel
    kernel.onRingFault = (context, error) => {
      const session = this.sessions.find((other) => other.serves(context))
      if (session === undefined) throw error
      session.fail(error)
    }
  }

  /** A ring more. @param files the descriptors of the thread whose ring it is @param space default one of its own */
  add(link: RingLink, files: Process['files'], space?: Process['space']): RingSession {
    files.most = MAX_FILES
    files.keeper.most = MAX_KEPT
    const session = new RingSession(this, link, new Process(files, space))
    this.sessions.push(session)
    return session
  }

  /** Rings that are closed, by the descriptors of their threads, with instances whose buffers they still have. */
  readonly #left = new Map<Process['files'], { context: RingContext; ifq: ZcrxIfq }[]>()

  left(session: RingSession, context: RingContext, ifqs: readonly ZcrxIfq[]): void {
    const { files } = session.process
    const all = this.#left.get(files) ?? []
    for (const ifq of ifqs) if ((ifq.holders?.with(context) ?? 0) > 0) all.push({ context, ifq })
    if (all.length > 0) this.#left.set(files, all)
  }

  forget(session: RingSession): void {
    const at = this.sessions.indexOf(session)
    if (at >= 0) this.sessions.splice(at, 1)
  }

  /**
   * Looks at every ring and takes a burst from every queue. Returns whether there was anything to do: then there may be more.
   * Nothing is waited for.
   */
  turn(): boolean {
    if (this.#turning) return false
    this.#turning = true
    try {
      const { sessions, kernel } = this
      let called = false
      for (let i = 0; i < sessions.length; i++) if (sessions[i]!.serve()) called = true
      const work = kernel.poll()
      const busy = called || work > 0
      if (busy) kernel.flush()
      this.#now = 0
      for (let i = 0; i < sessions.length; i++) sessions[i]!.wakeUser(work === 0, this.#clock)
      return busy
    } finally {
      this.#turning = false
    }
  }

  /** Takes an exported instance from a user, for others, as long as he is there. A token that they ask for it by, or minus errno. */
  hand(file: OpenFile | null, by: Process['files']): number {
    if (!(file instanceof ZcrxFile)) return -EBADF
    let had = 0
    for (const other of this.#handed.values()) if (other.by === by) had++
    if (had >= MAX_HANDED) return -EMFILE
    let token = 0
    while (token === 0 || this.#handed.has(token)) token = randomInt(1, 2 ** 31)
    this.#handed.set(token, { file: new ZcrxFile(file.ifq), by })
    return token
  }

  /**
   * A user has gone: his rings are ended, his descriptors closed, what he was handed is taken back, and what he has handed over is not to
   * be had any more.
   */
  forgetUser(files: Process['files']): void {
    for (const session of [...this.sessions]) if (session.process.files === files) session.end()
    for (const { context, ifq } of this.#left.get(files) ?? []) ifq.abandoned(context)
    this.#left.delete(files)
    for (const [token, { file, by }] of [...this.#handed]) {
      if (by !== files) continue
      this.#handed.delete(token)
      file.release()
    }
    files.end()
    this.kernel.flush()
  }

  /** What was handed over under a token, to be given a descriptor; null: nothing. */
  handed(token: number): ZcrxFile | null {
    const handed = this.#handed.get(token)
    return handed === undefined ? null : new ZcrxFile(handed.file.ifq)
  }

  /** Every ring is ended, but that of whoever waits for the answer, and nothing is kept for anybody. */
  end(but: RingSession | null = null): void {
    for (const session of [...this.sessions]) if (session !== but) session.end()
    for (const { file } of this.#handed.values()) file.release()
    this.#handed.clear()
  }
}
