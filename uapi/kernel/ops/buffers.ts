import { E2BIG, EFAULT, EINVAL, EOVERFLOW } from '../../abi/errno.ts'
import { IORING_OP_PROVIDE_BUFFERS, IORING_OP_REMOVE_BUFFERS } from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { Op } from './op.ts'
import { readable } from './operands.ts'
import { reply } from './reply.ts'

const MAX_BUFFERS = 65_536

export const provideBuffers: Op = new Op({
  code: IORING_OP_PROVIDE_BUFFERS,
  iopoll: true,
  prepare: prepareProvide,
  start: (context, sqe) => reply(context, sqe, context.buffers.provide(sqe)),
})

export const removeBuffers: Op = new Op({
  code: IORING_OP_REMOVE_BUFFERS,
  iopoll: true,
  prepare: prepareRemove,
  start: (context, sqe) => reply(context, sqe, context.buffers.remove(sqe)),
})

function prepareProvide(context: RingPort, sqe: Sqe): number {
  const { fd: count, len, off: first } = sqe
  if (sqe.opFlags !== 0 || sqe.fileIndex !== 0) return -EINVAL
  if (count < 1 || count > MAX_BUFFERS) return -E2BIG
  if (len === 0) return -EINVAL
  if (sqe.addr === Number.POSITIVE_INFINITY) return -EOVERFLOW
  if (readable(context, sqe.addr, len * count) !== 0) return -EFAULT
  if (first >= MAX_BUFFERS) return -E2BIG
  return first + count > MAX_BUFFERS ? -EINVAL : 0
}

function prepareRemove(_context: RingPort, sqe: Sqe): number {
  if (sqe.opFlags !== 0 || sqe.addr !== 0 || sqe.len !== 0 || sqe.off !== 0 || sqe.fileIndex !== 0) {
    return -EINVAL
  }
  return sqe.fd < 1 || sqe.fd > MAX_BUFFERS ? -EINVAL : 0
}
