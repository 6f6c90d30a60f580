import * as abi from '../../uapi/abi/index.ts'
import { PAGE, type UserMemory } from './memory.ts'
import type { JsonObject } from './record.ts'
import {
  AREA_REG,
  AREA_REG_BYTES,
  EVENT_DESC,
  EVENT_DESC_BYTES,
  hex,
  IFQ_REG,
  IFQ_REG_BYTES,
  REGION_DESC,
  REGION_DESC_BYTES,
  Struct,
} from './structs.ts'
import type { TestRing } from './test-ring.ts'

const RQ_HEADER = 128
const RQE_BYTES = 16
/** What memory is filled with before it is handed over, to see what is written. */
export const FILL = 0xcc

/** What an instance is asked for; everything else is put into the structures afterwards. */
export interface RegistrationOptions {
  readonly rqEntries: number
  readonly areaPages: number
  /** ZCRX_REG_*; default NODEV. */
  readonly flags?: number
  readonly ifIdx?: number
  readonly ifRxq?: number
  readonly rxBufLen?: number
  /** Bytes; default what the entries need, in whole pages. */
  readonly regionSize?: number
  /** The area is made of 2 MiB pages. */
  readonly huge?: boolean
  /** Pages of the mapping in front of the area. */
  readonly areaAt?: number
  readonly events?: EventOptions
  /** The memory holds a pattern, so that what is written can be seen; default zeroes. */
  readonly filled?: boolean
}

export interface EventOptions {
  readonly typeMask: number
  readonly stats: boolean
  readonly userData: number
}

/** The structures of one call of IORING_REGISTER_ZCRX_IFQ and the memory they point to. */
export class Registration {
  readonly reg = new Struct(IFQ_REG, IFQ_REG_BYTES)
  readonly area = new Struct(AREA_REG, AREA_REG_BYTES)
  readonly region = new Struct(REGION_DESC, REGION_DESC_BYTES)
  readonly event = new Struct(EVENT_DESC, EVENT_DESC_BYTES)
  areaMemory: Uint8Array
  regionMemory: Uint8Array
  /** Number of elements; 1 is right. */
  #nrArgs = 1
  /** Instead of the structure; null is the NULL pointer. */
  #arg: Uint8Array | null
  readonly memory: UserMemory

  constructor(memory: UserMemory, options: RegistrationOptions) {
    this.memory = memory
    const { reg, area, region, event } = this
    const entries = 2 ** Math.ceil(Math.log2(Math.max(1, options.rqEntries)))
    const needed = RQ_HEADER + RQE_BYTES * Math.min(entries, 65_536)
    const statsBytes = options.events === undefined ? 0 : PAGE
    const regionSize = options.regionSize ?? Math.ceil(needed / PAGE) * PAGE + statsBytes
    const before = options.areaAt ?? 0
    const mapped = memory.map(
      options.huge ? Math.max(512, options.areaPages + before) : options.areaPages + before,
      options.huge,
    )
    this.areaMemory = mapped.subarray(before * PAGE, (before + options.areaPages) * PAGE)
    this.regionMemory = memory.map(Math.ceil(regionSize / PAGE))
    if (options.filled === true) {
      this.areaMemory.fill(FILL)
      this.regionMemory.fill(FILL)
    }
    area.set('addr', memory.address(this.areaMemory))
    area.set('len', options.areaPages * PAGE)
    region.set('user_addr', memory.address(this.regionMemory))
    region.set('size', regionSize)
    region.set('flags', abi.IORING_MEM_REGION_TYPE_USER)
    reg.set('if_idx', options.ifIdx ?? 0)
    reg.set('if_rxq', options.ifRxq ?? 0)
    reg.set('rq_entries', options.rqEntries)
    reg.set('flags', options.flags ?? abi.ZCRX_REG_NODEV)
    reg.set('rx_buf_len', options.rxBufLen ?? 0)
    reg.set('area_ptr', memory.address(area.bytes))
    reg.set('region_ptr', memory.address(region.bytes))
    if (options.events !== undefined) {
      event.set('user_data', options.events.userData)
      event.set('type_mask', options.events.typeMask)
      if (options.events.stats) {
        event.set('flags', abi.ZCRX_EVENT_DESC_FLAG_STATS)
        event.set('stats_offset', regionSize - PAGE)
      }
      reg.set('event_desc', memory.address(event.bytes))
    }
    this.#arg = reg.bytes
  }

