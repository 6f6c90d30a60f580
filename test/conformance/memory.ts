import { AddressSpace } from '../../uapi/kernel/address-space.ts'
import type { SocketCalls, UserSpace } from './calls.ts'
import { NoTranslation } from './no-translation.ts'

export const PAGE = 4096
export const HUGE_PAGE = 2 << 20
/** Addresses nobody maps: far above everything that is handed out. */
export const UNMAPPED = 0x7f00_0000_0000
/** Never valid either: page 0. */
export const BAD_POINTER = 8

/** Memory of the process that plays a scenario: page-aligned mappings with addresses. */
export class UserMemory {
  readonly #machine: Pick<SocketCalls, 'space' | 'map'>
  /** An address does not keep its memory alive. */
  readonly #held: ArrayBufferLike[] = []

  constructor(machine: Pick<SocketCalls, 'space' | 'map'>) {
    this.#machine = machine
  }

  /** What addresses are addresses in. @throws NoTranslation where that is Linux's */
  get space(): AddressSpace {
    const { space } = this.#machine
    if (space instanceof AddressSpace) return space
    throw new NoTranslation('protection of memory, or memory that stands for other memory')
  }

  /** A mapping of whole pages. @param huge made of 2 MiB pages */
  map(pages: number, huge = false): Uint8Array {
    const bytes = this.#machine.map(Math.max(1, pages) * PAGE, huge)
    this.address(bytes)
    return bytes
  }

  /** Says that a mapping is made of 2 MiB pages. */
  makeHuge(buffer: ArrayBuffer): void {
    this.space.makeHuge(buffer)
  }

  address(bytes: Uint8Array): number {
    this.#held.push(bytes.buffer)
    const space: UserSpace = this.#machine.space
    return space.addressOf(bytes)
  }

  makeReadOnly(bytes: Uint8Array): void {
    this.space.makeReadOnly(bytes.buffer)
  }
}
