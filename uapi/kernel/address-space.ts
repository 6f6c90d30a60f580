import { isHuge, markHuge } from '../../driver/area.ts'
import { HUGE_PAGE, PAGE } from '../../pages.ts'
import type { Addresser } from '../abi/sqe.ts'

/** First address handed out: page 0 stays unmapped, so that NULL is never valid. */
const BASE = 0x1_0000

/** Pieces of memory that somebody else may give addresses to. */
const MAX_MAPPED = 65_536

/** A piece of memory that an address resolved to. */
export interface Mapping {
  readonly buffer: ArrayBufferLike
  readonly base: number
}

/**
 * Gives JavaScript memory addresses, so that submission entries and registration structures can carry pointers as they do
 * on Linux. Each `ArrayBuffer` gets a page-aligned range of its own when it is first used; what lies between two ranges
 * is unmapped and answered with EFAULT.
 *
 * An entry keeps its buffer alive only while someone else does: like a pointer, an address does not own its memory.
 */
export class AddressSpace implements Addresser {
  readonly #bases = new WeakMap<ArrayBufferLike, number>()
  readonly #readOnly = new WeakSet<ArrayBufferLike>()
  /** Sorted by address. */
  readonly #ranges: { base: number; length: number; buffer: WeakRef<ArrayBufferLike> }[] = []
  #next = BASE
  /** Memory that somebody else gave its addresses to. */
  readonly #mapped = new Map<number, ArrayBufferLike>()
  /** Called when memory gets an address, and when that is nobody's any more. */
  onMap: ((base: number, buffer: ArrayBufferLike) => void) | null = null
  onUnmap: ((base: number) => void) | null = null
  readonly #gone = new FinalizationRegistry<number>((base) => this.#forget(base))

  /** Address of the first byte of `bytes`. */
  addressOf(bytes: Uint8Array): number {
    return this.#base(bytes.buffer) + bytes.byteOffset
  }

  /** The bytes `[address, address+length)`; null when not all of them are mapped, in one buffer. */
  view(address: number, length: number): Uint8Array | null {
    const mapping = this.find(address)
    if (mapping === null) return null
    const offset = address - mapping.base
    if (!(length >= 0) || offset + length > mapping.buffer.byteLength) return null
    return new Uint8Array(mapping.buffer, offset, length)
  }

  /**
   * Memory whose addresses another space has given out lies at them here too, until `unmap`. False when that can't be: it is no page's
   * beginning, something lies there, or the memory has an address already.
   */
  map(base: number, buffer: ArrayBufferLike): boolean {
    const { byteLength } = buffer
    if (!Number.isSafeInteger(base + byteLength) || base < BASE || base % PAGE !== 0) return false
    if (this.#bases.has(buffer) || this.#mapped.size >= MAX_MAPPED) return false
    const at = this.#after(base)
    const before = this.#ranges[at - 1]
    const behind = this.#ranges[at]
    if (before !== undefined && before.base + before.length > base) return false
    if (behind !== undefined && behind.base < base + byteLength) return false
    this.#ranges.splice(at, 0, { base, length: byteLength, buffer: new WeakRef(buffer) })
    this.#bases.set(buffer, base)
    this.#mapped.set(base, buffer)
    this.#next = Math.max(this.#next, nextBase(base, byteLength))
    return true
  }

  /** Undoes `map`. Who looked the memory up keeps it. */
  unmap(base: number): void {
    const buffer = this.#mapped.get(base)
    if (buffer === undefined) return
    this.#mapped.delete(base)
    this.#bases.delete(buffer)
    this.#forget(base)
  }

  /** Everything from an address to the end of what it lies in; null when it is unmapped. */
  from(address: number): Uint8Array | null {
    const mapping = this.find(address)
    return mapping === null ? null : new Uint8Array(mapping.buffer, address - mapping.base)
  }

  /** Like `view`, for what will be written to: null also where the memory was made read-only. */
  writable(address: number, length: number): Uint8Array | null {
    const bytes = this.view(address, length)
    return bytes === null || this.#readOnly.has(bytes.buffer) ? null : bytes
  }

  /** Whether what lies in this memory may be written; all may that was not made read-only. */
  isWritable(bytes: Uint8Array): boolean {
    return !this.#readOnly.has(bytes.buffer)
  }

  /** As mprotect(2) with PROT_READ: what is asked to write to this memory is answered EFAULT. */
  makeReadOnly(buffer: ArrayBufferLike): void {
    this.#readOnly.add(buffer)
  }

  /** The memory counts as physically contiguous in runs of 2 MiB: huge pages. */
  makeHuge(buffer: ArrayBufferLike): void {
    markHuge(buffer)
  }

  /** Bytes that lie together in physical memory, as far as is known. */
  contiguousBytes(buffer: ArrayBufferLike): number {
    return isHuge(buffer) ? HUGE_PAGE : PAGE
  }

  /** The buffer that an address lies in; null when unmapped. */
  find(address: number): Mapping | null {
    const range = this.#ranges[this.#after(address) - 1]
    if (range === undefined || address >= range.base + range.length) return null
    const buffer = range.buffer.deref()
    return buffer === undefined ? null : { buffer, base: range.base }
  }

  /** The place behind every range that begins at or before an address. */
  #after(address: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]!.base <= address) low = middle + 1
      else high = middle
    }
    return low
  }

  #base(buffer: ArrayBufferLike): number {
    const known = this.#bases.get(buffer)
    if (known !== undefined) return known
    const base = this.#next
    this.#next = nextBase(base, buffer.byteLength)
    this.#bases.set(buffer, base)
    this.#ranges.push({ base, length: buffer.byteLength, buffer: new WeakRef(buffer) })
    this.#gone.register(buffer, base)
    this.onMap?.(base, buffer)
    return base
  }

  #forget(base: number): void {
    const at = this.#ranges.findIndex((range) => range.base === base)
    if (at >= 0) this.#ranges.splice(at, 1)
    this.onUnmap?.(base)
  }
}

/** One unmapped page between ranges: running over an end is noticed. */
function nextBase(base: number, length: number): number {
  return base + Math.ceil(length / PAGE) * PAGE + PAGE
}
