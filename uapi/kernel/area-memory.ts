import type { NicMemory } from '../../driver/nic.ts'
import { AREA_TAIL_BYTES, MAX_AREA, PAGE } from '../../pages.ts'
import * as errno from '../abi/errno.ts'
import type { ZcrxAreaReg } from '../abi/structs.ts'
import { IORING_ZCRX_AREA_DMABUF } from '../abi/zcrx.ts'
import type { AddressSpace } from './address-space.ts'
import type { FileTable } from './files.ts'

/** What areas are counted against. */
export interface AreaHost {
  /** See `Kernel`. */
  readonly memlockLimit: number
  lockedBytes: number
}

/** Where an area comes from: the ring that names it. */
export interface AreaPlace {
  readonly kernel: AreaHost
  /** Where its address, or its descriptor, means something. */
  readonly process: { readonly space: AddressSpace; readonly files: FileTable }
}

/** The memory of an area that passed every check. */
export interface AreaMemory {
  readonly memory: NicMemory
  /** It was given as a descriptor. */
  readonly dmabuf: boolean
  /** Counted against `Kernel.memlockLimit`. */
  readonly lockedBytes: number
}

/** What an area is for. */
export interface AreaUse {
  /** No device: everything is copied by the CPU. */
  readonly nodev: boolean
  /** Bytes of a buffer: a power of two, at least a page. */
  readonly chunkSize: number
  /** The NIC that fills it takes buffers of any size in any memory; without one nobody does. */
  readonly anyMemory: boolean
}

/** Looks an area's memory up, with Linux's errors (docs/conformance.md, A1 to A10). Its token was checked before. */
export function mapArea(
  { kernel, process }: AreaPlace,
  area: ZcrxAreaReg,
  use: AreaUse,
): AreaMemory | number {
  if ((area.flags & ~IORING_ZCRX_AREA_DMABUF) !== 0 || !area.reservedZero) return -errno.EINVAL
  const memory =
    (area.flags & IORING_ZCRX_AREA_DMABUF) !== 0
      ? descriptorMemory(process.files, area, use)
      : userMemory(process.space, area, use)
  if (typeof memory === 'number') return memory
  if (memory.areaLength % use.chunkSize !== 0) return -errno.ERANGE
  const dmabuf = (area.flags & IORING_ZCRX_AREA_DMABUF) !== 0
  const lockedBytes = dmabuf ? 0 : memory.areaLength
  if (kernel.lockedBytes + lockedBytes > kernel.memlockLimit) return -errno.ENOMEM
  return { memory, dmabuf, lockedBytes }
}

function userMemory(space: AddressSpace, area: ZcrxAreaReg, use: AreaUse): NicMemory | number {
  if (area.dmabufFd !== 0) return -errno.EINVAL
  if (area.addr === 0 || area.len === 0) return -errno.EFAULT
  if (area.wraps) return -errno.EOVERFLOW
  if (area.addr % PAGE !== 0 || area.len % PAGE !== 0 || area.len > MAX_AREA) return -errno.EINVAL
  const mapping = space.find(area.addr)
  if (mapping === null || space.writable(area.addr, area.len) === null) return -errno.EFAULT
  if (!use.anyMemory && use.chunkSize > space.contiguousBytes(mapping.buffer)) return -errno.ERANGE
  return {
    buffer: mapping.buffer as ArrayBuffer | SharedArrayBuffer,
    areaOffset: area.addr - mapping.base,
    areaLength: area.len,
    chunkSize: use.chunkSize,
  }
}

/** IORING_ZCRX_AREA_DMABUF: any descriptor that can be mapped (`Kernel.adoptFd`). The CPU is to copy into none of them. */
function descriptorMemory(files: FileTable, area: ZcrxAreaReg, use: AreaUse): NicMemory | number {
  if (use.nodev || area.addr !== 0) return -errno.EINVAL
  if (area.len === 0 || area.len % PAGE !== 0 || area.len > MAX_AREA) return -errno.EINVAL
  const file = files.get(area.dmabufFd)
  if (file === null) return -errno.EBADF
  const buffer = file.map?.(area.len, AREA_TAIL_BYTES) ?? -errno.EINVAL
  if (typeof buffer === 'number') return buffer
  return { buffer, areaOffset: 0, areaLength: area.len, chunkSize: use.chunkSize }
}
