import type { ResourceLimits } from 'node:worker_threads'
import type { IpAddress } from '../address.ts'
import { allocateShared } from '../driver/area.ts'
import type { Nic } from '../driver/nic.ts'
import { ArgumentError, type NicError } from '../errors.ts'
import {
  isLinuxDevice,
  openDevice,
  parseLinuxDevice,
  planQueues,
  type QueueRequest,
} from '../host/devices/index.ts'
import type { AddressesChange, StackReport } from '../host/interface.ts'
import type { HostOptions } from '../host/options.ts'
import { DEFAULT_AREA_BYTES, PAGE } from '../pages.ts'
import { Host } from '../uapi/backend/host.ts'
import { LinuxSystem } from '../uapi/backend/linux/system.ts'
import { openWorkers, type QueueWorker } from '../uapi/backend/worker/host.ts'
import type { NicModule, ThreadData } from '../uapi/backend/worker/messages.ts'
import type { NicView, WorkerQueue } from '../uapi/backend/worker/queue.ts'
import type { RingBackend, RingHost } from '../uapi/ring/backend.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import type { Ring } from '../uapi/ring/ring.ts'
import { microseconds } from './busy-poll.ts'

/** Sockets of the operating system's by calls of their own, for what its rings have no entry for, or not on every kernel. */
export interface SocketCalls {
  /** A TCP socket that listens: its descriptor, or minus errno. @param options level, name and value of each, set before it is bound */
  listen(
    sockaddr: Uint8Array,
    options: readonly (readonly [number, number, number])[],
    backlog: number,
  ): number
  /** getsockname(2). 0 or minus errno. */
  name(fd: number, sockaddr: Uint8Array): number
  /** setsockopt(2). 0 or minus errno. */
  setOption(fd: number, level: number, name: number, value: Uint8Array): number
  /** shutdown(2). 0 or minus errno. */
  shutdown(fd: number, how: number): number
  /** An entry of a ring has opened a descriptor, or is about to close it. */
  opened(fd: number): void
  closing(fd: number): void
}

/** What a server or a client runs on: a queue of an interface with its addresses, and the other sides of rings. */
export interface System extends RingHost {
  readonly nic: NicView
  /** The first address, and all that can be used now. */
  readonly address: IpAddress
  readonly addresses: readonly IpAddress[]
  /** Where a server listens that was not told: the one address, or the wildcard for several. */
  readonly listenAddress: IpAddress
  /** Whether `ready` is still open, which resolves when every address can be used. */
  readonly pending: boolean
  readonly ready: Promise<void>
  /** What a user should know of how it can be reached, for people. */
  readonly notes: readonly string[]
  /** Called once when the device, or whoever serves it, went away: `ZCRX_NIC_GONE`, `ZCRX_WORKER_GONE`. */
  onGone: (error: NicError) => void
  /** Called when the addresses of the interface were followed. */
  onAddresses: (change: AddressesChange) => void
  /** What it has counted. */
  report(): StackReport
  /** Where descriptors are the operating system's; it tells nothing of buffers, and without an interface it copies what is received. */
  readonly sockets?: SocketCalls | undefined
  /** Of a queue that others use as well: whoever had this view of it has done with it. */
  leave?(): void
}

/** Ordinary sockets: what is received is copied to wherever a program wants it, and nothing is registered. */
export function copies({ sockets, nic }: System): boolean {
  return sockets !== undefined && nic.info.ifIndex === 0
}

/** Who has registered an instance: the ring and its other side, and what lies where. */
export interface Registrant {
  readonly ring: Ring
  readonly backend: RingBackend
  /** Null where data is received by copying. */
  readonly ifq: Ifq | null
  readonly area: Uint8Array
  readonly base: number
  readonly closed: boolean
}

/** The memory of an engine that has a part of something larger: the whole, and where its own begins. */
export interface AreaPart {
  readonly whole: Uint8Array
  readonly base: number
}

/** Something that is registered already, and shared. */
export interface Instance extends AreaPart {
  /** The ring holds it too from now on. Minus errno when it can't. */
  join(ring: Ring): Ifq | number
}

