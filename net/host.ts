import { EventEmitter } from 'node:events'
import type { TransferListItem } from 'node:worker_threads'
import { type Census, sumOfCensus } from '../diagnostics.ts'
import { ArgumentError, type NicError } from '../errors.ts'
import type { QueueTicket, QueueWorker } from '../uapi/backend/worker/host.ts'
import { WorkerQueue } from '../uapi/backend/worker/queue.ts'
import { tell } from './channels.ts'
import type { Connection } from './connection.ts'
import type { BufferLimits } from './connection-requests.ts'
import { Dialer, type DialOptions } from './dialer.ts'
import { Driving } from './driving.ts'
import type { EngineOptions } from './engine.ts'
import { checkSignal } from './options.ts'
import { Server } from './server.ts'
import type { ServerOptions } from './server-types.ts'
import { attachInstance, type InstanceTicket, type SharedInstance, share } from './shared-instance.ts'
import { SharedSystem, type SystemView } from './shared-system.ts'
import {
  type AreaPart,
  copies,
  type Instance,
  type OpenOptions,
  ownedBy,
  type Registrant,
  type System,
  type Systems,
  workersOf,
} from './system.ts'
import type { UserArea } from './user-area.ts'

/** How long (ms) a host that ends goes on for what connections have sent that nobody has acknowledged. */
const LINGER_MS = 2000

/** What a host is opened with: the device, and the memory that all of its servers and connections receive into. */
export interface OpenHostOptions extends Omit<EngineOptions, 'host'>, BufferLimits {
  /**
   * Memory to receive into, of the program's choice: a module of WebAssembly, or threads of its own, find received data there in place. A
   * `WebAssembly.Memory` is grown by what is needed, and the area lies behind what it had; other memory is used from its beginning on, and has
   * to have room behind the area for what the device sends. With workers it has to be shared. Default: memory of its own.
   */
  readonly area?: UserArea
  /** Gives up opening, and rejects with an `AbortError`; behind that it does nothing. */
  readonly signal?: AbortSignal | undefined
}

/** What a server on an open host is made with. */
export type HostListenOptions = Omit<ServerOptions, keyof OpenOptions | 'area'>

/** Events of a host, and what they are told. */
export interface HostEvents {
  /** The device went away, or the last worker: connections have ended with ENODEV, and the host is only good for `close`. */
  error: [error: NicError]
  /** Everything was given back. */
  close: []
}

/** A way to a host for one more thread. */
export interface HostTicket {
  /** To be sent there, in `workerData` or by `postMessage`; for `attachHost`, once. */
  readonly value: { readonly queues: readonly QueueTicket[]; readonly instances: readonly InstanceTicket[] }
  /** What has to be transferred with it. */
  readonly transferList: TransferListItem[]
}

/** What a host is made of. */
export interface HostParts {
  readonly systems: readonly System[]
  readonly instances: readonly SharedInstance[]
  /** Memory of the program's for servers that have none together; for one of them. */
  readonly parts: readonly AreaPart[] | null
  /** Of connections that go out. */
  readonly options: EngineOptions & BufferLimits
  /** Gives the queues back. */
  end(): Promise<void>
}

/**
 * Open queues with memory registered on each, for any number of servers and connections, on this thread or, with workers, on any other
 * that was given a ticket. Received data lies in one area; whoever got a piece gives it back.
 */
export class OpenedHost extends EventEmitter<HostEvents> implements Systems {
  readonly #systems: readonly System[]
  readonly #shares: readonly SharedSystem[]
  /** What several rings share, by queue. */
  readonly #instances: (SharedInstance | null)[]
  /** Who has registered memory of his own. */
  readonly #registrants: (Registrant | null)[]
  readonly #parts: readonly AreaPart[] | null
  readonly #end: () => Promise<void>
  readonly #servers = new Set<Server>()
  readonly #dialer: Dialer
  readonly #driving: readonly Driving[]
  /** Queues that are gone. */
  #gone = 0
  #closed: Promise<void> | null = null

