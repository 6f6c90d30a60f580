import { EventEmitter } from 'node:events'
import { formatEndpoint } from '../address.ts'
import { type Census, type HeldReport, sumOfCensus } from '../diagnostics.ts'
import { ArgumentError, type NicError } from '../errors.ts'
import { DEFAULT_AREA_BYTES } from '../pages.ts'
import type { NicView } from '../uapi/backend/worker/queue.ts'
import { tell } from './channels.ts'
import type { Connection } from './connection.ts'
import { ACCEPTS, Lane, type LaneOwner, type LaneStats } from './lane.ts'
import { listenersOf } from './listen.ts'
import type {
  AddressesReport,
  BoundAddress,
  ConnectionCensus,
  ConnectionHandler,
  HeldBuffers,
  QueueGone,
  ServerEvents,
  ServerOptions,
  ServerStats,
} from './server-types.ts'
import { sumOfStats } from './sums.ts'
import type { Systems } from './system.ts'

export type * from './server-types.ts'

/** Of a queue that the other side tells nothing of. */
const UNTOLD: LaneStats = { zeroCopiedBytes: Number.NaN, copiedBytes: Number.NaN, completions: Number.NaN }

/** Who iterates and waits for a connection. */
interface Acceptor {
  readonly resolve: (result: IteratorResult<Connection>) => void
  readonly reject: (error: Error) => void
}

/**
 * A TCP server that receives into its area. What comes is taken in one of three ways: by a handler (the fast one), by iterating the server, or by
 * listening to its `connection` event.
 */
export class Server extends EventEmitter<ServerEvents> implements AsyncIterable<Connection> {
  readonly #systems: Systems
  readonly #lanes: Lane[] = []
  readonly #handler: ConnectionHandler | null
  /** Accepted at one of several listeners when another had one for whoever waited. */
  readonly #spare: Connection[] = []
  /** Who iterates and waits for a connection: so many are accepted. */
  readonly #acceptors: Acceptor[] = []
  #accepted = 0
  #closing: Promise<void> | null = null
  #afterClosing: (() => void) | null = null
  #gone: NicError | null = null
  #goneTold = false
  readonly #atEnd: (() => Promise<void> | void)[] = []
  #goneReport: ((error: NicError) => void) | null = null
  #queueGoneReport: ((gone: QueueGone) => void) | null = null
  #heldReport: ((held: HeldBuffers) => void) | null = null

  readonly #signal: AbortSignal | undefined
  readonly #abort = (): void => void this.close()

