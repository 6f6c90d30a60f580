import { EINVAL, EOVERFLOW } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { UringParams } from '../abi/params.ts'
import { Sqe } from '../abi/sqe.ts'
import type { RingSizes } from './rings.ts'

/** Flags that mean something here, or that ask for what is so anyway. Others are refused, not ignored. */
export const SERVED_SETUP_FLAGS: number =
  abi.IORING_SETUP_IOPOLL |
  abi.IORING_SETUP_SQPOLL |
  abi.IORING_SETUP_CQSIZE |
  abi.IORING_SETUP_CLAMP |
  abi.IORING_SETUP_R_DISABLED |
  abi.IORING_SETUP_SUBMIT_ALL |
  abi.IORING_SETUP_COOP_TASKRUN |
  abi.IORING_SETUP_TASKRUN_FLAG |
  abi.IORING_SETUP_SQE128 |
  abi.IORING_SETUP_CQE32 |
  abi.IORING_SETUP_SINGLE_ISSUER |
  abi.IORING_SETUP_DEFER_TASKRUN |
  abi.IORING_SETUP_NO_SQARRAY |
  abi.IORING_SETUP_CQE_MIXED

/** What io_uring_setup(2) says of every ring. */
export const FEATURES: number =
  abi.IORING_FEAT_NODROP |
  abi.IORING_FEAT_FAST_POLL |
  abi.IORING_FEAT_POLL_32BITS |
  abi.IORING_FEAT_RSRC_TAGS |
  abi.IORING_FEAT_CQE_SKIP |
  abi.IORING_FEAT_LINKED_FILE

/** IORING_ENTER_* that are served. A timeout is a parameter here, which EXT_ARG is for on Linux. */
export const SERVED_ENTER_FLAGS: number =
  abi.IORING_ENTER_GETEVENTS | abi.IORING_ENTER_SQ_WAKEUP | abi.IORING_ENTER_SQ_WAIT

/** Why a ring can't be had. */
export interface Refusal {
  readonly errno: number
  readonly why: string
  readonly remedy?: string
}

/** How large the ring that is asked for is, by the rules of io_uring_setup(2). */
export function sizesOf(entries: number, params: UringParams): RingSizes | Refusal {
  const { flags } = params
  const against = checkFlags(flags)
  if (against !== null) return { errno: EINVAL, ...against }
  if (!params.reservedZero) return { errno: EINVAL, why: 'reserved fields of the parameters are not zero' }
  const sqEntries = roundEntries(entries, abi.IORING_MAX_ENTRIES, flags, 'entries')
  if (typeof sqEntries !== 'number') return sqEntries
  const asked = (flags & abi.IORING_SETUP_CQSIZE) !== 0 ? params.cqEntries : sqEntries * 2
  const cqEntries = roundEntries(asked, abi.IORING_MAX_ENTRIES * 2, flags, 'cqEntries')
  if (typeof cqEntries !== 'number') return cqEntries
  if (cqEntries < sqEntries) {
    return { errno: EINVAL, why: `cqEntries ${cqEntries} is less than entries ${sqEntries}` }
  }
  if ((flags & abi.IORING_SETUP_CQE_MIXED) !== 0 && cqEntries < 2) {
    return { errno: EOVERFLOW, why: 'completions of mixed sizes need two slots at least' }
  }
  const cqeWords = (flags & abi.IORING_SETUP_CQE32) !== 0 ? 8 : 4
  const sqeBytes = (flags & abi.IORING_SETUP_SQE128) !== 0 ? 2 * Sqe.SIZE : Sqe.SIZE
  return { sqEntries, cqEntries, cqeWords, sqeBytes }
}

function checkFlags(flags: number): Omit<Refusal, 'errno'> | null {
  const set = (some: number): boolean => (flags & some) !== 0
  const unserved = (flags & ~SERVED_SETUP_FLAGS) >>> 0
  if (unserved !== 0) {
    return {
      why: `set-up flags 0x${unserved.toString(16)} are not served`,
      remedy: 'leave them out; docs/api/ring.md has those that are served',
    }
  }
  const { IORING_SETUP_COOP_TASKRUN: COOP, IORING_SETUP_DEFER_TASKRUN: DEFER } = abi
  if (set(abi.IORING_SETUP_SQPOLL) && set(COOP | abi.IORING_SETUP_TASKRUN_FLAG | DEFER)) {
    return { why: 'SQPOLL with COOP_TASKRUN, TASKRUN_FLAG or DEFER_TASKRUN' }
  }
  if (set(abi.IORING_SETUP_TASKRUN_FLAG) && !set(COOP | DEFER)) {
    return { why: 'TASKRUN_FLAG without COOP_TASKRUN or DEFER_TASKRUN' }
  }
  if (set(DEFER) && !set(abi.IORING_SETUP_SINGLE_ISSUER)) {
    return { why: 'DEFER_TASKRUN without SINGLE_ISSUER', remedy: 'set IORING_SETUP_SINGLE_ISSUER as well' }
  }
  if (set(abi.IORING_SETUP_CQE32) && set(abi.IORING_SETUP_CQE_MIXED)) {
    return { why: 'CQE32 with CQE_MIXED', remedy: 'choose one of them' }
  }
  return null
}

function roundEntries(entries: number, most: number, flags: number, name: string): number | Refusal {
  if (!Number.isInteger(entries) || entries < 1) {
    return { errno: EINVAL, why: `${name} ${entries} is not a positive integer` }
  }
  if (entries > most) {
    if ((flags & abi.IORING_SETUP_CLAMP) !== 0) return most
    return {
      errno: EINVAL,
      why: `${name} ${entries} is more than ${most}`,
      remedy: 'or set IORING_SETUP_CLAMP',
    }
  }
  return 2 ** Math.ceil(Math.log2(entries))
}
