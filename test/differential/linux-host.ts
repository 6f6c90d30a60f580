import { ZcrxError } from '../../errors.ts'
import { LinuxHost } from '../../uapi/backend/linux/host.ts'
import type { RingHost } from '../../uapi/ring/backend.ts'
import { Ring } from '../../uapi/ring/ring.ts'

/** This machine's kernel as the other side of rings; or why it can't be had. */
export function linuxHost(): RingHost | { readonly why: string } {
  try {
    const host = new LinuxHost()
    Ring.queueInit(1, host).queueExit()
    return host
  } catch (error) {
    if (!(error instanceof ZcrxError)) throw error
    return { why: error.remedy === '' ? error.message : `${error.message}: ${error.remedy}` }
  }
}
