import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { NicError } from '../errors.ts'
import type { LinkInfo, Native } from './native/index.ts'

/** What the operating system says: errno as typed errors, capabilities, limits, who holds what, namespaces. */

/** errno numbers by name, positive. */
export const ERRNO = constants.errno

/** Not among Node's: what a TAP queue says when its device was deleted. */
export const EBADFD = 77

/** linux/capability.h, those that matter here. */
const CAPABILITIES = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const
/** Those that a queue can take. */
const NEEDED_CAPABILITIES = ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'] as const

/** Name of a positive errno. */
export function errnoName(errno: number): string {
  return errno > 0 && errno < 4096 ? getSystemErrorName(-errno) : `errno ${errno}`
}

/** Which of the capabilities that matter here the process has; CAP_BPF too when CAP_SYS_ADMIN stands in for it. */
export function capabilities(): Set<string> {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))
  const effective = BigInt(`0x${line?.[1] ?? 'ffffffffffffffff'}`)
  const has = (bit: number): boolean => ((effective >> BigInt(bit)) & 1n) === 1n
  const held = Object.entries(CAPABILITIES).filter(([, bit]) => has(bit))
  const names = new Set(held.map(([name]) => name))
  if (names.has('CAP_SYS_ADMIN')) names.add('CAP_BPF')
  return names
}

/** What of CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF the process lacks. */
export function missingCapabilities(): string[] {
  const held = capabilities()
  return NEEDED_CAPABILITIES.filter((name) => !held.has(name))
}

/** RLIMIT_MEMLOCK in bytes; Infinity when there is none or it is not known. */
export function memlockLimits(): { soft: number; hard: number } {
  const line = /^Max locked memory\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  const bytes = (text: string | undefined): number =>
    text === undefined || text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
  return { soft: bytes(line?.[1]), hard: bytes(line?.[2]) }
}

/** The soft limit of RLIMIT_MEMLOCK in bytes. */
export function memlockLimit(): number {
  return memlockLimits().soft
}

/**
 * A refused system call as a `NicError`. Knows what holds for all of them: privileges and vanished interfaces.
 * @param result negative errno
 * @param call what was called, for the message
 */
export function systemFailure(result: number, call: string, device: string): NicError {
  const errno = -result
  if (errno === ERRNO.EPERM || errno === ERRNO.EACCES) {
    const missing = missingCapabilities()
    const lacks = missing.length > 0 ? `the process lacks ${missing.join(', ')}` : 'something forbids it'
    return new NicError(
      'ZCRX_NIC_PERMISSION',
      `${call} on ${device} is not permitted, ${lacks}`,
      missing.length > 0
        ? 'run as root or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF'
        : 'look at seccomp, lockdown and LSM policies (dmesg)',
      errno,
    )
  }
  if (errno === ERRNO.ENODEV || errno === ERRNO.ENXIO) {
    return new NicError('ZCRX_NIC_NO_DEVICE', `there is no interface ${device} (any more)`, 'ip link', errno)
  }
  if (errno === ERRNO.ENETDOWN) return interfaceDown(device, errno)
  return new NicError('ZCRX_NIC_SYSTEM', `${call} on ${device} failed with ${errnoName(errno)}`, '', errno)
}

export function interfaceDown(device: string, errno = 0): NicError {
  return new NicError(
    'ZCRX_NIC_DOWN',
    `the interface ${device} is down`,
    `ip link set dev ${device} up`,
    errno,
  )
}

/** @throws NicError when no interface can have that name */
export function checkDeviceName(device: string): void {
  if (device === '' || device.length > 15 || /[\s/\0]/.test(device)) {
    throw new NicError(
      'ZCRX_NIC_NO_DEVICE',
      `${JSON.stringify(device)} can't be the name of an interface`,
      'ip link',
    )
  }
}

/** Facts about an interface that must be there. @throws NicError */
export function linkInfo(native: Native, device: string): LinkInfo {
  checkDeviceName(device)
  const facts = native.linkInfo(device)
  if (typeof facts !== 'number') return facts
  if (facts !== -ERRNO.ENODEV) throw systemFailure(facts, 'RTM_GETLINK', device)
  throw new NicError(
    'ZCRX_NIC_NO_DEVICE',
    `there is no interface ${device} in this network namespace`,
    'ip link shows those there are',
    ERRNO.ENODEV,
  )
}

/**
 * When a process of this PID namespace was started, in clock ticks since the machine was; undefined when there is no such
 * process. With its number it tells a process from every other (proc(5), `stat`).
 */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold anything. Field 3 follows it, the start time is field 22.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/**
 * Runs `work` with the calling thread in another network namespace. Sockets stay where they were made, so nothing later
 * needs this. @param path such as `/run/netns/blue`; undefined for the namespace the thread is in
 */
export function inNamespace<T>(native: Native, path: string | undefined, work: () => T): T {
  if (path === undefined) return work()
  const here = openSync('/proc/thread-self/ns/net', 'r')
  let there = -1
  try {
    try {
      there = openSync(path, 'r')
    } catch (error) {
      const errno = -((error as NodeJS.ErrnoException).errno ?? 0)
      const remedy = 'ip netns list shows those with a name'
      throw new NicError('ZCRX_NIC_NO_DEVICE', `there is no network namespace ${path}`, remedy, errno)
    }
    const entered = native.setNetns(there)
    if (entered < 0) throw systemFailure(entered, 'setns', path)
    try {
      return work()
    } finally {
      native.setNetns(here)
    }
  } finally {
    closeSync(here)
    if (there >= 0) closeSync(there)
  }
}

/** Processes that hold an XDP link of this program, as `pid 42 (name)`. Only what /proc lets us see. */
export function holdersOfProgram(programId: number): string[] {
  const holders: string[] = []
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const holds = readdirSync(`/proc/${pid}/fdinfo`).some((fd) =>
        isLinkOf(`/proc/${pid}/fdinfo/${fd}`, programId),
      )
      if (holds) holders.push(`pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`)
    } catch {
      // gone meanwhile, or not ours to look into
    }
  }
  return holders
}

function isLinkOf(path: string, programId: number): boolean {
  try {
    const text = readFileSync(path, 'utf8')
    return /^link_type:\s*xdp$/m.test(text) && new RegExp(`^prog_id:\\s*${programId}$`, 'm').test(text)
  } catch {
    return false
  }
}
