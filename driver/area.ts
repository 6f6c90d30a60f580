import { ArgumentError, NicError } from '../errors.ts'
import { AREA_TAIL_BYTES, HUGE_PAGE, MAX_AREA, PAGE } from '../pages.ts'
import { nativeOrNull } from './native/index.ts'
import { allocatePages } from './native/memory.ts'
import type { NicMemory } from './nic.ts'

const huge = new WeakSet<ArrayBufferLike>()

export interface AreaOptions {
  /**
   * Huge pages, which buffers larger than a page need (`rxBufLen`): reserved ones (`vm.nr_hugepages`). Where there are none,
   * memory on a boundary of 2 MiB: enough for drivers that copy, while AF_XDP refuses it at the registration.
   */
  readonly huge?: boolean
}

/**
 * Page-aligned memory for an area, zeroed, with room behind it (in the same buffer) for the frames a driver sends. From
 * the addon where it is built, else a shared `WebAssembly.Memory`.
 * @param bytes rounded up to whole pages @throws ArgumentError, NicError
 */
export function allocateArea(
  bytes: number,
  tailBytes: number = AREA_TAIL_BYTES,
  options: AreaOptions = {},
): Uint8Array {
  const { area, total } = sizesOf(bytes, tailBytes)
  const buffer = allocate(total, options.huge ?? false)
  if (options.huge === true) markHuge(buffer)
  return new Uint8Array(buffer, 0, area)
}

/** The same in memory that threads share: a `WebAssembly.Memory`, which begins on a page too. @throws ArgumentError */
export function allocateShared(bytes: number, tailBytes: number = AREA_TAIL_BYTES): Uint8Array {
  const { area, total } = sizesOf(bytes, tailBytes)
  const buffer = sharedMemory(total)
  // An area is touched at one place in every 4 KiB, which would miss the TLB each time: 35 ns against 15.
  nativeOrNull()?.adviseHuge(new Uint8Array(buffer))
  return new Uint8Array(buffer, 0, area)
}

/** Bytes of whole pages: the area, and all there is. @throws ArgumentError */
function sizesOf(bytes: number, tailBytes: number): { area: number; total: number } {
  if (!Number.isInteger(bytes) || bytes < PAGE || bytes > MAX_AREA) {
    throw new ArgumentError(
      `an area of ${bytes} bytes is not possible`,
      `ask for ${PAGE} to ${MAX_AREA} bytes`,
    )
  }
  const area = Math.ceil(bytes / PAGE) * PAGE
  return { area, total: area + Math.ceil(tailBytes / PAGE) * PAGE }
}

/** The memory consists of huge pages, or counts as if it did. */
export function markHuge(buffer: ArrayBufferLike): void {
  huge.add(buffer)
}

export function isHuge(buffer: ArrayBufferLike): boolean {
  return huge.has(buffer)
}

function allocate(total: number, huge: boolean): ArrayBuffer | SharedArrayBuffer {
  if (nativeOrNull() !== null) {
    if (!huge) return allocatePages(total).buffer
    try {
      return allocatePages(total, { huge }).buffer
    } catch (error) {
      if (!(error instanceof NicError)) throw error
      return allocatePages(Math.max(total, HUGE_PAGE)).buffer
    }
  }
  return sharedMemory(total)
}

/** Zeroed memory that threads can share; it begins on a page, and is unmapped as a whole. @throws RangeError where there is no room for one more */
export function sharedMemory(bytes: number): SharedArrayBuffer {
  const pages = Math.ceil(bytes / 65_536)
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    .buffer as unknown as SharedArrayBuffer
}

/** An allocated area as a NIC sees it. */
export function asNicMemory(area: Uint8Array, chunkSize = PAGE): NicMemory {
  return {
    buffer: area.buffer as ArrayBuffer | SharedArrayBuffer,
    areaOffset: area.byteOffset,
    areaLength: area.byteLength,
    chunkSize,
  }
}