  /** @internal use `createServer` or `Host.listen`; the systems are closed with it, unless they are the program's */
  constructor(systems: Systems, options: ServerOptions) {
    super()
    this.#signal = options.signal
    this.#systems = systems
    this.#handler = options.handler ?? null
    const shared = systems.instances
    const parts = systems.areas(options.areaBytes ?? DEFAULT_AREA_BYTES)
    try {
      for (const [i, system] of systems.queues.entries()) {
        const lane = new Lane(system, options, this.#owner(), shared?.[i] ?? parts?.[i] ?? null)
        this.#lanes.push(lane)
        if ((shared?.[i] ?? null) === null) systems.registered?.(i, lane.engine)
      }
    } catch (error) {
      for (const { engine } of this.#lanes) engine.close()
      throw error
    }
  }

  /** @internal listens as soon as the addresses can be used */
  async begin(options: ServerOptions): Promise<void> {
    try {
      let places = listenersOf(options)
      for (const lane of this.#lanes) {
        await lane.begin(options, places)
        // Ports that the first was given are those of all.
        const { ports } = this
        places = places.map((where, i) => ({ ...where, port: ports[i]! }))
      }
    } catch (error) {
      // With what listens already, and whoever has come by it.
      for (const lane of this.#lanes) lane.close()
      throw error
    }
    this.#signal?.addEventListener('abort', this.#abort, { once: true })
    const listened = (event: string | symbol): void => {
      if (event === 'connection') setImmediate(this.#acceptMore)
    }
    EventEmitter.prototype.on.call(this, 'newListener', listened)
    tell('server:listening', { server: this })
    setImmediate(() => this.emit('listening'))
  }

  readonly #acceptMore = (): void => {
    if (this.#closing !== null || this.#handler !== null) return
    for (const lane of this.#lanes) {
      if (lane.deaf || lane.gone !== null) continue
      lane.accept()
      lane.engine.wake()
    }
  }

  #owner(): LaneOwner {
    const server = this
    return {
      handler: this.#handler,
      get wanted(): number {
        return server.#wanted
      },
      number: () => ++this.#accepted,
      claim: () => {
        const waiter = this.#acceptors.shift()
        return {
          hand: (connection) => this.#acceptedOne(connection, waiter),
          drop: () => waiter?.resolve({ value: undefined, done: true }),
        }
      },
      threw: (connection, error) => this.#threw(connection, error),
      batchEnd: () => this.#afterClosing?.(),
      gone: (lane, error) => this.#laneGone(lane, error),
      left: () => {},
    }
  }

  /** One listener has as many accepts as somebody waits for, several have one each. */
  get #wanted(): number {
    if (this.listenerCount('connection') > 0) return ACCEPTS
    const waiting = this.#acceptors.length
    const listeners = this.#lanes.reduce((sum, lane) => sum + lane.listeners.count, 0)
    return listeners > 1 ? Math.min(1, waiting) : waiting
  }

  /** The first, which says what holds of all. */
  get #first(): Lane {
    return this.#lanes[0]!
  }

  /** The memory that received data lies in: that of every queue. */
  get area(): Uint8Array {
    return this.#first.engine.area
  }

  /** The NIC; of several queues that of the first. */
  get nic(): NicView {
    return this.#first.engine.system.nic
  }

  /** How many queues it has, each with a stack of its own. */
  get queues(): number {
    return this.#lanes.length
  }

  /** Where it listens, as `net.Server` says it; null when it is closed. Of several listeners the first; of a wildcard the first address. */
  address(): BoundAddress | null {
    const [first] = this.#first.listeners
    if (first === undefined || this.#closing !== null) return null
    const { address, port } = first
    const shown = address.unspecified ? this.#first.engine.system.address : address
    return { address: shown.toString(), family: shown.version === 4 ? 'IPv4' : 'IPv6', port }
  }

  /** Every address that the server can be reached at now. */
  get addresses(): string[] {
    return this.#first.engine.system.addresses.map((address) => address.toString())
  }

  /** Of several listeners the first one's. */
  get port(): number {
    return this.ports[0] ?? 0
  }

  /** The ports of the listeners, in the order they were asked for. */
  get ports(): number[] {
    return Array.from(this.#first.listeners, ({ port }) => port)
  }

  /** Where the server can be reached now, listener by listener: `192.0.2.1:9000`, `[2001:db8::1]:9000`. */
  get listening(): string[] {
    const { system } = this.#first.engine
    const { addresses } = system
    return [...this.#first.listeners].flatMap(({ address, only, port }) => {
      if (!address.unspecified && system.sockets !== undefined)
        return [formatEndpoint(address.toString(), port)]
      const at = address.unspecified
        ? addresses.filter(({ version }) => version === address.version || (address.version === 6 && !only))
        : addresses.filter((one) => one.equals(address))
      return at.map((one) => formatEndpoint(one.toString(), port))
    })
  }

  /** What a user should know of how the server can be reached, for people: the NICs' notes, and the host's. */
  get notes(): string[] {
    const all = this.#lanes.flatMap(({ engine: { system } }) => [
      ...(system.nic.notes ?? []),
      ...system.notes,
    ])
    return [...new Set(all)]
  }

