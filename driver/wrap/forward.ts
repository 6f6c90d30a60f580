import type { Nic, NicInfo, NicMemory, NicStats, RxBurst } from '../nic.ts'

/**
 * A NIC that is another one. What wraps a NIC extends it and overrides what it wants to see or change; whatever the inner NIC
 * can do beyond the necessary, the outer one can too. Closing it closes the inner one.
 */
export class ForwardingNic implements Nic {
  /** The NIC that is wrapped. */
  readonly inner: Nic
  declare demand?: ((chunks: Uint32Array) => number) | null
  declare onMacChange?: (() => void) | null

  constructor(inner: Nic) {
    this.inner = inner
    // Whoever asks what a NIC can do asks whether it has the method.
    if (inner.addArea !== undefined && this.addArea === undefined) {
      this.addArea = (memory, area, firstChunk) => inner.addArea!(memory, area, firstChunk)
    }
    if (inner.removeArea !== undefined && this.removeArea === undefined) {
      this.removeArea = (area, chunks) => inner.removeArea!(area, chunks)
    }
    if (inner.openChunk !== undefined && this.openChunk === undefined) {
      this.openChunk = () => inner.openChunk!()
    }
    if (inner.settled !== undefined && this.settled === undefined) {
      this.settled = (first, last, cause) => inner.settled!(first, last, cause)
    }
    if (inner.txCommitLarge !== undefined && this.txCommitLarge === undefined) {
      this.txCommitLarge = (...frame) => inner.txCommitLarge!(...frame)
    }
    for (const name of ['demand', 'onMacChange'] as const) {
      if (!(name in inner)) continue
      Object.defineProperty(this, name, {
        get: () => inner[name],
        set: (value) => {
          inner[name] = value
        },
        enumerable: true,
        configurable: true,
      })
    }
  }

  addArea?(memory: NicMemory, area: number, firstChunk: number): void
  removeArea?(area: number, chunks: Uint32Array): number
  openChunk?(): number
  txCommitLarge?(...frame: Parameters<NonNullable<Nic['txCommitLarge']>>): void
  settled?(first: number, last: number, cause: string | null): void

  get info(): NicInfo {
    return this.inner.info
  }
  get notes(): readonly string[] {
    return this.inner.notes ?? []
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
    this.inner.attach(memory)
  }
  detach(): void {
    this.inner.detach()
  }
  receive(burst: RxBurst): number {
    return this.inner.receive(burst)
  }
  fillSpace(): number {
    return this.inner.fillSpace()
  }
  fill(chunks: Uint32Array, from: number, count: number): number {
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
    this.inner.txCommit(offset, length)
  }
  txFlush(): void {
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
    return this.inner.wait(timeoutMs)
  }
  arm(callback: (() => void) | null): void {
    this.inner.arm(callback)
  }
  stats(): NicStats {
    return this.inner.stats()
  }
  close(): void {
    this.inner.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
