import type { FrameObserver, FurtherAreas, Nic, NicMemory, RxBurst } from '../../driver/nic.ts'
import { ForwardingNic, SeenLargeSends } from '../../driver/wrap/forward.ts'
import type { PcapError } from '../../errors.ts'
import { type CaptureNicOptions, CaptureWriter } from './writer.ts'

export type { CaptureNicOptions } from './writer.ts'

/**
 * A NIC that writes what comes and goes through another to a pcapng file, and is otherwise that one: give it to a host or
 * a stack in its place. Received frames are written whole when the stack has said what became of them, sent ones when
 * they are committed; everything is in the file when the burst is over.
 *
 * A capture that can't be written any more ends; the NIC goes on (`failed`).
 */
export class CaptureNic extends ForwardingNic implements FrameObserver {
  readonly #capture: CaptureWriter

  /** Creates the file. `inner` stays the caller's when this throws. @throws ArgumentError, PcapError */
  constructor(inner: Nic, options: CaptureNicOptions) {
    super(inner)
    const capture = new CaptureWriter(inner, options)
    this.#capture = capture
    const { areas, largeSends } = inner.roles
    this.roles = {
      ...inner.roles,
      observer: this,
      areas: areas === null ? null : new CapturedAreas(areas, capture),
      largeSends:
        largeSends === null
          ? null
          : new SeenLargeSends(largeSends, (offset, length) => capture.send(inner.txMemory, offset, length)),
    }
  }

  /** Paths of the files that are kept, oldest first. */
  get files(): readonly string[] {
    return this.#capture.files
  }

  /** Frames written: received, sent. */
  get captured(): { received: number; sent: number } {
    return { received: this.#capture.received, sent: this.#capture.sent }
  }

  /** Frames that are in no file because the capture has failed. */
  get missed(): number {
    return this.#capture.missed
  }

  /** Why the capture ended early; null as long as it did not. */
  get failed(): PcapError | null {
    return this.#capture.failed
  }

  override attach(memory: NicMemory): void {
    this.#capture.endBurst()
    this.inner.attach(memory)
    this.#capture.setAreas(memory)
  }

  override detach(): void {
    this.#capture.endBurst()
    this.inner.detach()
  }

  override receive(burst: RxBurst): number {
    this.#capture.endBurst()
    const count = this.inner.receive(burst)
    if (count > 0) this.#capture.begin(burst)
    return count
  }

  settled(first: number, last: number, cause: string | null): void {
    this.#capture.settle(first, last, cause)
    this.inner.roles.observer?.settled(first, last, cause)
  }

  override fill(chunks: Uint32Array, from: number, count: number): number {
    // They may be those of frames that nobody has settled.
    this.#capture.settleAll()
    return this.inner.fill(chunks, from, count)
  }

  override txCommit(offset: number, length: number): void {
    // Before the device has it: afterwards the slot may be somebody else's.
    if (length > 0) this.#capture.send(this.inner.txMemory, offset, length)
    this.inner.txCommit(offset, length)
  }

  override txFlush(): void {
    this.#capture.endBurst()
    this.inner.txFlush()
  }

  override wait(timeoutMs: number): boolean {
    this.#capture.endBurst()
    return this.inner.wait(timeoutMs)
  }

  override arm(callback: (() => void) | null): void {
    this.#capture.endBurst()
    this.inner.arm(callback)
  }

  /** Ends the capture and closes the NIC. Idempotent. */
  override close(): void {
    this.#capture.close()
    this.inner.close()
  }
}

/** Areas that come and go between two bursts of a capture. */
class CapturedAreas implements FurtherAreas {
  readonly #inner: FurtherAreas
  readonly #capture: CaptureWriter

  constructor(inner: FurtherAreas, capture: CaptureWriter) {
    this.#inner = inner
    this.#capture = capture
  }

  addArea(memory: NicMemory, area: number, firstChunk: number): void {
    this.#capture.endBurst()
    this.#inner.addArea(memory, area, firstChunk)
    this.#capture.setArea(area, memory)
  }

  removeArea(area: number, chunks: Uint32Array): number {
    this.#capture.endBurst()
    this.#capture.setArea(area, null)
    return this.#inner.removeArea(area, chunks)
  }

  chunksHeldIn(area: number): number {
    return this.#inner.chunksHeldIn(area)
  }
}