  /** Calls back when addresses of the interface were followed; null ends it. */
  onAddresses(report: ((change: AddressesReport) => void) | null): void {
    for (const lane of this.#lanes) {
      lane.engine.system.onAddresses = ({ failures }) => {
        // Each queue follows; the first tells, of the others only what went wrong.
        if (report === null || (lane !== this.#first && failures.length === 0)) return
        // Outside the stack's work, where it may throw, or close what it likes.
        setImmediate(report, { listening: this.listening, failures })
      }
    }
  }

  /**
   * Calls back once when the device went away, or the last worker: `ZCRX_NIC_GONE`, `ZCRX_WORKER_GONE`. Connections have ended with
   * ENODEV, whoever iterates the server gets the error thrown, and the server is only good for `close`. At once when it is gone already;
   * null ends it.
   */
  onGone(report: ((error: NicError) => void) | null): void {
    this.#goneReport = report
    if (this.#gone !== null) this.#tellGone()
  }

  /**
   * Calls back for each queue of several that went away while others go on: connections that came by it have ended with ENODEV, the
   * others are as they were. Null ends it.
   */
  onQueueGone(report: ((gone: QueueGone) => void) | null): void {
    this.#queueGoneReport = report
  }

  #laneGone(lane: Lane, error: NicError): void {
    const index = this.#lanes.indexOf(lane)
    if (this.#lanes.length > 1) setImmediate(() => this.#queueGoneReport?.({ queue: index, error }))
    if (this.#lanes.some((other) => other.gone === null)) return
    this.#gone = error
    for (const { reject } of this.#acceptors.splice(0)) reject(error)
    this.#tellGone()
  }

  #tellGone(): void {
    // Outside the stack's work, where it may throw, or close what it likes.
    setImmediate(() => {
      if (this.#gone !== null && !this.#goneTold && this.listenerCount('error') > 0) {
        this.#goneTold = true
        this.emit('error', this.#gone, null)
      }
      const report = this.#goneReport
      this.#goneReport = null
      if (this.#gone !== null) report?.(this.#gone)
    })
  }

  /** What the server has done: sums over all queues. Figures that the other side of a ring does not tell are NaN. */
  stats(): ServerStats {
    return sumOfStats(this.queueStats(), this.#accepted)
  }

  /** The same for each queue by itself. */
  queueStats(): ServerStats[] {
    return this.#lanes.map((lane) => {
      const { system } = lane.engine
      const ifq = lane.stats() ?? UNTOLD
      const { frames, copiedBytes, drops, tcp } = system.report()
      return {
        connections: lane.accepted,
        // What lies beside the area was copied into it, in front of the ring.
        zeroCopiedBytes: system.nic.info.placement === 'side' ? 0 : ifq.zeroCopiedBytes,
        copiedBytes: ifq.copiedBytes + copiedBytes + lane.copiedBytes,
        completions: ifq.completions,
        frames,
        drops,
        tcp,
      }
    })
  }

  /** Where the buffers of all areas are. @throws ArgumentError where the other side of the ring does not tell */
  census(): Census {
    return sumOfCensus(this.queueCensus())
  }

  /** The same for each queue by itself. */
  queueCensus(): Census[] {
    return this.#lanes.map(({ engine }) => engine.census())
  }

  /**
   * Tells every `afterMs` milliseconds of buffers that the application has kept for longer than that: how many, for how long,
   * and of which connections they are; of several queues one by one. Null ends it. What is kept closes the peers' windows when the
   * area runs out.
   */
  onHeld(afterMs: number, report: ((held: HeldBuffers) => void) | null): void {
    this.#heldReport = report
    for (const lane of this.#lanes) {
      if (report === null) lane.engine.onHeld(0, null)
      else lane.engine.onHeld(afterMs, (held) => this.#tellHeld(lane, held, report))
    }
  }

  #tellHeld(
    lane: Lane,
    { buffers, oldestMs, holders }: HeldReport,
    report: (held: HeldBuffers) => void,
  ): void {
    const held: HeldBuffers = {
      buffers,
      oldestMs,
      holders: holders.map((holder) => ({
        connection: lane.connections[holder.userData % 2 ** 32] ?? null,
        buffers: holder.buffers,
        oldestMs: holder.oldestMs,
      })),
    }
    // Outside the stack's work, where it may throw, or close what it likes.
    setImmediate(() => {
      if (this.#closing === null && this.#heldReport === report) report(held)
    })
  }

  /** Connections that were accepted and not given back yet. */
  get openConnections(): number {
    return this.#accepted - this.#closed
  }

  get #closed(): number {
    return this.#lanes.reduce((sum, { closed }) => sum + closed, 0)
  }

  /** Where the connections are that were accepted. */
  connectionCensus(): ConnectionCensus {
    const census = { accepted: this.#accepted, open: 0, ended: 0, closing: 0, closed: this.#closed, lost: 0 }
    for (const connection of this.#lanes.flatMap(({ connections }) => connections)) {
      if (connection === null) continue
      if (connection.closing) census.closing++
      else if (connection.streamEnded) census.ended++
      else census.open++
    }
    const { accepted, open, ended, closing, closed } = census
    census.lost = accepted - open - ended - closing - closed
    return census
  }

  /**
   * Closes every connection and gives queues and memory back. Statistics stay readable. From a callback it takes effect as soon
   * as that has returned. Resolves when workers of the server's own have ended.
   */
  close(): Promise<void> {
    if (this.#closing !== null) return this.#closing
    let resolve!: (ended: Promise<void>) => void
    let reject!: (error: unknown) => void
    // In place before anything is closed: what is called back meanwhile may close as well.
    this.#closing = new Promise((resolved, rejected) => {
      resolve = resolved
      reject = rejected
    })
    const close = (): void => {
      try {
        resolve(this.#closeNow())
      } catch (error) {
        reject(error)
      }
    }
    for (const lane of this.#lanes) lane.closing = true
    // Begun at once, not in a microtask: whoever does not wait for it finds it done.
    if (this.#lanes.some(({ engine }) => engine.reaping)) this.#afterClosing = close
    else close()
    return this.#closing
  }

  #closeNow(): Promise<void> {
    this.#afterClosing = null
    this.#signal?.removeEventListener('abort', this.#abort)
    for (const lane of this.#lanes) lane.close()
    for (const { resolve } of this.#acceptors.splice(0)) resolve({ value: undefined, done: true })
    tell('server:close', { server: this })
    // What is the server's alone ends with it, begun at once.
    return Promise.all([this.#systems.close(), ...this.#atEnd.map((end) => end())]).then(
      () => void this.emit('close'),
    )
  }

  /** @internal what ends with the server */
  atEnd(end: () => Promise<void> | void): void {
    this.#atEnd.push(end)
  }

  /** @internal callbacks are being called */
  get handingOut(): boolean {
    return this.#lanes.some(({ engine }) => engine.reaping)
  }

  /** Closes it: `await using server = await createServer(…)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** From now on it keeps the process alive, as it does from the beginning; `unref`: it does not. */
  ref(): this {
    for (const lane of this.#lanes) lane.keepAlive(true)
    return this
  }

  unref(): this {
    for (const lane of this.#lanes) lane.keepAlive(false)
    return this
  }

  /** Connections as they are accepted, when no handler was given. Those that nobody asks for wait in the backlog. */
  [Symbol.asyncIterator](): AsyncIterator<Connection> {
    if (this.#handler !== null) {
      throw new ArgumentError('this server has a handler', 'iterate a server made without one')
    }
    return {
      next: () => {
        if (this.#closing !== null) return Promise.resolve({ value: undefined, done: true })
        const spare = this.#spare.shift()
        if (spare !== undefined) return Promise.resolve({ value: spare, done: false })
        if (this.#gone !== null) return Promise.reject(this.#gone)
        return new Promise((resolve, reject) => {
          this.#acceptors.push({ resolve, reject })
          this.#acceptMore()
        })
      },
    }
  }

  #acceptedOne(connection: Connection, waiter: Acceptor | undefined): void {
    tell('connection:open', { connection })
    if (waiter !== undefined) {
      waiter.resolve({ value: connection, done: false })
      return
    }
    try {
      if (this.#handler !== null) this.#handler.onConnection?.(connection)
      else if (!this.emit('connection', connection)) this.#spare.push(connection)
    } catch (error) {
      this.#threw(connection, error)
    }
  }

  /** A callback threw: that connection ends, and the program is told. */
  #threw(connection: Connection, error: unknown): void {
    connection.reset()
    try {
      if (this.#handler?.onError !== undefined) this.#handler.onError(connection, error)
      else if (this.listenerCount('error') > 0) this.emit('error', error, connection)
      else throw error
    } catch (uncaught) {
      // Not from here: the other completions of the batch are not to blame.
      setImmediate(() => {
        throw uncaught
      })
    }
  }
}
