import * as abi from '../../uapi/abi/index.ts'
import type { BufRing } from '../../uapi/ring/buf-ring.ts'
import { DEFER, type Run, type Seen, show } from './run.ts'
import type { Scenario } from './scenario.ts'
import { instance, type Zc } from './zcrx.ts'

/** One entry, or one thing done beside the ring. Numbers that name what is not there mean nothing is done. */
export type Step =
  | { readonly kind: 'send'; readonly end: number; readonly length: number; readonly flags: number }
  | { readonly kind: 'recv'; readonly end: number; readonly length: number; readonly flags: number }
  | { readonly kind: 'select'; readonly end: number; readonly length: number; readonly flags: number }
  | { readonly kind: 'multishot'; readonly end: number; readonly length: number; readonly limit: number }
  | { readonly kind: 'zeroCopy'; readonly end: number; readonly limit: number; readonly pollFirst: boolean }
  | { readonly kind: 'giveBack'; readonly count: number; readonly latest: boolean; readonly flush: boolean }
  | { readonly kind: 'poll'; readonly end: number; readonly events: number; readonly multishot: boolean }
  | { readonly kind: 'cancel'; readonly back: number; readonly flags: number }
  | { readonly kind: 'cancelFd'; readonly end: number; readonly flags: number }
  | { readonly kind: 'nop' | 'inq'; readonly end: number }
  | { readonly kind: 'timeout'; readonly count: number }
  | { readonly kind: 'refill'; readonly count: number }
  | { readonly kind: 'shutdown'; readonly end: number; readonly how: number }
  | { readonly kind: 'close'; readonly end: number; readonly reset: boolean }

/** Steps that are submitted together, the first ones linked. */
export interface Batch {
  readonly steps: readonly Step[]
  readonly linked: boolean
}

export interface Program {
  readonly seed: number
  /** IORING_SETUP_* */
  readonly setup: number
  readonly pairs: number
  /** Pages of the area of an instance of zero-copy receive. */
  readonly pages?: number
  readonly buffers: { readonly count: number; readonly length: number; readonly flags: number }
  readonly batches: readonly Batch[]
}

const GROUP = 1
const FAR_MS = 600_000

/** A program as a scenario: after every batch everything that comes is waited for, so that no order depends on time. */
export function scenarioOf(program: Program): Scenario {
  const needs = program.pages === undefined ? {} : { needs: 'zcrx' as const }
  return { name: `random.${program.seed}`, ...needs, run: (x) => new Player(x, program).play() }
}

/** What is in flight: of which end, and whether it takes bytes from the stream. */
interface Flight {
  readonly end: number
  readonly receives: boolean
  /** A poll that goes on. */
  readonly watches: boolean
  readonly bytes: Uint8Array | null
}

class Player {
  readonly #x: Run
  readonly #program: Program
  readonly #ends: (number | null)[] = []
  readonly #flights = new Map<number, Flight>()
  readonly #buffers: Uint8Array[] = []
  /** Buffers that were used and may be given back. */
  readonly #used: number[] = []
  #ring: BufRing | null = null
  #zc: Zc | null = null
  /** Of the stream in each direction. */
  readonly #sent: number[] = []
  #userData = 1
  /** Entries of the batch, each with the flags that it is to have besides. */
  readonly #entries: ((flags: number) => void)[] = []
  /** What is in flight of chains. */
  readonly #linked = new Set<number>()
  /** Ends whose own FIN was sent: when it is acknowledged is a matter of time, and an event for polls that go on. */
  readonly #finished = new Set<number>()

  constructor(x: Run, program: Program) {
    this.#x = x
    this.#program = program
  }

