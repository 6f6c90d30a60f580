import { release } from 'node:os'
import { NicError } from '../../../errors.ts'
import { read } from '../../../host/examine/read.ts'
import * as errno from '../../abi/errno.ts'
import { IORING_SETUP_CQSIZE } from '../../abi/io-uring.ts'
import type { UringParams } from '../../abi/params.ts'

/** Why io_uring_setup(2) was refused. @param code positive errno @param wanted as the user has it */
export function setUpRefused(
  code: number,
  entries: number,
  { flags, cqEntries }: Pick<UringParams, 'flags' | 'cqEntries'>,
): NicError {
  const what = `io_uring_setup(2) refuses a ring (${errno.errnoName(code)})`
  if (code === errno.ENOSYS)
    return new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${what}: this kernel has no io_uring, or a filter of system calls hides it`,
      'use Linux 6.1 or newer with CONFIG_IO_URING; in a container allow io_uring_setup in its seccomp profile',
      code,
    )
  if (code === errno.EPERM) return new NicError('ZCRX_NIC_PERMISSION', ...notAllowed(what), code)
  if (code === errno.ENOMEM)
    return new NicError(
      'ZCRX_NIC_MEMLOCK',
      `${what}: no more memory may be locked`,
      'ulimit -l unlimited',
      code,
    )
  if (code === errno.EMFILE)
    return new NicError(
      'ZCRX_NIC_SYSTEM',
      `${what}: no descriptor is left`,
      'ulimit -n shows how many there are',
      code,
    )
  if (code === errno.EINVAL) {
    const completions = (flags & IORING_SETUP_CQSIZE) === 0 ? '' : ` and ${cqEntries} for completions`
    return new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `${what}: ${entries} entries${completions} with flags 0x${(flags >>> 0).toString(16)} on Linux ${release()}`,
      'leave out flags that this kernel does not know; entries are 1 to 32768, those for completions no fewer, and 65536 at the most',
      code,
    )
  }
  return new NicError('ZCRX_NIC_SYSTEM', what, '', code)
}

function notAllowed(what: string): [string, string] {
  // Documentation/admin-guide/sysctl/kernel.rst
  const disabled = read('/proc/sys/kernel/io_uring_disabled')
  if (disabled === '2')
    return [`${what}: io_uring is switched off`, 'sudo sysctl -w kernel.io_uring_disabled=0']
  if (disabled === '1')
    return [
      `${what}: io_uring is for the group kernel.io_uring_group and for CAP_SYS_ADMIN`,
      'join that group, or: sudo sysctl -w kernel.io_uring_disabled=0',
    ]
  return [
    `${what}: a filter of system calls forbids it`,
    'allow io_uring_setup in the seccomp profile of the container',
  ]
}

/** Why IORING_REGISTER_ZCRX_IFQ was refused. @param code positive errno */
export function ifqRefused(code: number): NicError {
  const what = `the interface queue can't be registered with io_uring (${errno.errnoName(code)})`
  const doctor = 'zcrxd doctor linux:INTERFACE/QUEUE says what is missing'
  switch (code) {
    case errno.EPERM:
      return new NicError('ZCRX_NIC_PERMISSION', `${what}: it needs CAP_NET_ADMIN`, 'run as root', code)
    case errno.EEXIST:
    case errno.EBUSY:
      return new NicError(
        'ZCRX_NIC_BUSY',
        `${what}: somebody else has the queue`,
        `end whoever has it; ${doctor}`,
        code,
      )
    case errno.ENOMEM:
      return new NicError(
        'ZCRX_NIC_MEMLOCK',
        `${what}: the area can't be pinned`,
        'ulimit -l unlimited, or a smaller area',
        code,
      )
    case errno.ENODEV:
      return new NicError('ZCRX_NIC_NO_DEVICE', `${what}: there is no such interface`, 'ip link', code)
    case errno.ERANGE:
      return new NicError('ZCRX_NIC_NO_QUEUE', `${what}: the interface has no such queue`, doctor, code)
    case errno.EOPNOTSUPP:
      return new NicError(
        'ZCRX_NIC_UNSUPPORTED',
        `${what}: the driver of the interface has no queues that take memory`,
        'receive without zero copy: linux:; or with a stack of our own: xdp:INTERFACE',
        code,
      )
    case errno.EINVAL:
      return new NicError(
        'ZCRX_NIC_UNSUPPORTED',
        `${what}: Linux ${release()} has no zero-copy receive, or the headers are not split off`,
        `ethtool -G INTERFACE tcp-data-split on; ${doctor}`,
        code,
      )
    default:
      return new NicError('ZCRX_NIC_SYSTEM', what, doctor, code)
  }
}