  /** Makes the call: 0 or minus errno. */
  perform(ring: TestRing): number {
    for (const struct of [this.reg, this.area, this.region, this.event]) struct.remember()
    return ring.register(abi.IORING_REGISTER_ZCRX_IFQ, this.#arg, this.#nrArgs)
  }

  setNrArgs(count: number): void {
    this.#nrArgs = count
  }

  /** @param bytes null = NULL, none = a bad pointer */
  setArg(bytes: Uint8Array | null): void {
    this.#arg = bytes
  }

  /** Places the area in other memory. */
  useArea(bytes: Uint8Array): void {
    this.areaMemory = bytes
    this.area.set('addr', this.memory.address(bytes))
    this.area.set('len', bytes.length)
  }

  /** Places the refill queue in other memory. */
  useRegion(bytes: Uint8Array): void {
    this.regionMemory = bytes
    this.region.set('user_addr', this.memory.address(bytes))
    this.region.set('size', bytes.length)
  }

  /** Everything the record says of a registration. */
  outcome(ret: number): JsonObject {
    const { reg, area, region, event } = this
    const offsets = {
      head: reg.get('offsets.head'),
      tail: reg.get('offsets.tail'),
      rqes: reg.get('offsets.rqes'),
      resv2: reg.get('offsets.__resv2'),
      resv: [reg.get('offsets.__resv[0]'), reg.get('offsets.__resv[1]')],
    }
    return {
      ...errnoOf('ret', ret),
      ifq_struct_unchanged: reg.unchanged,
      area_struct_unchanged: area.unchanged,
      region_struct_unchanged: region.unchanged,
      rq_entries_after: reg.get('rq_entries'),
      reg: {
        if_idx: reg.get('if_idx'),
        if_rxq: reg.get('if_rxq'),
        rq_entries: reg.get('rq_entries'),
        flags: reg.get('flags'),
        offsets,
        zcrx_id: reg.get('zcrx_id'),
        rx_buf_len: reg.get('rx_buf_len'),
        event_desc_zero: reg.big('event_desc') === 0n,
        resv: [reg.get('__resv[0]'), reg.get('__resv[1]')],
      },
      area: {
        addr_unchanged: area.big('addr') === area.was('addr'),
        len: area.get('len'),
        rq_area_token: hex(area.big('rq_area_token')),
        flags: area.get('flags'),
        dmabuf_fd: area.get('dmabuf_fd'),
        resv: [area.get('__resv2[0]'), area.get('__resv2[1]')],
      },
      region: {
        user_addr_unchanged: region.big('user_addr') === region.was('user_addr'),
        size: region.get('size'),
        flags: region.get('flags'),
        id: region.get('id'),
        mmap_offset: hex(region.big('mmap_offset')),
        resv: [0, 1, 2, 3].map((i) => region.get(`__resv[${i}]`)),
      },
      event_desc_changed: !event.unchanged,
      offsets: [offsets.head, offsets.tail, offsets.rqes],
      event_desc_ptr_kept: reg.big('event_desc') === reg.was('event_desc'),
      head_after: this.#word(offsets.head),
      tail_after: this.#word(offsets.tail),
      rq_memory_bytes_changed: changedBytes(this.regionMemory),
      area_memory_bytes_changed: changedBytes(this.areaMemory),
    }
  }

  #word(at: number): string {
    const { buffer, byteOffset, byteLength } = this.regionMemory
    if (at + 4 > byteLength) return '0x0'
    return hex(new DataView(buffer, byteOffset).getUint32(at, true))
  }
}

function changedBytes(memory: Uint8Array): number {
  let changed = 0
  for (let i = 0; i < memory.length; i++) if (memory[i] !== FILL) changed++
  return changed
}

/** `{ret: -22, err: 'EINVAL'}` under the key's names. */
export function errnoOf(key: string, ret: number): JsonObject {
  if (ret >= 0) return { [key]: ret }
  return { [key]: ret, [key === 'ret' ? 'err' : `${key}_err`]: abi.errnoName(ret) }
}
