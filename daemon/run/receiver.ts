import type { Logger } from 'pino'
import { type Connection, type ConnectionHandler, formatEndpoint, type Server } from '../api.ts'
import { errnoName, gigabits, round } from '../cli/format.ts'
import type { Sink, SinkResult, SinkStream } from '../sinks/index.ts'

/** Connections kept for the list of totals; older ones are in the sums only. */
const KEPT_RECORDS = 1000

/** What became of one connection. */
export interface ConnectionRecord {
  readonly id: number
  /** `192.0.2.1:41000`. */
  readonly remote: string
  /** Bytes the stack delivered. */
  readonly receivedBytes: number
  /** Bytes the sink has for good. */
  readonly sinkBytes: number
  /** From the first byte to the end. */
  readonly seconds: number
  readonly gbps: number
  /** `closed` (the peer's FIN), `interrupted`, `sink failed`, or an errno's name. */
  readonly end: string
  readonly sha256?: string
  readonly path?: string
  readonly error?: string
}

/** Sums over every connection that has ended. */
export interface ReceiverTotals {
  connections: number
  receivedBytes: number
  sinkBytes: number
  /** Connections whose bytes did not all reach the sink. */
  sinkFailures: number
  /** Connections that ended otherwise than by the peer's FIN or our own stop. */
  broken: number
  /** Transfers that are not whole: of what had begun to come the end did not, or not all of it is stored. */
  cut: number
}

class Session {
  /** Of the connection, among those of all queues. */
  readonly id: number
  readonly connection: Connection
  readonly stream: SinkStream
  received = 0
  firstByteAt = 0
  sinkError: Error | undefined
  ending = false

  constructor(id: number, connection: Connection, stream: SinkStream) {
    this.id = id
    this.connection = connection
    this.stream = stream
  }
}

/** Leads each connection's bytes into a sink and keeps account of both. */
export class Receiver implements ConnectionHandler {
  readonly totals: ReceiverTotals = {
    connections: 0,
    receivedBytes: 0,
    sinkBytes: 0,
    sinkFailures: 0,
    broken: 0,
    cut: 0,
  }
  /** The latest connections that have ended, oldest first. */
  readonly records: ConnectionRecord[] = []
  /** Called after a connection's bytes are all in the sink (or given up). */
  onRecord: ((record: ConnectionRecord) => void) | undefined
  readonly #sink: Sink
  readonly #log: Logger
  readonly #sessions = new Map<number, Session>()
  readonly #endings = new Set<Promise<void>>()
  readonly #queue: number
  readonly #queues: number
  #server: Server | undefined
  #stopping = false

  /**
   * @param queue which of the queues this is, when several receive for one sink @param queues how many there are: connections of
   *   each have numbers of their own, which are made to differ
   */
  constructor(sink: Sink, log: Logger, queue = 0, queues = 1) {
    this.#sink = sink
    this.#log = log
    this.#queue = queue
    this.#queues = queues
  }

  /** Names the server whose area offsets refer to. */
  attach(server: Server): void {
    this.#server = server
  }

