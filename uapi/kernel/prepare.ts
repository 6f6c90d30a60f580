import * as abi from '../abi/constants.ts'
import { E2BIG, EBADF, EFAULT, EINVAL, EOPNOTSUPP, EOVERFLOW } from '../abi/errno.ts'
import * as num from '../abi/ring.ts'
import { MSG_WAITALL, SOCK_NONBLOCK } from '../abi/socket.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { timeoutOf } from './timeout.ts'

/** Either kind of link to the next entry. */
export const LINKS = abi.IOSQE_IO_LINK | abi.IOSQE_IO_HARDLINK
/** IOSQE_* that are served. */
export const SERVED_SQE_FLAGS: number =
  num.IOSQE_FIXED_FILE |
  LINKS |
  abi.IOSQE_IO_DRAIN |
  abi.IOSQE_ASYNC |
  abi.IOSQE_BUFFER_SELECT |
  abi.IOSQE_CQE_SKIP_SUCCESS
/** Largest sockaddr there is. */
const SOCKADDR_BYTES = 128
const SOCK_CLOEXEC = 0o2000000
const SOCK_TYPE_MASK = 0xf
const MAX_BUFFERS = 65_536

interface Opcode {
  /** It has flags of its own in `ioprio`. */
  readonly ioprio?: true
  /** It may take its memory from a group of buffers. */
  readonly bufferSelect?: true
  /** It works on a ring with IOPOLL. */
  readonly iopoll?: true
  /** 0 or minus errno. */
  prepare(sqe: Sqe, context: RingContext): number
}

function readable(context: RingContext, address: number, length: number): number {
  return context.kernel.space.view(address, length) === null ? -EFAULT : 0
}

function sockaddr(sqe: Sqe, context: RingContext): number {
  if (sqe.len !== 0 || sqe.bufGroup !== 0 || sqe.opFlags !== 0 || sqe.fileIndex !== 0) return -EINVAL
  if (sqe.off > SOCKADDR_BYTES) return -EINVAL
  return readable(context, sqe.addr, sqe.off)
}

function timeout(sqe: Sqe, context: RingContext): number {
  if (sqe.addr3 !== 0 || sqe.pad2 !== 0 || sqe.bufGroup !== 0 || sqe.fileIndex !== 0) return -EINVAL
  if (sqe.opcode === abi.IORING_OP_LINK_TIMEOUT && sqe.off !== 0) return -EINVAL
  const timespec = timeoutOf(context, sqe)
  return typeof timespec === 'number' ? timespec : 0
}

function nop(sqe: Sqe, context: RingContext): number {
  if ((sqe.opFlags & ~(num.IORING_NOP_INJECT_RESULT | num.IORING_NOP_CQE32)) !== 0) return -EINVAL
  const wide = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED
  return (sqe.opFlags & num.IORING_NOP_CQE32) !== 0 && (context.flags & wide) === 0 ? -EINVAL : 0
}

