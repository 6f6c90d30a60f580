import { EINVAL } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { Op } from './op.ts'
import { ImmediateRequest } from './reply.ts'

export const nop: Op = new Op({ code: abi.IORING_OP_NOP, iopoll: true, prepare, start })

function prepare(context: RingPort, sqe: Sqe): number {
  if ((sqe.opFlags & ~(abi.IORING_NOP_INJECT_RESULT | abi.IORING_NOP_CQE32)) !== 0) return -EINVAL
  const wide = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_CQE_MIXED
  return (sqe.opFlags & abi.IORING_NOP_CQE32) !== 0 && (context.flags & wide) === 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const { opFlags } = sqe
  const res = (opFlags & abi.IORING_NOP_INJECT_RESULT) !== 0 ? sqe.len | 0 : 0
  const extra = (opFlags & abi.IORING_NOP_CQE32) !== 0 ? sqe.extra() : null
  context.complete(new ImmediateRequest(context, sqe), res, 0, extra)
}
