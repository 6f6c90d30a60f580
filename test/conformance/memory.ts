import type { AddressSpace } from '../../uapi/kernel/address-space.ts'

export const PAGE = 4096
export const HUGE_PAGE = 2 << 20
/** Addresses nobody maps: far above everything that is handed out. */
export const UNMAPPED = 0x7f00_0000_0000
/** Never valid either: page 0. */
export const BAD_POINTER = 8

/** Memory of the process that plays a scenario: page-aligned mappings with addresses. */
export class UserMemory {
  readonly space: AddressSpace
  /** An address does not keep its memory alive. */
  readonly #held: ArrayBuffer[] = []

  constructor(space: AddressSpace) {
    this.space = space
  }

  /** A mapping of whole pages. @param huge made of 2 MiB pages */
  map(pages: number, huge = false): Uint8Array {
    const buffer = new ArrayBuffer(Math.max(1, pages) * PAGE)
    this.#held.push(buffer)
    const bytes = new Uint8Array(buffer)
    this.address(bytes)
    if (huge) this.makeHuge(buffer)
    return bytes
  }

  /** Says that a mapping is made of 2 MiB pages. */
  makeHuge(buffer: ArrayBuffer): void {
    this.space.makeHuge(buffer)
  }

  address(bytes: Uint8Array): number {
    this.#held.push(bytes.buffer as ArrayBuffer)
    return this.space.addressOf(bytes)
  }

  makeReadOnly(bytes: Uint8Array): void {
    this.space.makeReadOnly(bytes.buffer)
  }
}
