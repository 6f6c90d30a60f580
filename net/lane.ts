import { type NicError, ZcrxError } from '../errors.ts'
import { ECANCELED, ENOBUFS, ENOMEM, ENOSPC } from '../uapi/abi/errno.ts'
import { IORING_CQE_F_BUFFER, IORING_CQE_F_MORE } from '../uapi/abi/io-uring.ts'
import { Calls } from './calls.ts'
import { tell } from './channels.ts'
import { Connection, type ConnectionHandler } from './connection.ts'
import {
  ACCEPT,
  type BufferLimits,
  CALL,
  CLOSE,
  type ConnectionOwner,
  ConnectionRequests,
  LENT,
  NAME,
  OPTION,
  RECEIVE,
  SEND,
  SETUP,
} from './connection-requests.ts'
import type { IpEnd } from './ends.ts'
import { Engine, type EngineOptions } from './engine.ts'
import { IdleWatch } from './idle-watch.ts'
import type { ListenOptions } from './listen.ts'
import { type Endpoint, ListeningSockets } from './listening-sockets.ts'
import { isNotice } from './loans.ts'
import { LocalNames } from './local-names.ts'
import type { ServerOptions } from './server-types.ts'
import type { AreaPart, Instance, System } from './system.ts'
import type { Counted } from './tally.ts'

/** Accepts of one listener at a time, for a handler or listeners of `connection`. */
export const ACCEPTS = 16
/** After an accept that failed for want of descriptors or memory. */
const ACCEPT_AGAIN_MS = 100
/** After a receive request that failed for want of something that nobody tells of. */
const RECEIVE_AGAIN_MS = 20

/** Somebody who is being accepted: called with the connection, or told that there will be none. Once. */
export interface Claim {
  hand(connection: Connection): void
  drop(): void
}

/** What a lane asks of its server. */
export interface LaneOwner {
  readonly handler: ConnectionHandler | null
  /** Accepts of each listener that whoever iterates waits for. */
  readonly wanted: number
  /** A number for one more connection. */
  number(): number
  /** Somebody is being accepted: to be called with the connection, once. Whoever waited for one does no longer. */
  claim(): Claim
  /** One of the callbacks for a connection threw. */
  threw(connection: Connection, error: unknown): void
  /** After each batch of completions. */
  batchEnd(): void
  /** A connection is over, and everything of it was given back. */
  left(lane: Lane): void
  /** Nobody comes to this queue any more. */
  gone(lane: Lane, error: NicError): void
}

/** Statistics of an interface queue, as far as they are told. */
export type LaneStats = Counted

export interface LaneOptions extends EngineOptions, BufferLimits {
  /** After so long (ms) without traffic a connection ends with ETIMEDOUT. */
  readonly idleTimeoutMs?: number
}

/** What a server has on one queue: a ring, the sockets that listen there, and the connections that came by it; or those that went out there. */
export class Lane implements ConnectionOwner {
  readonly engine: Engine
  readonly listeners: ListeningSockets
  readonly connections: (Connection | null)[] = []
  readonly #freeIds: number[] = []
  readonly #owner: LaneOwner
  /** Connections whose receive request ended for want of room and is to be issued again. */
  #stalled: Connection[] = []
  /** The same, who found no buffer: they come again in this order, as many at a time as may find one. */
  readonly #starved = new Set<Connection>()
  /** The same, of whom nobody tells when they may come again: when buffers have gone back, or a while has passed. */
  readonly #refused = new Set<Connection>()
  #again: NodeJS.Timeout | null = null
  /** The listeners are closed. */
  #unheard = false
  /** An accept failed for want of something (a descriptor): it is issued again when this has run down. */
  #deaf: NodeJS.Timeout | null = null
  #gone: NicError | null = null
  #finalStats: LaneStats | null = null
  /** The server ends: nothing is handed out any more. */
  closing = false
  /** Connections that were accepted, and those of them that were given back. */
  accepted = 0
  closed = 0
  /** Bytes that were copied for whoever reads streams. */
  copiedBytes = 0
  readonly limits: BufferLimits
  /** Requests of whoever connects. */
  readonly calls: Calls
  readonly #names: LocalNames
  readonly #idle: IdleWatch | null
  /** Connections that something has arrived on in this batch. */
  #news: Connection[] = []
  #keepsAlive = true
  #holds = 1

