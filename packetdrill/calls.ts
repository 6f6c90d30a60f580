import * as abi from '../uapi/abi/index.ts'
import { ScriptError, UnsupportedError } from './errors.ts'
import { type Flows, SCRIPT_PORT } from './flow.ts'
import { errnoNumber, numberValue } from './names.ts'
import type { Call, Value } from './script/ast.ts'
import type { StackUnderTest } from './stack-under-test.ts'

/** Largest buffer a call may name. */
const MAX_BUFFER = 64 << 20

/** What a call asks of the ring: results come through `done`, at once or later. `values` is what was read by reference. */
export interface CallResult {
  readonly res: number
  readonly values: readonly number[] | null
}
export type Done = (result: CallResult) => void

interface Descriptor {
  readonly live: number
  nonBlocking: boolean
}

/** The socket calls of scripts, through the ring. Descriptors are known by the numbers the script gives them. */
export class Calls {
  readonly #host: StackUnderTest
  readonly #flows: Flows
  readonly #descriptors = new Map<number, Descriptor>()
  /** The script's number of the connection opened last. */
  #newest = -1

  constructor(host: StackUnderTest, flows: Flows) {
    this.#host = host
    this.#flows = flows
  }

  /** Starts a call. Returns what gives it up. @throws ScriptError, UnsupportedError */
  start(call: Call, done: Done): () => void {
    const handler = Object.hasOwn(HANDLERS, call.name) ? HANDLERS[call.name]! : null
    if (handler === null) throw new UnsupportedError(call.at, `call ${call.name}`)
    return handler(this, call, done)
  }

