import { EBADFD, EINVAL } from '../abi/errno.ts'
import type { RingContext } from './context.ts'

/** IORING_REGISTER_ENABLE_RINGS, of a ring set up with R_DISABLED. 0 or minus errno. */
export function enableRings(context: RingContext, arg: Uint8Array | null, nrArgs: number): number {
  if (arg !== null || nrArgs !== 0) return -EINVAL
  if (!context.disabled) return -EBADFD
  context.disabled = false
  return 0
}
