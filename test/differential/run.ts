import * as abi from '../../uapi/abi/index.ts'
import type { RingBackend, RingHost } from '../../uapi/ring/backend.ts'
import { Ring, type RingParams } from '../../uapi/ring/ring.ts'
import type { Side, World } from './world.ts'

/** What a ring of a scenario is set up with unless it says otherwise. */
export const DEFER: number = abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER

const FLAGS: readonly (readonly [number, string])[] = [
  [abi.IORING_CQE_F_BUFFER, 'BUFFER'],
  [abi.IORING_CQE_F_MORE, 'MORE'],
  [abi.IORING_CQE_F_SOCK_NONEMPTY, 'NONEMPTY'],
  [abi.IORING_CQE_F_NOTIF, 'NOTIF'],
  [abi.IORING_CQE_F_BUF_MORE, 'BUF_MORE'],
  [abi.IORING_CQE_F_SKIP, 'SKIP'],
  [abi.IORING_CQE_F_32, 'F_32'],
]
/** `user_data` of what `do` and the calls beside the ring submit. */
const FIRST_CALL = 1_000_000

export type Prepare = (sqe: abi.Sqe) => abi.Sqe

/** A completion, as it is written down. */
export interface Seen {
  readonly userData: number
  readonly res: number
  readonly flags: number
  readonly bufferId: number
  /** Further words of a wide one. */
  readonly extra: readonly number[]
  /** The entry that had this `user_data` last. */
  readonly of: Submitted | null
}

/** What is to be known of an entry when its completion comes. */
interface Submitted {
  readonly opcode: number
  readonly fd: number
  readonly fileIndex: number
}

/** What one world was seen to do, and when it was waited for. */
export interface Account {
  readonly lines: readonly string[]
  /** What each wait brought, in order (`weight`): what another world is waited for to have as well. */
  readonly waits: readonly number[]
}

export interface SeeOptions {
  readonly ring?: Ring
  /** Time that passes at the least, milliseconds. */
  readonly ms?: number
  /** Not in the order of `user_data`, but as they came. */
  readonly inOrder?: boolean
}

/** One program on one world: everything it does with rings goes through here, and what comes back is written down. */
export class Run {
  readonly world: World
  readonly lines: string[] = []
  readonly waits: number[] = []
  /** What the other world has had at each wait; none for the first world. */
  readonly #hoped: readonly number[]
  readonly #rings: Ring[] = []
  readonly #calls: Ring
  readonly #submitted = new Map<Ring, Map<number, Submitted>>()
  readonly #found = new Map<Ring, Seen[]>()
  /** Descriptors that are open, and the names they were given. */
  readonly #names = new Map<number, string>()
  #named = 0
  #call = FIRST_CALL
  readonly #held: Uint8Array[] = []
  readonly #backends = new Map<Ring, RingBackend>()

  constructor(world: World, hoped: readonly number[] = []) {
    this.world = world
    this.#hoped = hoped
    this.#calls = this.#make(32)
  }

  /** A ring; the first one is `r`. */
  ring(flags: number = DEFER, params: Omit<RingParams, 'flags'> & { entries?: number } = {}): Ring {
    const { entries = 64, ...rest } = params
    const ring = this.#make(entries, { flags, ...rest })
    this.#rings.push(ring)
    return ring
  }

