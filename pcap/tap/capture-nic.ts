import type { Nic, NicInfo, NicMemory, NicStats, RxBurst } from '../../driver/nic.ts'
import type { PcapError } from '../errors.ts'
import { type CaptureNicOptions, CaptureWriter } from './writer.ts'

export type { CaptureNicOptions } from './writer.ts'

/**
 * A NIC that writes what comes and goes through another to a pcapng file, and is otherwise that one: give it to a host or
 * a stack in its place. Received frames are written whole when the stack has said what became of them, sent ones when
 * they are committed; everything is in the file when the burst is over.
 *
 * A capture that can't be written any more ends; the NIC goes on (`failed`).
 */
export class CaptureNic implements Nic {
  /** The NIC that is captured; closed with this one. */
  readonly inner: Nic
  declare readonly addArea?: NonNullable<Nic['addArea']>
  declare readonly removeArea?: NonNullable<Nic['removeArea']>
  declare readonly txCommitLarge?: NonNullable<Nic['txCommitLarge']>
  declare readonly openChunk?: NonNullable<Nic['openChunk']>
  declare demand?: ((chunks: Uint32Array) => number) | null
  readonly #capture: CaptureWriter

  /** Creates the file. `inner` stays the caller's when this throws. @throws ArgumentError, PcapError */
  constructor(inner: Nic, options: CaptureNicOptions) {
    this.inner = inner
    const capture = new CaptureWriter(inner, options)
    this.#capture = capture
    // Whoever asks what a NIC can do asks whether it has the method.
    if (inner.addArea !== undefined) {
      this.addArea = (memory, area, firstChunk) => {
        capture.endBurst()
        inner.addArea!(memory, area, firstChunk)
        capture.setArea(area, memory)
      }
    }
    if (inner.removeArea !== undefined) {
      this.removeArea = (area, chunks) => {
        capture.endBurst()
        capture.setArea(area, null)
        return inner.removeArea!(area, chunks)
      }
    }
    if (inner.txCommitLarge !== undefined) {
      this.txCommitLarge = (offset, length, tcpAt, headerBytes, segmentBytes) => {
        this.#capture.send(inner.txMemory, offset, length)
        inner.txCommitLarge!(offset, length, tcpAt, headerBytes, segmentBytes)
      }
    }
    if (inner.openChunk !== undefined) this.openChunk = () => inner.openChunk!()
    if ('demand' in inner) {
      Object.defineProperty(this, 'demand', {
        get: () => inner.demand,
        set: (demand) => {
          inner.demand = demand
        },
        enumerable: true,
        configurable: true,
      })
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

  get info(): NicInfo {
    return this.inner.info
  }
  get gone(): boolean {
    return this.inner.gone
  }
  get sideMemory(): Uint8Array | null {
    return this.inner.sideMemory
  }
  get txMemory(): Uint8Array {
    return this.inner.txMemory
  }
  get txSlotBytes(): number {
    return this.inner.txSlotBytes
  }

  attach(memory: NicMemory): void {
    this.#capture.endBurst()
    this.inner.attach(memory)
    this.#capture.setAreas(memory)
  }

  detach(): void {
    this.#capture.endBurst()
    this.inner.detach()
  }

  receive(burst: RxBurst): number {
    this.#capture.endBurst()
    const count = this.inner.receive(burst)
    if (count > 0) this.#capture.begin(burst)
    return count
  }

  settled(first: number, last: number, cause: string | null): void {
    this.#capture.settle(first, last, cause)
    this.inner.settled?.(first, last, cause)
  }

  fillSpace(): number {
    return this.inner.fillSpace()
  }

  fill(chunks: Uint32Array, from: number, count: number): number {
    // They may be those of frames that nobody has settled.
    this.#capture.settleAll()
    return this.inner.fill(chunks, from, count)
  }

  chunksHeld(area?: number): number {
    return this.inner.chunksHeld(area)
  }

  sumFragments(burst: RxBurst): void {
    this.inner.sumFragments(burst)
  }

  txReserve(): number {
    return this.inner.txReserve()
  }

  txCommit(offset: number, length: number): void {
    // Before the device has it: afterwards the slot may be somebody else's.
    if (length > 0) this.#capture.send(this.inner.txMemory, offset, length)
    this.inner.txCommit(offset, length)
  }

  txFlush(): void {
    this.#capture.endBurst()
    this.inner.txFlush()
  }

  steer(address: Uint8Array, port: number): void {
    this.inner.steer(address, port)
  }
  unsteer(address: Uint8Array, port: number): void {
    this.inner.unsteer(address, port)
  }
  claim(address: Uint8Array): void {
    this.inner.claim(address)
  }
  unclaim(address: Uint8Array): void {
    this.inner.unclaim(address)
  }

  wait(timeoutMs: number): boolean {
    this.#capture.endBurst()
    return this.inner.wait(timeoutMs)
  }

  arm(callback: (() => void) | null): void {
    this.#capture.endBurst()
    this.inner.arm(callback)
  }

  stats(): NicStats {
    return this.inner.stats()
  }

  /** Ends the capture and closes the NIC. Idempotent. */
  close(): void {
    this.#capture.close()
    this.inner.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
