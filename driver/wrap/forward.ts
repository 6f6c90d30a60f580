import type { LargeSends, Nic, NicInfo, NicMemory, NicRoles, NicStats, RxBurst } from '../nic.ts'

/**
 * A NIC that is another one. What wraps a NIC extends it and overrides what it wants to see or change; whatever the inner NIC
 * can do beyond the necessary, the outer one can too. Closing it closes the inner one.
 */
export class ForwardingNic implements Nic {
  /** The NIC that is wrapped. */
  readonly inner: Nic
  /** Those of the inner NIC; a class that wants to see or change one replaces it in its constructor. */
  roles: NicRoles

  constructor(inner: Nic) {
    this.inner = inner
    this.roles = inner.roles
  }

  get info(): NicInfo {
    return this.inner.info
  }
  get notes(): readonly string[] {
    return this.inner.notes ?? []
  }
  get gone(): boolean {
    return this.inner.gone
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
  chunksHeld(): number {
    return this.inner.chunksHeld()
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
  wait(timeoutMs: number): boolean {
    return this.inner.wait(timeoutMs)
  }
  arm(callback: (() => void) | null): void {
    this.inner.arm(callback)
  }
  keepAlive(on: boolean): void {
    this.inner.keepAlive?.(on)
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

/** The large sends of a wrapped NIC, each shown to somebody in front of the device. */
export class SeenLargeSends implements LargeSends {
  readonly txLargeBytes: number
  readonly #inner: LargeSends
  readonly #see: (offset: number, length: number) => void

  /** @param see gets what `Nic.txCommit` would get */
  constructor(inner: LargeSends, see: (offset: number, length: number) => void) {
    this.#inner = inner
    this.#see = see
    this.txLargeBytes = inner.txLargeBytes
  }

  txCommitLarge(
    offset: number,
    length: number,
    tcpAt: number,
    headerBytes: number,
    segmentBytes: number,
  ): void {
    this.#see(offset, length)
    this.#inner.txCommitLarge(offset, length, tcpAt, headerBytes, segmentBytes)
  }
}
