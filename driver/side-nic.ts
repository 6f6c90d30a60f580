import type { Native } from './native/index.ts'
import type { RxBurst } from './nic.ts'
import type { OrderedSlots } from './ordered-slots.ts'

/** Where frames come from that are shown beside the area. */
export interface SideReceive {
  /** What fragments lie in; a multiple of four bytes. */
  readonly memory: Uint8Array
  receive(burst: RxBurst): number
}

/**
 * What NICs have in common that place nothing (`placement: 'side'`): the stack copies from their memory, so they hold no
 * chunks; and they send from slots of their own.
 */
export abstract class SideNic {
  protected readonly native: Native
  protected abstract readonly received: SideReceive
  protected abstract readonly slots: OrderedSlots
  protected attached = false

  constructor(native: Native) {
    this.native = native
  }

  get sideMemory(): Uint8Array {
    return this.received.memory
  }
  get txMemory(): Uint8Array {
    return this.slots.memory
  }
  get txSlotBytes(): number {
    return this.slots.slotBytes
  }

  receive(burst: RxBurst): number {
    burst.count = 0
    return this.attached ? this.received.receive(burst) : 0
  }

  fillSpace(): number {
    return 0
  }
  fill(): number {
    return 0
  }
  chunksHeld(): number {
    return 0
  }

  sumFragments(burst: RxBurst): void {
    if (burst.count > 0)
      this.native.sumFragments(this.sideMemory, burst.offset, burst.length, burst.sum, burst.count, 0)
  }

  txReserve(): number {
    return this.slots.reserve()
  }
  txCommit(offset: number, length: number): void {
    this.slots.commit(offset, length)
  }
  txFlush(): void {
    if (this.attached) this.slots.flush()
  }
}
