import { allocateArea, asNicMemory } from '../../driver/area.ts'
import { nativeOrNull } from '../../driver/native/index.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import { ROW_PIECES, ROW_SEGMENTS, ROW_SHIFT, ROW_SINK, ROW_SINK_MASK } from '../../stack/tcp/rows.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import { ACK, SYN } from '../../stack/wire/tcp.ts'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { hashOf } from './choices.ts'
import { FedNic } from './fed-nic.ts'
import { ADDRESSES, frameOf, PORT, type Said } from './frames.ts'

const RING_FLAGS = abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_DEFER_TASKRUN | abi.IORING_SETUP_SINGLE_ISSUER
const PLAIN_BYTES = 1 << 20
/** user_data of the receive request of connection `i`, and of its sends. */
export const RECEIVE = 100
export const SEND = 10_000
const START_US = 1_000_000

/** What both sides of a comparison are set up with. */
export interface Setting {
  readonly version: 4 | 6
  readonly vlan: readonly number[]
  readonly split: boolean
  readonly partial: boolean
  readonly flows: number
  /** Entries from which bursts are for the addon's loops. */
  readonly loopsFrom: number
  readonly cqEntries: number
  readonly areaBytes: number
  readonly timestamps: boolean
  readonly ecn: boolean
  /** Of each connection, in turn: RECV_ZC, the same with a limit, and no request at all. */
  readonly readers: readonly ('zc' | 'limited' | 'none')[]
}

/** One side: a stack with connections from a script, a ring that receives from them, and an application that keeps some of it. */
export class Rig {
  readonly nic: FedNic
  readonly clock = new VirtualClock(START_US)
  readonly stack: Stack
  readonly ring: Ring
  readonly ifq: Ifq
  /** Descriptors. */
  readonly fds: number[] = []
  readonly tcbs: Tcb[] = []
  readonly area: Uint8Array
  /** By user_data: what completions said, and the bytes that they named. */
  readonly heard = new Map<number, string[]>()
  /** Buffers that came, by user_data, oldest first: which of several connections was served first is not the same. */
  readonly #kept = new Map<number, number[]>()
  taken = 0
  direct = 0
  readonly #setting: Setting

  /** @param bulk whether bursts are taken as such */
  constructor(setting: Setting, bulk: boolean) {
    this.#setting = setting
    nativeOrNull()
    const { version, vlan, split, partial, timestamps, ecn, areaBytes, cqEntries } = setting
    // Slots that begin on words are what ACKs are written to faster.
    this.nic = new FedNic(split, partial, !bulk)
    const memoryFor = () => asNicMemory(allocateArea(PLAIN_BYTES, 0))
    this.stack = new Stack({
      nic: this.nic,
      memory: memoryFor(),
      clock: this.clock,
      entropy: seededEntropy(7),
      burst: 64,
      tcp: { timestamps, ecn: ecn ? 'accept' : 'off' },
      ip: { vlan, bulk, bulkLoopsFrom: setting.loopsFrom },
    })
    this.#watch()
    this.stack.addAddress(ADDRESSES[version].server, false)
    const kernel = new InlineKernel({ memoryFor, idle: () => false })
    kernel.addStack(this.stack)
    this.ring = Ring.queueInit(16, kernel, { flags: RING_FLAGS, cqEntries })
    this.area = allocateArea(areaBytes, 0)
    const ifq = this.ring.registerIfq({ ifIdx: 1, ifRxq: 0, rqEntries: 1024, area: this.area })
    if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
    this.ifq = ifq
    const listener = this.call((sqe) =>
      sqe.prepSocket(version === 4 ? abi.AF_INET : abi.AF_INET6, abi.SOCK_STREAM, 0),
    )
    const address = abi.sockaddrOf(ADDRESSES[version].server, PORT)
    this.call((sqe) => sqe.prepBind(listener, address))
    this.call((sqe) => sqe.prepListen(listener, 256))
    for (let i = 0; i < setting.flows; i++) this.#connect(i, listener)
    this.nic.sent.length = 0
  }

