import { UringParams } from '../../uapi/abi/params.ts'
import type { RingContext } from '../../uapi/kernel/context.ts'
import type { Kernel } from '../../uapi/kernel/kernel.ts'

/** The kernel's side of a ring, without a user's: for what `Ring` would not say. @throws Error when there is none */
export function ringContext(kernel: Kernel, flags: number, entries = 8): RingContext {
  const params = new UringParams(new Uint8Array(UringParams.SIZE))
  params.flags = flags
  const context = kernel.setup(entries, params)
  if ('errno' in context) throw new Error(context.why)
  return context
}
