import { allZero, getU64, putU64, Struct } from './struct.ts'

/** Bytes of `struct zcrx_stats`: `u64 copy_count; u64 copy_bytes`. */
export const ZCRX_STATS_SIZE = 16
/** What the offset of a `struct zcrx_stats` in the region has to be a multiple of. */
export const ZCRX_STATS_ALIGNMENT = 8

/** `struct zcrx_event_desc`, 96 bytes: which events are wanted, and where the statistics go. */
export class ZcrxEventDesc extends Struct {
  static readonly SIZE = 96
  /** Of the completions that tell events. */
  get userData(): number {
    return getU64(this.view, 0)
  }
  set userData(value: number) {
    putU64(this.view, 0, value)
  }
  get userDataLow(): number {
    return this.u32(0)
  }
  get userDataHigh(): number {
    return this.u32(4)
  }
  /** Bit n: events of type n. */
  get typeMask(): number {
    return this.u32(8)
  }
  set typeMask(value: number) {
    this.setU32(8, value)
  }
  get flags(): number {
    return this.u32(12)
  }
  set flags(value: number) {
    this.setU32(12, value)
  }
  /** Bytes from the start of the region. */
  get statsOffset(): number {
    return getU64(this.view, 16)
  }
  set statsOffset(value: number) {
    putU64(this.view, 16, value)
  }
  get statsAligned(): boolean {
    return this.u32(16) % ZCRX_STATS_ALIGNMENT === 0
  }
  get reservedZero(): boolean {
    return allZero(this.view, 24, 96)
  }
}

/** `struct zcrx_stats`, 16 bytes, as it lies in the region: cumulative, written in place. */
export class ZcrxStats extends Struct {
  static readonly SIZE = ZCRX_STATS_SIZE
  /** Contiguous pieces of received data that were copied, not completions. */
  get copyCount(): number {
    return getU64(this.view, 0)
  }
  get copyBytes(): number {
    return getU64(this.view, 8)
  }
  set(copyCount: number, copyBytes: number): void {
    putU64(this.view, 0, copyCount)
    putU64(this.view, 8, copyBytes)
  }
}
