import * as abi from '../abi/constants.ts'
import { EBADF, EBADFD, EINVAL } from '../abi/errno.ts'
import * as num from '../abi/ring.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { RingContext } from './context.ts'
import { letGo, type OpenFile } from './files.ts'

/** IORING_OP_MSG_RING: posts a completion to another ring, or gives it a fixed file. What the entry completes with. */
export function msgRing(context: RingContext, sqe: Sqe, file: OpenFile): number {
  if (file.kind !== 'ring') return -EBADFD
  const target = file as RingContext
  switch (sqe.addr) {
    case num.IORING_MSG_DATA:
      return sendData(target, sqe)
    case num.IORING_MSG_SEND_FD:
      return sendFile(context, target, sqe)
    default:
      return -EINVAL
  }
}

function sendData(target: RingContext, sqe: Sqe): number {
  const passes = (sqe.opFlags & num.IORING_MSG_RING_FLAGS_PASS) !== 0
  // A message that leaves no completion would be none.
  if (sqe.addr3 !== 0 || (sqe.opFlags & num.IORING_MSG_RING_CQE_SKIP) !== 0) return -EINVAL
  if (!passes && sqe.fileIndex !== 0) return -EINVAL
  if (target.disabled) return -EBADFD
  const flags = passes ? sqe.fileIndex | 0 : 0
  // The size of a completion is the queue's to tell: the user would take what follows for the rest of this one.
  const sizes = num.IORING_CQE_F_32 | num.IORING_CQE_F_SKIP
  if ((target.flags & abi.IORING_SETUP_CQE_MIXED) !== 0 && (flags & sizes) !== 0) return -EINVAL
  target.postAux(messageOf(sqe), sqe.len | 0, flags)
  return 0
}

function sendFile(context: RingContext, target: RingContext, sqe: Sqe): number {
  if (sqe.len !== 0 || target === context) return -EINVAL
  if (target.disabled) return -EBADFD
  const source = context.files.get(sqe.addr3)
  if (source === null) return -EBADF
  const { file } = source
  // What can't be named twice stays where it is.
  if (file.dup === undefined) return -EBADF
  file.dup()
  const slot = target.files.install(file, sqe.fileIndex)
  if (slot < 0) letGo(file)
  else if ((sqe.opFlags & num.IORING_MSG_RING_CQE_SKIP) === 0) target.postAux(messageOf(sqe), slot, 0)
  return slot
}

function messageOf(sqe: Sqe): { userDataLow: number; userDataHigh: number } {
  return { userDataLow: sqe.offLow, userDataHigh: sqe.offHigh }
}