  play(): void {
    const { setup, pairs, pages, buffers, batches } = this.#program
    const r = this.#x.ring(setup)
    if (pages !== undefined) this.#zc = instance(this.#x, { ring: r, pages })
    for (let i = 0; i < pairs; i++) this.#ends.push(...this.#x.pair(i))
    const ring = r.setupBufRing(16, GROUP, buffers.flags)
    if (typeof ring === 'number') throw new Error(`a ring of buffers: ${abi.errnoName(ring)}`)
    this.#ring = ring
    for (let i = 0; i < buffers.count; i++) {
      this.#buffers.push(this.#x.bytes(buffers.length))
      ring.bufRingAdd(this.#buffers[i]!, i)
    }
    ring.bufRingAdvance()
    for (const [i, batch] of batches.entries()) this.#batch(i, batch)
    r.getSqe()!
      .prepCancel(0, abi.IORING_ASYNC_CANCEL_ANY | abi.IORING_ASYNC_CANCEL_ALL)
      .setData(0)
    r.submit()
    this.#look('end')
    this.#x.say('head', r.bufRingHead(GROUP))
    for (const fd of this.#ends) if (fd !== null) this.#x.say('left', this.#x.recv(fd))
  }

  #batch(number: number, { steps, linked }: Batch): void {
    const first = this.#userData
    for (const step of steps) this.#step(step)
    if (linked) for (const of of this.#flights.keys()) if (of >= first) this.#linked.add(of)
    // Linux has a chain that its batch ends in the middle of done by a thread: there is none.
    for (const [i, put] of this.#entries.entries())
      put(linked && i < this.#entries.length - 1 ? abi.IOSQE_IO_LINK : 0)
    this.#entries.length = 0
    this.#x.r.submit()
    this.#look(`${number} ${steps.map(({ kind }) => kind).join(linked ? '+' : ' ')}`)
  }

  /** Waits until nothing comes, and says what has. */
  #look(what: string): void {
    for (const seen of this.#zc === null ? this.#x.see(what) : this.#zc.see(what)) this.#tell(seen)
  }

  /** What a completion brought. */
  #tell({ userData, res, flags, bufferId }: Seen): void {
    const flight = this.#flights.get(userData)
    if ((flags & abi.IORING_CQE_F_MORE) === 0) {
      this.#flights.delete(userData)
      this.#linked.delete(userData)
    }
    if (res <= 0 || flight?.receives !== true) return
    const selected = (flags & abi.IORING_CQE_F_BUFFER) !== 0
    if (!selected) {
      if (flight.bytes !== null) this.#x.say(userData, show(flight.bytes.subarray(0, res)))
      return
    }
    // Of a buffer that is used up bit by bit nobody knows here where the piece begins: all of it is shown.
    this.#x.say(userData, show(this.#buffers[bufferId]!))
    if ((flags & abi.IORING_CQE_F_BUF_MORE) === 0) this.#used.push(bufferId)
  }

  #step(step: Step): void {
    const x = this.#x
    const userData = this.#userData++
    const end = 'end' in step ? step.end % this.#ends.length : 0
    const fd = this.#ends[end] ?? null
    const put = (prepare: (sqe: abi.Sqe) => abi.Sqe, more: Partial<Flight> = {}) => {
      this.#entries.push((flags) =>
        x.put(userData, (s) => {
          const sqe = prepare(s)
          return sqe.setFlags(sqe.flags | flags)
        }),
      )
      this.#flights.set(userData, { end, receives: false, watches: false, bytes: null, ...more })
    }
    const others = [...this.#flights.values()].filter((flight) => flight.end === end)
    // Which of several receivers gets what is a matter of order: there is one at a time.
    const taken = others.some(({ receives }) => receives)
    switch (step.kind) {
      case 'nop':
        put((s) => s.prepNop())
        return
      case 'timeout':
        put((s) => s.prepTimeout(x.timespec(FAR_MS), step.count))
        return
      case 'cancel':
        put((s) => s.prepCancel(Math.max(1, userData - 1 - step.back), step.flags))
        return
      case 'refill':
        this.#refill(step.count)
        return
      case 'giveBack':
        this.#giveBack(step.count, step.latest)
        if (step.flush) this.#zc?.flush()
        return
    }
    if (fd === null) return
    switch (step.kind) {
      case 'send': {
        const bytes = this.#stream(end, step.length)
        put((s) => s.prepSend(fd, bytes, step.flags | abi.MSG_NOSIGNAL))
        return
      }
      case 'recv': {
        const bytes = x.bytes(step.length)
        if (!taken) put((s) => s.prepRecv(fd, bytes, step.flags), { receives: true, bytes })
        return
      }
      case 'select':
        if (!taken)
          put(
            (s) =>
              s
                .prepRw(abi.IORING_OP_RECV, fd, 0, step.length, 0)
                .setOpFlags(step.flags)
                .setFlags(abi.IOSQE_BUFFER_SELECT)
                .setBufGroup(GROUP),
            { receives: true },
          )
        return
      case 'multishot':
        if (!taken) put((s) => s.prepRecvMultishot(fd, GROUP, step.length, 0, step.limit), { receives: true })
        return
      case 'zeroCopy': {
        // Linux does not tell a request that waits of a reset that is there behind data (`differences.ts`).
        const reset = this.#ends[end ^ 1] === null
        const first = step.pollFirst && !reset ? abi.IORING_RECVSEND_POLL_FIRST : 0
        const ifq = this.#zc?.ifq.zcrxId ?? 0
        if (!taken)
          put((s) => s.prepRecvZc(fd, ifq, step.limit).setIoprio(abi.IORING_RECV_MULTISHOT | first), {
            receives: true,
          })
        return
      }
      case 'poll':
        if (step.multishot && this.#finished.has(end)) return
        put((s) => s.prepPollAdd(fd, step.events, step.multishot), { watches: step.multishot })
        return
      case 'cancelFd':
        put((s) => s.prepCancelFd(fd, step.flags))
        return
      case 'inq':
        put((s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, fd))
        return
      case 'shutdown':
        if (step.how !== abi.SHUT_RD) {
          if (others.some(({ watches }) => watches)) return
          this.#finished.add(end)
        }
        put((s) => s.prepShutdown(fd, step.how))
        return
      case 'close':
        // When a request is the last to let go of a socket, its peer is told: what is linked behind it may or may not see that.
        if (this.#linked.size > 0) return
        if (step.reset) x.setOption(fd, abi.SOL_SOCKET, abi.SO_LINGER, 1, 0)
        this.#ends[end] = null
        put((s) => s.prepClose(fd))
    }
  }

  /** The next bytes of a stream. */
  #stream(end: number, length: number): Uint8Array {
    const bytes = this.#x.bytes(length)
    const first = this.#sent[end] ?? 0
    for (let i = 0; i < length; i++) bytes[i] = 97 + ((first + i) % 26)
    this.#sent[end] = first + length
    return bytes
  }

  #giveBack(count: number, latest: boolean): void {
    if (this.#zc === null) return
    const { held, ifq } = this.#zc
    const room = Math.min(count, ifq.rq.space())
    this.#zc.give(latest ? held.splice(-room, room) : held.splice(0, room))
  }

  #refill(count: number): void {
    for (const bid of this.#used.splice(0, count)) this.#ring!.bufRingAdd(this.#buffers[bid]!.fill(0), bid)
    this.#ring!.bufRingAdvance()
  }
}

/** Set-ups that programs run on. */
export const SETUPS: readonly number[] = [
  DEFER,
  0,
  abi.IORING_SETUP_COOP_TASKRUN,
  DEFER | abi.IORING_SETUP_SUBMIT_ALL,
  abi.IORING_SETUP_SINGLE_ISSUER,
]

/** And those on which zero-copy receive is. */
export const WIDE_SETUPS: readonly number[] = [
  DEFER | abi.IORING_SETUP_CQE32,
  DEFER | abi.IORING_SETUP_CQE_MIXED,
  DEFER | abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_SUBMIT_ALL,
]
