import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Stack } from '../../stack/stack.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { RingBackend } from '../../uapi/ring/backend.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { runs } from '../support/long.ts'
import { bytesOf, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const RUNS = runs(2000, 300)
const RECV = 7
/** Above all memory that there is: where a forged address must not lead to another's. */
const NOWHERE = 0x7f

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 7, 8, 9, 15, 16, 17, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff8),
  fc.nat(40),
  fc.integer(),
)

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      what: fc.constantFrom('control', 'sqes', 'cqes', 'refill', 'buffers', 'area' as const),
      at: fc.nat(0xffff),
      value: word,
    }),
  },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('enter' as const), at: word, value: fc.nat(1) }) },
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constant('flush' as const), at: fc.nat(1), value: fc.nat(1) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constant('data' as const), at: fc.nat(1), value: fc.nat(3000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ what: fc.constant('time' as const), at: fc.nat(1), value: fc.nat(50) }),
  },
)

/** Two applications of one kernel: one that keeps to the rules, and one that writes what it likes to what it shares. */
class Neighbours {
  readonly pair = new RingPair({ niovs: 64, rqEntries: 64 })
  readonly hostile: Ring
  readonly #backend: RingBackend
  /** Completions of data to the hostile one. */
  delivered = 0
  readonly #ifq: Ifq
  readonly sent: Uint8Array[] = []
  readonly received: Uint8Array[] = []
  readonly #words: Record<string, Uint32Array | Int32Array>
  readonly #heap: number
  /** Descriptors that the hostile one has. */
  readonly #socket: number
  readonly #peer: number
  readonly #client: number

  constructor() {
    const { pair } = this
    const { kernel } = pair
    const { client, server, listener } = pair.connect()
    this.#client = client
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    // The hostile one's end is where data lies in memory of the stack's own, which may be copied to its area.
    ;[this.#socket, this.#peer] = pair.connectTo(listener)
    const backend = kernel.ringBackend()
    this.#backend = backend
    this.hostile = Ring.queueInit(8, { ringBackend: () => backend }, { flags: ZC_FLAGS, cqEntries: 16 })
    const area = new Uint8Array(new ArrayBuffer(16 * 4096))
    const request = {
      ifIdx: 0,
      ifRxq: 0,
      rqEntries: 8,
      area,
      flags: abi.ZCRX_REG_NODEV,
      region: 'ring',
    } as const
    const ifq = this.hostile.registerIfq(request)
    if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
    this.#ifq = ifq
    const buffers = this.hostile.setupBufRing(8, 3, abi.IOU_PBUF_RING_MMAP)
    if (typeof buffers === 'number') throw new Error(abi.errnoName(buffers))
    const context = [...kernel.ifqs][1]!
    const heap = new Uint8Array(new SharedArrayBuffer(8192))
    this.#heap = kernel.space.addressOf(heap)
    const { control, cqes, sqes } = this.hostile.memory
    this.#words = {
      control: control.subarray(0, 16),
      cqes,
      sqes: new Uint32Array(sqes.buffer, sqes.byteOffset, sqes.length / 4),
      refill: new Uint32Array(context.provided!.buffer, 0, 64),
      buffers: new Uint32Array(this.#bufferRing(), 0, 32),
      area: new Uint32Array(area.buffer),
    }
    this.hostile.getSqe()!.prepRecvZc(this.#socket, 0).setData(1)
    this.hostile.submit()
  }

  /** The memory of the group of buffers. */
  #bufferRing(): ArrayBufferLike {
    const mapped = this.#backend.mmap(abi.IORING_OFF_PBUF_RING + (3 << 16), 4096)
    if (typeof mapped === 'number') throw new Error(abi.errnoName(mapped))
    return mapped.buffer
  }

  take({ what, at, value }: { what: string; at: number; value: number }): void {
    const { pair, hostile } = this
    if (what === 'enter') {
      this.#tame()
      const result = this.#backend.enter(at >>> 0, 0, value, 0)
      expect(Number.isInteger(result)).toBe(true)
    } else if (what === 'flush') hostile.flushRq(0)
    else if (what === 'data') {
      this.#send(pair.client, this.#client, bytesOf(value, value))
      this.sent.push(bytesOf(value, value))
      this.#send(pair.server, this.#peer, bytesOf(value % 700, 3))
    } else if (what === 'time') pair.clock.advance(value * 1000)
    else {
      const words = this.#words[what]!
      words[at % words.length] = value
    }
    for (const ifq of pair.kernel.ifqs) expect(ifq.census().lost).toBe(0)
    this.delivered = this.#ifq.stats().completions
  }

  /**
   * Descriptors and addresses belong to the process, as on Linux: what one application does to the other's by name is its right. So
   * they lead to what is the hostile one's own, or nowhere.
   */
  #tame(): void {
    const entries = this.#words.sqes!
    for (let at = 0; at < entries.length; at += 16) {
      if (entries[at + 1] !== this.#socket)
        entries[at + 1] = (entries[at + 1]! & 1) === 0 ? this.#socket : 500
      for (const address of [4, 12]) {
        if ((entries[at + address]! & 3) === 0) {
          entries[at + address] = this.#heap + (entries[at + address]! & 0xffc)
          entries[at + address + 1] = 0
        } else entries[at + address + 1] = NOWHERE
      }
    }
    const buffers = this.#words.buffers!
    for (let at = 0; at < buffers.length; at += 4) buffers[at + 1] = NOWHERE
  }

  #send(stack: Stack, fd: number, bytes: Uint8Array): void {
    const { tcb } = this.pair.kernel.files.socket(fd) ?? {}
    if (tcb != null) stack.tcp.send(tcb, bytes, 0, this.pair.clock.now())
  }

  /** The good application takes what is there. */
  receive(us: number): void {
    const { pair } = this
    for (const completion of pair.drain(us)) {
      if (completion.userData !== RECV) continue
      expect(completion.res).toBeGreaterThan(0)
      this.received.push(pair.bytes(completion).slice())
      pair.refill(completion)
    }
  }
}

describe('an application that writes what it likes to the memory of its ring', () => {
  it('harms its own ring only: the other is served, every buffer has a place, and all is given back', () => {
    let delivered = 0
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const both = new Neighbours()
        const { pair, hostile } = both
        for (const [i, one] of steps.entries()) {
          both.take(one)
          if (i % 8 === 7) both.receive(0)
        }
        both.receive(2_000_000)
        expect(Buffer.compare(Buffer.concat(both.received), Buffer.concat(both.sent))).toBe(0)
        hostile.queueExit()
        expect(pair.kernel.ifqs.size).toBe(1)
        expect(pair.census()).toMatchObject({ lost: 0, rx: 0 })
        pair.ring.queueExit()
        expect([pair.kernel.ifqs.size, pair.kernel.lockedBytes]).toEqual([0, 0])
        expect([pair.server.census().lost, pair.client.census().lost]).toEqual([0, 0])
        delivered += both.delivered
      }),
      { numRuns: RUNS },
    )
    // It had something to lie about.
    expect(delivered).toBeGreaterThan(RUNS / 3)
  }, 120_000)
})
