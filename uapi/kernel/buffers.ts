import { PAGE, sharedPages } from '../../pages.ts'
import { BUF_RING_TAIL_OFFSET, BUF_SIZE, BufReg, BufStatus } from '../abi/buffers.ts'
import { EEXIST, EFAULT, EINVAL, ENOENT, EOVERFLOW } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { Sqe } from '../abi/sqe.ts'
import { getU64, putU64 } from '../abi/struct.ts'
import type { AddressSpace } from './address-space.ts'
import type { RingKeeper } from './keeper.ts'

const SERVED_FLAGS = abi.IOU_PBUF_RING_MMAP | abi.IOU_PBUF_RING_INC
const MAX_RING_ENTRIES = 65_536
/** Most buffers of a legacy group. */
const MAX_LEGACY = 65_535

/** A buffer that is next in turn. */
export interface Selection {
  /** Buffer id. */
  readonly id: number
  /** Null when the buffer is not memory. */
  readonly bytes: Uint8Array | null
}

/** A group of buffers that requests with IOSQE_BUFFER_SELECT take theirs from. */
export interface BufferGroup {
  readonly kind: 'ring' | 'legacy'
  /** Buffers are used up bit by bit. */
  readonly incremental: boolean
  /** The next buffer, left where it is. Null when there is none. @param most bytes that are wanted of it, 0 = all */
  peek(most: number): Selection | null
  /** The next buffer got `bytes` bytes. True when the rest of it is still in the group. */
  commit(bytes: number): boolean
}

/** IORING_REGISTER_PBUF_RING: buffers in a ring that the user fills. */
class BufferRing implements BufferGroup {
  readonly kind = 'ring'
  /** The memory of the ring itself, where the kernel provides it. */
  readonly provided: Uint8Array | null
  readonly #space: AddressSpace
  readonly #view: DataView
  readonly #tail: Uint16Array
  readonly #mask: number
  /** IOU_PBUF_RING_INC */
  readonly incremental: boolean
  #head = 0

  constructor(space: AddressSpace, region: Uint8Array, entries: number, flags: number) {
    this.provided = (flags & abi.IOU_PBUF_RING_MMAP) !== 0 ? region : null
    this.#space = space
    this.#view = new DataView(region.buffer, region.byteOffset, entries * BUF_SIZE)
    this.#tail = new Uint16Array(region.buffer, region.byteOffset + BUF_RING_TAIL_OFFSET, 1)
    this.#mask = entries - 1
    this.incremental = (flags & abi.IOU_PBUF_RING_INC) !== 0
  }

  get head(): number {
    return this.#head
  }