function accept(sqe: Sqe): number {
  const { ioprio, opFlags, fileIndex } = sqe
  const known = abi.IORING_ACCEPT_MULTISHOT | abi.IORING_ACCEPT_DONTWAIT | num.IORING_ACCEPT_POLL_FIRST
  if (sqe.len !== 0 || sqe.bufGroup !== 0 || (ioprio & ~known) !== 0) return -EINVAL
  if ((opFlags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL
  if (fileIndex === 0) return 0
  if ((opFlags & SOCK_CLOEXEC) !== 0) return -EINVAL
  // Several connections don't fit one slot.
  const multishot = (ioprio & abi.IORING_ACCEPT_MULTISHOT) !== 0
  return multishot && fileIndex !== num.IORING_FILE_INDEX_ALLOC ? -EINVAL : 0
}

function socket(sqe: Sqe): number {
  if (sqe.addr !== 0 || sqe.opFlags !== 0 || sqe.bufGroup !== 0) return -EINVAL
  const flags = sqe.off & ~SOCK_TYPE_MASK
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL
  return sqe.fileIndex !== 0 && (flags & SOCK_CLOEXEC) !== 0 ? -EINVAL : 0
}

function send(sqe: Sqe): number {
  const known = abi.IORING_RECVSEND_POLL_FIRST
  // A destination is for sockets without a connection.
  return (sqe.ioprio & ~known) !== 0 || sqe.fileIndex !== 0 ? -EINVAL : 0
}

function sendZc(sqe: Sqe): number {
  if (sqe.pad2 !== 0 || sqe.addr3 !== 0 || (sqe.flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0) return -EINVAL
  const known =
    abi.IORING_RECVSEND_POLL_FIRST | num.IORING_RECVSEND_FIXED_BUF | num.IORING_SEND_ZC_REPORT_USAGE
  return (sqe.ioprio & ~known) !== 0 || sqe.fileIndex !== 0 ? -EINVAL : 0
}

function recv(sqe: Sqe): number {
  const { ioprio } = sqe
  const known = abi.IORING_RECVSEND_POLL_FIRST | abi.IORING_RECV_MULTISHOT | num.IORING_RECVSEND_BUNDLE
  if (sqe.off !== 0 || (ioprio & ~known) !== 0) return -EINVAL
  if ((ioprio & abi.IORING_RECV_MULTISHOT) === 0) return sqe.optlen === 0 ? 0 : -EINVAL
  const selects = (sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0
  return selects && (sqe.opFlags & MSG_WAITALL) === 0 ? 0 : -EINVAL
}

/** Any message flag is one too many; the id is looked at before the descriptor (kernel record point 18). */
function recvZc(sqe: Sqe, context: RingContext): number {
  const { ioprio } = sqe
  const known = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
  if (sqe.off !== 0 || sqe.addr !== 0 || sqe.addr3 !== 0 || sqe.opFlags !== 0) return -EINVAL
  if (context.ifqs[sqe.zcrxIfqIdx] === undefined) return -EINVAL
  return (ioprio & ~known) !== 0 || (ioprio & abi.IORING_RECV_MULTISHOT) === 0 ? -EINVAL : 0
}

function pollAdd(sqe: Sqe): number {
  if (sqe.bufGroup !== 0 || sqe.off !== 0 || sqe.addr !== 0) return -EINVAL
  if ((sqe.len & ~abi.IORING_POLL_ADD_MULTI) !== 0) return -EINVAL
  const multishot = (sqe.len & abi.IORING_POLL_ADD_MULTI) !== 0
  return multishot && (sqe.flags & abi.IOSQE_CQE_SKIP_SUCCESS) !== 0 ? -EINVAL : 0
}

function close(sqe: Sqe): number {
  if (sqe.off !== 0 || sqe.addr !== 0 || sqe.len !== 0 || sqe.opFlags !== 0 || sqe.bufGroup !== 0) {
    return -EINVAL
  }
  if ((sqe.flags & num.IOSQE_FIXED_FILE) !== 0) return -EBADF
  return sqe.fileIndex !== 0 && sqe.fd !== 0 ? -EINVAL : 0
}

function shutdown(sqe: Sqe): number {
  const unused = sqe.off === 0 && sqe.addr === 0 && sqe.opFlags === 0 && sqe.bufGroup === 0
  return unused && sqe.fileIndex === 0 ? 0 : -EINVAL
}

function listen(sqe: Sqe): number {
  const unused = sqe.addr === 0 && sqe.bufGroup === 0 && sqe.opFlags === 0 && sqe.off === 0
  return unused && sqe.fileIndex === 0 ? 0 : -EINVAL
}

function provideBuffers(sqe: Sqe, context: RingContext): number {
  const { fd: count, len, off: first } = sqe
  if (sqe.opFlags !== 0 || sqe.fileIndex !== 0) return -EINVAL
  if (count < 1 || count > MAX_BUFFERS) return -E2BIG
  if (len === 0) return -EINVAL
  if (sqe.addr === Number.POSITIVE_INFINITY) return -EOVERFLOW
  if (readable(context, sqe.addr, len * count) !== 0) return -EFAULT
  if (first >= MAX_BUFFERS) return -E2BIG
  return first + count > MAX_BUFFERS ? -EINVAL : 0
}

function removeBuffers(sqe: Sqe): number {
  if (sqe.opFlags !== 0 || sqe.addr !== 0 || sqe.len !== 0 || sqe.off !== 0 || sqe.fileIndex !== 0) {
    return -EINVAL
  }
  return sqe.fd < 1 || sqe.fd > MAX_BUFFERS ? -EINVAL : 0
}

function msgRing(sqe: Sqe): number {
  const known = num.IORING_MSG_RING_CQE_SKIP | num.IORING_MSG_RING_FLAGS_PASS
  return sqe.bufGroup !== 0 || sqe.personality !== 0 || (sqe.opFlags & ~known) !== 0 ? -EINVAL : 0
}

function cancel(sqe: Sqe): number {
  return sqe.off !== 0 || sqe.fileIndex !== 0 ? -EINVAL : 0
}

function removeTimeout(sqe: Sqe): number {
  if ((sqe.flags & num.IOSQE_FIXED_FILE) !== 0) return -EINVAL
  return sqe.bufGroup !== 0 || sqe.len !== 0 || sqe.fileIndex !== 0 ? -EINVAL : 0
}

function command(sqe: Sqe): number {
  return (sqe.flags & abi.IOSQE_BUFFER_SELECT) !== 0 ? -EINVAL : 0
}

/** The opcodes that are served. */
const OPCODES: readonly (Opcode | undefined)[] = tabulate([
  [abi.IORING_OP_NOP, { iopoll: true, prepare: nop }],
  [abi.IORING_OP_POLL_ADD, { prepare: pollAdd }],
  [abi.IORING_OP_TIMEOUT, { prepare: timeout }],
  [abi.IORING_OP_TIMEOUT_REMOVE, { prepare: removeTimeout }],
  [abi.IORING_OP_ACCEPT, { ioprio: true, prepare: accept }],
  [abi.IORING_OP_ASYNC_CANCEL, { prepare: cancel }],
  [abi.IORING_OP_LINK_TIMEOUT, { prepare: timeout }],
  [abi.IORING_OP_CONNECT, { prepare: sockaddr }],
  [abi.IORING_OP_CLOSE, { prepare: close }],
  [abi.IORING_OP_SEND, { ioprio: true, bufferSelect: true, prepare: send }],
  [abi.IORING_OP_RECV, { ioprio: true, bufferSelect: true, prepare: recv }],
  [num.IORING_OP_PROVIDE_BUFFERS, { iopoll: true, prepare: provideBuffers }],
  [num.IORING_OP_REMOVE_BUFFERS, { iopoll: true, prepare: removeBuffers }],
  [abi.IORING_OP_SHUTDOWN, { prepare: shutdown }],
  [num.IORING_OP_MSG_RING, { iopoll: true, prepare: msgRing }],
  [abi.IORING_OP_SOCKET, { prepare: socket }],
  [abi.IORING_OP_URING_CMD, { bufferSelect: true, iopoll: true, prepare: command }],
  [num.IORING_OP_SEND_ZC, { ioprio: true, prepare: sendZc }],
  [abi.IORING_OP_BIND, { prepare: sockaddr }],
  [abi.IORING_OP_LISTEN, { prepare: listen }],
  [abi.IORING_OP_RECV_ZC, { ioprio: true, prepare: recvZc }],
])

function tabulate(rows: [number, Opcode][]): (Opcode | undefined)[] {
  const table: (Opcode | undefined)[] = []
  for (const [opcode, row] of rows) table[opcode] = row
  // Without holes, as a lookup per entry is made in it.
  return Array.from(table)
}

/** One more than the highest opcode that is served. */
export const OPCODE_COUNT: number = OPCODES.length

export function isServed(opcode: number): boolean {
  return OPCODES[opcode] !== undefined
}

/** What can be wrong with an entry before it is its turn, as Linux finds it while entries are taken. 0 or minus errno. */
export function prepare(context: RingContext, sqe: Sqe): number {
  const opcode = OPCODES[sqe.opcode]
  const { flags } = sqe
  if (opcode === undefined || (flags & ~SERVED_SQE_FLAGS) !== 0) return -EINVAL
  if ((flags & abi.IOSQE_BUFFER_SELECT) !== 0 && opcode.bufferSelect === undefined) return -EOPNOTSUPP
  if (sqe.ioprio !== 0 && opcode.ioprio === undefined) return -EINVAL
  if ((context.flags & abi.IORING_SETUP_IOPOLL) !== 0 && opcode.iopoll === undefined) return -EINVAL
  if (sqe.personality !== 0 && !context.personalities.has(sqe.personality)) return -EINVAL
  return opcode.prepare(sqe, context)
}
