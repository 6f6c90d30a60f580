import type { TransferListItem } from 'node:worker_threads'
import { ArgumentError, ZcrxError } from '../errors.ts'
import { DEFAULT_AREA_BYTES } from '../pages.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import {
  IORING_SETUP_CQE32,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
} from '../uapi/abi/io-uring.ts'
import type { QueueTicket, QueueWorker } from '../uapi/backend/worker/host.ts'
import { bytesOf, type Piece, pieceOf } from '../uapi/backend/worker/piece.ts'
import { WorkerQueue } from '../uapi/backend/worker/queue.ts'
import type { RingBackend } from '../uapi/ring/backend.ts'
import { Ifq } from '../uapi/ring/ifq.ts'
import { RefillQueue } from '../uapi/ring/refill-queue.ts'
import { Ring } from '../uapi/ring/ring.ts'
import { type AreaOptions, registerArea } from './register-area.ts'
import { SharedSystem, type SystemView } from './shared-system.ts'
import {
  type AreaPart,
  copies,
  type Instance,
  type OpenOptions,
  openSystems,
  type SocketCalls,
  type System,
  type Systems,
  workersOf,
} from './system.ts'

const RING_FLAGS = IORING_SETUP_CQE32 | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER

/** What a host is opened with: the device, and the memory that all of its servers and clients receive into. */
export interface OpenHostOptions extends Omit<OpenOptions, 'host'>, AreaOptions {}

/** A registered instance, as another thread is told of it. */
interface InstanceTicket {
  /** What its descriptor was handed over under. */
  readonly token: number
  readonly area: Piece
  /** Where in it this queue's own memory begins, and how much it is. */
  readonly base: number
  readonly bytes: number
  readonly region: Piece
  readonly offsets: RefillQueue['offsets']
  readonly rqEntries: number
  readonly rxBufLen: number
  readonly lock: SharedArrayBuffer
}

/** A way to a host for one more thread. */
export interface HostTicket {
  /** To be sent there, in `workerData` or by `postMessage`; for `attachHost`, once. */
  readonly value: { readonly queues: readonly QueueTicket[]; readonly instances: readonly InstanceTicket[] }
  /** What has to be transferred with it. */
  readonly transferList: TransferListItem[]
}

/**
 * Open queues with memory registered on each, for any number of servers and clients: `createServer({ host, … })`, on this thread or, with
 * workers, on any other that was given a ticket. Received data lies in one area; whoever got a piece gives it back.
 */
export class OpenedHost implements Systems {
  readonly #systems: readonly System[]
  readonly #shares: readonly SharedSystem[]
  readonly #instances: readonly SharedInstance[]
  readonly #end: () => Promise<void>
  #closed: Promise<void> | null = null

  /** @internal use `openHost` or `attachHost` */
  constructor(systems: readonly System[], instances: readonly SharedInstance[], end: () => Promise<void>) {
    this.#systems = systems
    this.#shares = systems.map((system) => new SharedSystem(system))
    this.#instances = instances
    this.#end = end
  }

  /** A view of each queue for one more server or client. */
  get queues(): readonly SystemView[] {
    return this.#shares.map((share) => share.view())
  }

  /** Null on the machine's own stack without an interface: there each server and client has memory of its own. */
  get instances(): readonly Instance[] | null {
    return this.#instances.length === 0 ? null : this.#instances
  }

  areas(): null {
    return null
  }

  /** Addresses that can be used now. */
  get addresses(): string[] {
    return this.#systems[0]!.addresses.map(String)
  }

  /** What lies in it was received: by `offset` of `onData`. @throws ArgumentError on `linux:`, where each server has its own */
  get area(): Uint8Array {
    const [first] = this.#instances
    if (first !== undefined) return first.whole
    throw new ArgumentError('ordinary sockets share no area', 'use the area of the server')
  }

