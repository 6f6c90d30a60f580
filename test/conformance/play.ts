import * as abi from '../../uapi/abi/index.ts'
import type { Route, SocketCalls } from './calls.ts'
import type { LogEntry } from './derived.ts'
import { CTRL_OP, control, ctrl, type Handle, Instance } from './instance.ts'
import { Machine } from './machine.ts'
import { UserMemory } from './memory.ts'
import { NoTranslation } from './no-translation.ts'
import type { Json, JsonObject, Scenario } from './record.ts'
import { Registration, type RegistrationOptions } from './registration.ts'
import { hex } from './structs.ts'
import { type Completion, FIRST_OTHER_UD, isData, TestRing } from './test-ring.ts'

export { NoTranslation } from './no-translation.ts'

/** Both ends of one TCP connection, and how far its stream has come. */
export interface Connection {
  readonly stream: number
  client: number
  server: number
  sent: number
  /** Bytes that completions have named, or recv(2) has taken. */
  delivered: number
  /** The peer's side has ended: nothing more is sent. */
  ended: 'no' | 'fin' | 'reset'
  /** The receiver has shut its own side for reading. */
  receiveShut: boolean
  /** Urgent data was sent: delivery stops in front of it. */
  urgent: boolean
}

/** A receive request that was submitted. */
export interface Request {
  readonly ud: number
  readonly handle: Handle | null
  readonly connection: Connection
  readonly limit: number
  /** Bytes that its completions have named. */
  received: number
}

/** A completion as it came, with the request it belongs to. */
export interface Seen {
  readonly completion: Completion
  readonly ring: number
  readonly data: boolean
  readonly niov: number
  readonly area: number
  readonly offset: number
  readonly inBuffer: number
  readonly dataOk: boolean
}

/** Set-up that ended the scenario early, as some of the record do. */
export class SetUpFailed extends Error {
  readonly ret: number
  constructor(ret: number) {
    super(`set-up: ${abi.errnoName(ret)}`)
    this.ret = ret
  }
}

/** Everything a scenario is played on and what has been seen so far. */
export class Play {
  readonly scenario: Scenario
  readonly machine: SocketCalls
  readonly memory: UserMemory
  /** Rings by number; the one that is looked at most is 1. */
  readonly rings = new Map<number, TestRing>()
  /** Instances by ring and id. */
  readonly handles = new Map<number, Handle[]>()
  readonly connections = new Map<number, Connection>()
  /** The latest request of each user_data. */
  readonly requests = new Map<number, Request>()
  /** Completions of receive requests, in order. */
  readonly seen: Seen[] = []
  /** What the record calls `result`, as far as only this play knows it. */
  readonly result: Record<string, Json> = {}
  /** What came back otherwise than recorded. */
  readonly differences: string[] = []
  /** Over which network connections are made. */
  route: Route = 'lo'
  /** Buffers the user holds: `heldKey` to completions not returned. */
  readonly held = new Map<string, number>()
  /** What each of these calls has returned. */
  readonly returned: { readonly import: number[]; readonly export: number[] } = { import: [], export: [] }
  /** What the latest import wrote back, as the record tells it. */
  imported: JsonObject = {}
  /** Descriptors of instances. */
  readonly exported = new Set<number>()
  /** Keys of the result that were not compared, with why. */
  readonly notCompared: Record<string, string> = {}
  /** Acts done so far, of each kind. */
  readonly done = new Map<string, number>()
  readonly log: LogEntry[] = []
  /** How many of `seen` had come when something asked to count from there. */
  readonly marks = new Map<string, number>()

  constructor(scenario: Scenario, machine: SocketCalls = new Machine()) {
    this.scenario = scenario
    this.machine = machine
    this.memory = new UserMemory(machine)
  }

  get isLinux(): boolean {
    return !(this.machine instanceof Machine)
  }

  /** The machine, where it has a kernel of ours. @throws NoTranslation where it is Linux's */
  get ours(): Machine {
    if (this.machine instanceof Machine) return this.machine
    throw new NoTranslation('what only a kernel of ours can be told')
  }

  differs(where: string, expected: unknown, got: unknown): void {
    this.differences.push(`${where}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`)
  }

  expect(where: string, expected: Json | undefined, got: Json | undefined): void {
    if (expected === undefined) return
    if (JSON.stringify(expected) !== JSON.stringify(got)) this.differs(where, expected, got ?? null)
  }

  ring(number = 1): TestRing {
    const ring = this.rings.get(number)
    if (ring === undefined) throw new NoTranslation(`no ring ${number}`)
    return ring
  }

  /** The first ring that is still open. */
  get openRing(): number {
    for (const [number, ring] of this.rings) if (ring.open) return number
    throw new NoTranslation('no open ring')
  }

  addRing(number: number, flags?: number, cqEntries?: number): TestRing {
    const ring = TestRing.of(this.machine, flags, Math.min(64, cqEntries ?? 64), cqEntries)
    this.rings.set(number, ring)
    return ring
  }

