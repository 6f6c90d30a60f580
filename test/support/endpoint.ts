import { createHash, type Hash } from 'node:crypto'
import { IpAddress } from '../../address.ts'
import type { HostOptions } from '../../host/options.ts'
import { Engine, type EngineOptions } from '../../net/engine.ts'
import type { System } from '../../net/system.ts'
import { stateName } from '../../stack/tcp/state.ts'
import { ENOMEM, ENOSPC } from '../../uapi/abi/errno.ts'
import { IORING_CQE_F_MORE, SOCKET_URING_OP_SETSOCKOPT } from '../../uapi/abi/io-uring.ts'
import { sockaddrOf } from '../../uapi/abi/sockaddr.ts'
import { AF_INET, AF_INET6, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from '../../uapi/abi/socket.ts'
import type { Sqe } from '../../uapi/abi/sqe.ts'
import { Host } from '../../uapi/backend/host.ts'
import { otherSystem } from './system.ts'

/** Length of the pattern that `Stream.send` repeats: byte i of what is sent is i mod 241. */
export const OUR_PERIOD = 241
/** The same of `exchange.py`. */
export const PEER_PERIOD = 251

const digests = new Map<string, string>()

/** SHA-256 of `bytes` bytes of which byte i is i mod `period`. */
export function patternDigest(period: number, bytes: number): string {
  const key = `${period} ${bytes}`
  let digest = digests.get(key)
  if (digest === undefined) {
    const block = Uint8Array.from({ length: period * 1024 }, (_, i) => i % period)
    const hash = createHash('sha256')
    for (let left = bytes; left > 0; left -= block.length) hash.update(block.subarray(0, left))
    digest = hash.digest('hex')
    digests.set(key, digest)
  }
  return digest
}

const BLOCK = shared(Uint8Array.from({ length: OUR_PERIOD * 4096 }, (_, i) => i % OUR_PERIOD))

/** A copy that every back end reaches. */
function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

type Completion = (res: number, flags: number, offset: number) => void

/** One connection of an `Endpoint`: what arrives is hashed in place. */
export class Stream {
  readonly fd: number
  received = 0
  /** Resolves when nothing more will arrive: 0 for the peer's FIN, else a positive errno. */
  readonly ended: Promise<number>
  readonly #endpoint: Endpoint
  readonly #hash: Hash = createHash('sha256')
  #end!: (errno: number) => void
  #receiveId = -1
  #goals: { bytes: number; reached: () => void }[] = []

  constructor(endpoint: Endpoint, fd: number) {
    this.#endpoint = endpoint
    this.fd = fd
    this.ended = new Promise((resolve) => {
      this.#end = (errno) => {
        for (const goal of this.#goals.splice(0)) goal.reached()
        resolve(errno)
      }
    })
    this.#receive()
  }

  /** SHA-256 of everything received; ends the hash. */
  digest(): string {
    return this.#hash.digest('hex')
  }

  /** Resolves when that many bytes have arrived, or none will any more. */
  arrived(bytes: number): Promise<void> {
    if (this.received >= bytes) return Promise.resolve()
    return new Promise((reached) => this.#goals.push({ bytes, reached }))
  }

  /** Sends bytes of the pattern; resolves with 0 when the last was taken, else with an errno. */
  send(bytes: number): Promise<number> {
    return this.sendFrom(0, bytes)
  }

  /** The same, from a place in the pattern on. */
  async sendFrom(from: number, bytes: number): Promise<number> {
    for (let sent = 0; sent < bytes; ) {
      const at = (from + sent) % BLOCK.length
      const piece = BLOCK.subarray(at, at + Math.min(BLOCK.length - at, bytes - sent))
      const res = await this.#endpoint.call((sqe) => sqe.prepSend(this.fd, piece))
      if (res < 0) return -res
      sent += res
    }
    return 0
  }

  shutdown(): Promise<number> {
    return this.#endpoint.call((sqe) => sqe.prepShutdown(this.fd, SHUT_WR))
  }

  async close(): Promise<void> {
    if (this.#receiveId >= 0) await this.#endpoint.call((sqe) => sqe.prepCancel(this.#receiveId))
    await this.#endpoint.call((sqe) => sqe.prepClose(this.fd))
  }

  #receive(): void {
    const { engine } = this.#endpoint
    this.#receiveId = this.#endpoint.submit(
      (sqe) => sqe.prepRecvZc(this.fd, engine.ifq!.zcrxId),
      (res, flags, offset) => {
        if ((flags & IORING_CQE_F_MORE) !== 0) {
          this.#hash.update(engine.area.subarray(offset, offset + res))
          this.received += res
          engine.release(offset)
          const reached = this.#goals.filter((goal) => goal.bytes <= this.received)
          if (reached.length === 0) return
          this.#goals = this.#goals.filter((goal) => goal.bytes > this.received)
          for (const goal of reached) goal.reached()
          return
        }
        this.#receiveId = -1
        if (res === -ENOSPC || res === -ENOMEM) setImmediate(() => this.#receive())
        else this.#end(Math.abs(res))
      },
    )
  }
}

/** Both ways of opening connections, and both directions of them, over one NIC: requests on a ring as an application makes them. */
export class Endpoint {
  readonly host: Host
  readonly engine: Engine
  readonly #completions = new Map<number, Completion>()
  #nextId = 1

  readonly #system: System & { close(): void }

  /** On what `runOn` says. */
  constructor(options: Omit<EngineOptions, 'device'> & Pick<HostOptions, 'device'>) {
    const other = otherSystem(options)
    this.host = other?.host ?? Host.open(options)
    this.#system = other ?? this.host
    this.engine = new Engine(this.#system, options, (_kind, id, res, flags, offset) => {
      const completion = this.#completions.get(id)
      if ((flags & IORING_CQE_F_MORE) === 0) this.#completions.delete(id)
      completion?.(res, flags, offset)
    })
  }

  /** Issues a request. Its id is its user_data. */
  submit(prepare: (sqe: Sqe) => Sqe, completion: Completion): number {
    const id = this.#nextId++
    const sqe = this.engine.sqe()
    this.#completions.set(id, completion)
    prepare(sqe).setData(id)
    this.engine.wake()
    return id
  }

  /** A request with one completion; resolves with its result. */
  call(prepare: (sqe: Sqe) => Sqe): Promise<number> {
    return new Promise((resolve) => this.submit(prepare, resolve))
  }

  /** Hands every connection to `onStream`. */
  async listen(port: number, onStream: (stream: Stream) => void, backlog = 256): Promise<void> {
    const { address } = this.host
    const fd = await this.#socket(address)
    const sockaddr = shared(sockaddrOf(address, port))
    // As servers do: what is left of earlier connections keeps no port.
    const on = shared(new Uint8Array(Int32Array.of(1).buffer))
    const set = SOCKET_URING_OP_SETSOCKOPT
    const reused = await this.call((sqe) => sqe.prepCmdSock(set, fd, SOL_SOCKET, SO_REUSEADDR, on))
    expectDone('setsockopt', reused)
    expectDone('bind', await this.call((sqe) => sqe.prepBind(fd, sockaddr)))
    expectDone('listen', await this.call((sqe) => sqe.prepListen(fd, backlog)))
    this.submit(
      (sqe) => sqe.prepMultishotAccept(fd),
      (res) => {
        if (res >= 0) onStream(new Stream(this, res))
      },
    )
  }

  async connect(address: string, port: number): Promise<Stream> {
    const remote = IpAddress.parse(address)!
    const fd = await this.#socket(remote)
    const sockaddr = shared(sockaddrOf(remote, port))
    expectDone('connect', await this.call((sqe) => sqe.prepConnect(fd, sockaddr)))
    return new Stream(this, fd)
  }

  /** The names of the connections' states. */
  states(): string[] {
    return [...this.host.stack.tcp].map((tcb) => stateName(tcb.state))
  }

  census(): ReturnType<Endpoint['host']['stack']['census']> {
    return this.engine.ifq!.census()
  }

  close(): void {
    this.engine.close()
    this.#system.close()
  }

  async #socket(address: IpAddress): Promise<number> {
    const family = address.version === 4 ? AF_INET : AF_INET6
    return expectDone('socket', await this.call((sqe) => sqe.prepSocket(family, SOCK_STREAM, 0)))
  }
}

/** A request that failed, as an exception. */
export class RequestError extends Error {
  readonly errno: number

  constructor(what: string, errno: number) {
    super(`${what}: errno ${errno}`)
    this.errno = errno
  }
}

function expectDone(what: string, res: number): number {
  if (res < 0) throw new RequestError(what, -res)
  return res
}
