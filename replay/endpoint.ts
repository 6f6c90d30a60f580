import { IpAddress } from '../address.ts'
import type { Census } from '../diagnostics.ts'
import { allocateArea, asNicMemory } from '../driver/area.ts'
import type { Nic, NicMemory } from '../driver/nic.ts'
import { ZcrxError } from '../errors.ts'
import type { VirtualClock } from '../stack/clock.ts'
import { seededEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { Tcb } from '../stack/tcp/tcb.ts'
import * as abi from '../uapi/abi/index.ts'
import { InlineKernel } from '../uapi/backend/inline.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import { Ring } from '../uapi/ring/ring.ts'

/** Kinds of request, in the high half of user_data; the low half is a session's number. */
const SETUP = 1
const ACCEPT = 2
const RECEIVE = 3
const SEND = 4
const CONNECT = 5
const QUIET = 6

const OWN_AREA_BYTES = 2 << 20
const CQ_ENTRIES = 8192
/** What a connection may have in its send buffer: what the captured sender had in flight, and what was not acknowledged in time. */
const SEND_BUFFER = 32 << 20
const BACKLOG = 4096
/** Stretches of `send` leave through this: one range of the address space instead of one per call. */
const ARENA_BYTES = 1 << 20

/** What the endpoint tells of its connections, by the numbers that their remote addresses carry. */
export interface EndpointHandler {
  /** A connection is there, accepted or connected. */
  opened(session: number, fd: number): void
  /** `area[offset, offset + length)` came; it is given back when this returns. */
  data(session: number, offset: number, length: number): void
  /** The stream is over. @param errno 0 = the peer's FIN */
  ended(session: number, errno: number): void
}

export interface EndpointOptions {
  readonly clock: VirtualClock
  /** Of initial sequence numbers and ports. */
  readonly seed: number
  readonly areaBytes: number
}

/** Our address in every replayed conversation, by version. */
export const LOCAL4 = IpAddress.parse('10.128.0.1')!
export const LOCAL6 = IpAddress.parse('fd00::1:0:0:1')!
const GATEWAY4 = IpAddress.parse('10.128.0.2')!
const GATEWAY6 = IpAddress.parse('fd00::1:0:0:2')!
/** Hardware address of everybody else. */
export const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)
const REMOTE4 = 10 << 24
const REMOTE6 = 0xfd00_0000 | 0
/** Sessions that can be told apart by address. */
export const SESSION_MASK = 0x7f_ffff

const RING_FLAGS =
  abi.IORING_SETUP_CQE32 |
  abi.IORING_SETUP_DEFER_TASKRUN |
  abi.IORING_SETUP_TASKRUN_FLAG |
  abi.IORING_SETUP_SINGLE_ISSUER

/** The address of the peer of a session. */
export function remoteAddress(version: 4 | 6, session: number): IpAddress {
  const number = (session & SESSION_MASK) + 1
  return version === 4 ? IpAddress.v4(REMOTE4 | number) : new IpAddress(REMOTE6, 0, 2, number)
}

/** The session that `remoteAddress` was asked for, from its last word. */
export function sessionOf(lastWord: number): number {
  return (lastWord & 0xff_ffff) - 1
}

/**
 * Our side of replayed conversations: a stack on a virtual clock, with a ring and an area as `zcrxd` has them. Works when it is
 * told to, and only then.
 */
export class ReplayEndpoint {
  readonly stack: Stack
  readonly ring: Ring
  readonly ifq: Ifq
  readonly area: Uint8Array
  /** Data completions. */
  completions = 0
  readonly #kernel: InlineKernel
  readonly #handler: EndpointHandler
  readonly #listening = new Set<number>()
  readonly #arena = new Uint8Array(ARENA_BYTES)
  #arenaUsed = 0
  #result = 0
  readonly #stash: number[] = []

