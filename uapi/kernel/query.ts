import * as errno from '../abi/errno.ts'
import { ZCRX_STATS_ALIGNMENT, ZCRX_STATS_SIZE } from '../abi/events.ts'
import * as abi from '../abi/io-uring.ts'
import { QueryOpcode, QueryScq } from '../abi/probe.ts'
import {
  IO_URING_QUERY_OPCODES,
  IO_URING_QUERY_SCQ,
  IO_URING_QUERY_ZCRX,
  IO_URING_QUERY_ZCRX_EVENT,
  QueryHdr,
  QueryZcrx,
  QueryZcrxEvent,
} from '../abi/query.ts'
import { RQ_HEADER_ALIGNMENT, RQ_RQES_OFFSET } from '../abi/structs.ts'
import {
  IORING_ZCRX_AREA_DMABUF,
  ZCRX_CTRL_ADD_AREA,
  ZCRX_FEATURE_EVENT,
  ZCRX_FEATURE_RX_PAGE_SIZE,
  ZCRX_REG_IMPORT,
  ZCRX_REG_NODEV,
} from '../abi/zcrx.ts'
import type { AddressSpace } from './address-space.ts'
import { EVENT_TYPES } from './events.ts'
import { OPCODE_COUNT, SERVED_SQE_FLAGS } from './ops/dispatch.ts'
import { Rings } from './rings.ts'
import { FEATURES, SERVED_ENTER_FLAGS, SERVED_SETUP_FLAGS } from './setup.ts'

/** What is asked about does not lie in more than this: a page, as on Linux. */
const MAX_SIZE = 4096
/** A chain longer than this is taken for a loop: nothing else would end it. */
const MAX_CHAIN = 1024

/** The answers, made once: they do not depend on who asks. They name what is served here, not what Linux would serve. */
const ANSWERS: ReadonlyMap<number, Uint8Array> = new Map([
  [IO_URING_QUERY_OPCODES, opcodes()],
  [IO_URING_QUERY_ZCRX, zcrx()],
  [IO_URING_QUERY_SCQ, scq()],
  [IO_URING_QUERY_ZCRX_EVENT, zcrxEvent()],
])

/** IORING_REGISTER_QUERY, which needs no ring (docs/conformance.md, C8). 0 or minus errno. */
export function query(space: AddressSpace, arg: Uint8Array | null, nrArgs: number): number {
  if (nrArgs !== 0) return -errno.EINVAL
  // Nothing is asked.
  if (arg === null) return 0
  let bytes: Uint8Array | null = arg
  for (let asked = 0; asked < MAX_CHAIN; asked++) {
    if (bytes === null || bytes.length < QueryHdr.SIZE) return -errno.EFAULT
    const header = new QueryHdr(bytes)
    const refused = ask(space, header)
    if (refused < 0) return refused
    if (header.nextEntry === 0) return 0
    bytes = space.view(header.nextEntry, QueryHdr.SIZE)
  }
  return -errno.ERANGE
}

/** Answers one header, in the header: 0. Minus errno when it ends the chain, and then nothing is written. */
function ask(space: AddressSpace, header: QueryHdr): number {
  const { size } = header
  if (size > MAX_SIZE) return -errno.E2BIG
  const data = space.view(header.queryData, size)
  if (data === null && size > 0) return -errno.EFAULT
  const answer = ANSWERS.get(header.queryOp)
  const wrong = !header.reservedZero || header.result !== 0 || size === 0
  const refused = answer === undefined ? errno.EOPNOTSUPP : wrong ? errno.EINVAL : 0
  const known = refused === 0 ? Math.min(size, answer!.length) : 0
  // What is not answered is zeroed, all of it where the question is refused.
  data?.fill(0, known)
  if (known > 0) data!.set(answer!.subarray(0, known))
  header.size = known
  header.result = -refused
  return 0
}

function opcodes(): Uint8Array {
  const answer = new QueryOpcode(new Uint8Array(QueryOpcode.SIZE))
  answer.nrRequestOpcodes = OPCODE_COUNT
  answer.nrRegisterOpcodes = abi.IORING_REGISTER_ZCRX_CTRL + 1
  answer.featureFlags = FEATURES
  answer.ringSetupFlags = SERVED_SETUP_FLAGS
  answer.enterFlags = SERVED_ENTER_FLAGS
  answer.sqeFlags = SERVED_SQE_FLAGS
  answer.nrQueryOpcodes = IO_URING_QUERY_ZCRX_EVENT + 1
  return answer.bytes
}

function scq(): Uint8Array {
  const answer = new QueryScq(new Uint8Array(QueryScq.SIZE))
  answer.hdrSize = Rings.HEADER_BYTES
  answer.hdrAlignment = Rings.ALIGNMENT
  return answer.bytes
}

function zcrx(): Uint8Array {
  const answer = new QueryZcrx(new Uint8Array(QueryZcrx.SIZE))
  answer.registerFlags = ZCRX_REG_IMPORT | ZCRX_REG_NODEV
  answer.areaFlags = IORING_ZCRX_AREA_DMABUF
  answer.nrCtrlOpcodes = ZCRX_CTRL_ADD_AREA + 1
  answer.features = ZCRX_FEATURE_RX_PAGE_SIZE | ZCRX_FEATURE_EVENT
  answer.rqHdrSize = RQ_RQES_OFFSET
  answer.rqHdrAlignment = RQ_HEADER_ALIGNMENT
  return answer.bytes
}

function zcrxEvent(): Uint8Array {
  const answer = new QueryZcrxEvent(new Uint8Array(QueryZcrxEvent.SIZE))
  answer.eventFlags = EVENT_TYPES
  answer.statsSize = ZCRX_STATS_SIZE
  answer.statsOffAlignment = ZCRX_STATS_ALIGNMENT
  return answer.bytes
}