  /** `tcpi_state` of the connection opened last, null when it has no descriptor any more. */
  state(): number | null {
    const descriptor = this.#descriptors.get(this.#newest) ?? [...this.#descriptors.values()].at(-1)
    if (descriptor === undefined) return null
    const info = new abi.TcpInfo()
    this.#host.submit(
      (sqe) =>
        sqe.prepCmdSock(
          abi.SOCKET_URING_OP_GETSOCKOPT,
          descriptor.live,
          abi.IPPROTO_TCP,
          abi.TCP_INFO,
          info.bytes,
        ),
      () => {},
    )
    return info.get('state')
  }

  closeAll(): void {
    for (const fd of [...this.#descriptors.keys()]) this.close(fd, () => {})
  }

  socket(call: Call, done: Done): () => void {
    const [domain, type, protocol] = needArgs(call, 3)
    const wanted = domain!.kind === 'ellipsis' ? this.#host.family.domain : numberValue(domain!, 'domain')
    if (wanted !== this.#host.family.domain)
      throw new UnsupportedError(call.at, 'a socket of the other family')
    const flags = numberValue(type!, 'type')
    const nonBlocking = (flags & abi.SOCK_NONBLOCK) !== 0
    return this.#submit(
      (sqe) => sqe.prepSocket(wanted, flags, numberValue(protocol!, 'protocol')),
      (res) => done({ res: this.#name(call, res, nonBlocking), values: null }),
    )
  }

  bind(call: Call, done: Done): () => void {
    const [fd, address] = needArgs(call, 3)
    const port = portOf(address!)
    const sockaddr = this.#host.family.sockaddr('local', port)
    return this.#simple(
      fd!,
      (result) => {
        if (result.res === 0) this.#flows.onBind(numberValue(fd!, 'descriptor'), port)
        done(result)
      },
      (sqe, live) => sqe.prepBind(live, sockaddr),
    )
  }

  listen(call: Call, done: Done): () => void {
    const [fd, backlog] = needArgs(call, 2)
    return this.#simple(
      fd!,
      ({ res, values }) => {
        if (res === 0) this.#flows.onListen(numberValue(fd!, 'descriptor'))
        done({ res, values })
      },
      (sqe, live) => sqe.prepListen(live, numberValue(backlog!, 'backlog')),
    )
  }

  accept(call: Call, done: Done): () => void {
    const fd = call.args[0]!
    const flags = call.args.length > 3 ? numberValue(call.args[3]!, 'flags') : 0
    const nonBlocking = (flags & abi.SOCK_NONBLOCK) !== 0
    return this.#simple(
      fd,
      ({ res }) => {
        if (res >= 0) this.#flows.onAccept()
        done({ res: this.#name(call, res, nonBlocking), values: null })
      },
      (sqe, live) => sqe.prepAccept(live),
    )
  }

  connect(call: Call, done: Done): () => void {
    const [fd, address] = needArgs(call, 3)
    const sockaddr = this.#host.family.sockaddr('remote', portOf(address!))
    const number = fd!.kind === 'number' ? fd!.value : -1
    this.#newest = number
    this.#flows.onConnect()
    return this.#simple(fd!, done, (sqe, live) => sqe.prepConnect(live, sockaddr))
  }

  receive(call: Call, done: Done, length: number, flags: number): () => void {
    const bytes = new Uint8Array(length)
    return this.#simple(call.args[0]!, done, (sqe, live) => sqe.prepRecv(live, bytes, flags))
  }

  /** On a blocking descriptor a send goes on until all is taken; a ring's completes with what there was room for. */
  send(call: Call, done: Done, length: number, flags: number): () => void {
    const fd = call.args[0]!
    const bytes = new Uint8Array(length)
    let sent = 0
    let giveUp = (): void => {}
    const next = (): void => {
      const rest = bytes.subarray(sent)
      giveUp = this.#simple(
        fd,
        ({ res }) => {
          if (res > 0) sent += res
          const more =
            res > 0 && sent < length && !this.#isNonBlocking(fd) && (flags & abi.MSG_DONTWAIT) === 0
          if (more) next()
          else done({ res: sent > 0 ? sent : res, values: null })
        },
        (sqe, live) => sqe.prepSend(live, rest, flags),
      )
    }
    next()
    return () => giveUp()
  }

  shutdown(call: Call, done: Done): () => void {
    const [fd, how] = needArgs(call, 2)
    return this.#simple(fd!, done, (sqe, live) => sqe.prepShutdown(live, numberValue(how!, 'how')))
  }

  closeCall(call: Call, done: Done): () => void {
    const [fd] = needArgs(call, 1)
    return this.close(numberValue(fd!, 'descriptor'), done)
  }

  close(fd: number, done: Done): () => void {
    const live = this.#descriptors.get(fd)?.live ?? -1
    this.#descriptors.delete(fd)
    this.#flows.onClose(fd)
    return this.#submit(
      (sqe) => sqe.prepClose(live),
      (res) => done({ res, values: null }),
    )
  }

  fcntl(call: Call, done: Done): () => void {
    const descriptor = this.#descriptors.get(numberValue(call.args[0]!, 'descriptor'))
    const command = call.args[1] === undefined ? -1 : numberValue(call.args[1], 'command')
    if (descriptor === undefined) done({ res: -abi.EBADF, values: null })
    else if (command === F_GETFL)
      done({ res: O_RDWR | (descriptor.nonBlocking ? O_NONBLOCK : 0), values: null })
    else if (command === F_SETFL && call.args[2] !== undefined) {
      descriptor.nonBlocking = (numberValue(call.args[2], 'flags') & O_NONBLOCK) !== 0
      this.#tell(descriptor)
      done({ res: 0, values: null })
    } else throw new UnsupportedError(call.at, 'fcntl but with F_GETFL and F_SETFL')
    return () => {}
  }

  setsockopt(call: Call, done: Done): () => void {
    const [fd, level, name, value] = needArgs(call, 5)
    const bytes = optionBytes(value!)
    return this.#option(abi.SOCKET_URING_OP_SETSOCKOPT, fd!, level!, name!, bytes, done)
  }

  getsockopt(call: Call, done: Done): () => void {
    const [fd, level, name, expected] = needArgs(call, 5)
    if (expected!.kind !== 'list' && expected!.kind !== 'ellipsis')
      throw new UnsupportedError(expected!.at, 'getsockopt of a structure')
    const bytes = new Uint8Array(4)
    return this.#option(abi.SOCKET_URING_OP_GETSOCKOPT, fd!, level!, name!, bytes, ({ res }) => {
      const value = new DataView(bytes.buffer).getInt32(0, true)
      done({ res: Math.min(0, res), values: [value] })
    })
  }

  ioctl(call: Call, done: Done): () => void {
    const [fd, request] = needArgs(call, 3)
    const number = numberValue(request!, 'request')
    const command = number === SIOCOUTQ ? abi.SOCKET_URING_OP_SIOCOUTQ : abi.SOCKET_URING_OP_SIOCINQ
    return this.#simple(
      fd!,
      ({ res }) => done({ res: Math.min(0, res), values: [res] }),
      (sqe, live) => sqe.prepCmdSock(command, live),
    )
  }

  /** Of one descriptor; what has not happened when time is up is known only of a poll that does not wait. */
  poll(call: Call, done: Done): () => void {
    const [list, , timeout] = needArgs(call, 3)
    const item = list!.kind === 'list' && list!.items.length === 1 ? list!.items[0]! : null
    if (item?.kind !== 'struct') throw new UnsupportedError(call.at, 'poll but of one descriptor')
    const fd = item.fields.get('fd')
    const events = item.fields.get('events')
    if (fd === undefined || events === undefined)
      throw new ScriptError(item.at, 'a pollfd has fd, events and revents')
    const waits = numberValue(timeout!, 'timeout') !== 0
    if (waits && call.result === 0) throw new UnsupportedError(call.at, 'a poll that times out')
    let over = false
    const giveUp = this.#simple(
      fd,
      ({ res }) => {
        over = true
        done(res < 0 ? { res, values: null } : { res: 1, values: [res] })
      },
      (sqe, live) => sqe.prepPollAdd(live, numberValue(events, 'events')),
    )
    if (over || waits) return giveUp
    giveUp()
    done({ res: 0, values: [0] })
    return () => {}
  }

  #option(command: number, fd: Value, level: Value, name: Value, bytes: Uint8Array, done: Done): () => void {
    const levelNumber = numberValue(level, 'level')
    const nameNumber = numberValue(name, 'option')
    return this.#simple(
      fd,
      ({ res, values }) => {
        if (res === -abi.ENOPROTOOPT) {
          const text = name.kind === 'names' ? name.names.join('|') : `${nameNumber}`
          throw new UnsupportedError(name.at, `socket option ${text}`)
        }
        done({ res, values })
      },
      (sqe, live) => sqe.prepCmdSock(command, live, levelNumber, nameNumber, bytes),
    )
  }

  #simple(fd: Value, done: Done, prepare: (sqe: abi.Sqe, live: number) => abi.Sqe): () => void {
    const live = this.#descriptors.get(numberValue(fd, 'descriptor'))?.live ?? -1
    return this.#submit(
      (sqe) => prepare(sqe, live),
      (res) => done({ res, values: null }),
    )
  }

  #submit(prepare: (sqe: abi.Sqe) => abi.Sqe, done: (res: number) => void): () => void {
    const ticket = this.#host.submit(prepare, done)
    return () => this.#host.cancel(ticket)
  }

  #isNonBlocking(fd: Value): boolean {
    return fd.kind === 'number' && this.#descriptors.get(fd.value)?.nonBlocking === true
  }

  /** Gives a new descriptor the script's number for it, which is what the call is said to return. */
  #name(call: Call, live: number, nonBlocking: boolean): number {
    if (live < 0) return live
    const name = call.result ?? live
    if (name < 0) return live
    if (this.#descriptors.has(name)) throw new ScriptError(call.at, `descriptor ${name} is open already`)
    const descriptor = { live, nonBlocking }
    this.#descriptors.set(name, descriptor)
    this.#tell(descriptor)
    if (call.name !== 'socket') this.#newest = name
    return name
  }

  /** Rings heed no O_NONBLOCK: the open file is told. */
  #tell({ live, nonBlocking }: Descriptor): void {
    const socket = this.#host.kernel.files.socket(live)
    if (socket !== null) socket.nonBlocking = nonBlocking
  }
}