  /** Registers an instance that the scenario needs. @throws SetUpFailed */
  register(ring: number, options: RegistrationOptions): Handle {
    const registration = new Registration(this.memory, options)
    const ret = registration.perform(this.ring(ring))
    if (ret < 0) throw new SetUpFailed(ret)
    return this.adopt(ring, registration.reg.get('zcrx_id'), new Instance(registration))
  }

  adopt(ring: number, id: number, instance: Instance): Handle {
    const handle = { ring: this.ring(ring), id, instance }
    const list = this.handles.get(ring) ?? []
    list.push(handle)
    this.handles.set(ring, list)
    return handle
  }

  /** The `nth` instance of a ring. */
  handle(ring = this.openRing, nth = 0): Handle {
    const handle = this.handles.get(ring)?.[nth]
    if (handle === undefined) throw new NoTranslation(`no instance ${nth} on ring ${ring}`)
    return handle
  }

  connection(stream = 1, route: Route = this.route): Connection {
    let connection = this.connections.get(stream)
    if (connection === undefined) {
      const { client, server } = this.machine.connect(route)
      connection = {
        ...{ stream, client, server, sent: 0, delivered: 0 },
        ...{ ended: 'no', receiveShut: false, urgent: false },
      }
      this.connections.set(stream, connection)
    }
    return connection
  }

  /** Sends the next bytes of a stream; returns what send(2) would. */
  send(stream: number, length: number, flags = 0): number {
    const connection = this.connection(stream)
    const ret = this.machine.send(connection.client, streamBytes(stream, connection.sent, length), flags)
    if (ret > 0) connection.sent += ret
    return ret
  }

  /** Sends `total` bytes, `each` by each. Returns calls and bytes. */
  sendMany(stream: number, total: number, each: number): { calls: number; sent: number } {
    let calls = 0
    let sent = 0
    while (sent < total) {
      const ret = this.send(stream, Math.min(each, total - sent))
      calls++
      if (ret <= 0) break
      sent += ret
    }
    return { calls, sent }
  }

  /** recv(2) on the receiver's descriptor. `ok`: the bytes are the next of the stream. */
  recv(stream: number, length: number, flags = 0): { ret: number; ok: boolean } {
    const connection = this.connection(stream)
    const bytes = new Uint8Array(length)
    const ret = this.machine.recv(connection.server, bytes, flags)
    const ok = ret > 0 && matches(stream, connection.delivered, bytes.subarray(0, ret))
    if (ret > 0 && (flags & abi.MSG_PEEK) === 0) connection.delivered += ret
    return { ret, ok }
  }

  sendUrgent(stream: number, byte: number): void {
    const connection = this.connection(stream)
    this.machine.send(connection.client, Uint8Array.of(byte), abi.MSG_OOB)
    connection.urgent = true
  }

  /** shutdown(2) of the receiver's own socket. */
  shutdownReceiver(how: number): void {
    this.#checkQueued()
    const connection = this.connection()
    this.machine.shutdown(connection.server, how)
    if (how !== abi.SHUT_WR) connection.receiveShut = true
  }

  end(stream: number, how: 'fin' | 'reset' | 'shutdown'): void {
    this.#checkQueued()
    const connection = this.connection(stream)
    if (how === 'reset') this.machine.reset(connection.client)
    else if (how === 'fin') this.machine.close(connection.client)
    else this.machine.shutdown(connection.client, abi.SHUT_WR)
    connection.ended = how === 'reset' ? 'reset' : 'fin'
  }

  /** Submits a RECV_ZC. @param change the entry, after it has been prepared */
  receive(
    ud: number,
    options: {
      connection?: Connection
      limit?: number
      handle?: Handle
      ring?: number
      change?: (sqe: abi.Sqe, view: DataView) => void
    } = {},
  ): number {
    const { limit = 0, change } = options
    const ring = options.ring ?? this.ringOf(options.handle) ?? this.openRing
    const handle = options.handle ?? this.handles.get(ring)?.[0] ?? null
    const connection = options.connection ?? this.connectionFor(ud)
    const { sqe, view } = this.ring(ring).sqe()
    sqe.prepRecvZc(connection.server, handle?.id ?? 0, limit).setData(ud)
    change?.(sqe, view)
    this.requests.set(ud, { ud, handle, connection, limit, received: 0 })
    return this.ring(ring).submit()
  }

  ringOf(handle: Handle | undefined): number | undefined {
    for (const [number, ring] of this.rings) if (ring === handle?.ring) return number
    return undefined
  }

  /** The connection a request is for: the one with its number, if the scenario has so many. */
  connectionFor(ud: number): Connection {
    return this.connection(this.connections.has(ud) ? ud : 1)
  }

  nops(ring: number, uds: readonly number[]): void {
    this.marks.set('nops', 1)
    // Four at a time: the recording's submission queue was that short.
    for (let i = 0; i < uds.length; i += 4) {
      for (const ud of uds.slice(i, i + 4)) this.ring(ring).sqe().sqe.prepNop().setData(ud)
      this.ring(ring).submit()
    }
  }

