import { EBADF, EBADFD, EINVAL } from '../../abi/errno.ts'
import * as abi from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { OpenFile } from '../files.ts'
import type { UserData } from '../fixed-files.ts'
import { isRing, type RingFile, type RingPort } from '../port.ts'
import { Op } from './op.ts'
import { fileOf } from './operands.ts'
import { reply } from './reply.ts'

export const msgRing: Op = new Op({ code: abi.IORING_OP_MSG_RING, iopoll: true, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  const known = abi.IORING_MSG_RING_CQE_SKIP | abi.IORING_MSG_RING_FLAGS_PASS
  return sqe.bufGroup !== 0 || sqe.personality !== 0 || (sqe.opFlags & ~known) !== 0 ? -EINVAL : 0
}

/** Posts a completion to another ring, or gives it a fixed file. */
function start(context: RingPort, sqe: Sqe): void {
  const file = fileOf(context, sqe)
  if (file !== null) reply(context, sqe, message(context, sqe, file))
}

function message(context: RingPort, sqe: Sqe, file: OpenFile): number {
  if (!isRing(file)) return -EBADFD
  switch (sqe.addr) {
    case abi.IORING_MSG_DATA:
      return sendData(file, sqe)
    case abi.IORING_MSG_SEND_FD:
      return sendFile(context, file, sqe)
    default:
      return -EINVAL
  }
}

function sendData(target: RingFile, sqe: Sqe): number {
  const passes = (sqe.opFlags & abi.IORING_MSG_RING_FLAGS_PASS) !== 0
  // A message that leaves no completion would be none.
  if (sqe.addr3 !== 0 || (sqe.opFlags & abi.IORING_MSG_RING_CQE_SKIP) !== 0) return -EINVAL
  if (!passes && sqe.fileIndex !== 0) return -EINVAL
  if (target.disabled) return -EBADFD
  const flags = passes ? sqe.fileIndex | 0 : 0
  // The size of a completion is the queue's to tell: the user would take what follows for the rest of this one.
  const sizes = abi.IORING_CQE_F_32 | abi.IORING_CQE_F_SKIP
  if ((target.flags & abi.IORING_SETUP_CQE_MIXED) !== 0 && (flags & sizes) !== 0) return -EINVAL
  target.postAux(messageOf(sqe), sqe.len | 0, flags)
  return 0
}

function sendFile(context: RingPort, target: RingFile, sqe: Sqe): number {
  if (sqe.len !== 0 || target === context) return -EINVAL
  if (target.disabled) return -EBADFD
  const source = context.files.get(sqe.addr3)
  if (source === null) return -EBADF
  const { file } = source
  // What can't be named twice stays where it is.
  if (file.dup === undefined) return -EBADF
  file.dup()
  const slot = target.files.install(file, sqe.fileIndex)
  if (slot < 0) file.release()
  else if ((sqe.opFlags & abi.IORING_MSG_RING_CQE_SKIP) === 0) target.postAux(messageOf(sqe), slot, 0)
  return slot
}

function messageOf(sqe: Sqe): UserData {
  return { userDataLow: sqe.offLow, userDataHigh: sqe.offHigh }
}
