import { EBADF, EINVAL, ENOENT } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { RingPort } from './port.ts'
import type { Request } from './request.ts'

/** What is to be cancelled: the fields that ASYNC_CANCEL and SYNC_CANCEL share. */
export interface CancelKey {
  /** IORING_ASYNC_CANCEL_* */
  readonly flags: number
  readonly fd: number
  readonly addrLow: number
  readonly addrHigh: number
  readonly opcode: number
}

export const CANCEL_FLAGS: number =
  abi.IORING_ASYNC_CANCEL_ALL |
  abi.IORING_ASYNC_CANCEL_FD |
  abi.IORING_ASYNC_CANCEL_ANY |
  abi.IORING_ASYNC_CANCEL_FD_FIXED |
  abi.IORING_ASYNC_CANCEL_USERDATA |
  abi.IORING_ASYNC_CANCEL_OP

/**
 * Ends the oldest request that fits, or all with ALL and ANY. `answer` gets 0, with ALL and ANY how many there are, or minus
 * an errno, before they complete.
 */
export function cancelMatching(context: RingPort, key: CancelKey, answer: (res: number) => void): void {
  const { flags } = key
  if ((flags & ~CANCEL_FLAGS) !== 0) {
    answer(-EINVAL)
    return
  }
  const any = (flags & abi.IORING_ASYNC_CANCEL_ANY) !== 0
  const byFd = (flags & abi.IORING_ASYNC_CANCEL_FD) !== 0
  const byOpcode = (flags & abi.IORING_ASYNC_CANCEL_OP) !== 0
  const fixed = (flags & abi.IORING_ASYNC_CANCEL_FD_FIXED) !== 0
  const named = fixed ? context.files.get(key.fd)?.file : context.process.files.get(key.fd)
  const file = byFd ? (named ?? null) : null
  if (byFd && file === null) {
    answer(-EBADF)
    return
  }
  const byUserData = (flags & abi.IORING_ASYNC_CANCEL_USERDATA) !== 0 || !(byFd || byOpcode)
  const fits = (request: Request): boolean => {
    if (any) return true
    if (byFd && request.file !== file) return false
    if (byOpcode && request.opcode !== key.opcode) return false
    return !byUserData || (request.userDataLow === key.addrLow && request.userDataHigh === key.addrHigh)
  }
  const all = any || (flags & abi.IORING_ASYNC_CANCEL_ALL) !== 0
  const found: Request[] = []
  for (const request of context.active) {
    // A LINK_TIMEOUT ends with the request it belongs to.
    if (request.opcode === abi.IORING_OP_LINK_TIMEOUT || !fits(request)) continue
    // What waits on something open is found until it has completed; a timeout is out of its list at once.
    if (request.cancelled && request.file === null) continue
    found.push(request)
    if (!all) break
  }
  if (all) answer(found.length)
  else answer(found.length === 0 ? -ENOENT : 0)
  for (const request of found) request.cancel()
}
