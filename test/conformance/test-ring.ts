import * as abi from '../../uapi/abi/index.ts'
import type { RingBackend } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import type { SocketCalls } from './calls.ts'

/** Ring set-up flags by the numbers of the kernel's header, whether or not the package serves them. */
export const SETUP_CQE_MIXED = 1 << 18
export const SETUP_SQE128 = 1 << 10
const CQE_F_32 = 1 << 15
/** DEFER_TASKRUN | SINGLE_ISSUER | CQE32 | CLAMP-free defaults of the recording: 0x3880. */
export const ZC_RING_FLAGS = 0x3880

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [1 << 0, 'BUFFER'],
  [1 << 1, 'MORE'],
  [1 << 2, 'SOCK_NONEMPTY'],
  [1 << 3, 'NOTIF'],
  [1 << 4, 'BUF_MORE'],
  [1 << 5, 'SKIP'],
  [CQE_F_32, 'CQE_32'],
]

/** A completion as the record tells it. */
export interface Completion {
  readonly ud: number
  readonly res: number
  readonly flags: readonly string[]
  /** Bytes of the completion: 16 or 32. */
  readonly bytes: number
  /** Words 0 and 1 of a wide completion; 0 for a narrow one. */
  readonly extra: readonly [bigint, bigint]
}

/** A completion that names received data. */
export function isData(completion: Completion): boolean {
  return completion.flags.includes('MORE') && completion.ud < FIRST_OTHER_UD
}

function bytesOf(completions: readonly Completion[]): number {
  return completions.reduce((sum, completion) => sum + (isData(completion) ? completion.res : 0), 0)
}

/** user_data from here on belong to requests other than receives. */
export const FIRST_OTHER_UD = 64

/** A ring whose completions are read word by word out of its memory. */
export class TestRing {
  readonly machine: SocketCalls
  readonly ring: Ring
  readonly backend: RingBackend
  readonly flags: number
  open = true
  #taken = 0

  private constructor(machine: SocketCalls, ring: Ring, backend: RingBackend, flags: number) {
    this.machine = machine
    this.ring = ring
    this.backend = backend
    this.flags = flags
  }

  /** `io_uring_setup`: a ring, or minus errno. */
  static create(machine: SocketCalls, flags: number, sqEntries = 64, cqEntries = 4096): TestRing | number {
    const backend = machine.host.ringBackend()
    const ring = Ring.queueInitParams(sqEntries, { ringBackend: () => backend }, { flags, cqEntries })
    return typeof ring === 'number' ? ring : new TestRing(machine, ring, backend, flags)
  }

  /** A ring that must come to be. */
  static of(machine: SocketCalls, flags = ZC_RING_FLAGS, sqEntries = 64, cqEntries = 4096): TestRing {
    const ring = TestRing.create(machine, flags, sqEntries, cqEntries)
    if (typeof ring === 'number')
      throw new Error(`io_uring_setup(0x${flags.toString(16)}): ${abi.errnoName(ring)}`)
    return ring
  }

  /** The next entry, and its raw bytes. */
  sqe(): { sqe: abi.Sqe; view: DataView } {
    const { sqes, sqEntries } = this.ring.memory
    const stride = sqes.length / sqEntries
    const at = (this.#taken++ & (sqEntries - 1)) * stride
    const sqe = this.ring.getSqe()
    if (sqe === null) throw new Error('the submission queue is full')
    return { sqe, view: new DataView(sqes.buffer, sqes.byteOffset + at, stride) }
  }

  submit(): number {
    const ret = this.ring.submit()
    this.machine.settle()
    return ret
  }

  /** `io_uring_enter` with GETEVENTS. */
  enter(minComplete: number): number {
    const ret = this.backend.enter(0, minComplete, abi.IORING_ENTER_GETEVENTS, this.machine.longestWaitMs)
    this.machine.settle()
    return ret
  }

  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number {
    const ret = this.backend.register(opcode, arg, nrArgs)
    this.machine.settle()
    return ret
  }

  /** What lies in the completion queue, without entering the kernel. */
  reap(): Completion[] {
    const { found, slots } = this.#look()
    this.ring.cqAdvance(slots)
    return found
  }

  /** The same, and it stays there. */
  peek(): Completion[] {
    return this.#look().found
  }

  #look(): { found: Completion[]; slots: number } {
    const { memory } = this.ring
    const { control, cqes, cqEntries, cqHeadAt, cqTailAt } = memory
    const mixed = (this.flags & SETUP_CQE_MIXED) !== 0
    const words = mixed ? 4 : memory.cqeWords
    const view = new DataView(cqes.buffer, cqes.byteOffset)
    const head = control[cqHeadAt]!
    const count = (Atomics.load(control, cqTailAt) - head) | 0
    const found: Completion[] = []
    for (let i = 0; i < count; i++) {
      const at = ((head + i) & (cqEntries - 1)) * words * 4
      const flags = view.getUint32(at + 12, true)
      const wide = mixed ? (flags & CQE_F_32) !== 0 : words === 8
      if (wide && mixed) i++
      found.push({
        ud: Number(view.getBigUint64(at, true)),
        res: view.getInt32(at + 8, true),
        flags: namesOf(flags),
        bytes: wide ? 32 : 16,
        extra: wide ? [view.getBigUint64(at + 16, true), view.getBigUint64(at + 24, true)] : [0n, 0n],
      })
    }
    return { found, slots: count }
  }

  /**
   * Enters and reaps until nothing has come for `quietMs` milliseconds; what is there already is reaped first.
   * @param enough bytes of data behind which nothing can come
   */
  drain(quietMs: number, enough = Number.POSITIVE_INFINITY): Completion[] {
    const { clock } = this.machine
    const found: Completion[] = this.reap()
    let end = clock.now() + quietMs * 1000
    for (;;) {
      this.enter(0)
      const some = this.reap()
      if (some.length > 0) {
        found.push(...some)
        if (bytesOf(found) >= enough) return found
        end = clock.now() + quietMs * 1000
        continue
      }
      const next = this.machine.next()
      if (next > end) break
      clock.advanceTo(next)
      this.machine.settle()
    }
    clock.advanceTo(end)
    return found
  }

  /** What the shared memory tells of the queues. */
  state(): Record<string, number | boolean> {
    const { control, sqFlagsAt, cqHeadAt, cqTailAt, cqOverflowAt } = this.ring.memory
    const flags = Atomics.load(control, sqFlagsAt)
    return {
      cq_ready: (Atomics.load(control, cqTailAt) - control[cqHeadAt]!) | 0,
      cq_overflow: Atomics.load(control, cqOverflowAt),
      sq_flag_CQ_OVERFLOW: (flags & abi.IORING_SQ_CQ_OVERFLOW) !== 0,
      sq_flag_TASKRUN: (flags & abi.IORING_SQ_TASKRUN) !== 0,
    }
  }

  /** poll(2) of the ring's descriptor for POLLIN: the events that are true. */
  poll(): number {
    return this.machine.poll(this.descriptor(), abi.POLLIN)
  }

  descriptor(): number {
    return this.ring.ringFd
  }

  close(): void {
    if (!this.open) return
    this.open = false
    this.ring.queueExit()
    this.machine.settle()
  }
}

function namesOf(flags: number): string[] {
  const names = FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name)
  const known = FLAG_NAMES.reduce((all, [bit]) => all | bit, 0)
  const rest = (flags & ~known) >>> 0
  if (rest !== 0) names.push(`0x${rest.toString(16)}`)
  return names
}