  /**
   * A way to the host for another thread: `new Worker(file, { workerData: ticket.value, transferList: ticket.transferList })`, and there
   * `attachHost(workerData)`. What that thread has open ends with it. @throws ArgumentError for a host without workers
   */
  ticket(): HostTicket {
    const workers = workersOf(this.#systems)
    if (workers === null)
      throw new ArgumentError(
        'a host without workers is its thread’s alone',
        'open it with workers: 1 or more',
      )
    const tickets = workers.map((worker) => worker.ticket())
    return {
      value: {
        queues: tickets.map(({ ticket }) => ticket),
        instances: this.#instances.map((instance) => instance.ticket()),
      },
      transferList: tickets.flatMap(({ transfer }) => transfer),
    }
  }

  /** The worker of each queue, for the thread that opened the host; none without workers, and elsewhere. */
  get workers(): readonly QueueWorker[] {
    return workersOf(this.#systems) ?? []
  }

  /** Gives queues and memory back. Close servers and clients first. Of an attached host only what this thread has. */
  close(): Promise<void> {
    this.#closed ??= this.#closeNow()
    return this.#closed
  }

  #closeNow(): Promise<void> {
    for (const instance of this.#instances) instance.close()
    return this.#end()
  }
}

/** An instance that several rings hold. */
class SharedInstance implements Instance {
  readonly whole: Uint8Array
  readonly base: number
  readonly #bytes: number
  readonly #ifq: Ifq
  readonly #lock: SharedArrayBuffer
  readonly #token: number
  /** A descriptor for it, to import from. */
  readonly #fd: () => number
  readonly #close: () => void

  constructor(
    part: AreaPart & { bytes: number },
    ifq: Ifq,
    lock: SharedArrayBuffer,
    handle: { token: number; fd: () => number; close: () => void },
  ) {
    this.whole = part.whole
    this.base = part.base
    this.#bytes = part.bytes
    this.#ifq = ifq
    this.#lock = lock
    this.#token = handle.token
    this.#fd = handle.fd
    this.#close = handle.close
  }

  join(ring: Ring): Ifq | number {
    const fd = this.#fd()
    return fd < 0 ? fd : ring.importIfq(fd, this.#ifq)
  }

  ticket(): InstanceTicket {
    const { rq, rxBufLen } = this.#ifq
    return {
      token: this.#token,
      area: pieceOf(this.whole),
      base: this.base,
      bytes: this.#bytes,
      region: pieceOf(rq.region),
      offsets: rq.offsets,
      rqEntries: rq.entries,
      rxBufLen,
      lock: this.#lock,
    }
  }

  close(): void {
    this.#close()
  }
}

/**
 * Opens a device for any number of servers and clients, and registers the memory that they receive into.
 * @throws NicError, ArgumentError with what to do about it
 */
export async function openHost(options: OpenHostOptions): Promise<OpenedHost> {
  const systems = await openSystems(options)
  const instances: SharedInstance[] = []
  try {
    const bytes = options.areaBytes ?? DEFAULT_AREA_BYTES
    const parts = systems.areas(bytes)
    for (const [i, system] of systems.queues.entries())
      if (!copies(system)) instances.push(register(system, options, bytes, parts?.[i] ?? null))
    return new OpenedHost(systems.queues, instances, () => systems.close())
  } catch (error) {
    for (const instance of instances) instance.close()
    await systems.close()
    throw error
  }
}

/** A ring that holds the instance for the host's lifetime. */
function register(
  system: System,
  options: OpenHostOptions,
  bytes: number,
  part: AreaPart | null,
): SharedInstance {
  const backend = system.ringBackend()
  const ring = Ring.queueInit(8, { ringBackend: () => backend }, { flags: RING_FLAGS })
  try {
    const whole = part?.whole ?? ring.allocateArea(bytes)
    const base = part?.base ?? 0
    const registered = registerArea(ring, system.nic.info, options, whole.subarray(base, base + bytes))
    const fd = ring.exportIfq(registered.zcrxId)
    if (fd < 0) throw new ZcrxError('ZCRX_REGISTER', `the interface queue can't be shared: ${errnoName(fd)}`)
    const lock = new SharedArrayBuffer(4)
    const ifq = sharedIfq(registered, lock)
    system.sockets?.opened(fd)
    const close = (): void => {
      if (system.sockets !== undefined) closeDescriptor(system.sockets, ring, fd)
      ring.queueExit()
    }
    const handle = { ...handleOf(system, backend, fd), close }
    return new SharedInstance({ whole, base, bytes }, ifq, lock, handle)
  } catch (error) {
    ring.queueExit()
    throw error
  }
}

/** Of what was exported on Linux, where it keeps the queue behind the ring. */
function closeDescriptor(sockets: SocketCalls, ring: Ring, fd: number): void {
  sockets.closing(fd)
  ring.getSqe()!.prepClose(fd)
  ring.submitAndWait(1)
}

/** How others get at what was exported: another descriptor of this thread's kernel, or whatever the worker hands out. */
function handleOf(system: System, backend: RingBackend, fd: number): { token: number; fd: () => number } {
  if (!(system instanceof WorkerQueue) || !('hand' in backend)) return { token: 0, fd: () => fd }
  const token = (backend as RingBackend & { hand(fd: number): number }).hand(fd)
  if (token < 0)
    throw new ZcrxError('ZCRX_REGISTER', `the interface queue can't be shared: ${errnoName(token)}`)
  return { token, fd: () => system.about.take(token) }
}

/** The instance, its refill queue under a lock. */
function sharedIfq({ zcrxId, areas, rq, rxBufLen, copyStats }: Ifq, lock: SharedArrayBuffer): Ifq {
  const shared = new RefillQueue(rq.region, rq.offsets, rq.entries, new Int32Array(lock))
  return new Ifq(null, zcrxId, { areas, rq: shared, rxBufLen, copyStats })
}

/** Uses a host that another thread has opened. @param ticket what `OpenedHost.ticket` gave there: its `value`, once */
export function attachHost(ticket: HostTicket['value']): OpenedHost {
  const queues = ticket.queues.map(({ index, link, state }) => new WorkerQueue(index, link, state))
  const instances = ticket.instances.map((instance, i) => {
    const { token, area, base, bytes, region, offsets, rqEntries, rxBufLen, lock } = instance
    const rq = new RefillQueue(bytesOf(region), offsets, rqEntries, new Int32Array(lock))
    const whole = bytesOf(area)
    const ifq = new Ifq(null, 0, {
      areas: [whole.subarray(base, base + bytes)],
      rq,
      rxBufLen,
      copyStats: null,
    })
    return new SharedInstance({ whole, base, bytes }, ifq, lock, {
      token,
      fd: () => queues[i]!.about.take(token),
      close: () => {},
    })
  })
  return new OpenedHost(queues, instances, () => {
    for (const queue of queues) queue.close()
    return Promise.resolve()
  })
}
