import { lookup } from 'node:dns/promises'
import { IpAddress } from '../address.ts'
import { ArgumentError, ConnectionError, ZcrxError } from '../errors.ts'
import { DEFAULT_AREA_BYTES } from '../pages.ts'
import { tell } from './channels.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import type { BufferLimits } from './connection-requests.ts'
import { dial, type Target } from './dialing.ts'
import type { EngineOptions } from './engine.ts'
import { Lane, type LaneOwner } from './lane.ts'
import type { ListenerOptions } from './listen.ts'
import { addressOf, checkSignal, integer, orAborted } from './options.ts'
import type { Systems } from './system.ts'

/** Where to connect, and how. */
export interface DialOptions extends Omit<ListenerOptions, 'fastOpen'> {
  /** The peer: an IPv4 or IPv6 address, or a name, which the machine's resolver is asked for. */
  readonly host: string
  readonly port: number
  /** Of the addresses of a name those of one family. Default: whatever the host has addresses for. */
  readonly family?: 4 | 6
  /** Where to connect from: one of the host's addresses, as text, and a port. Default: the one that fits, and any free port. */
  readonly localAddress?: string
  readonly localPort?: number
  /** Gives up with an `AbortError`. Behind the handshake it does nothing. */
  readonly signal?: AbortSignal | undefined
  /** Longest wait for the handshake in milliseconds; then ETIMEDOUT. Default: as long as the stack tries, about two minutes. */
  readonly timeout?: number
  /** Callback style, the fast one, as of servers; without it the connection is read. */
  readonly handler?: ConnectionHandler
  /** Of several queues the one to connect from; default 0. */
  readonly queue?: number
}

/** Connections that go out from a host: one ring for each queue that is used. */
export class Dialer {
  readonly #systems: Systems
  readonly #options: EngineOptions & BufferLimits
  readonly #settle: () => Promise<void>
  readonly #lanes = new Map<number, Lane>()
  #count = 0
  #closed = false

  /** @param settle keeps the stack working until what was sent is acknowledged */
  constructor(systems: Systems, options: EngineOptions & BufferLimits, settle: () => Promise<void>) {
    this.#systems = systems
    this.#options = options
    this.#settle = settle
  }

  /** Connections there have been. */
  get count(): number {
    return this.#count
  }

  /** @throws ConnectionError, ArgumentError, AbortError */
  async connect(options: DialOptions): Promise<Connection> {
    const { signal, handler = null } = options
    checkSignal(signal)
    const port = integer('port', options.port, 1, 65_535)
    const timeoutMs = integer('timeout', options.timeout ?? 0, 0, 2 ** 31 - 1)
    const lane = this.#lane(integer('queue', options.queue ?? 0, 0, 255))
    const local = {
      address: options.localAddress === undefined ? null : addressOf('localAddress', options.localAddress),
      port: integer('localPort', options.localPort ?? 0, 0, 65_535),
    }
    lane.hold(1)
    try {
      const { system } = lane.engine
      lane.engine.wake()
      if (system.pending) await orAborted(system.ready, signal)
      const addresses = await this.#addresses(options, lane)
      let failed: unknown
      for (const address of addresses) {
        const { noDelay = false, keepAlive = false, userTimeoutMs = 0 } = options
        const target: Target = {
          address,
          port,
          local,
          signal,
          timeoutMs,
          handler,
          noDelay,
          keepAlive,
          userTimeoutMs,
        }
        try {
          return await this.#one(lane, target)
        } catch (error) {
          if (!(error instanceof ConnectionError)) throw error
          failed ??= error
        }
      }
      throw failed
    } finally {
      lane.hold(-1)
    }
  }

  async #one(lane: Lane, target: Target): Promise<Connection> {
    const where = { address: target.address.toString(), port: target.port }
    tell('connect:start', where)
    try {
      const connection = await dial(lane, target)
      tell('connection:open', { connection })
      return connection
    } catch (error) {
      tell('connect:error', { ...where, error })
      throw error
    }
  }

  /** What a name stands for, as far as it can be reached by an address of ours. */
  async #addresses({ host, family }: DialOptions, lane: Lane): Promise<IpAddress[]> {
    if (typeof host !== 'string' || host === '')
      throw new ArgumentError('no peer to connect to', "give host: an address, or a name, as in '192.0.2.1'")
    const one = IpAddress.parse(host)
    if (one !== null) return [one]
    const found = await lookup(host, { all: true, ...(family === undefined ? {} : { family }) }).catch(
      (error: NodeJS.ErrnoException) => {
        const { code = 'ENOTFOUND', errno = 0 } = error
        throw new ConnectionError([code, -errno], error.syscall ?? 'getaddrinfo', { cause: error }, host)
      },
    )
    const all = found.map(({ address }) => IpAddress.parse(address)).filter((address) => address !== null)
    const own = lane.engine.system.addresses
    const fitting = all.filter(({ version }) => own.some((address) => address.version === version))
    return fitting.length > 0 ? fitting : all
  }

  #lane(queue: number): Lane {
    if (this.#closed) throw new ZcrxError('ZCRX_CLOSED', 'the host is closed')
    const there = this.#lanes.get(queue)
    if (there !== undefined) return there
    const systems = this.#systems.queues
    const system = systems[queue]
    if (system === undefined)
      throw new ArgumentError(`there is no queue ${queue}`, `there are ${systems.length}`)
    const shared = this.#systems.instances?.[queue] ?? null
    const parts = this.#systems.areas(this.#options.areaBytes ?? DEFAULT_AREA_BYTES)
    const lane = new Lane(system, this.#options, this.#owner(), shared ?? parts?.[queue] ?? null)
    if (shared === null) this.#systems.registered?.(queue, lane.engine)
    lane.keepAlive(false)
    this.#lanes.set(queue, lane)
    return lane
  }

  #owner(): LaneOwner {
    return {
      handler: null,
      wanted: 0,
      number: () => ++this.#count,
      claim: () => ({ hand: () => {}, drop: () => {} }),
      threw: (connection, error) => {
        connection.reset()
        const { handler } = connection
        try {
          if (handler?.onError === undefined) throw error
          handler.onError(connection, error)
        } catch (uncaught) {
          // Not from here: the other completions of the batch are not to blame.
          setImmediate(() => {
            throw uncaught
          })
        }
      },
      batchEnd: () => {},
      left: (lane) => {
        // What was sent last is still to arrive, also where the program has nothing else to do.
        if (lane.accepted === lane.closed && !this.#closed) void this.#settle()
      },
      gone: () => {},
    }
  }

  /** It has rings. */
  get open(): boolean {
    return this.#lanes.size > 0
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    this.#closed = true
    const lanes = [...this.#lanes.values()]
    // From a callback it takes effect as soon as that has returned.
    if (lanes.some(({ engine }) => engine.reaping)) await new Promise((resolve) => setImmediate(resolve))
    for (const lane of lanes) lane.close()
  }
}
