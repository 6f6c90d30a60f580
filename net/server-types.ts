/** What is said to a server, and what it says. */
import type { NicError } from '../errors.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import type { BufferLimits } from './connection-requests.ts'
import type { EngineOptions } from './engine.ts'
import type { ListenOptions } from './listen.ts'
import type { UserArea } from './user-area.ts'

export type { ConnectionHandler } from './connection.ts'

/** What a server is made with: a device, or a host that has one, and where and how it listens. */
export interface ServerOptions extends EngineOptions, BufferLimits {
  /** Memory to receive into, of the program's choice: as `OpenHostOptions.area`. Not with `host`. */
  readonly area?: UserArea
  /** TCP port; 0 takes any that is free. Needed unless `listen` says where. */
  readonly port?: number
  /** Which of several addresses to listen on, as in `ListenOptions.address`; default all. */
  readonly listenOn?: string
  /** Several listeners, in place of `port` and `listenOn`. */
  readonly listen?: readonly ListenOptions[]
  /** Connections that may wait to be accepted, and one more, as with listen(2): at most 4096. Default 511. */
  readonly backlog?: number
  /** TCP_NODELAY: small sends leave at once. Default false. */
  readonly noDelay?: boolean
  /** SO_KEEPALIVE; a number is the quiet time in milliseconds before the first probe. Default false. */
  readonly keepAlive?: boolean | number
  /** TCP_USER_TIMEOUT, milliseconds: how long sent data may stay unacknowledged. Default 0: by retransmissions. */
  readonly userTimeoutMs?: number
  /** TCP_FASTOPEN: connections that may wait with data of their SYN (RFC 7413). Default 0: none. */
  readonly fastOpen?: number
  /** After so long (ms) without traffic in either direction a connection is reset: `onEnd` is told ETIMEDOUT. Default 0: never. */
  readonly idleTimeoutMs?: number
  /** Closes the server when it is aborted; before it listens, rejects with an `AbortError`. */
  readonly signal?: AbortSignal | undefined
  /** Callback style, the fast one. Without it the server is iterated: `for await (const connection of server)`. */
  readonly handler?: ConnectionHandler
}

/** Events of a server, and what they are told. */
export interface ServerEvents {
  /** Somebody has connected. Listening to it is the way to accept of a server without a handler that is not iterated. */
  connection: [connection: Connection]
  /** It can be reached. Emitted a turn of the event loop after `createServer` has resolved. */
  listening: []
  /** Everything of it was given back. */
  close: []
  /**
   * The device went away (`NicError`, without a connection), or a callback threw for a connection, which was reset. Without a listener the former
   * is told by `onGone` alone, and the latter becomes an uncaught exception.
   */
  error: [error: unknown, connection: Connection | null]
}

/** Where a server listens, as `net.AddressInfo`. */
export interface BoundAddress {
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  readonly port: number
}

/** What a server has counted since it was made. NaN for what the other side of the ring does not tell. */
export interface ServerStats {
  /** Accepted so far. */
  connections: number
  /** Bytes that lie in the area where the NIC put them. */
  zeroCopiedBytes: number
  /** Bytes that this package's code has copied, for whatever reason. */
  copiedBytes: number
  /** Data completions. */
  completions: number
  /** Frames received by the stack. */
  frames: number
  /** Frames not delivered, by cause. */
  drops: Record<string, number>
  /** Everything the stack counts. */
  tcp: Record<string, number>
}

/** The server is reached at other addresses than before. */
export interface AddressesReport {
  /** As `Server.listening`. */
  readonly listening: readonly string[]
  /** Why a new address is not listened at, an error each: a service of the machine has the port there, for one. */
  readonly failures: readonly unknown[]
}

/** One of several queues went away: its place among them, from 0, and why. */
export interface QueueGone {
  readonly queue: number
  readonly error: NicError
}

/** What an application has kept for too long, those who hold most first. */
export interface HeldBuffers {
  readonly buffers: number
  readonly oldestMs: number
  /** `connection` is null when it has ended. */
  readonly holders: readonly { connection: Connection | null; buffers: number; oldestMs: number }[]
}

/** Where the connections are that a server has accepted; `lost` is never anything but 0 in a correct program. */
export interface ConnectionCensus {
  readonly accepted: number
  /** Their stream goes on. */
  readonly open: number
  /** Their stream is over and the application has not closed them yet. */
  readonly ended: number
  /** Being closed: what was given to `send` is on its way. */
  readonly closing: number
  /** Everything of theirs was given back. */
  readonly closed: number
  readonly lost: number
}
