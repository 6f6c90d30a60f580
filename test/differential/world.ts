import type { RingHost } from '../../uapi/ring/backend.ts'

/** The two ends of connections. */
export type Side = 'client' | 'server'

/** What a program needs besides rings: zero-copy receive by itself, or of a NIC's queue. */
export type Need = 'zcrx' | 'queue'

/** Where zero-copy receive is registered: part of `IfqRequest`. */
export interface QueueOf {
  readonly ifIdx: number
  readonly ifRxq: number
  /** ZCRX_REG_* */
  readonly flags: number
}

/** What a program runs on: a kernel with rings, a network with two addresses, and time. */
export interface World {
  readonly name: string
  readonly host: RingHost
  /** `struct sockaddr` of an end. @param port one of `port`, or 0 */
  sockaddr(side: Side, port: number, version?: 4 | 6): Uint8Array
  /** A port of the server's that nobody has bound, the same for each number within a run. */
  port(number: number): number
  /** What instances are registered on. */
  readonly queue: QueueOf
  /** Sockets that are made meanwhile are of the client's host. */
  asClient<T>(act: () => T): T
  /** Lets time pass, microseconds. */
  pass(us: number): void
  /** Milliseconds in which nothing came, until nothing is thought to come. */
  readonly quietMs: number
  /** Longest wait for something that the other world has had, milliseconds. */
  readonly patienceMs: number
  /** Ends it. @param fds what the program left open */
  release(fds: readonly number[]): void
}

/** Makes a world for one program. */
export interface WorldMaker {
  readonly name: string
  make(): World
}