const F_GETFL = 3
const F_SETFL = 4
const O_RDWR = 2
const O_NONBLOCK = abi.SOCK_NONBLOCK
const SIOCOUTQ = 0x5411

type Handler = (calls: Calls, call: Call, done: Done) => () => void

const HANDLERS: Readonly<Record<string, Handler>> = {
  socket: (calls, call, done) => calls.socket(call, done),
  bind: (calls, call, done) => calls.bind(call, done),
  listen: (calls, call, done) => calls.listen(call, done),
  accept: (calls, call, done) => calls.accept(call, done),
  accept4: (calls, call, done) => calls.accept(call, done),
  connect: (calls, call, done) => calls.connect(call, done),
  close: (calls, call, done) => calls.closeCall(call, done),
  shutdown: (calls, call, done) => calls.shutdown(call, done),
  fcntl: (calls, call, done) => calls.fcntl(call, done),
  ioctl: (calls, call, done) => calls.ioctl(call, done),
  setsockopt: (calls, call, done) => calls.setsockopt(call, done),
  getsockopt: (calls, call, done) => calls.getsockopt(call, done),
  poll: (calls, call, done) => calls.poll(call, done),
  read: (calls, call, done) => calls.receive(call, done, lengthOf(needArgs(call, 3)[2]!), 0),
  recv: (calls, call, done) =>
    calls.receive(call, done, lengthOf(needArgs(call, 4)[2]!), numberValue(call.args[3]!, 'flags')),
  recvfrom: (calls, call, done) =>
    calls.receive(call, done, lengthOf(needArgs(call, 6)[2]!), numberValue(call.args[3]!, 'flags')),
  readv: (calls, call, done) => calls.receive(call, done, vectorOf(needArgs(call, 3)[1]!), 0),
  recvmsg: (calls, call, done) =>
    calls.receive(call, done, messageOf(needArgs(call, 3)[1]!), numberValue(call.args[2]!, 'flags')),
  write: (calls, call, done) => calls.send(call, done, lengthOf(needArgs(call, 3)[2]!), 0),
  send: (calls, call, done) =>
    calls.send(call, done, lengthOf(needArgs(call, 4)[2]!), numberValue(call.args[3]!, 'flags')),
  sendto: (calls, call, done) =>
    calls.send(call, done, lengthOf(needArgs(call, 6)[2]!), numberValue(call.args[3]!, 'flags')),
  writev: (calls, call, done) => calls.send(call, done, vectorOf(needArgs(call, 3)[1]!), 0),
  sendmsg: (calls, call, done) =>
    calls.send(call, done, messageOf(needArgs(call, 3)[1]!), numberValue(call.args[2]!, 'flags')),
}