  constructor(system: System, options: LaneOptions, owner: LaneOwner, given: AreaPart | Instance | null) {
    this.#owner = owner
    this.limits = options
    this.engine = new Engine(system, options, this.#complete, given)
    this.listeners = new ListeningSockets(this.engine)
    this.calls = new Calls(this.engine)
    this.#names = new LocalNames(this.engine)
    const { idleTimeoutMs = 0 } = options
    this.#idle = idleTimeoutMs > 0 ? new IdleWatch(this.connections, idleTimeoutMs) : null
    this.engine.onBatchEnd(this.#afterBatch)
    this.engine.onRoom(this.#roomAgain)
    system.onGone = (error) => this.#deviceGone(error)
    this.engine.wake()
  }

  /** Whether it keeps the process alive by itself, without connections that do; default true. */
  keepAlive(on: boolean): void {
    if (on === this.#keepsAlive) return
    this.#keepsAlive = on
    this.hold(on ? 1 : -1)
  }

  /** @internal somebody, or nobody any more, wants it to keep the process alive */
  hold(by: 1 | -1): void {
    const before = this.#holds
    this.#holds += by
    if (before === 0 || this.#holds === 0) this.engine.keepAlive(this.#holds > 0)
  }

  /** Listens as soon as the addresses can be used. @throws ZcrxError, NicError */
  async begin(options: ServerOptions, places: readonly ListenOptions[]): Promise<void> {
    const { system } = this.engine
    if (system.pending) await system.ready
    if (this.closing) throw new ZcrxError('ZCRX_CLOSED', 'the server was closed before it listened')
    for (const where of places) {
      this.listeners.open(options, where)
      if (this.#owner.handler !== null) this.accept()
    }
    this.engine.wake()
  }

  /** Why nobody comes by this queue any more; null while somebody may. */
  get gone(): NicError | null {
    return this.#gone
  }

  /** An accept failed a moment ago. */
  get deaf(): boolean {
    return this.#deaf !== null
  }

  stats(): LaneStats | null {
    return this.#finalStats ?? this.engine.stats()
  }

  /**
   * Issues the accepts that are wanted: several for a handler, so that as many can be taken in one turn. Whoever iterates takes
   * connections one by one.
   */
  accept(): void {
    const wanted = this.#owner.handler !== null ? ACCEPTS : this.#owner.wanted
    for (const listener of this.listeners) {
      while (listener.accepts < wanted) this.listeners.accept(listener)
    }
  }

  readonly #acceptAgain = (): void => {
    this.#deaf = null
    this.accept()
    this.engine.wake()
  }

  /** Ends everything, with two turns: the closes are submitted, then what they cause (FINs, RSTs) leaves. */
  close(): void {
    this.closing = true
    this.#idle?.end()
    if (this.#deaf !== null) clearTimeout(this.#deaf)
    if (this.#again !== null) clearTimeout(this.#again)
    // Whoever waits to be accepted is reset: nobody else will tell them.
    this.listeners.close()
    this.#unheard = true
    for (const connection of this.connections) connection?.abandon()
    this.engine.turnNow()
    this.engine.turnNow()
    const stats = this.engine.stats()
    this.#finalStats = stats === null ? null : { ...stats }
    this.engine.close()
    this.calls.abandon()
    for (const connection of this.connections) {
      connection?.ended(ECANCELED)
      connection?.lost()
    }
  }

  #deviceGone(error: NicError): void {
    this.#gone = error
    if (this.#deaf !== null) clearTimeout(this.#deaf)
    this.#owner.gone(this, error)
  }

  readonly #complete = (kind: number, id: number, res: number, flags: number, offset: number): void => {
    if (kind === RECEIVE) this.#received(id, res, flags, offset)
    else if (kind === SETUP) this.listeners.setUp(res)
    else if (kind === ACCEPT) this.#accepted(id, res)
    else if (kind === SEND) this.connections[id]?.sent(res)
    else if (kind === LENT) this.#lent(id, res, flags)
    else if (kind === CLOSE) this.#closed(this.connections[id])
    else if (kind === OPTION) this.#lent(id, 0, flags)
    else if (kind === NAME) this.#names.told(id)
    else if (kind === CALL) this.calls.completed(id, res)
  }

  #lent(loan: number, res: number, flags: number): void {
    const { loans } = this.engine
    const owner = loans.ownerOf(loan)
    const ended = loans.ended(loan, flags)
    if (!isNotice(flags)) this.connections[owner]?.sent(res)
    if (ended !== null) this.engine.takeBack(ended)
  }

  #closed(connection: Connection | null | undefined): void {
    connection?.wasClosed()
    // Of whoever waits for room no request is under way that could tell of the end.
    if (connection && (this.#starved.delete(connection) || this.#refused.delete(connection)))
      connection.start()
  }

  #received(id: number, res: number, flags: number, offset: number): void {
    const connection = this.connections[id]!
    const more = (flags & IORING_CQE_F_MORE) !== 0
    // On Linux the last completion of a request that has to be issued again may have data too.
    if (more || (flags & IORING_CQE_F_BUFFER) !== 0) {
      this.engine.delivered(offset, res, id)
      // Behind close() nothing is handed out any more.
      if (this.closing || connection.deliver(offset, res)) this.engine.release(offset)
      if (!more) this.#stalled.push(connection)
      return
    }
    if (res === -ENOSPC || res === -ENOMEM || res === -ENOBUFS) {
      // Nothing is lost: the data waits in the socket until there is room.
      if (res === -ENOSPC || this.engine.system.sockets === undefined) this.#stalled.push(connection)
      else if (res === -ENOBUFS && this.engine.room !== null) this.#starved.add(connection)
      else {
        this.#refused.add(connection)
        this.#again ??= setTimeout(this.#refusedAgain, RECEIVE_AGAIN_MS)
      }
      return
    }
    if (res === -ECANCELED && connection.stopped()) return
    connection.ended(Math.abs(res))
  }

  #accepted(accept: number, res: number): void {
    const came = this.listeners.accepted(accept, res)
    if (this.#unheard && res < 0) return
    if (came === null) {
      if (this.#gone === null) this.#deaf ??= setTimeout(this.#acceptAgain, ACCEPT_AGAIN_MS)
      return
    }
    const claim = this.#owner.claim()
    if (!this.#unheard && this.#deaf === null) this.accept()
    this.accepted++
    const connection = this.#make(res, came.remote, this.#owner.handler)
    if (this.closing) {
      // Accepted while the server ends, with an accept that was submitted in front of the listener's end.
      if (this.#unheard) connection.abandon()
      claim.drop()
      return
    }
    this.#names.find(res, came, (local) => {
      if (this.closing) {
        claim.drop()
        return
      }
      connection.local = local
      claim.hand(connection)
      connection.start()
    })
  }

  /** A connection of a descriptor that is this lane's from now on. */
  #make(fd: number, remote: Endpoint, handler: ConnectionHandler | null): Connection {
    const id = this.#freeIds.pop() ?? this.connections.length
    const end = { address: remote.address.toString(), port: remote.port }
    const connection = new Connection(
      new ConnectionRequests(this, id, fd),
      handler,
      this.#owner.number(),
      end,
    )
    this.connections[id] = connection
    this.hold(1)
    return connection
  }

  /** One that goes out: `start` it. */
  adopt(fd: number, remote: Endpoint, local: IpEnd, handler: ConnectionHandler | null): Connection {
    const connection = this.#make(fd, remote, handler)
    this.accepted++
    connection.local = local
    return connection
  }

  /** @internal */
  news(id: number): void {
    this.#news.push(this.connections[id]!)
  }

  /** @internal */
  copied(bytes: number): void {
    this.copiedBytes += bytes
  }

  /** @internal */
  threw(id: number, error: unknown): void {
    this.#owner.threw(this.connections[id]!, error)
  }

  /** @internal */
  left(id: number): void {
    const connection = this.connections[id]!
    this.connections[id] = null
    if (connection.keepsAlive) this.hold(-1)
    tell('connection:close', { connection })
    this.#freeIds.push(id)
    this.closed++
    this.#owner.left(this)
  }

  readonly #afterBatch = (): void => {
    if (this.#news.length > 0) {
      const news = this.#news
      this.#news = []
      for (const connection of news) connection.arrived()
    }
    this.#owner.batchEnd()
    if (this.closing || this.#stalled.length === 0) return
    const stalled = this.#stalled
    this.#stalled = []
    for (const connection of stalled) connection.start()
  }

  readonly #roomAgain = (gaveBack: boolean): void => {
    if (gaveBack && this.#refused.size > 0) this.#refusedAgain()
    const room = this.engine.room ?? 0
    if (this.closing || this.#starved.size === 0 || room === 0) return
    let left = room
    for (const connection of this.#starved) {
      if (left-- === 0) break
      this.#starved.delete(connection)
      connection.start()
    }
    // Who found nothing to receive has taken no buffer, and the next may have it.
    this.engine.wake()
  }

  readonly #refusedAgain = (): void => {
    if (this.#again !== null) clearTimeout(this.#again)
    this.#again = null
    if (this.closing) return
    const refused = [...this.#refused]
    this.#refused.clear()
    for (const connection of refused) connection.start()
    this.engine.wake()
  }
}
