import { ArgumentError } from '../errors.ts'
import { DEFAULT_AREA_BYTES, PAGE } from '../pages.ts'
import type { AreaPart } from './system.ts'

/** Bytes of a page of WebAssembly. */
const WASM_PAGE = 65_536

/** A `WebAssembly.Memory`, said without the library of types that has it. */
export interface WasmMemory {
  /** Another object after each `grow`, unless it is shared. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  /** By so many pages of 64 KiB. Returns how many there were. */
  grow(pages: number): number
}

/** Memory that received data may lie in, of the program's choice. */
export type UserArea = WasmMemory | SharedArrayBuffer | ArrayBuffer | Uint8Array

/** How areas are laid out for the queues of a device. */
export interface AreaPlan {
  /** Bytes of each; undefined: as many as there is room for, and in a `WebAssembly.Memory` the default. */
  readonly areaBytes: number | undefined
  readonly queues: number
  /** Bytes that a NIC needs behind each, in the same buffer. */
  readonly tailBytes: number
  /** Threads share it: it has to be shared memory. */
  readonly shared: boolean
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE
}

/**
 * The part of each queue in memory of the program's. A `WebAssembly.Memory` is grown by what is needed, so that the area lies behind what a module
 * has there; other memory is taken from its beginning. The bytes behind the area (`tailBytes`) are the driver's.
 * @throws ArgumentError when it can't serve
 */
export function placeArea(area: UserArea, plan: AreaPlan): { parts: AreaPart[]; bytes: number } {
  const { queues, shared } = plan
  const tail = roundUp(plan.tailBytes)
  if (area instanceof WebAssembly.Memory) {
    const bytes = roundUp(plan.areaBytes ?? DEFAULT_AREA_BYTES)
    const total = (bytes + tail) * queues
    if (shared && !(area.buffer instanceof SharedArrayBuffer)) throw notShared()
    return cut(grown(area, total), { bytes, stride: bytes + tail, queues, tail })
  }
  const view = area instanceof Uint8Array ? area : new Uint8Array(area as ArrayBuffer)
  const { buffer } = view
  if (shared && !(buffer instanceof SharedArrayBuffer)) throw notShared()
  if (
    (buffer as { resizable?: boolean }).resizable === true ||
    (buffer as { growable?: boolean }).growable === true
  )
    throw new ArgumentError('an area can’t lie in memory that may be resized', 'take memory of a fixed size')
  const room = Math.floor(view.length / queues / PAGE) * PAGE - tail
  const bytes = plan.areaBytes === undefined ? room : roundUp(plan.areaBytes)
  if (bytes < PAGE || bytes > room)
    throw new ArgumentError(
      `the memory has ${view.length} bytes`,
      `${(roundUp(Math.max(PAGE, plan.areaBytes ?? PAGE)) + tail) * queues} are needed: the area, and ${tail} behind it for what the device sends, of each queue`,
    )
  return cut(view, { bytes, stride: bytes + tail, queues, tail })
}

function cut(
  view: Uint8Array,
  { bytes, stride, queues, tail }: { bytes: number; stride: number; queues: number; tail: number },
): { parts: AreaPart[]; bytes: number } {
  const whole = view.subarray(0, stride * queues - tail)
  return { parts: Array.from({ length: queues }, (_, i) => ({ whole, base: i * stride })), bytes }
}

function notShared(): ArgumentError {
  return new ArgumentError(
    'workers receive into memory that threads share',
    'take a SharedArrayBuffer, or new WebAssembly.Memory({ …, shared: true })',
  )
}

/** So many bytes more, at the end of the memory. */
function grown(memory: WasmMemory, bytes: number): Uint8Array {
  const before = memory.buffer.byteLength
  const pages = Math.ceil(bytes / WASM_PAGE)
  try {
    memory.grow(pages)
  } catch (error) {
    throw new ArgumentError(
      `the memory can’t grow by ${pages} pages of 64 KiB (${error instanceof Error ? error.message : String(error)})`,
      'make it with a larger maximum, or say areaBytes',
    )
  }
  return new Uint8Array(memory.buffer, before, bytes)
}