  /** Takes note of completions, in the order in which they came. */
  note(ring: number, completions: readonly Completion[]): Seen[] {
    const list = completions.map((completion) => this.#seen(ring, completion))
    for (const seen of list) if (seen.completion.ud < FIRST_OTHER_UD) this.seen.push(seen)
    return list
  }

  #seen(ring: number, completion: Completion): Seen {
    const data = isData(completion)
    const request = this.requests.get(completion.ud)
    const handle = request?.handle ?? this.handles.get(ring)?.[0]
    const area = Number(completion.extra[0] >> 48n)
    const offset = Number(completion.extra[0] & 0xffff_ffff_ffffn)
    const size = handle?.instance.bufferBytes ?? 4096
    const niov = Math.floor(offset / size)
    let dataOk = false
    if (data && request !== undefined) {
      const bytes = handle?.instance.bytes(area, offset, completion.res) ?? null
      const { connection } = request
      dataOk = bytes !== null && matches(connection.stream, connection.delivered, bytes)
      connection.delivered += completion.res
      request.received += completion.res
      const key = this.heldKey(handle?.instance, area, niov)
      this.held.set(key, (this.held.get(key) ?? 0) + 1)
    }
    if (!data) this.#checkEnd(completion)
    return { completion, ring, data, niov, area, offset, inBuffer: offset % size, dataOk }
  }

  /** Whatever a record lists: no request ends with 0 before its limit, a FIN behind all the data, a reset or SHUT_RD. */
  #checkEnd({ ud, res, flags }: Completion, more = 0): void {
    const request = this.requests.get(ud)
    if (request === undefined || res !== 0 || flags.length > 0) return
    const { connection, limit } = request
    const received = request.received + more
    const { ended, receiveShut, urgent, sent, delivered } = connection
    if (receiveShut || ended === 'reset' || (limit > 0 && received >= limit)) return
    if (ended === 'fin' && (urgent || delivered === sent)) return
    const got = `0 after ${received} bytes of ${sent}`
    this.differs(`request ${ud}`, 'no end of the stream', got)
  }

  /** What waits in the queues now was there before the stream is ended. */
  #checkQueued(): void {
    for (const ring of this.rings.values()) {
      const bytes = new Map<number, number>()
      for (const completion of ring.open ? ring.peek() : []) {
        const { ud, res } = completion
        if (isData(completion)) bytes.set(ud, (bytes.get(ud) ?? 0) + res)
        else this.#checkEnd(completion, bytes.get(ud))
      }
    }
  }

  /** Looks for ends of the stream that came without cause and that no step has collected. */
  sweep(): void {
    for (const ring of this.rings.values()) {
      if (!ring.open) continue
      const left = ring.reap()
      ring.enter(0)
      for (const completion of left.concat(ring.reap())) if (!isData(completion)) this.#checkEnd(completion)
    }
  }

  /** The user returns a buffer. */
  refill(niov: number, len?: number, area = 0, handle: Handle = this.handle()): void {
    handle.instance.refill(niov, area, len)
    const key = this.heldKey(handle.instance, area, niov)
    this.held.set(key, Math.max(0, (this.held.get(key) ?? 0) - 1))
  }

  /** Names a buffer of an instance. */
  heldKey(instance: Instance | undefined, area: number, niov: number): string {
    const all = [...this.handles.values()].flat().map((handle) => handle.instance)
    return `${instance === undefined ? -1 : all.indexOf(instance)}:${area}:${niov}`
  }

  /** FLUSH_RQ: 0 or minus errno. */
  flush(handle: Handle = this.handle()): number {
    return control(handle.ring, ctrl(handle.id, CTRL_OP.FLUSH_RQ))
  }

  /** Buffers that completions name and that were not returned. */
  heldCount(): number {
    let count = 0
    for (const refs of this.held.values()) if (refs > 0) count++
    return count
  }

  closeExported(): void {
    for (const fd of this.exported) this.machine.close(fd)
    this.exported.clear()
  }

  close(): void {
    this.closeExported()
    for (const ring of this.rings.values()) ring.close()
    this.machine.release()
  }
}

/** A completion in the record's words. */
export function recordOf(seen: Seen): Record<string, Json> {
  const { completion } = seen
  const { ud, res, flags, bytes, extra } = completion
  const out: Record<string, Json> = { ud, res }
  if (res < 0) out.err = abi.errnoName(res)
  out.flags = [...flags]
  if (seen.data) {
    out.area = seen.area
    out.off = seen.offset
    out.niov = seen.niov
    out.in = seen.inBuffer
    out.pad = hex(extra[1])
    out.data_ok = seen.dataOk
  } else if (bytes === 16) out.bytes = 16
  else out.extra = [hex(extra[0]), hex(extra[1])]
  return out
}

/** Byte `at` of a stream: no two streams are alike, and no power of two is a period. */
function streamByte(stream: number, at: number): number {
  return (Math.imul(at, 7) + Math.floor(at / 251) * 13 + stream * 101) & 0xff
}

export function streamBytes(stream: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = streamByte(stream, from + i)
  return bytes
}

function matches(stream: number, from: number, bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== streamByte(stream, from + i)) return false
  return true
}