function needArgs(call: Call, count: number): readonly Value[] {
  if (call.args.length !== count)
    throw new ScriptError(call.at, `${call.name} takes ${count} arguments, not ${call.args.length}`)
  return call.args
}

function lengthOf(value: Value): number {
  const length = numberValue(value, 'length')
  if (length < 0 || length > MAX_BUFFER)
    throw new ScriptError(value.at, `a buffer of ${length} bytes can't be`)
  return length
}

/** Bytes of `[{..., 1000}, {..., 500}]`. */
function vectorOf(value: Value): number {
  if (value.kind !== 'list') throw new UnsupportedError(value.at, 'an iovec of this form')
  let sum = 0
  for (const item of value.items) {
    if (item.kind !== 'struct') throw new UnsupportedError(item.at, 'an iovec of this form')
    const length = item.fields.get('iov_len') ?? item.fields.get('1')
    if (length === undefined) throw new ScriptError(item.at, 'an iovec without a length')
    sum += lengthOf(length)
  }
  return sum
}

function messageOf(value: Value): number {
  const vector = value.kind === 'struct' ? value.fields.get('msg_iov') : undefined
  if (vector === undefined) throw new UnsupportedError(value.at, 'a msghdr of this form')
  return vectorOf(vector)
}

function portOf(value: Value): number {
  const port =
    value.kind === 'struct' ? (value.fields.get('sin_port') ?? value.fields.get('sin6_port')) : undefined
  if (port === undefined || port.kind === 'ellipsis') return SCRIPT_PORT
  const number = numberValue(port, 'port')
  if (number < 0 || number > 65_535) throw new ScriptError(port.at, 'a port is not a 16-bit number')
  return number
}

/** `[1]`, `{1, 0}`, `{onoff=1, linger=0}`, `"reno"` as the bytes that setsockopt(2) takes. */
function optionBytes(value: Value): Uint8Array {
  if (value.kind === 'string') return new TextEncoder().encode(value.value)
  const items =
    value.kind === 'list' ? value.items : value.kind === 'struct' ? [...value.fields.values()] : [value]
  const inner = items.length === 1 && items[0]!.kind === 'struct' ? [...items[0]!.fields.values()] : items
  const bytes = new Uint8Array(4 * inner.length)
  const view = new DataView(bytes.buffer)
  inner.forEach((item, i) => {
    view.setInt32(4 * i, numberValue(item, 'value') | 0, true)
  })
  return bytes
}

/** Result of a call as a script writes it: minus errno for -1 with a name. Null: any. @throws UnsupportedError */
export function wantedResult(call: Call): number | null {
  if (call.errno === '' || call.result !== -1) return call.result
  const number = errnoNumber(call.errno)
  if (number === null) throw new UnsupportedError(call.at, `errno ${call.errno}`)
  return -number
}

/** Values by reference that a script expects; null for those it does not look at. */
export function wantedValues(call: Call): { readonly value: number; readonly isErrno: boolean } | null {
  const index = { getsockopt: 3, ioctl: 2, poll: 0 }[call.name]
  const value = index === undefined ? undefined : call.args[index]
  const first = value?.kind === 'list' ? value.items[0] : undefined
  const item = first?.kind === 'struct' ? first.fields.get('revents') : first
  if (item === undefined || item.kind === 'ellipsis') return null
  const errno = item.kind === 'names' && item.names.length === 1 ? errnoNumber(item.names[0]!) : null
  const isErrno =
    call.name === 'getsockopt' && call.args.some((arg) => arg.kind === 'names' && arg.names[0] === 'SO_ERROR')
  return { value: errno ?? numberValue(item, 'value'), isErrno }
}