  constructor(nic: Nic, options: EndpointOptions, handler: EndpointHandler) {
    this.#handler = handler
    const memoryFor = (): NicMemory => asNicMemory(allocateArea(OWN_AREA_BYTES, nic.info.tailBytes))
    this.stack = new Stack({
      nic,
      memory: memoryFor(),
      clock: options.clock,
      entropy: seededEntropy(options.seed),
      tcp: {
        // What was captured was accepted by somebody: no window of ours may refuse it. What can't find memory is dropped as
        // a device would, and counted.
        backpressure: 'drop',
        moderateWindow: false,
        maxWindow: 65_535 << 10,
        maxHoles: 65_536,
        // Our side sends when the captured one did.
        initialWindow: 1 << 30,
        sendBuffer: SEND_BUFFER,
        maxConnections: SESSION_MASK,
      },
    })
    this.stack.addAddress(LOCAL4, false)
    this.stack.addAddress(LOCAL6, false)
    this.stack.setGateway(GATEWAY4)
    this.stack.setGateway(GATEWAY6)
    this.#kernel = new InlineKernel({ memoryFor })
    this.#kernel.addStack(this.stack)
    this.ring = Ring.queueInit(256, this.#kernel, {
      flags: RING_FLAGS,
      cqEntries: CQ_ENTRIES,
    })
    this.area = allocateArea(options.areaBytes, nic.info.tailBytes)
    const ifq = this.ring.registerIfq({
      ifIdx: nic.info.ifIndex,
      ifRxq: nic.info.queue,
      rqEntries: Math.min(32_768, this.area.byteLength / 4096),
      area: this.area,
    })
    if (typeof ifq === 'number') {
      throw new ZcrxError('ZCRX_REGISTER', `the queue can't be registered: ${abi.errnoName(ifq)}`)
    }
    this.ifq = ifq
  }

  /** Bytes copied so far, for whatever reason. */
  get copiedBytes(): number {
    const { counters } = this.stack
    return this.ifq.stats().copiedBytes + counters.copiedBytes + counters.packedBytes
  }

  census(): Census {
    return this.ifq.census()
  }

  /** Takes connections to this port from now on. */
  listen(version: 4 | 6, port: number): void {
    const key = version * 65_536 + port
    if (this.#listening.has(key)) return
    this.#listening.add(key)
    const fd = this.#socket(version)
    const address = abi.sockaddrOf(version === 4 ? LOCAL4 : LOCAL6, port)
    this.#now((sqe) => sqe.prepBind(fd, address))
    this.#now((sqe) => sqe.prepListen(fd, BACKLOG))
    this.#sqe()
      .prepMultishotAccept(fd)
      .setData(ACCEPT * 2 ** 32 + fd)
    this.ring.submit()
  }

  /** Begins a connection from `localPort` to a session's peer. Returns its descriptor. */
  connect(session: number, version: 4 | 6, localPort: number, remotePort: number): number {
    const { stack } = this
    const local = version === 4 ? LOCAL4 : LOCAL6
    // The neighbour answers at once, as one would that is there.
    const gateway = version === 4 ? GATEWAY4 : GATEWAY6
    stack.link.neighbours.learn(gateway, PEER_MAC, local, true, true, true, stack.clock.now())
    const fd = this.#socket(version)
    this.#now((sqe) => sqe.prepBind(fd, abi.sockaddrOf(local, localPort)))
    const remote = abi.sockaddrOf(remoteAddress(version, session), remotePort)
    this.#sqe()
      .prepConnect(fd, remote)
      .setData(CONNECT * 2 ** 32 + session)
    this.ring.submit()
    return fd
  }

  /** Asks for everything the connection receives. */
  receive(session: number, fd: number): void {
    this.#sqe()
      .prepRecvZc(fd, this.ifq.zcrxId)
      .setData(RECEIVE * 2 ** 32 + session)
  }

  /** Sends `bytes[at, at + length)`; they are copied. The caller sees to it that the send buffer takes them. */
  send(session: number, fd: number, bytes: Uint8Array, at: number, length: number): void {
    for (let from = 0; from < length; ) {
      const part = Math.min(length - from, ARENA_BYTES)
      if (this.#arenaUsed + part > ARENA_BYTES) {
        this.ring.submit()
        this.#arenaUsed = 0
      }
      const piece = this.#arena.subarray(this.#arenaUsed, this.#arenaUsed + part)
      piece.set(bytes.subarray(at + from, at + from + part))
      this.#arenaUsed += part
      this.#sqe()
        .prepSend(fd, piece)
        .setData(SEND * 2 ** 32 + session)
      from += part
    }
    this.ring.submit()
    this.#arenaUsed = 0
  }

  /** Half-closes: a FIN follows what was sent. */
  shutdown(fd: number): void {
    this.#sqe()
      .prepShutdown(fd, abi.SHUT_WR)
      .setData(QUIET * 2 ** 32)
    this.ring.submit()
  }

  /** Lets go of a connection, whatever state it is in. */
  abandon(session: number, fd: number): void {
    const tcb = this.tcb(fd)
    if (tcb !== null) this.stack.tcp.abort(tcb)
    this.#sqe()
      .prepCancel(RECEIVE * 2 ** 32 + session)
      .setData(QUIET * 2 ** 32)
    this.#sqe()
      .prepClose(fd)
      .setData(QUIET * 2 ** 32)
    this.turn()
  }

  tcb(fd: number): Tcb | null {
    return this.#kernel.files.socket(fd)?.tcb ?? null
  }

  /** Lets the stack take what waits, and hands out what came of it, until nothing more does. */
  turn(): void {
    do {
      this.ring.submitAndGetEvents()
      this.#reap()
    } while (this.ring.cqReady() > 0 || this.ring.sqReady() > 0 || this.ring.hasWork())
  }

  close(): void {
    this.ring.queueExit()
    this.stack.nic.close()
  }

  #socket(version: 4 | 6): number {
    const family = version === 4 ? abi.AF_INET : abi.AF_INET6
    const fd = this.#now((sqe) => sqe.prepSocket(family, abi.SOCK_STREAM, 0))
    // Captures have ports that several connections begin at, and that somebody listens on as well.
    const on = new Uint8Array(Int32Array.of(1).buffer)
    this.#now((sqe) =>
      sqe.prepCmdSock(abi.SOCKET_URING_OP_SETSOCKOPT, fd, abi.SOL_SOCKET, abi.SO_REUSEPORT, on),
    )
    return fd
  }

  /** A request of the set-up, complete when this returns. */
  #now(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    prepare(this.#sqe()).setData(SETUP * 2 ** 32)
    this.ring.submit()
    this.#reap()
    if (this.#result < 0) {
      throw new ZcrxError('ZCRX_REPLAY', `the replay's endpoint: ${abi.errnoName(this.#result)}`)
    }
    return this.#result
  }

  #sqe(): abi.Sqe {
    for (;;) {
      const sqe = this.ring.getSqe()
      if (sqe !== null) return sqe
      this.ring.submit()
    }
  }

  #reap(): void {
    const { ring, ifq } = this
    const { cqes, cqEntries, cqeWords } = ring.memory
    const mask = cqEntries - 1
    const head = ring.cqHead
    const count = ring.cqReady()
    let released = false
    for (let i = 0; i < count; i++) {
      const at = ((head + i) & mask) * cqeWords
      const kind = cqes[at + 1]!
      const id = cqes[at]!
      const res = cqes[at + 2]!
      if (kind === RECEIVE && (cqes[at + 3]! & abi.IORING_CQE_F_MORE) !== 0) {
        const offset = cqes[at + 4]! >>> 0
        this.completions++
        this.#handler.data(id, offset, res)
        if (!ifq.rq.push(ifq.areaId, offset, 0)) this.#stash.push(offset)
        released = true
      } else this.#complete(kind, id, res, cqes[at + 3]!)
    }
    if (count === 0) return
    ring.cqAdvance(count)
    if (released) this.#giveBack()
  }

  #giveBack(): void {
    const { rq, areaId } = this.ifq
    rq.advance()
    // The stack takes what is in the queue whenever it is polled.
    while (this.#stash.length > 0) {
      this.ring.flushRq(this.ifq.zcrxId)
      while (this.#stash.length > 0 && rq.push(areaId, this.#stash.at(-1)!, 0)) this.#stash.pop()
      rq.advance()
    }
  }

  #complete(kind: number, id: number, res: number, flags: number): void {
    if (kind === SETUP) this.#result = res
    else if (kind === ACCEPT) this.#accepted(id, res, flags)
    else if (kind === CONNECT) {
      if (res < 0) this.#handler.ended(id, -res)
      else this.#handler.opened(id, -1)
    } else if (kind === RECEIVE) {
      // Room for completions or buffers ran out: nothing is lost, it is asked for again.
      if (res === -abi.ENOSPC || res === -abi.ENOMEM) this.#handler.opened(id, -1)
      else this.#handler.ended(id, Math.abs(res))
    }
  }

  #accepted(listener: number, res: number, flags: number): void {
    if ((flags & abi.IORING_CQE_F_MORE) === 0) {
      this.#sqe()
        .prepMultishotAccept(listener)
        .setData(ACCEPT * 2 ** 32 + listener)
    }
    if (res < 0) return
    this.#handler.opened(sessionOf(this.tcb(res)!.remote.w3), res)
  }
}
