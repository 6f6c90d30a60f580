import { EINVAL } from '../../abi/errno.ts'
import {
  IORING_ASYNC_CANCEL_ANY,
  IORING_ASYNC_CANCEL_FD,
  IORING_ASYNC_CANCEL_FD_FIXED,
  IORING_ASYNC_CANCEL_OP,
  IORING_OP_ASYNC_CANCEL,
  IOSQE_FIXED_FILE,
} from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import { CANCEL_FLAGS, cancelMatching } from '../cancel.ts'
import type { RingPort } from '../port.ts'
import { Op } from './op.ts'
import { reply } from './reply.ts'

export const asyncCancel: Op = new Op({ code: IORING_OP_ASYNC_CANCEL, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  const { opFlags } = sqe
  if (sqe.off !== 0 || sqe.fileIndex !== 0 || (opFlags & ~CANCEL_FLAGS) !== 0) return -EINVAL
  const narrow = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP
  return (opFlags & IORING_ASYNC_CANCEL_ANY) !== 0 && (opFlags & narrow) !== 0 ? -EINVAL : 0
}

/** The cancel's own completion comes before those of what it cancels (docs/conformance.md, V18). */
function start(context: RingPort, sqe: Sqe): void {
  const { fd, addrLow, addrHigh, len: opcode } = sqe
  const fixed = (sqe.flags & IOSQE_FIXED_FILE) !== 0 ? IORING_ASYNC_CANCEL_FD_FIXED : 0
  cancelMatching(context, { flags: sqe.opFlags | fixed, fd, addrLow, addrHigh, opcode }, (res) =>
    reply(context, sqe, res),
  )
}