/** The queues of an interface, open. */
export interface Systems {
  readonly queues: readonly System[]
  /** What is registered there already, queue by queue; null: whoever has a ring registers memory of his own. */
  readonly instances: readonly (Instance | null)[] | null
  /** Memory for each queue, where there are several; null: rings allocate it. @param bytes of each */
  areas(bytes: number): readonly AreaPart[] | null
  /** Somebody has registered memory of his own on a queue, which others may want to share. */
  registered?(queue: number, by: Registrant): void
  /** Gives everything back. Close the rings first. Queues are given back when it returns, all else when it resolves. */
  close(): Promise<void>
}

/** What queues are opened with. */
export interface OpenOptions extends Omit<HostOptions, 'device'> {
  /** `xdp:eth0`, `xdp:eth0/0-3`, `linux:eth0/5`, …, an open NIC, or with workers a module that opens one on the worker's thread. Not with `host`. */
  readonly device?: string | Nic | NicModule
  /** Queues that are open already: what `openHost` or `attachHost` gave. It stays open, and its memory is shared. */
  readonly host?: Systems
  /**
   * So many threads, each with a queue of the device, its stack and the kernel's side of rings; `queues`: one for each queue there is.
   * Default: none, all is done on this thread.
   */
  readonly workers?: number | 'queues'
  /**
   * Whose the stack and the kernel's side of rings are: `zcrx` a stack of this package's, on the device; `linux` the machine's, with
   * rings of its own. Default: what `device` says, `linux` for `linux:…`.
   */
  readonly backend?: 'zcrx' | 'linux'
  /** So long (microseconds) a worker goes on looking when there is nothing to do, before it sleeps; Infinity: it never does. Default 50. */
  readonly spinUs?: number
  /** Of each worker's thread: `new Worker`'s, as they are there. A worker that exceeds them ends, and its connections with it. */
  readonly resourceLimits?: ResourceLimits
  /** Bytes of the area received data lies in, of each queue; default 64 MiB. */
  readonly areaBytes?: number
  /** Opens what to run on. @internal */
  readonly system?: (options: HostOptions) => System & { close(): void }
}

/**
 * Opens what is there on this machine: a stack of this package's, on this thread or on threads of its own.
 * @throws NicError, ArgumentError; of workers the promise is rejected
 */
export function openSystems(options: OpenOptions): Systems | Promise<Systems> {
  const { device, host, workers } = options
  if (host !== undefined) {
    if (device !== undefined || workers !== undefined)
      throw new ArgumentError(
        'an open host has its device and its workers already',
        'leave out device and workers',
      )
    return host
  }
  if (typeof device === 'string' && isLinuxDevice(device)) return openLinux(options, device)
  if (options.backend === 'linux')
    throw new ArgumentError(
      `${typeof device === 'string' ? `"${device}"` : 'this device'} is not one of Linux’s own rings`,
      "device: 'linux:eth0/5' for zero-copy receive on a queue, 'linux:' for ordinary sockets",
    )
  if (device === undefined)
    throw new ArgumentError('no device to open', "give device, as in 'xdp:eth0', or a host that is open")
  if (workers === undefined) return openInline(options, device)
  return openWorkers(threadsOf(options, device, workers)).then((opened) => new WorkerSystems(opened))
}

/** The machine's own stack. @throws ArgumentError for what is of ours */
function openLinux(options: OpenOptions, device: string): Systems {
  if (options.backend !== undefined && options.backend !== 'linux')
    throw new ArgumentError(
      `"${device}" has no other back end than Linux`,
      "leave backend out, or say 'linux'",
    )
  const { workers, address, ownAddress, tcp, ip } = options
  if (workers !== undefined)
    throw new ArgumentError(
      'rings of Linux need no workers: the kernel’s side is in the kernel',
      'leave workers out; for more cores have several processes or threads listen on one port',
    )
  const ours = Object.entries({ address, ownAddress, tcp, ip }).find(([, value]) => value !== undefined)
  if (ours !== undefined)
    throw new ArgumentError(
      `${ours[0]} is about a stack of ours, and "${device}" is the machine’s`,
      'leave it out; ip(8) and sysctl(8) set the machine’s up',
    )
  const system = new LinuxSystem(parseLinuxDevice(device))
  return {
    queues: [system],
    instances: null,
    areas: () => null,
    close: () => Promise.resolve(system.close()),
  }
}