  /** @internal use `openHost` or `attachHost` */
  constructor({ systems, instances, parts, options, end }: HostParts) {
    super()
    this.#systems = systems
    this.#shares = systems.map((system) => new SharedSystem(system))
    this.#instances = systems.map((_, i) => instances[i] ?? null)
    this.#registrants = systems.map(() => null)
    this.#parts = parts
    this.#end = end
    this.#driving = systems.map((system) => new Driving(system))
    this.#dialer = new Dialer(this, options, () => this.#settle())
    for (const share of this.#shares)
      share.view().onGone = (error) => {
        if (++this.#gone < systems.length) return
        tell('host:gone', { error })
        if (this.listenerCount('error') > 0) setImmediate(() => this.emit('error', error))
      }
  }

  /** A view of each queue for one more server or client. */
  get queues(): readonly SystemView[] {
    return this.#shares.map((share) => share.view())
  }

  /**
   * What is registered already. The first on a queue registers it for himself, which is fastest; when another comes, both share it. On the
   * machine's own stack without an interface each server and client has memory of its own.
   */
  get instances(): readonly (Instance | null)[] {
    for (const [i, registrant] of this.#registrants.entries()) {
      if (this.#instances[i] !== null || registrant === null || registrant.closed) continue
      if (registrant.ifq !== null) this.#instances[i] = share(this.#systems[i]!, registrant)
      else if (this.#parts !== null)
        throw new ArgumentError(
          'ordinary sockets share no area, and the one of the host is taken',
          'open the host without area: each server has its own then',
        )
    }
    return this.#instances
  }

  /** @internal */
  areas(): readonly AreaPart[] | null {
    return this.#parts
  }

  /** @internal */
  registered(queue: number, by: Registrant): void {
    this.#registrants[queue] = by
  }

  /** Addresses that can be used now. */
  get addresses(): string[] {
    return this.#systems[0]!.addresses.map(String)
  }

  /** What lies in it was received: by `offset` of `onData`. @throws ArgumentError on `linux:`, where each server has its own */
  get area(): Uint8Array {
    const whole = this.#instances[0]?.whole ?? this.#parts?.[0]?.whole
    if (whole !== undefined) return whole
    throw new ArgumentError('ordinary sockets share no area', 'use the area of the server')
  }

  /** Where the buffers of the area are. @throws ArgumentError where each server has its own, and where the other side does not tell */
  census(): Census {
    const { instances } = this
    if (instances.every((instance) => instance === null) && this.#systems.some(copies))
      throw new ArgumentError('ordinary sockets share no area', 'use the census of the server')
    return sumOfCensus(this.#instances.filter((instance) => instance !== null).map((one) => one.census()))
  }

  /** One more server. @throws ArgumentError, AddressError, ZcrxError when it can't listen there; AbortError */
  async listen(options: HostListenOptions): Promise<Server> {
    this.#checkOpen()
    const { signal } = options
    checkSignal(signal)
    const systems = ownedBy({ host: this }, this)
    let server: Server | null = null
    try {
      const begun = new Server(systems, options)
      server = begun
      this.#servers.add(begun)
      begun.atEnd(() => void this.#servers.delete(begun))
      await begun.begin(options)
      this.#checkOpen()
    } catch (error) {
      if (server !== null) this.#servers.delete(server)
      await systems.close()
      throw error
    }
    const opened = server
    if (aborted(signal)) await opened.close()
    checkSignal(signal)
    return opened
  }

  /** One more connection. @throws ConnectionError (`ECONNREFUSED` …), ArgumentError, AbortError; nothing is left then */
  async connect(options: DialOptions): Promise<Connection> {
    this.#checkOpen()
    return this.#dialer.connect(options)
  }

  #checkOpen(): void {
    if (this.#closed !== null) throw new ArgumentError('the host is closed', 'open another: openHost')
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
        instances: this.#instances.filter((instance) => instance !== null).map((one) => one.ticket()),
      },
      transferList: tickets.flatMap(({ transfer }) => transfer),
    }
  }

  /** The worker of each queue, for the thread that opened the host; none without workers, and elsewhere. */
  get workers(): readonly QueueWorker[] {
    return workersOf(this.#systems) ?? []
  }

  /** It has been closed. */
  get closed(): boolean {
    return this.#closed !== null
  }

  /**
   * Closes servers and connections, and gives queues and memory back. What connections have sent before they were closed is still sent, for two
   * seconds at the most. Of an attached host only what this thread has.
   */
  close(): Promise<void> {
    this.#closed ??= this.#closeNow()
    return this.#closed
  }

  async #closeNow(): Promise<void> {
    const servers = [...this.#servers]
    const busy = servers.some((server) => server.handingOut)
    const closing = servers.map((server) => server.close())
    // From a callback it takes effect as soon as that has returned.
    if (busy) await Promise.all(closing)
    if (this.#dialer.open) await this.#dialer.close()
    if (this.#dialer.count > 0) await this.#settle()
    for (const instance of this.#instances) instance?.close()
    // Queues are given back before anything is waited for.
    await Promise.all([this.#end(), ...closing])
    this.emit('close')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Waits until what was sent is acknowledged, or nobody will. */
  async #settle(): Promise<void> {
    await Promise.all(this.#driving.map((driving) => driving.settle(LINGER_MS)))
  }
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

/** Uses a host that another thread has opened. @param ticket what `OpenedHost.ticket` gave there: its `value`, once */
export function attachHost(ticket: HostTicket['value']): OpenedHost {
  const queues = ticket.queues.map(({ index, link, state }) => new WorkerQueue(index, link, state))
  return new OpenedHost({
    systems: queues,
    instances: ticket.instances.map((instance, i) => attachInstance(instance, queues[i]!)),
    parts: null,
    options: {},
    end: () => {
      for (const queue of queues) queue.close()
      return Promise.resolve()
    },
  })
}
