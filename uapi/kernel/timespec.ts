import { EFAULT, EINVAL } from '../abi/errno.ts'
import * as abi from '../abi/io-uring.ts'
import type { Sqe } from '../abi/sqe.ts'
import type { AddressSpace } from './address-space.ts'

/** Other clocks than the monotonic one, one at a time. The stacks' clock stands for that of the machine's time since it was booted. */
const CLOCKS = abi.IORING_TIMEOUT_BOOTTIME | abi.IORING_TIMEOUT_REALTIME

/** What an entry with a `struct __kernel_timespec` asks for. */
export interface Timespec {
  /** Microseconds, rounded up: of the stacks' clock when absolute, else from when the request starts. */
  readonly us: number
  readonly absolute: boolean
}

/** Reads what TIMEOUT and LINK_TIMEOUT take, with the kernel's checks; minus errno when they fail. */
export function timeoutOf(space: AddressSpace, sqe: Sqe): Timespec | number {
  const flags = sqe.opFlags
  const known =
    abi.IORING_TIMEOUT_ABS | abi.IORING_TIMEOUT_ETIME_SUCCESS | abi.IORING_TIMEOUT_MULTISHOT | CLOCKS
  if (sqe.len !== 1 || (flags & ~known) !== 0) return -EINVAL
  const both = abi.IORING_TIMEOUT_MULTISHOT | abi.IORING_TIMEOUT_ABS
  if ((flags & both) === both) return -EINVAL
  return (flags & CLOCKS) === CLOCKS ? -EINVAL : timespecAt(space, sqe.addr, flags)
}

/** The `struct __kernel_timespec` at a user address; minus errno. @param flags IORING_TIMEOUT_ABS, _BOOTTIME, _REALTIME */
export function timespecAt(space: AddressSpace, address: number, flags: number): Timespec | number {
  const bytes = space.view(address, 16)
  if (bytes === null) return -EFAULT
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  const seconds = view.getBigInt64(0, true)
  const nanoseconds = view.getBigInt64(8, true)
  if (seconds < 0n || nanoseconds < 0n) return -EINVAL
  const us = Number(seconds) * 1e6 + Math.ceil(Number(nanoseconds) / 1000)
  const absolute = (flags & abi.IORING_TIMEOUT_ABS) !== 0
  if (absolute && (flags & abi.IORING_TIMEOUT_REALTIME) !== 0)
    return { us: Math.max(0, us - Date.now() * 1000), absolute: false }
  return { us, absolute }
}