  /** Counts what was taken as a part of a burst, and of its pieces those that went straight to completions. */
  #watch(): void {
    const { bulk } = this.stack.tcp
    const { rows } = bulk
    const commit = bulk.commit.bind(bulk)
    bulk.commit = (row, now) => {
      const at = row << ROW_SHIFT
      this.taken += rows.rows[at + ROW_SEGMENTS]!
      if ((rows.rows[at + ROW_SINK]! & ROW_SINK_MASK) !== 0) this.direct += rows.rows[at + ROW_PIECES]!
      commit(row, now)
    }
  }

  /** Where connection `i` of the peer begins. */
  static said(setting: Setting, i: number): Said {
    return {
      ...{ version: setting.version, vlan: setting.vlan, port: 20_000 + i, flags: ACK, window: 1000 },
      ...{ seq: (0x7fff_fff0 + i * 1_000_003) | 0, ack: 0, payload: new Uint8Array(0), trafficClass: 0 },
      ...{ timestamps: setting.timestamps ? [1000, 0] : null, unfinished: false },
    }
  }

  #connect(i: number, listener: number): void {
    const setting = this.#setting
    const said = Rig.said(setting, i)
    this.feed({ ...said, flags: setting.ecn ? SYN | 0xc0 : SYN, seq: (said.seq - 1) | 0, window: 65_535 })
    this.ring.getEvents()
    const [tcb] = [...this.stack.tcp].filter(({ remotePort }) => remotePort === said.port)
    this.tcbs.push(tcb!)
    this.feed({ ...said, ack: tcb!.snd.max })
    this.ring.getEvents()
    this.fds.push(this.call((sqe) => sqe.prepAccept(listener)))
    // What else answers say of some.
    const { tcp, clock } = this.stack
    if (i % 3 === 1) tcp.setOptions(tcb!, tcb!.options.with({ trafficClass: 0x28, hopLimit: 9 }), clock.now())
    this.receive(i)
  }

  /** Arms the receive request that connection `i` is to have. */
  receive(i: number): void {
    const reader = this.#setting.readers[i % this.#setting.readers.length]!
    if (reader === 'none') return
    const limit = reader === 'limited' ? 50_000 : 0
    this.ring
      .getSqe()!
      .prepRecvZc(this.fds[i]!, this.ifq.zcrxId, limit)
      .setData(RECEIVE + i)
    this.ring.submit()
  }

  send(i: number, bytes: Uint8Array): void {
    this.ring
      .getSqe()!
      .prepSend(this.fds[i]!, bytes, 0)
      .setData(SEND + i)
    this.ring.submit()
  }

  feed(said: Said): void {
    const { bytes, headers } = frameOf(said)
    this.nic.frames.push({
      bytes,
      cuts:
        this.#setting.split && said.payload.length > 0 ? [headers, bytes.length - headers] : [bytes.length],
      flags: 0,
    })
  }

  call(prepare: (sqe: abi.Sqe) => abi.Sqe): number {
    prepare(this.ring.getSqe()!).setData(1)
    this.ring.submitAndGetEvents()
    const cqe = this.ring.peekCqe()!
    const { res } = cqe
    this.ring.cqeSeen(cqe)
    if (res < 0) throw new Error(abi.errnoName(res))
    return res
  }

  /** Takes all completions. */
  reap(): void {
    for (let cqe = this.ring.peekCqe(); cqe !== null; cqe = this.ring.peekCqe()) {
      const { userData, res, flags, offset } = cqe
      const data = userData >= RECEIVE && userData < SEND && (flags & abi.IORING_CQE_F_MORE) !== 0
      const text = data ? `${res} ${hashOf(this.area.subarray(offset, offset + res))}` : `${res}`
      const list = this.heard.get(userData) ?? []
      list.push(`${text} ${flags}`)
      this.heard.set(userData, list)
      if (data) this.#keptOf(userData).push(offset)
      this.ring.cqeSeen(cqe)
    }
  }

  #keptOf(userData: number): number[] {
    const list = this.#kept.get(userData) ?? []
    this.#kept.set(userData, list)
    return list
  }

  /** Gives back all buffers but the latest `keep` of each connection. */
  giveBack(keep: number): void {
    for (let i = 0; i < this.fds.length; i++) {
      const list = this.#keptOf(RECEIVE + i)
      while (list.length > keep && this.ifq.rq.push(0, list[0]!, 0)) list.shift()
    }
    this.ifq.rq.advance()
  }

  /** What was sent and heard so far. */
  forget(): void {
    this.nic.sent.length = 0
    this.heard.clear()
  }

  end(): void {
    this.ring.queueExit()
  }
}