function openInline(options: OpenOptions, device: NonNullable<OpenOptions['device']>): Systems {
  if (typeof device === 'object' && 'module' in device)
    throw new ArgumentError('a module opens its NIC on the thread of a worker', 'say how many: workers: 1')
  const { areaBytes = DEFAULT_AREA_BYTES, system: open = Host.open } = options
  const system = open({
    ...options,
    device: typeof device === 'string' ? openDevice(device, { areaBytes }) : device,
  })
  return {
    queues: [system],
    instances: null,
    areas: () => null,
    close: () => Promise.resolve(system.close()),
  }
}

/** What each worker is started with. @throws ArgumentError for what can't go to another thread */
function threadsOf(
  options: OpenOptions,
  device: NonNullable<OpenOptions['device']>,
  workers: number | 'queues',
): ThreadData[] {
  if (typeof device === 'object' && !('module' in device))
    throw new ArgumentError(
      'an open NIC stays on the thread that opened it',
      "name the device ('xdp:eth0/0-3'), or a module that opens it: { module, data }",
    )
  if (options.clock !== undefined)
    throw new ArgumentError('a clock stays on its thread', 'leave it out: workers have the machine’s')
  if (workers !== 'queues' && !(Number.isInteger(workers) && workers >= 1 && workers <= 255))
    throw new ArgumentError(`${workers} is no number of workers`, "say 1 to 255, or 'queues'")
  const { areaBytes, spinUs, resourceLimits } = options
  const { address, ownAddress, dad, prefixLength, gateway, tcp, ip, burst, takeOver, secretFile } = options
  const cloneable = { address, ownAddress, dad, prefixLength, gateway, tcp, ip, burst, takeOver, secretFile }
  const given = Object.fromEntries(Object.entries(cloneable).filter(([, value]) => value !== undefined))
  const devices = devicesOf(device, workers)
  return devices.map((each, index) => ({
    options: given,
    device: each,
    index,
    count: devices.length,
    ...(areaBytes === undefined ? {} : { areaBytes }),
    ...(spinUs === undefined ? {} : { spinUs: microseconds(spinUs, 'spinUs') }),
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  }))
}

const OWNED = new WeakMap<System, QueueWorker>()

/** What each worker opens. @throws ArgumentError when there are not so many queues */
function devicesOf(device: string | NicModule, workers: number | 'queues'): (QueueRequest | NicModule)[] {
  if (typeof device === 'string') return planQueues(device, workers)
  return Array.from({ length: workers === 'queues' ? (device.count ?? 1) : workers }, () => device)
}

/** Queues of workers that this thread has started. */
class WorkerSystems implements Systems {
  readonly instances = null
  readonly #workers: readonly QueueWorker[]

  constructor(workers: readonly QueueWorker[]) {
    this.#workers = workers
    for (const worker of workers) OWNED.set(worker.queue, worker)
  }

  get queues(): readonly WorkerQueue[] {
    return this.#workers.map(({ queue }) => queue)
  }

  areas(bytes: number): readonly AreaPart[] | null {
    return partsFor(this.queues, bytes)
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) worker.close()
    await Promise.all(this.#workers.map(({ ended }) => ended))
  }
}

/** One memory for all queues, so that an offset says where a byte is, whichever queue it came by; null for one queue. */
function partsFor(queues: readonly WorkerQueue[], bytes: number): readonly AreaPart[] | null {
  if (queues.length === 1) return null
  const tail = Math.max(...queues.map(({ info }) => info.tailBytes))
  const stride = Math.ceil(bytes / PAGE) * PAGE + Math.ceil(tail / PAGE) * PAGE
  const whole = allocateShared(stride * queues.length - tail, tail)
  return queues.map((_, i) => ({ whole, base: i * stride }))
}

/** The workers of queues that this thread has started; null where there are none. */
export function workersOf(systems: readonly System[]): readonly QueueWorker[] | null {
  const workers = systems.map((system) => OWNED.get(system))
  return workers.some((worker) => worker === undefined) ? null : (workers as QueueWorker[])
}

/** What is closed with whoever uses it: nothing of a host that the program has opened. */
export function ownedBy({ host }: OpenOptions, systems: Systems): Systems {
  if (host === undefined) return systems
  const { queues } = systems
  return {
    queues,
    get instances() {
      return systems.instances
    },
    areas: (bytes) => systems.areas(bytes),
    registered: (queue, by) => systems.registered?.(queue, by),
    close: () => {
      for (const queue of queues) queue.leave?.()
      return Promise.resolve()
    },
  }
}
