import { EBADF, EINVAL } from '../../abi/errno.ts'
import { IORING_OP_CLOSE, IOSQE_FIXED_FILE } from '../../abi/io-uring.ts'
import type { Sqe } from '../../abi/sqe.ts'
import type { RingPort } from '../port.ts'
import { Op } from './op.ts'
import { reply } from './reply.ts'

export const close: Op = new Op({ code: IORING_OP_CLOSE, prepare, start })

function prepare(_context: RingPort, sqe: Sqe): number {
  if (sqe.off !== 0 || sqe.addr !== 0 || sqe.len !== 0 || sqe.opFlags !== 0 || sqe.bufGroup !== 0) {
    return -EINVAL
  }
  if ((sqe.flags & IOSQE_FIXED_FILE) !== 0) return -EBADF
  return sqe.fileIndex !== 0 && sqe.fd !== 0 ? -EINVAL : 0
}

function start(context: RingPort, sqe: Sqe): void {
  const { fileIndex } = sqe
  const res = fileIndex !== 0 ? context.files.remove(fileIndex - 1) : closeFd(context, sqe.fd)
  reply(context, sqe, res)
}

function closeFd(context: RingPort, fd: number): number {
  const { files } = context.process
  // A ring ends with `queueExit`, from outside.
  if (files.get(fd)?.kind === 'ring') return -EBADF
  const file = files.close(fd)
  if (file === null) return -EBADF
  file.release()
  return 0
}