  /** Bytes delivered so far, open connections included. */
  get receivedBytes(): number {
    let bytes = this.totals.receivedBytes
    for (const session of this.#sessions.values()) if (!session.ending) bytes += session.received
    return bytes
  }

  /** Connections now open. */
  get openConnections(): number {
    return this.#sessions.size
  }

  onConnection(connection: Connection): void {
    if (this.#stopping) {
      connection.reset()
      return
    }
    const receiver = this
    const id = connection.id * this.#queues + this.#queue
    const stream = this.#sink.open(this.#queues === 1 ? connection : numbered(connection, id), {
      get area(): Uint8Array {
        return receiver.#server!.area
      },
      failed(error: Error): void {
        receiver.#sinkFailed(connection, error)
      },
    })
    this.#sessions.set(connection.id, new Session(id, connection, stream))
    this.#log.info({ connection: id, remote: remoteOf(connection) }, 'connection opened')
  }

  onData(connection: Connection, offset: number, length: number): boolean {
    const session = this.#sessions.get(connection.id)
    if (session === undefined || session.ending) return true
    if (session.received === 0) session.firstByteAt = performance.now()
    session.received += length
    return session.stream.data(offset, length)
  }

  onEnd(connection: Connection, errno: number): void {
    const session = this.#sessions.get(connection.id)
    if (session !== undefined) this.#finish(session, errno === 0 ? 'closed' : errnoName(errno))
  }

  /**
   * Resets every connection whose stream has not ended and takes no more. Resolves when what they brought is in the sink and no
   * chunk is kept any more; the server may be closed then.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const session of this.#sessions.values()) this.#finish(session, 'interrupted')
    await this.settled()
  }

  /** Resolves when no ended connection has bytes on the way to the sink. */
  async settled(): Promise<void> {
    while (this.#endings.size > 0) await Promise.all(this.#endings)
  }

  #sinkFailed(connection: Connection, error: Error): void {
    const session = this.#sessions.get(connection.id)
    if (session === undefined || session.ending) return
    session.sinkError = error
    this.#finish(session, 'sink failed')
  }

  /**
   * The end of a stream, whichever it is. The connection is closed in an orderly way only when the peer's stream was whole and all
   * of it is stored: our FIN says that. Otherwise it is reset, which gives the descriptor back of one that is dead already.
   */
  #finish(session: Session, end: string): void {
    if (session.ending) return
    session.ending = true
    const whole = end === 'closed'
    if (!whole) session.connection.reset()
    const now = performance.now()
    const seconds = session.received === 0 ? 0 : (now - session.firstByteAt) / 1000
    this.totals.receivedBytes += session.received
    const ending = session.stream.end(whole).then((result) => {
      this.#endings.delete(ending)
      this.#sessions.delete(session.connection.id)
      if (whole && result.error === undefined) session.connection.close()
      else if (whole) session.connection.reset()
      this.#record(session, result, end, seconds)
    })
    this.#endings.add(ending)
  }

  #record(session: Session, result: SinkResult, end: string, seconds: number): void {
    const error = result.error ?? session.sinkError
    const record: ConnectionRecord = {
      id: session.id,
      remote: remoteOf(session.connection),
      receivedBytes: session.received,
      sinkBytes: result.bytes,
      seconds: round(seconds, 6),
      gbps: round(gigabits(session.received, seconds), 3),
      end: error === undefined ? end : 'sink failed',
      ...(result.sha256 === undefined ? {} : { sha256: result.sha256 }),
      ...(result.path === undefined ? {} : { path: result.path }),
      ...(error === undefined ? {} : { error: error.message }),
    }
    this.totals.connections += 1
    this.totals.sinkBytes += result.bytes
    if (error !== undefined) this.totals.sinkFailures += 1
    else if (end !== 'closed' && end !== 'interrupted') this.totals.broken += 1
    if (error !== undefined || (end !== 'closed' && session.received > 0)) this.totals.cut += 1
    this.records.push(record)
    if (this.records.length > KEPT_RECORDS) this.records.shift()
    const { id, ...fields } = record
    if (error !== undefined)
      this.#log.error({ connection: id, ...fields }, 'connection ended: not all of it is stored')
    else if (end !== 'closed') this.#log.warn({ connection: id, ...fields }, `connection ended: ${end}`)
    else this.#log.info({ connection: id, ...fields }, 'connection closed')
    this.onRecord?.(record)
  }
}

/** The connection under another number. */
function numbered(connection: Connection, id: number): Connection {
  const { remoteAddress, remotePort } = connection
  return {
    id,
    remoteAddress,
    remotePort,
    release: (offset) => connection.release(offset),
    send: (data) => connection.send(data),
    close: () => connection.close(),
    reset: () => connection.reset(),
  }
}

function remoteOf(connection: Connection): string {
  return formatEndpoint(connection.remoteAddress, connection.remotePort)
}
