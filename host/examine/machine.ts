import { closeSync, openSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import { loadNative, type Native, nativeOrNull } from '../../driver/native/index.ts'
import { packetSocketRefused } from '../../driver/packet/socket.ts'
import { loadRawSocket } from '../../driver/raw/package.ts'
import { capabilities, memlockLimits } from '../../driver/system.ts'
import { probeProgram } from '../../driver/xdp/hook.ts'
import { openSocket } from '../../driver/xdp/socket.ts'
import { type Obstacle, read } from './read.ts'
import { type ZcrxSupport, zcrxSupport } from './zcrx-support.ts'

export { list, type Obstacle, read } from './read.ts'

/** What the machine and the process offer whatever the interface is. */
export interface MachineFacts {
  /** Release of the kernel, `6.6.12-generic`. */
  readonly kernel: string
  /** Path of the program that would need the capabilities. */
  readonly node: string
  readonly addon: Obstacle
  /** Effective capabilities, `CAP_NET_ADMIN` …, of those that matter. */
  readonly capabilities: ReadonlySet<string>
  /** RLIMIT_MEMLOCK in bytes; Infinity when there is none. */
  readonly memlock: { readonly soft: number; readonly hard: number }
  /** An AF_XDP socket, tried. */
  readonly xdpSocket: Obstacle
  /** The XDP program and its maps, tried: loaded, put nowhere. */
  readonly xdpProgram: Obstacle
  /** An AF_PACKET socket, tried. */
  readonly packetSocket: Obstacle
  /** The package raw-socket, tried. */
  readonly rawPackage: Obstacle
  /** /dev/net/tun, tried. */
  readonly tun: Obstacle
  /** Linux's own zero-copy receive. */
  readonly zcrx: ZcrxSupport
  readonly hugePages: { readonly total: number; readonly free: number; readonly bytes: number }
  /** Transparent huge pages: `always`, `madvise`, `never`; empty when the kernel has none. */
  readonly transparentHugePages: string
  /** CPUs of the machine, and how many of them the process may use. */
  readonly cpus: number
  readonly cores: number
}

/** Tries what can be tried without disturbing anybody. Never throws. */
export function machineFacts(): MachineFacts {
  const native = nativeOrNull()
  const addon = obstacleOf(() => void loadNative())
  const withAddon = (work: (native: Native) => void): Obstacle =>
    native === null
      ? { message: 'not tried: there is no addon', fix: addon?.fix ?? '' }
      : obstacleOf(() => work(native))
  return {
    kernel: release(),
    node: process.execPath,
    addon,
    capabilities: capabilities(),
    memlock: memlockLimits(),
    xdpSocket: withAddon((addon) => void addon.close(openSocket(addon, 'this machine'))),
    xdpProgram: withAddon(probeProgram),
    packetSocket: withAddon(tryPacketSocket),
    rawPackage: obstacleOf(() => void loadRawSocket()),
    tun: tryTun(),
    zcrx: zcrxSupport(),
    hugePages: hugePages(),
    transparentHugePages: /\[(\w+)\]/.exec(read('/sys/kernel/mm/transparent_hugepage/enabled'))?.[1] ?? '',
    cpus: cpus().length,
    cores: availableParallelism(),
  }
}

/** What `work` throws, as an obstacle. */
export function obstacleOf(work: () => void): Obstacle {
  try {
    work()
    return null
  } catch (error) {
    const { message, remedy = '' } = error as Error & { remedy?: string }
    const tail = `: ${remedy}`
    return { message: message.endsWith(tail) ? message.slice(0, -tail.length) : message, fix: remedy }
  }
}

function tryPacketSocket(native: Native): void {
  const fd = native.packetSocket()
  if (fd < 0) throw packetSocketRefused(fd, 'this machine')
  native.close(fd)
}

/** Opening it makes no device: TUNSETIFF does. */
function tryTun(): Obstacle {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'))
    return null
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    return {
      message: `/dev/net/tun can't be opened (${code})`,
      fix: code === 'EACCES' || code === 'EPERM' ? 'sudo chmod 0666 /dev/net/tun' : 'sudo modprobe tun',
    }
  }
}

/** Of 2 MiB, which is what areas take. */
function hugePages(): MachineFacts['hugePages'] {
  const folder = '/sys/kernel/mm/hugepages/hugepages-2048kB'
  const number = (name: string): number => Number(read(`${folder}/${name}`)) || 0
  return { total: number('nr_hugepages'), free: number('free_hugepages'), bytes: 2 << 20 }
}
