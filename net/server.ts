import { formatEndpoint } from '../address.ts'
import type { Census, IfqStats } from '../diagnostics.ts'
import type { Nic } from '../driver/nic.ts'
import { ArgumentError, type NicError } from '../errors.ts'
import { ECANCELED, ENOMEM, ENOSPC } from '../uapi/abi/errno.ts'
import { IORING_CQE_F_MORE } from '../uapi/abi/io-uring.ts'
import { Connection, type ConnectionHost } from './connection.ts'
import { ACCEPT, CLOSE, RECEIVE, requestsOf, SEND, SETUP } from './connection-requests.ts'
import { Engine } from './engine.ts'
import { listenersOf } from './listen.ts'
import { ListeningSockets } from './listening-sockets.ts'
import type {
  AddressesReport,
  ConnectionCensus,
  ConnectionHandler,
  HeldBuffers,
  ServerOptions,
  ServerStats,
} from './server-types.ts'

export type * from './server-types.ts'

/** Accepts of one listener at a time, for a handler. */
const ACCEPTS = 16
/** After an accept that failed for want of descriptors or memory. */
const ACCEPT_AGAIN_MS = 100

/** Of a queue that the other side tells nothing of. */
const UNTOLD = { zeroCopiedBytes: Number.NaN, copiedBytes: Number.NaN, completions: Number.NaN }

/** Who iterates and waits for a connection. */
interface Acceptor {
  readonly resolve: (result: IteratorResult<Connection>) => void
  readonly reject: (error: Error) => void
}

/** A TCP server that receives into its area. */
export class Server implements AsyncIterable<Connection> {
  readonly #engine: Engine
  readonly #handler: ConnectionHandler | null
  readonly #connections: (Connection | null)[] = []
  readonly #freeIds: number[] = []
  /** Connections whose receive request ended for want of room and is to be issued again. */
  #stalled: Connection[] = []
  /** Accepted at one of several listeners when another had one for whoever waited. */
  readonly #spare: Connection[] = []
  /** Who iterates and waits for a connection: so many are accepted. */
  readonly #acceptors: Acceptor[] = []
  #accepted = 0
  #closed = 0
  readonly #listeners: ListeningSockets
  /** The listeners are closed. */
  #unheard = false
  /** An accept failed for want of something (a descriptor): it is issued again when this has run down. */
  #deaf: NodeJS.Timeout | null = null
  #closing: Promise<void> | null = null

  /** @internal use `createServer` */
  constructor(options: ServerOptions) {
    for (const { port } of listenersOf(options)) {
      if (Number.isInteger(port) && port >= 0 && port <= 65_535) continue
      throw new ArgumentError(`port ${port} is not an integer from 0 to 65535`)
    }
    this.#handler = options.handler ?? null
    this.#engine = new Engine(options, this.#complete)
    this.#listeners = new ListeningSockets(this.#engine)
    this.#engine.onBatchEnd(this.#afterBatch)
    this.#engine.system.onGone = (error) => this.#deviceGone(error)
    this.#engine.wake()
  }

