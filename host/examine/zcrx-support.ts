import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'
import { capabilities } from '../../driver/system.ts'
import { type Obstacle, read } from './read.ts'

/** Whether this kernel has io_uring, and zero-copy receive (zcrx) in it, as far as can be known without a ring. */
export interface ZcrxSupport {
  /** Why no ring can be had; null = one can. */
  readonly ioUring: Obstacle
  /** Why rings have no zero-copy receive; null = they have. */
  readonly zeroCopy: Obstacle
}

/**
 * Asks io_uring itself (`IORING_REGISTER_QUERY`): whether rings have zero-copy receive; null when it doesn't tell (before Linux
 * 6.18), a negative errno when there are no rings to be had.
 */
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

/** @param query when io_uring can be asked; default: judged by version, configuration and /proc. Never throws */
export function zcrxSupport(query: ZcrxQuery = () => null): ZcrxSupport {
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

/** What follows from the facts; what io_uring itself says goes before them. */
export function zcrxSupportOf(facts: KernelFacts, query: ZcrxQuery): ZcrxSupport {
  const ioUring = noRings(facts)
  if (ioUring !== null) return { ioUring, zeroCopy: { message: 'not without io_uring', fix: '' } }
  const answer = query()
  if (typeof answer === 'number') {
    const refused = {
      message: `io_uring_setup is refused (errno ${-answer})`,
      fix: 'look at seccomp (dmesg)',
    }
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