  #make(entries: number, params: RingParams = {}): Ring {
    let backend: RingBackend | null = null
    const host: RingHost = { ringBackend: () => (backend = this.world.host.ringBackend()) }
    const ring = Ring.queueInit(entries, host, params)
    this.#backends.set(ring, backend!)
    this.#submitted.set(ring, new Map())
    this.#found.set(ring, [])
    return ring
  }

  /** The other side of a ring, for calls that `Ring` has no method for. */
  backend(ring: Ring): RingBackend {
    return this.#backends.get(ring)!
  }

  /** The scenario's ring. */
  get r(): Ring {
    return this.#rings[0] ?? this.ring()
  }

  /** Ends a ring before the scenario does. */
  exit(ring: Ring): void {
    ring.queueExit()
    this.#rings.splice(this.#rings.indexOf(ring), 1)
    this.#found.delete(ring)
  }

  say(...words: unknown[]): void {
    this.lines.push(words.map(String).join(' '))
  }

  /** Memory that entries may name. */
  bytes(length: number, fill = 0): Uint8Array {
    const bytes = this.#calls.arena.take(length).fill(fill)
    this.#held.push(bytes)
    return bytes
  }

  copy(bytes: Uint8Array): Uint8Array {
    const copy = this.bytes(bytes.length)
    copy.set(bytes)
    return copy
  }

  /** Whole pages. */
  pages(length: number): Uint8Array {
    const bytes = this.#calls.arena.pages(length)
    this.#held.push(bytes)
    return bytes
  }

  ints(...values: number[]): Uint8Array {
    return this.copy(new Uint8Array(Int32Array.from(values).buffer))
  }

  timespec(ms: number): Uint8Array {
    return this.copy(abi.timespecOf(ms * 1000))
  }

  /** `struct sockaddr` of the server's end. @param port number of a port */
  server(port = 0, version: 4 | 6 = 4): Uint8Array {
    return this.copy(this.world.sockaddr('server', this.world.port(port), version))
  }

  /** `struct sockaddr` of an end, with any port. */
  any(side: Side, version: 4 | 6 = 4): Uint8Array {
    return this.copy(this.world.sockaddr(side, 0, version))
  }

  /** An entry, to be submitted later. */
  put(userData: number, prepare: Prepare, ring: Ring = this.r): void {
    const sqe = prepare(ring.getSqe()!).setData(userData)
    const { opcode, fd, fileIndex } = sqe
    this.#submitted.get(ring)!.set(userData, { opcode, fd, fileIndex })
  }

  /** An entry that is submitted at once. */
  go(userData: number, prepare: Prepare, ring: Ring = this.r): void {
    this.put(userData, prepare, ring)
    ring.submit()
  }

  /** A request whose result is waited for; null when none came. Other completions meanwhile are `see`'s. */
  do(prepare: Prepare, ring: Ring = this.r): number | null {
    const userData = this.#call++
    this.go(userData, prepare, ring)
    const found = this.#found.get(ring)!
    const at = (): number => found.findIndex((seen) => seen.userData === userData)
    this.#wait(0, () => Number(at() >= 0), 1)
    if (at() < 0) return null
    const [seen] = found.splice(at(), 1)
    this.#learn(seen!)
    this.#latest = this.#result(seen!)
    return seen!.res
  }

  /** Writes down what a request completes with. */
  tell(what: string, prepare: Prepare, ring: Ring = this.r): number | null {
    const res = this.do(prepare, ring)
    this.say(what, res === null ? 'pending' : this.#latest)
    return res
  }
  #latest = ''

  /** As `do`, on a ring beside that which is looked at: what a system call would be. */
  call(prepare: Prepare): number {
    const res = this.do(prepare, this.#calls)
    if (res === null) throw new Error('a call did not return')
    return res
  }

  /** Writes down the completions that have come, or come before nothing does. */
  see(what: string, options: SeeOptions = {}): Seen[] {
    const all = this.take(options)
    for (const seen of all) this.say(`${what}:`, this.text(seen))
    if (all.length === 0) this.say(`${what}: nothing`)
    return all
  }

  /** The completions that have come, or come before nothing does: for who writes them down in another way. */
  take({ ring = this.r, ms = 0, inOrder = false }: SeeOptions = {}): Seen[] {
    const found = this.#found.get(ring)!
    this.#wait(ms, () => found.reduce((sum, seen) => sum + weight(seen), 0))
    const all = found.splice(0)
    // Requests that have nothing to do with each other complete in any order; those of one request in theirs.
    return inOrder ? all : all.sort((one, other) => one.userData - other.userData)
  }

  socket(family: number = abi.AF_INET): number {
    const fd = this.call((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))
    if (fd < 0) throw new Error(`socket: ${abi.errnoName(fd)}`)
    return fd
  }

  setOption(fd: number, level: number, name: number, ...values: number[]): number {
    const value = this.ints(...values)
    return this.call((sqe) => sqe.prepCmdSock(abi.SOCKET_URING_OP_SETSOCKOPT, fd, level, name, value))
  }

  bind(fd: number, sockaddr: Uint8Array): number {
    return this.call((sqe) => sqe.prepBind(fd, sockaddr))
  }

  /** A listening socket. @param port number of its port */
  listen(port = 0, backlog = 8, version: 4 | 6 = 4): number {
    const fd = this.socket(version === 4 ? abi.AF_INET : abi.AF_INET6)
    this.#must('bind', this.bind(fd, this.server(port, version)))
    this.#must(
      'listen',
      this.call((sqe) => sqe.prepListen(fd, backlog)),
    )
    return fd
  }

  /** A socket that connects from the client's end. */
  client(version: 4 | 6 = 4): number {
    const fd = this.world.asClient(() => this.socket(version === 4 ? abi.AF_INET : abi.AF_INET6))
    this.#must('bind', this.bind(fd, this.any('client', version)))
    this.#must('TCP_NODELAY', this.setOption(fd, abi.IPPROTO_TCP, abi.TCP_NODELAY, 1))
    return fd
  }

  /** A connection: the client's end, and the server's. @param port number of the listener's port */
  pair(port = 0, version: 4 | 6 = 4): [client: number, server: number] {
    const listener = this.listen(port, 8, version)
    const client = this.client(version)
    this.#must(
      'connect',
      this.call((sqe) => sqe.prepConnect(client, this.server(port, version))),
    )
    const server = this.call((sqe) => sqe.prepAccept(listener))
    if (server < 0) throw new Error(`accept: ${abi.errnoName(server)}`)
    this.setOption(server, abi.IPPROTO_TCP, abi.TCP_NODELAY, 1)
    this.close(listener)
    return [client, server]
  }

  /** Sends bytes, which are numbered. Returns how many were taken, or minus errno. */
  send(fd: number, length: number, first = 97): number {
    const bytes = this.bytes(length)
    for (let i = 0; i < length; i++) bytes[i] = first + (i % 26)
    return this.call((sqe) => sqe.prepSend(fd, bytes, abi.MSG_NOSIGNAL))
  }

  /** What can be received without waiting. */
  recv(fd: number, length = 4096): string {
    const bytes = this.bytes(length)
    const res = this.call((sqe) => sqe.prepRecv(fd, bytes, abi.MSG_DONTWAIT))
    return res < 0 ? abi.errnoName(res) : `${res} ${show(bytes.subarray(0, res))}`
  }

  shutdown(fd: number, how: number): number {
    return this.call((sqe) => sqe.prepShutdown(fd, how))
  }

  close(fd: number): number {
    return this.call((sqe) => sqe.prepClose(fd))
  }

  /** Closes with SO_LINGER 0: the peer is reset. */
  reset(fd: number): void {
    this.setOption(fd, abi.SOL_SOCKET, abi.SO_LINGER, 1, 0)
    this.close(fd)
  }

  /** A descriptor that no completion gave is closed at the end. */
  opened(fd: number): void {
    this.#names.set(fd, `f${this.#named++}`)
  }

  /** Ends the rings, then what else is open. */
  end(): void {
    for (const ring of [this.#calls, ...this.#rings]) ring.queueExit()
    this.world.release([...this.#names.keys()])
  }

  #must(what: string, res: number): void {
    if (res !== 0) throw new Error(`${what}: ${abi.errnoName(res)}`)
  }

  /** Until `count` has stopped growing, and is what the other world had. @param ms at the least @param enough nothing more is waited for */
  #wait(ms: number, count: () => number, enough = Number.POSITIVE_INFINITY): void {
    const { quietMs, patienceMs } = this.world
    const hoped = this.#hoped[this.waits.length] ?? 0
    this.#collect()
    for (let passed = 0, quiet = 0, had = count(); had < enough; passed++) {
      if (passed >= ms && quiet >= quietMs && (had >= hoped || quiet >= patienceMs)) break
      this.world.pass(1000)
      this.#collect()
      quiet = count() > had ? 0 : quiet + 1
      had = count()
    }
    this.waits.push(count())
  }

  /** Takes what has completed on any ring. */
  #collect(): void {
    for (const ring of [this.#calls, ...this.#rings]) {
      ring.getEvents()
      const submitted = this.#submitted.get(ring)!
      const found = this.#found.get(ring)!
      for (let cqe = ring.peekCqe(); cqe !== null; cqe = ring.peekCqe()) {
        const { userData, res, flags, bufferId } = cqe
        const extra = cqe.wide ? extraOf(ring) : []
        found.push({ userData, res, flags, bufferId, extra, of: submitted.get(userData) ?? null })
        ring.cqeSeen(cqe)
      }
    }
  }

  /** A completion in words. */
  text(seen: Seen): string {
    this.#learn(seen)
    const { userData, flags, bufferId, extra } = seen
    const words = FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, word]) => word)
    if ((flags & abi.IORING_CQE_F_BUFFER) !== 0) words.push(`#${bufferId}`)
    if (extra.some((word) => word !== 0)) words.push(`(${extra.join(' ')})`)
    return [userData, this.#result(seen), ...words].join(' ')
  }

  #result(seen: Seen): string {
    return opens(seen) ? this.#names.get(seen.res)! : answer(seen.res)
  }

  /** Names a descriptor that is new, forgets one that is closed. */
  #learn(seen: Seen): void {
    if (opens(seen)) this.#names.set(seen.res, `f${this.#named++}`)
    if (seen.of?.opcode === abi.IORING_OP_CLOSE && seen.of.fileIndex === 0 && seen.res === 0)
      this.#names.delete(seen.of.fd)
  }
}

