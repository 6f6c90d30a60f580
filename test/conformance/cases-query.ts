import * as abi from '../../uapi/abi/index.ts'
import type { Play } from './play.ts'
import { NoTranslation } from './play.ts'
import { errnoOf } from './registration.ts'
import { QUERY_HDR, QUERY_HDR_BYTES, Struct } from './structs.ts'

/** Filled in before a query, to see what is written. */
const PATTERN = 0xa5
const OPS: readonly [RegExp, number][] = [
  [/event/, abi.IO_URING_QUERY_ZCRX_EVENT],
  [/zcrx/, abi.IO_URING_QUERY_ZCRX],
  [/scq/, abi.IO_URING_QUERY_SCQ],
  [/opcodes/, abi.IO_URING_QUERY_OPCODES],
]
/** Bytes of an answer that is longer than any. */
const LONG = 128

class Query {
  readonly header = new Struct(QUERY_HDR, QUERY_HDR_BYTES)
  readonly data: Uint8Array

  constructor(play: Play, op: number, size: number, room = size) {
    this.data = new Uint8Array(room).fill(PATTERN)
    this.header.set('query_op', op)
    this.header.set('query_data', play.memory.address(this.data))
    this.header.set('size', size)
  }

  get result(): number {
    return this.header.get('result') | 0
  }

  u32(at: number): number {
    return new DataView(this.data.buffer).getUint32(at, true)
  }

  u64(at: number): number {
    return Number(new DataView(this.data.buffer).getBigUint64(at, true))
  }
}

/** Group `query`: everything an answer holds, under the names the record uses. */
export function queryCase(play: Play): void {
  const { name, what } = play.scenario
  const onRing = /ring/.test(`${name} ${what}`) ? play.addRing(1) : null
  const register = (bytes: Uint8Array | null, nrArgs = 0): number =>
    onRing === null
      ? play.machine.registerBy(-1, abi.IORING_REGISTER_QUERY, bytes, nrArgs)
      : onRing.register(abi.IORING_REGISTER_QUERY, bytes, nrArgs)
  if (/chain/.test(name)) {
    chained(play, register)
    return
  }
  const unknown = /query_op (\d+)/.exec(what)
  const op = unknown === null ? OPS.find(([pattern]) => pattern.test(name))?.[1] : Number(unknown[1])
  if (op === undefined && !/null|bad|resv|nr_args/.test(name)) throw new NoTranslation(name)
  const size = Number(/size (\d+)/.exec(what)?.[1] ?? defaultSize(op ?? abi.IO_URING_QUERY_ZCRX))
  const query = new Query(play, op ?? abi.IO_URING_QUERY_ZCRX, size, Math.max(size, LONG))
  const { header } = query
  if (/hdr_resv|resv/.test(name)) header.set('__resv[0]', 1)
  if (/data_null|ptr_null|addr_null/.test(name)) header.set('query_data', 0)
  if (/data_bad|ptr_bad/.test(name)) header.set('query_data', 8)
  const nrArgs = Number(/nr_args_(\d+)/.exec(name)?.[1] ?? 0)
  const arg = /arg_null/.test(name) ? null : /arg_bad/.test(name) ? new Uint8Array(0) : header.bytes
  Object.assign(play.result, errnoOf('ret', register(arg, nrArgs)), {
    hdr_result: query.result,
    hdr_size: header.get('size'),
    bytes_8_touched: query.data[8] !== PATTERN,
    bytes_40_touched: query.data[40] !== PATTERN,
    byte_40: query.data[40]!,
    byte_63: query.data[63]!,
    ...answers(query, op),
  })
}

function defaultSize(op: number): number {
  if (op === abi.IO_URING_QUERY_ZCRX) return 40
  if (op === abi.IO_URING_QUERY_ZCRX_EVENT) return 48
  if (op === abi.IO_URING_QUERY_SCQ) return 16
  return 64
}

function answers(query: Query, op: number | undefined): Record<string, number> {
  if (op === abi.IO_URING_QUERY_ZCRX) {
    return {
      register_flags: query.u64(0),
      area_flags: query.u64(8),
      nr_ctrl_opcodes: query.u32(16),
      features: query.u32(20),
      rq_hdr_size: query.u32(24),
      rq_hdr_alignment: query.u32(28),
    }
  }
  if (op === abi.IO_URING_QUERY_ZCRX_EVENT) {
    return { event_flags: query.u32(0), stats_size: query.u32(4), stats_off_alignment: query.u32(8) }
  }
  if (op === abi.IO_URING_QUERY_SCQ)
    return { rings_hdr_size: query.u64(0), rings_hdr_alignment: query.u64(8) }
  return {}
}

function chained(play: Play, register: (bytes: Uint8Array) => number): void {
  const first = new Query(play, abi.IO_URING_QUERY_ZCRX, 40)
  const second = new Query(play, abi.IO_URING_QUERY_ZCRX_EVENT, 48)
  first.header.set('next_entry', play.memory.address(second.header.bytes))
  Object.assign(play.result, errnoOf('ret', register(first.header.bytes)), {
    h1_result: first.result,
    h2_result: second.result,
    q_features: first.u32(20),
    e_flags: second.u32(0),
  })
}
