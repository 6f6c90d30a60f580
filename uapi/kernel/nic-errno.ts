import { NicError } from '../../errors.ts'
import * as errno from '../abi/errno.ts'

/** The errno Linux would answer where our NIC has an error with an explanation, which is kept for people. */
export function nicErrno(kernel: { nicError: NicError | null }, error: unknown): number {
  if (!(error instanceof NicError)) throw error
  kernel.nicError = error
  switch (error.code) {
    case 'ZCRX_NIC_PERMISSION':
      return -errno.EPERM
    case 'ZCRX_NIC_NO_DEVICE':
    case 'ZCRX_NIC_DOWN':
      return -errno.ENODEV
    case 'ZCRX_NIC_NO_QUEUE':
      return -errno.ERANGE
    case 'ZCRX_NIC_BUSY':
      return -errno.EEXIST
    case 'ZCRX_NIC_MEMLOCK':
      return -errno.ENOMEM
    case 'ZCRX_NIC_MEMORY':
      return -errno.EINVAL
    default:
      return -errno.EOPNOTSUPP
  }
}