  /** @internal listens as soon as the host's addresses can be used; the engine is closed when that fails */
  async begin(options: ServerOptions): Promise<void> {
    try {
      if (this.#engine.system.pending) await this.#engine.system.ready
      for (const where of listenersOf(options)) {
        this.#listeners.open(options, where)
        if (this.#handler !== null) this.#accept()
      }
    } catch (error) {
      this.#engine.close()
      throw error
    }
    this.#engine.wake()
  }

  /** The memory that received data lies in. */
  get area(): Uint8Array {
    return this.#engine.area
  }

  get nic(): Nic {
    return this.#engine.system.nic
  }

  /** As text: `192.0.2.1`, `2001:db8::1`. Of several the first; `addresses` has all. */
  get address(): string {
    return this.#engine.system.address.toString()
  }

  /** Every address that the server can be reached at now. */
  get addresses(): string[] {
    return this.#engine.system.addresses.map((address) => address.toString())
  }

  /** Of several listeners the first one's. */
  get port(): number {
    return this.ports[0] ?? 0
  }

  /** The ports of the listeners, in the order they were asked for. */
  get ports(): number[] {
    return Array.from(this.#listeners, ({ port }) => port)
  }

  /** Where the server can be reached now, listener by listener: `192.0.2.1:9000`, `[2001:db8::1]:9000`. */
  get listening(): string[] {
    const { addresses } = this.#engine.system
    return [...this.#listeners].flatMap(({ address, only, port }) => {
      const at = address.unspecified
        ? addresses.filter(({ version }) => version === address.version || (address.version === 6 && !only))
        : addresses.filter((one) => one.equals(address))
      return at.map((one) => formatEndpoint(one.toString(), port))
    })
  }

  /** What a user should know of how the server can be reached, for people: the NIC's notes, and the host's. */
  get notes(): string[] {
    const { nic, notes } = this.#engine.system
    return [...(nic.notes ?? []), ...notes]
  }

  /** Calls back when addresses of the interface were followed; null ends it. */
  onAddresses(report: ((change: AddressesReport) => void) | null): void {
    this.#engine.system.onAddresses = ({ failures }) => {
      // Outside the stack's work, where it may throw, or close what it likes.
      if (report !== null) setImmediate(report, { listening: this.listening, failures })
    }
  }

  /**
   * Calls back once when the device went away: `ZCRX_NIC_GONE`. Connections have ended with ENODEV, whoever iterates the server
   * gets the error thrown, and the server is only good for `close`. At once when it is gone already; null ends it.
   */
  onGone(report: ((error: NicError) => void) | null): void {
    this.#goneReport = report
    if (this.#gone !== null) this.#tellGone()
  }
  #gone: NicError | null = null
  #goneReport: ((error: NicError) => void) | null = null

  #deviceGone(error: NicError): void {
    this.#gone = error
    if (this.#deaf !== null) clearTimeout(this.#deaf)
    for (const { reject } of this.#acceptors.splice(0)) reject(error)
    this.#tellGone()
  }

  #tellGone(): void {
    // Outside the stack's work, where it may throw, or close what it likes.
    setImmediate(() => {
      const report = this.#goneReport
      this.#goneReport = null
      if (this.#gone !== null) report?.(this.#gone)
    })
  }

  /** What the server has done. Figures that the other side of its ring does not tell are NaN. */
  stats(): ServerStats {
    const { system } = this.#engine
    const ifq = this.#finalStats ?? this.#engine.stats() ?? UNTOLD
    const { frames, copiedBytes, drops, tcp } = system.report()
    return {
      connections: this.#accepted,
      // What lies beside the area was copied into it, in front of the ring.
      zeroCopiedBytes: system.nic.info.placement === 'side' ? 0 : ifq.zeroCopiedBytes,
      copiedBytes: ifq.copiedBytes + copiedBytes,
      completions: ifq.completions,
      frames,
      drops,
      tcp,
    }
  }
  #finalStats: Pick<IfqStats, keyof typeof UNTOLD> | null = null
  #heldReport: ((held: HeldBuffers) => void) | null = null

  /** Where the area's buffers are. @throws ArgumentError where the other side of the ring does not tell */
  census(): Census {
    if (!this.#engine.closed) return this.#engine.ifq.census()
    return { total: 0, free: 0, fill: 0, rx: 0, queued: 0, user: 0, lost: 0 }
  }

  /**
   * Tells every `afterMs` milliseconds of buffers that the application has kept for longer than that: how many, for how long,
   * and of which connections they are. Null ends it. What is kept closes the peers' windows when the area runs out.
   */
  onHeld(afterMs: number, report: ((held: HeldBuffers) => void) | null): void {
    this.#heldReport = report
    if (report === null) this.#engine.ifq.onHeld(0, null)
    else {
      this.#engine.ifq.onHeld(afterMs, ({ buffers, oldestMs, holders }) => {
        const held: HeldBuffers = {
          buffers,
          oldestMs,
          holders: holders.map((holder) => ({
            connection: this.#connections[holder.userData % 2 ** 32] ?? null,
            buffers: holder.buffers,
            oldestMs: holder.oldestMs,
          })),
        }
        // Outside the stack's work, where it may throw, or close what it likes.
        setImmediate(() => {
          if (this.#closing === null && this.#heldReport === report) report(held)
        })
      })
    }
  }

  /** Connections that were accepted and not given back yet. */
  get openConnections(): number {
    return this.#accepted - this.#closed
  }

  /** Where the connections are that were accepted. */
  connectionCensus(): ConnectionCensus {
    const census = { accepted: this.#accepted, open: 0, ended: 0, closing: 0, closed: this.#closed, lost: 0 }
    for (const connection of this.#connections) {
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
   * Closes every connection and gives queue and memory back. Statistics stay readable. From a callback it takes effect as soon
   * as that has returned.
   */
  close(): Promise<void> {
    if (this.#closing !== null) return this.#closing
    let resolve!: () => void
    let reject!: (error: unknown) => void
    // In place before anything is closed: what is called back meanwhile may close as well.
    this.#closing = new Promise((resolved, rejected) => {
      resolve = resolved
      reject = rejected
    })
    const close = (): void => {
      try {
        this.#closeNow()
        resolve()
      } catch (error) {
        reject(error)
      }
    }
    // Begun at once, not in a microtask: whoever does not wait for it finds it done.
    if (this.#engine.reaping) this.#afterClosing = close
    else close()
    return this.#closing
  }
  #afterClosing: (() => void) | null = null

  #closeNow(): void {
    this.#afterClosing = null
    if (this.#deaf !== null) clearTimeout(this.#deaf)
    // Whoever waits to be accepted is reset: nobody else will tell them.
    this.#listeners.close()
    this.#unheard = true
    for (const connection of this.#connections) connection?.abandon()
    // Two turns: the closes are submitted, then what they cause (FINs, RSTs) leaves.
    this.#engine.turnNow()
    this.#engine.turnNow()
    const stats = this.#engine.stats()
    this.#finalStats = stats === null ? null : { ...stats }
    this.#engine.close()
    for (const connection of this.#connections) {
      connection?.ended(ECANCELED)
      connection?.lost()
    }
    for (const { resolve } of this.#acceptors.splice(0)) resolve({ value: undefined, done: true })
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
          if (this.#deaf === null) this.#accept()
          this.#engine.wake()
        })
      },
    }
  }

  /**
   * Issues the accepts that are wanted: several for a handler, so that as many can be taken in one turn. Whoever iterates takes
   * connections one by one: one listener has as many accepts as somebody waits for, several have one each.
   */
  #accept(): void {
    const waiting = this.#acceptors.length
    const iterated = this.#listeners.count > 1 ? Math.min(1, waiting) : waiting
    const wanted = this.#handler !== null ? ACCEPTS : iterated
    for (const listener of this.#listeners) {
      while (listener.accepts < wanted) this.#listeners.accept(listener)
    }
  }

  readonly #acceptAgain = (): void => {
    this.#deaf = null
    this.#accept()
    this.#engine.wake()
  }

  readonly #complete = (kind: number, id: number, res: number, flags: number, offset: number): void => {
    if (kind === RECEIVE) this.#received(id, res, flags, offset)
    else if (kind === SETUP) this.#listeners.setUp(res)
    else if (kind === ACCEPT) this.#acceptedOne(id, res)
    else if (kind === SEND) this.#connections[id]?.sent(res)
    else if (kind === CLOSE) this.#connections[id]?.closed()
  }

  #received(id: number, res: number, flags: number, offset: number): void {
    const connection = this.#connections[id]!
    if ((flags & IORING_CQE_F_MORE) !== 0) {
      // Behind close() nothing is handed out any more.
      if (this.#closing !== null || connection.deliver(offset, res)) this.#engine.release(offset)
      return
    }
    if (res === -ENOSPC || res === -ENOMEM) {
      // Nothing is lost: the data waits in the socket until there is room.
      this.#stalled.push(connection)
      return
    }
    connection.ended(Math.abs(res))
  }

  #acceptedOne(accept: number, res: number): void {
    const remote = this.#listeners.accepted(accept, res)
    if (this.#unheard && res < 0) return
    if (remote === null) {
      if (this.#gone === null) this.#deaf ??= setTimeout(this.#acceptAgain, ACCEPT_AGAIN_MS)
      return
    }
    const waiter = this.#acceptors.shift()
    if (!this.#unheard && this.#deaf === null) this.#accept()
    const id = this.#freeIds.pop() ?? this.#connections.length
    const host = this.#hostOf(id, res)
    const connection = new Connection(host, ++this.#accepted, remote.address.toString(), remote.port)
    this.#connections[id] = connection
    if (this.#closing !== null) {
      // Accepted while the server ends, with an accept that was submitted in front of the listener's end.
      if (this.#unheard) connection.abandon()
      return
    }
    if (this.#handler !== null) {
      try {
        this.#handler.onConnection?.(connection)
      } catch (error) {
        this.#threw(connection, error)
      }
    } else if (waiter !== undefined) waiter.resolve({ value: connection, done: false })
    else this.#spare.push(connection)
    connection.start()
  }

  /** What the connection with this id, on this descriptor, asks for. */
  #hostOf(id: number, fd: number): ConnectionHost {
    return {
      ...requestsOf(this.#engine, id, fd),
      handler: this.#handler,
      threw: (error) => this.#threw(this.#connections[id]!, error),
      gone: () => {
        this.#connections[id] = null
        this.#freeIds.push(id)
        this.#closed++
      },
    }
  }

  /** A callback threw: that connection ends, and the program is told. */
  #threw(connection: Connection, error: unknown): void {
    connection.reset()
    try {
      if (this.#handler?.onError === undefined) throw error
      this.#handler.onError(connection, error)
    } catch (uncaught) {
      // Not from here: the other completions of the batch are not to blame.
      setImmediate(() => {
        throw uncaught
      })
    }
  }

  readonly #afterBatch = (): void => {
    if (this.#closing !== null) {
      this.#afterClosing?.()
      return
    }
    if (this.#stalled.length === 0) return
    const stalled = this.#stalled
    this.#stalled = []
    for (const connection of stalled) connection.start()
  }
}

/** Opens the device, registers an area and listens. @throws NicError, ArgumentError with what to do about it */
export async function createServer(options: ServerOptions): Promise<Server> {
  const server = new Server(options)
  await server.begin(options)
  return server
}
