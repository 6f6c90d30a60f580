import { EINVAL, EOPNOTSUPP } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import * as ops from './index.ts'
import type { Op } from './op.ts'

/** Opcodes are a byte. */
const OPCODES = 256

/** Either kind of link to the next entry. */
export const LINKS = abi.IOSQE_IO_LINK | abi.IOSQE_IO_HARDLINK
/** IOSQE_* that are served. */
export const SERVED_SQE_FLAGS: number =
  abi.IOSQE_FIXED_FILE |
  LINKS |
  abi.IOSQE_IO_DRAIN |
  abi.IOSQE_ASYNC |
  abi.IOSQE_BUFFER_SELECT |
  abi.IOSQE_CQE_SKIP_SUCCESS

/** By opcode; null where none is served. Without holes and never read beyond its end, as a lookup per entry is made in it. */
const TABLE: readonly (Op | null)[] = tabulate()

function tabulate(): (Op | null)[] {
  const table: (Op | null)[] = []
  while (table.length < OPCODES) table.push(null)
  for (const op of Object.values(ops)) table[op.code] = op
  return table
}

/** One more than the highest opcode that is served. */
export const OPCODE_COUNT: number = TABLE.findLastIndex((op) => op !== null) + 1

export function isServed(opcode: number): boolean {
  return TABLE[opcode] != null
}

/** What can be wrong with an entry before it is its turn, as Linux finds it while entries are taken. 0 or minus errno. */
export function prepare(context: RingPort, sqe: Sqe): number {
  const op = TABLE[sqe.opcode]!
  const { flags } = sqe
  if (op === null || (flags & ~SERVED_SQE_FLAGS) !== 0) return -EINVAL
  if ((flags & abi.IOSQE_BUFFER_SELECT) !== 0 && !op.bufferSelect) return -EOPNOTSUPP
  if (sqe.ioprio !== 0 && !op.ioprio) return -EINVAL
  if ((context.flags & abi.IORING_SETUP_IOPOLL) !== 0 && !op.iopoll) return -EINVAL
  if (sqe.personality !== 0 && !context.personalities.has(sqe.personality)) return -EINVAL
  return op.prepare(context, sqe)
}

/** Starts an entry that `prepare` let pass; nobody can have changed it since. Every outcome, errors included, is a completion. */
export function execute(context: RingPort, sqe: Sqe): void {
  TABLE[sqe.opcode]!.start(context, sqe)
}
