import type { IpAddress } from '../../address.ts'
import type { Stack } from '../../stack/stack.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import type { Addresser, Sqe } from '../abi/sqe.ts'
import type { AddressSpace } from './address-space.ts'
import type { AreaHost } from './area-memory.ts'
import type { DirectTargets } from './direct.ts'
import type { EventPort } from './events.ts'
import type { OpenFile, Waiter } from './files.ts'
import type { FixedFiles, TagPort } from './fixed-files.ts'
import type { Personalities } from './personality.ts'
import type { Ports } from './ports.ts'
import type { Process } from './process.ts'
import type { Request, RequestPort } from './request.ts'
import type { SocketHost } from './socket.ts'
import type { KernelTimers } from './timers.ts'
import type { ZcrxHost, ZcrxIfq } from './zcrx.ts'

/** What opcodes and registrations see of the kernel: `Kernel` says more of each. */
export interface KernelPort extends AreaHost, SocketHost, ZcrxHost {
  readonly timers: KernelTimers
  readonly now: number
  readonly ports: Ports
  readonly stacks: readonly Stack[]
  /** CAP_NET_ADMIN. */
  readonly capable: boolean
  /** GETSOCKOPT reads more than SOL_SOCKET. */
  readonly readsEveryLevel: boolean
  /** Interfaces without a NIC opened here, by index. */
  readonly interfaces: ReadonlyMap<number, { readonly dma: boolean }>
  readonly deviceIfqs: readonly ZcrxIfq[]
  holdersOf(ifq: ZcrxIfq): string
  stackFor(address: IpAddress): Stack | null
  /** @throws NicError */
  steer(stack: Stack, address: IpAddress, port: number, v6Only: boolean): void
  steerConnection(stack: Stack, tcb: Tcb): void
}

/** A ring that a descriptor names, as others see it. */
export interface RingFile extends OpenFile, TagPort {
  readonly kind: 'ring'
  /** IORING_SETUP_* */
  readonly flags: number
  /** Set up with R_DISABLED and not enabled yet. */
  readonly disabled: boolean
  readonly files: FixedFiles
  /** Its completion queue, and who waits for something to be there. */
  readonly cq: { readonly pollers: Waiter[] }
  /** What poll(2) says of it. */
  pollEvents(): number
}

export function isRing(file: OpenFile): file is RingFile {
  return file.kind === 'ring'
}

/** What opcodes and registrations see of a ring: `RingContext` says more of each. */
export interface RingPort extends RequestPort, RingFile, EventPort, Addresser {
  readonly kernel: KernelPort
  /** Whose it is. */
  readonly process: Process
  /** What the addresses in its entries and structures are addresses in: its process's. */
  readonly space: AddressSpace
  /** Task work waits for the application to ask for events. */
  readonly deferred: boolean
  disabled: boolean
  /** Requests without their last completion, oldest first. */
  readonly active: Iterable<Request>
  readonly personalities: Personalities
  /** Interface queues by zcrx id. */
  readonly ifqs: readonly ZcrxIfq[]
  /** Where their data completions go straight from a burst. */
  readonly direct: DirectTargets
  /** An instance that this ring holds from now on. Returns its id here. */
  addIfq(ifq: ZcrxIfq): number
  /** What an entry works on; null when it names nothing. */
  fileOf(sqe: Sqe): OpenFile | null
}