  peek(most: number): Selection | null {
    if (Atomics.load(this.#tail, 0) === this.#head) return null
    const at = (this.#head & this.#mask) * BUF_SIZE
    const there = this.#view.getUint32(at + 8, true)
    const length = most === 0 ? there : Math.min(most, there)
    const bytes = this.#space.writable(getU64(this.#view, at), length)
    return { id: this.#view.getUint16(at + 12, true), bytes }
  }

  commit(bytes: number): boolean {
    const at = (this.#head & this.#mask) * BUF_SIZE
    const left = this.#view.getUint32(at + 8, true) - bytes
    if (this.incremental && left > 0) {
      putU64(this.#view, at, getU64(this.#view, at) + bytes)
      this.#view.setUint32(at + 8, left, true)
      return true
    }
    if (this.incremental) this.#view.setUint32(at + 8, 0, true)
    this.#head = (this.#head + 1) & 0xffff
    return false
  }
}

/** IORING_OP_PROVIDE_BUFFERS: buffers that were handed in one by one. */
class LegacyBuffers implements BufferGroup {
  readonly kind = 'legacy'
  readonly incremental = false
  readonly #space: AddressSpace
  readonly #keeper: RingKeeper
  readonly #buffers: { id: number; address: number; length: number }[] = []

  constructor(space: AddressSpace, keeper: RingKeeper) {
    this.#space = space
    this.#keeper = keeper
  }

  get count(): number {
    return this.#buffers.length
  }

  add(id: number, address: number, length: number): void {
    this.#buffers.push({ id, address, length })
    this.#keeper.add(1)
  }

  /** Takes away the first ones. Returns how many there were. */
  remove(count: number): number {
    const removed = this.#buffers.splice(0, count).length
    this.#keeper.remove(removed)
    return removed
  }

  peek(most: number): Selection | null {
    const buffer = this.#buffers[0]
    if (buffer === undefined) return null
    const length = most === 0 ? buffer.length : Math.min(most, buffer.length)
    return { id: buffer.id, bytes: this.#space.writable(buffer.address, length) }
  }

  commit(): boolean {
    if (this.#buffers.shift() !== undefined) this.#keeper.remove(1)
    return false
  }
}

/** A ring's groups of buffers. */
export class BufferGroups {
  readonly #space: AddressSpace
  readonly #keeper: RingKeeper
  readonly #groups = new Map<number, BufferRing | LegacyBuffers>()

  constructor(space: AddressSpace, keeper: RingKeeper) {
    this.#space = space
    this.#keeper = keeper
  }

  get(id: number): BufferGroup | null {
    return this.#groups.get(id) ?? null
  }

  /** The memory of a ring of buffers that the kernel provides (IOU_PBUF_RING_MMAP), for mmap. */
  region(id: number): Uint8Array | null {
    const group = this.#groups.get(id)
    return group instanceof BufferRing ? group.provided : null
  }

  /** IORING_REGISTER_PBUF_RING. 0 or minus errno. */
  register(arg: Uint8Array | null, nrArgs: number): number {
    if (arg === null || nrArgs !== 1) return -EINVAL
    if (arg.length < BufReg.SIZE) return -EFAULT
    // A copy: somebody may write to it while it is looked at.
    const reg = new BufReg(arg.slice(0, BufReg.SIZE))
    const { ringEntries: entries, flags, bgid } = reg
    if (!reg.reservedZero || (flags & ~SERVED_FLAGS) !== 0) return -EINVAL
    if (entries === 0 || (entries & (entries - 1)) !== 0 || entries >= MAX_RING_ENTRIES) return -EINVAL
    const there = this.#groups.get(bgid)
    if (there !== undefined && (there.kind === 'ring' || there.count > 0)) return -EEXIST
    const region = this.#regionOf(reg)
    if (typeof region === 'number') return region
    this.#groups.set(bgid, new BufferRing(this.#space, region, entries, flags))
    return 0
  }

  #regionOf(reg: BufReg): Uint8Array | number {
    const bytes = reg.ringEntries * BUF_SIZE
    if ((reg.flags & abi.IOU_PBUF_RING_MMAP) !== 0) {
      return sharedPages(Math.ceil(bytes / PAGE) * PAGE)
    }
    if (reg.ringAddr === 0) return -EFAULT
    if (reg.ringAddr % PAGE !== 0) return -EINVAL
    return this.#space.writable(reg.ringAddr, bytes) ?? -EFAULT
  }

  /** IORING_UNREGISTER_PBUF_RING. 0 or minus errno. */
  unregister(arg: Uint8Array | null, nrArgs: number): number {
    if (arg === null || nrArgs !== 1) return -EINVAL
    if (arg.length < BufReg.SIZE) return -EFAULT
    const reg = new BufReg(arg)
    if (!reg.reservedZero || reg.flags !== 0) return -EINVAL
    const group = this.#groups.get(reg.bgid)
    if (group === undefined) return -ENOENT
    if (group.kind !== 'ring') return -EINVAL
    this.#groups.delete(reg.bgid)
    return 0
  }

  /** IORING_REGISTER_PBUF_STATUS: how far a ring of buffers was used. 0 or minus errno. */
  status(arg: Uint8Array | null, nrArgs: number): number {
    if (arg === null || nrArgs !== 1) return -EINVAL
    if (arg.length < BufStatus.SIZE) return -EFAULT
    const status = new BufStatus(arg)
    if (!status.reservedZero) return -EINVAL
    const group = this.#groups.get(status.bufGroup)
    if (group === undefined) return -ENOENT
    if (!(group instanceof BufferRing)) return -EINVAL
    status.head = group.head
    return 0
  }

  /** IORING_OP_PROVIDE_BUFFERS. What the entry completes with. */
  provide(sqe: Sqe): number {
    let group = this.#groups.get(sqe.bufGroup)
    if (group === undefined) {
      group = new LegacyBuffers(this.#space, this.#keeper)
      this.#groups.set(sqe.bufGroup, group)
    }
    if (!(group instanceof LegacyBuffers)) return -EINVAL
    let added = 0
    for (; added < sqe.fd && group.count < MAX_LEGACY && !this.#keeper.full; added++) {
      group.add(sqe.off + added, sqe.addr + added * sqe.len, sqe.len)
    }
    return added > 0 ? 0 : -EOVERFLOW
  }

  /** IORING_OP_REMOVE_BUFFERS: how many were removed, or minus errno. */
  remove(sqe: Sqe): number {
    const group = this.#groups.get(sqe.bufGroup)
    if (group === undefined) return -ENOENT
    return group instanceof LegacyBuffers ? group.remove(sqe.fd) : -EINVAL
  }
}
