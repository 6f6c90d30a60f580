import * as abi from '../../uapi/abi/index.ts'
import { PAGE } from './memory.ts'
import type { Registration } from './registration.ts'
import { CTRL, CTRL_BYTES, Struct } from './structs.ts'
import type { TestRing } from './test-ring.ts'

const RQE_BYTES = 16

/** A zcrx instance as its user sees it: areas, refill queue, statistics. Rings that import it share one. */
export class Instance {
  /** Areas by number. */
  readonly areas: Uint8Array[]
  readonly bufferBytes: number
  /** Entries of the refill queue. */
  readonly entries: number
  readonly #region: DataView
  readonly #offsets: { head: number; tail: number; rqes: number }
  readonly #statsAt: number
  /** The user's tail; what lies in memory may be set to something else. */
  tail = 0

  /** @param registration after it has succeeded */
  constructor(registration: Registration) {
    const { reg, event, regionMemory } = registration
    this.areas = [registration.areaMemory]
    this.bufferBytes = reg.get('rx_buf_len') || PAGE
    this.entries = reg.get('rq_entries')
    this.#region = new DataView(regionMemory.buffer, regionMemory.byteOffset, regionMemory.byteLength)
    this.#offsets = {
      head: reg.get('offsets.head'),
      tail: reg.get('offsets.tail'),
      rqes: reg.get('offsets.rqes'),
    }
    const counts = (event.get('flags') & abi.ZCRX_EVENT_DESC_FLAG_STATS) !== 0
    this.#statsAt = counts ? event.get('stats_offset') : -1
  }

  get head(): number {
    return this.#region.getUint32(this.#offsets.head, true)
  }
  set head(value: number) {
    this.#region.setUint32(this.#offsets.head, value, true)
  }

  get sharedTail(): number {
    return this.#region.getUint32(this.#offsets.tail, true)
  }
  set sharedTail(value: number) {
    this.#region.setUint32(this.#offsets.tail, value, true)
  }

  /** Puts an entry into the queue and shows it. */
  push(entry: { off: number; area?: number; len?: number; pad?: number }): void {
    const at = this.#offsets.rqes + (this.tail % this.entries) * RQE_BYTES
    this.#region.setUint32(at, entry.off % 2 ** 32, true)
    this.#region.setUint16(at + 4, Math.floor(entry.off / 2 ** 32), true)
    this.#region.setUint16(at + 6, entry.area ?? 0, true)
    this.#region.setUint32(at + 8, entry.len ?? this.bufferBytes, true)
    this.#region.setUint32(at + 12, entry.pad ?? 0, true)
    this.tail = (this.tail + 1) >>> 0
    this.sharedTail = this.tail
  }

  /** Returns the buffer with this number. */
  refill(niov: number, area = 0, len = this.bufferBytes): void {
    this.push({ off: niov * this.bufferBytes, area, len })
  }

  /** Null when no statistics were asked for. */
  stats(): { copy_count: number; copy_bytes: number } | null {
    const at = this.#statsAt
    if (at < 0) return null
    return {
      copy_count: Number(this.#region.getBigUint64(at, true)),
      copy_bytes: Number(this.#region.getBigUint64(at + 8, true)),
    }
  }

  /** The bytes a data completion names; null outside the areas. */
  bytes(area: number, offset: number, length: number): Uint8Array | null {
    const memory = this.areas[area]
    if (memory === undefined || offset + length > memory.length) return null
    return memory.subarray(offset, offset + length)
  }
}

/** An instance by the id it has on a ring. */
export interface Handle {
  readonly ring: TestRing
  readonly id: number
  readonly instance: Instance
}

/** A `struct zcrx_ctrl` for an operation. */
export function ctrl(id: number, op: number): Struct {
  const struct = new Struct(CTRL, CTRL_BYTES)
  struct.set('zcrx_id', id)
  struct.set('op', op)
  return struct
}

/** ZCRX_CTRL_* as the kernel numbers them. */
export const CTRL_OP: Readonly<Record<'FLUSH_RQ' | 'EXPORT' | 'ARM_EVENT' | 'ADD_AREA', number>> = {
  FLUSH_RQ: 0,
  EXPORT: 1,
  ARM_EVENT: 2,
  ADD_AREA: 3,
}

/** IORING_REGISTER_ZCRX_CTRL: 0 or minus errno. */
export function control(ring: TestRing, struct: Struct): number {
  struct.remember()
  return ring.register(abi.IORING_REGISTER_ZCRX_CTRL, struct.bytes, 0)
}