/** A result, an errno by its name. */
export function answer(res: number): string {
  return res < 0 ? abi.errnoName(res) : String(res)
}

/** The completion brings data in an area. */
export function bringsData({ of, res }: Seen): boolean {
  return of?.opcode === abi.IORING_OP_RECV_ZC && res > 0
}

/** How received data is cut into completions is no matter: its bytes count. */
function weight(seen: Seen): number {
  return bringsData(seen) ? seen.res : 1
}

/** The completion gives a descriptor. */
function opens({ of, res }: Seen): boolean {
  const makes = of?.opcode === abi.IORING_OP_SOCKET || of?.opcode === abi.IORING_OP_ACCEPT
  return makes && of.fileIndex === 0 && res >= 0
}

/** The further words of the completion that is next. */
function extraOf({ memory, cqHead }: Ring): number[] {
  const { cqes, cqEntries, cqeWords } = memory
  const at = (cqHead & (cqEntries - 1)) * cqeWords
  return [...cqes.subarray(at + 4, at + 8)]
}

/** Bytes: runs of the same letter once, with how many they are. */
export function show(bytes: Uint8Array): string {
  const words: string[] = []
  for (let at = 0; at < bytes.length; ) {
    let end = at + 1
    while (end < bytes.length && bytes[end] === bytes[at]) end++
    const byte = bytes[at]!
    const letter = byte > 32 && byte < 127 ? String.fromCharCode(byte) : `<${byte}>`
    words.push(end - at > 3 ? `${letter}x${end - at} ` : letter.repeat(end - at))
    at = end
  }
  return words.join('').trim()
}
