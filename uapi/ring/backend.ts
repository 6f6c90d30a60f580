import type { Diagnostics } from '../../diagnostics.ts'
import type { ZcrxError } from '../../errors.ts'
import type { UringParams } from '../abi/params.ts'
import type { Addresser } from '../abi/sqe.ts'
import type { RingMapping } from './memory.ts'

/** What memory is asked for. */
export interface AllocateOptions {
  /** For received data: with whatever else in the same buffer the device needs to write there. Default false. */
  readonly area?: boolean
}

/**
 * The other side of one ring: what io_uring's system calls reach. Everything that crosses is ring words, memory that both sides
 * share, or one of the calls `open`, `enter`, `register` and `mmap`; so whoever is above it can't tell a stack on the same thread
 * from one elsewhere, or from Linux.
 */
export interface RingBackend extends Addresser {
  /**
   * `io_uring_setup(2)`, once. Returns the memory to share, or minus errno.
   * @param params read; flags, sizes, features and offsets are written back
   */
  open(entries: number, params: UringParams): RingMapping | number
  /** The ring's descriptor, for POLL_ADD and MSG_RING. */
  readonly fd: number
  /**
   * `io_uring_enter(2)`: consumes up to `toSubmit` entries; with IORING_ENTER_GETEVENTS runs what is pending and waits
   * until `minComplete` completions are there. Returns the entries consumed or minus errno; -EINTR is to be tried again.
   * @param timeoutMs longest wait; Infinity waits for ever
   */
  enter(toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number
  /**
   * From now on the other side works for the ring without being entered: it takes entries and runs what is pending as if somebody were
   * always in `enter`, and asks by IORING_SQ_NEED_WAKEUP to be woken (IORING_ENTER_SQ_WAKEUP), as a ring with IORING_SETUP_SQPOLL
   * does. False where it works only when something is entered; then, too, data that comes while another ring is may be completed at once.
   */
  attend(): boolean
  /** `io_uring_register(2)`. @param arg structure that the opcode takes, read and written: memory with an address, or null */
  register(opcode: number, arg: Uint8Array | null, nrArgs: number): number
  /**
   * mmap(2) of the ring's descriptor: all of a region that the kernel provides, or minus errno.
   * @param offset what it is: 0x30000000 + (zcrx id << 16), or IORING_OFF_PBUF_RING + (group << 16)
   * @param length bytes: EFAULT for less than the region has; what is asked beyond it is not there
   */
  mmap(offset: number, length: number): Uint8Array | number
  /** Zeroed memory that entries and structures may name, from a page's boundary on. It lives as long as anybody has it. */
  allocate(bytes: number, options?: AllocateOptions): Uint8Array
  /** Memory is about to be pinned as an area: what that means for the rest of the process is looked after. */
  pinned?(area: Uint8Array): void
  /** The address of memory, to stand in entries and structures. @throws ArgumentError for memory that can't have one */
  addressOf(bytes: Uint8Array): number
  /** Whether `addressOf` has an address for these bytes. */
  reaches(bytes: Uint8Array): boolean
  /**
   * Calls `callback` once, from the event loop, when entering may bring completions. A later call replaces it, null takes it back.
   * Keeps the process alive meanwhile.
   */
  arm(callback: (() => void) | null): void
  /** Whether an armed callback keeps the process alive; default true. */
  keepAlive(on: boolean): void
  /** Why the last call that was refused was, where there is more to say than an errno; for people. */
  refusal(): ZcrxError | null
  /** What else can be told; null where nothing can. */
  readonly diagnostics: Diagnostics | null
  /** `close(2)` of the ring. Memory that was allocated stays. */
  close(): void
}

/** Hands out the other sides of rings: one for each. */
export interface RingHost {
  /** A back end for one ring more; the ring's, which closes it. */
  ringBackend(): RingBackend
}
