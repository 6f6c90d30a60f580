import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'
import { type Native, nativeOrNull } from '../../driver/native/index.ts'
import { capabilities, ERRNO, errnoName } from '../../driver/system.ts'
import { type Obstacle, read } from './read.ts'

/** Whether this kernel has io_uring, and zero-copy receive (zcrx) in it, as far as can be known without a ring. */
export interface ZcrxSupport {
  /** Why no ring can be had; null = one can. */
  readonly ioUring: Obstacle
  /** Why rings have no zero-copy receive; null = they have. */
  readonly zeroCopy: Obstacle
}

/** Asks io_uring itself: whether rings have zero-copy receive; null when it doesn't tell, a negative errno when there are no rings. */
export type ZcrxQuery = () => boolean | null | number

/** What `zcrxSupportOf` judges by. */
export interface KernelFacts {
  /** Release, `6.6.12-generic`. */
  readonly kernel: string
  /** /proc/sys/kernel/io_uring_disabled and io_uring_group; empty where the kernel has none. */
  readonly disabled: string
  readonly group: string
  /** The kernel's configuration; empty when it can't be read. */
  readonly config: string
  /** Groups of the process, and whether it has CAP_SYS_ADMIN. */
  readonly groups: readonly number[]
  readonly admin: boolean
}

const SINCE = [6, 15] as const
/** sizeof(struct io_uring_params). */
const PARAMS_BYTES = 120
const IORING_REGISTER_ZCRX_IFQ = 32
/** More than struct io_uring_zcrx_ifq_reg has. */
const IFQ_REG_BYTES = 256

/**
 * Makes a ring, asks it to register a queue as it never may be (zero-copy receive wants IORING_SETUP_DEFER_TASKRUN), and closes it. A
 * kernel that was built without says EOPNOTSUPP; one that has it says EINVAL or EPERM, as one that is too old does.
 */
export function askRing(native: Native): boolean | null | number {
  const ring = native.uringSetup(1, new Uint8Array(PARAMS_BYTES))
  if (ring < 0) return ring
  try {
    const result = native.uringRegister(ring, IORING_REGISTER_ZCRX_IFQ, new Uint8Array(IFQ_REG_BYTES), 1)
    return result === -ERRNO.EOPNOTSUPP ? false : null
  } finally {
    native.close(ring)
  }
}

/** @param query default: a ring is asked, where the addon is there. Never throws */
export function zcrxSupport(query: ZcrxQuery = defaultQuery): ZcrxSupport {
  const kernel = release()
  return zcrxSupportOf(
    {
      kernel,
      disabled: read('/proc/sys/kernel/io_uring_disabled'),
      group: read('/proc/sys/kernel/io_uring_group'),
      config: configOf(kernel),
      groups: process.getgroups?.() ?? [],
      admin: capabilities().has('CAP_SYS_ADMIN'),
    },
    query,
  )
}

function defaultQuery(): ReturnType<ZcrxQuery> {
  const native = nativeOrNull()
  return native === null ? null : askRing(native)
}

/** What follows from the facts; what io_uring itself says goes before them. */
export function zcrxSupportOf(facts: KernelFacts, query: ZcrxQuery): ZcrxSupport {
  const ioUring = noRings(facts)
  if (ioUring !== null) return { ioUring, zeroCopy: { message: 'not without io_uring', fix: '' } }
  const answer = query()
  if (typeof answer === 'number') {
    const message = `io_uring_setup(2) is refused (${errnoName(-answer)})`
    const refused = { message, fix: 'allow io_uring_setup in the seccomp profile of the container' }
    return { ioUring: refused, zeroCopy: { message: 'not without io_uring', fix: '' } }
  }
  if (answer === true) return { ioUring: null, zeroCopy: null }
  if (answer === false) return { ioUring: null, zeroCopy: without(facts.kernel) }
  const { kernel, config } = facts
  return { ioUring: null, zeroCopy: old(kernel) || isOff(config, 'IO_URING_ZCRX') ? without(kernel) : null }
}

function noRings({ config, disabled, group, groups, admin }: KernelFacts): Obstacle {
  if (isOff(config, 'IO_URING')) return { message: 'the kernel is built without io_uring', fix: '' }
  const fix = 'sysctl -w kernel.io_uring_disabled=0'
  if (disabled === '2') return { message: 'switched off: kernel.io_uring_disabled is 2', fix }
  if (disabled !== '1' || admin || (group !== '' && groups.includes(Number(group)))) return null
  const member = Number(group) >= 0 && group !== '' ? ` or being in group ${group}` : ''
  return { message: `kernel.io_uring_disabled is 1: it takes CAP_SYS_ADMIN${member}`, fix }
}

function without(kernel: string): Obstacle {
  if (old(kernel))
    return { message: `Linux ${kernel} has none: it came with ${SINCE.join('.')}`, fix: 'a newer kernel' }
  const fix = 'a kernel with CONFIG_IO_URING_ZCRX=y'
  return { message: `Linux ${kernel} is built without it`, fix }
}

function old(kernel: string): boolean {
  const match = /^(\d+)\.(\d+)/.exec(kernel)
  if (match === null) return false
  const [major, minor] = [Number(match[1]), Number(match[2])]
  return major < SINCE[0] || (major === SINCE[0] && minor < SINCE[1])
}

/** The configuration is there and the option not in it. */
function isOff(config: string, option: string): boolean {
  return config !== '' && !config.includes(`\nCONFIG_${option}=y\n`)
}

function configOf(kernel: string): string {
  const plain = read(`/boot/config-${kernel}`)
  if (plain !== '') return `\n${plain}\n`
  try {
    return `\n${gunzipSync(readFileSync('/proc/config.gz')).toString('latin1')}\n`
  } catch {
    return ''
  }
}
