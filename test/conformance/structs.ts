/**
 * The structures of registration as raw bytes with fields by the names of `linux/io_uring/zcrx.h`, so that any value, wrong
 * ones too, can be put in and everything that is written back can be seen.
 */

type Layout = Readonly<Record<string, readonly [at: number, bytes: 4 | 8]>>

/** `name[0]`, `name[1]` … of `bytes` each. */
function array(name: string, at: number, count: number, bytes: 4 | 8): [string, readonly [number, 4 | 8]][] {
  return Array.from({ length: count }, (_, i) => [`${name}[${i}]`, [at + i * bytes, bytes] as const])
}

export const IFQ_REG: Layout = {
  if_idx: [0, 4],
  if_rxq: [4, 4],
  rq_entries: [8, 4],
  flags: [12, 4],
  area_ptr: [16, 8],
  region_ptr: [24, 8],
  'offsets.head': [32, 4],
  'offsets.tail': [36, 4],
  'offsets.rqes': [40, 4],
  'offsets.__resv2': [44, 4],
  ...Object.fromEntries(array('offsets.__resv', 48, 2, 8)),
  zcrx_id: [64, 4],
  rx_buf_len: [68, 4],
  event_desc: [72, 8],
  ...Object.fromEntries(array('__resv', 80, 2, 8)),
}

export const AREA_REG: Layout = {
  addr: [0, 8],
  len: [8, 8],
  rq_area_token: [16, 8],
  flags: [24, 4],
  dmabuf_fd: [28, 4],
  ...Object.fromEntries(array('__resv2', 32, 2, 8)),
}

export const REGION_DESC: Layout = {
  user_addr: [0, 8],
  size: [8, 8],
  flags: [16, 4],
  id: [20, 4],
  mmap_offset: [24, 8],
  ...Object.fromEntries(array('__resv', 32, 4, 8)),
}

export const EVENT_DESC: Layout = {
  user_data: [0, 8],
  type_mask: [8, 4],
  flags: [12, 4],
  stats_offset: [16, 8],
  ...Object.fromEntries(array('__resv2', 24, 9, 8)),
}

export const CTRL: Layout = {
  zcrx_id: [0, 4],
  op: [4, 4],
  ...Object.fromEntries(array('__resv', 8, 2, 8)),
  'zc_export.zcrx_fd': [24, 4],
  ...Object.fromEntries(array('zc_export.__resv1', 28, 11, 4)),
  ...Object.fromEntries(array('zc_flush.__resv', 24, 6, 8)),
  'zc_arm.event_type': [24, 4],
  ...Object.fromEntries(array('zc_arm.__resv', 28, 11, 4)),
  'zc_area.area_ptr': [24, 8],
  ...Object.fromEntries(array('zc_area.__resv', 32, 5, 8)),
}

export const QUERY_HDR: Layout = {
  next_entry: [0, 8],
  query_data: [8, 8],
  query_op: [16, 4],
  size: [20, 4],
  result: [24, 4],
  ...Object.fromEntries(array('__resv', 28, 3, 4)),
}

export const IFQ_REG_BYTES = 96
export const AREA_REG_BYTES = 48
export const REGION_DESC_BYTES = 64
export const EVENT_DESC_BYTES = 96
export const CTRL_BYTES = 72
export const QUERY_HDR_BYTES = 40

/** A structure in memory of its own. */
export class Struct {
  readonly bytes: Uint8Array
  readonly #layout: Layout
  readonly #view: DataView
  #before: Uint8Array

  constructor(layout: Layout, bytes: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(bytes))
    this.#layout = layout
    this.#view = new DataView(this.bytes.buffer)
    this.#before = this.bytes.slice()
  }

  has(field: string): boolean {
    return field in this.#layout
  }

  big(field: string): bigint {
    const [at, bytes] = this.#place(field)
    return bytes === 4 ? BigInt(this.#view.getUint32(at, true)) : this.#view.getBigUint64(at, true)
  }

  get(field: string): number {
    return Number(this.big(field))
  }

  /** Wraps around as the field's type does: -1 is all ones. */
  set(field: string, value: number | bigint): void {
    const [at, bytes] = this.#place(field)
    const big = BigInt(value)
    if (bytes === 4) this.#view.setUint32(at, Number(BigInt.asUintN(32, big)), true)
    else this.#view.setBigUint64(at, BigInt.asUintN(64, big), true)
  }

  /** What `unchanged` compares with. */
  remember(): void {
    this.#before = this.bytes.slice()
  }

  get unchanged(): boolean {
    return Buffer.compare(this.#before, this.bytes) === 0
  }

  /** As it was when remembered. */
  was(field: string): bigint {
    const [at, bytes] = this.#place(field)
    const view = new DataView(this.#before.buffer)
    return bytes === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true)
  }

  #place(field: string): readonly [number, 4 | 8] {
    const place = this.#layout[field]
    if (place === undefined) throw new RangeError(`no field ${field}`)
    return place
  }
}

/** `0x1000000000000`, as the record writes 64-bit words. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`
}
