import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CLOSED } from '../../stack/tcp/state.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { Request } from '../../uapi/kernel/request.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { runs } from '../support/long.ts'
import { RingPair, type RingPairOptions, ZC_FLAGS } from '../support/ring-pair.ts'

const PAGE = 4096

/** A completion whose buffer the program holds. */
interface Held {
  readonly areaId: number
  readonly offset: number
  readonly bytes: number
  /** Place in the stream of its connection. */
  readonly at: number
  readonly stream: number
}

/** What byte `at` of a stream is. */
function byteOf(stream: number, at: number): number {
  return (Math.imul(at + 1, 0x9e3779b1) >>> (8 * (stream + 1))) & 0xff
}

/**
 * A program on the ring with a memory of its own: what it was given, what it holds, what it sent. After every step the pools
 * must add up, and every byte that it holds must still be the one it was given.
 */
class Program {
  readonly pair: RingPair
  readonly ends: { client: number; server: number }[] = []
  readonly sent = [0, 0]
  readonly received = [0, 0]
  readonly held: Held[] = []
  /** Requests by user_data; the stream that each receives. */
  readonly requests = new Map<number, number>()
  rings: { ring: Ring; ifq: Ifq }[]
  returned = 0
  delivered = 0
  #nextRequest = 1
  readonly #closed = [false, false]

  constructor(options: RingPairOptions) {
    this.pair = new RingPair(options)
    const first = this.pair.connect()
    this.ends.push(first)
    const [client, server] = this.pair.connectTo(first.listener)
    this.ends.push({ client, server })
    this.rings = [{ ring: this.pair.ring, ifq: this.pair.ifq }]
    const { aToB } = this.pair.link
    const send = aToB.send.bind(aToB)
    aToB.send = (memory, offset, length) => {
      this.#lastFrame = memory.slice(offset, offset + length)
      send(memory, offset, length)
    }
  }

  step(op: number, a: number, b: number): void {
    const stream = a & 1
    const { ring, ifq } = this.rings[b % this.rings.length]!
    switch (op) {
      case 0:
      case 1:
        this.#send(stream, (a * 37 + b) % 20_000)
        break
      case 2:
      case 3:
        this.#receive(ring, ifq, stream, b % 3 === 0 ? (a * 13) % 9000 : 0)
        break
      case 4:
      case 5:
        this.#giveBack(a, b)
        break
      case 6:
        ring.flushRq(ifq.zcrxId)
        break
      case 7:
        this.#forge(a, b)
        break
      case 8:
        this.pair.clock.advanceTo(this.pair.clock.now() + ((a * 997) % 400_000))
        break
      case 9:
        this.#cancel(ring, a)
        break
      case 10:
        this.#area(ring, ifq, a, b)
        break
      case 11:
        this.#share(a)
        break
      case 12:
        this.#close(stream, b)
        break
      case 13:
        this.#frame(a, b)
        break
      default:
        this.#turn()
    }
    this.check()
  }

  /** Frames move, requests go on, completions are read. */
  #turn(): void {
    for (const { ring } of [...this.rings]) {
      ring.getEvents()
      this.#reap(ring)
    }
  }

  #send(stream: number, bytes: number): void {
    const { tcb } = this.pair.kernel.files.socket(this.ends[stream]!.client)!
    if (tcb === null || tcb.state === CLOSED || this.#closed[stream]) return
    const from = this.sent[stream]!
    const data = Uint8Array.from({ length: bytes }, (_, i) => byteOf(stream, from + i))
    this.sent[stream] = from + this.pair.client.tcp.send(tcb, data, 0, this.pair.clock.now(), false)
  }

  #receive(ring: Ring, ifq: Ifq, stream: number, limit: number): void {
    // One request at a time for each stream: several share its bytes in an order that they can't tell.
    if ([...this.requests.values()].includes(stream)) return
    const userData = this.#nextRequest++
    ring.getSqe()!.prepRecvZc(this.ends[stream]!.server, ifq.zcrxId, limit).setData(userData)
    this.requests.set(userData, stream)
    ring.submit()
    this.#reap(ring)
  }

  #reap(ring: Ring): void {
    const count = ring.forEachCqe((cqe) => {
      const { userData, res, flags } = cqe
      const stream = this.requests.get(userData)
      if (stream === undefined) return
      if ((flags & abi.IORING_CQE_F_MORE) === 0) {
        this.requests.delete(userData)
        return
      }
      expect(res).toBeGreaterThan(0)
      const at = this.received[stream]!
      const held = { areaId: cqe.areaId, offset: cqe.offset, bytes: res, at, stream }
      this.received[stream] = at + res
      this.delivered++
      this.held.push(held)
      this.#checkBytes(held)
    })
    ring.cqAdvance(count)
  }

  #giveBack(a: number, b: number): void {
    const { rq } = this.rings[0]!.ifq
    for (let left = b % 12; left > 0 && this.held.length > 0; left--) {
      const at = (a * left) % this.held.length
      const held = this.held[at]!
      this.#checkBytes(held)
      if (!rq.push(held.areaId, held.offset + (a % held.bytes), a)) break
      this.held.splice(at, 1)
      this.returned++
    }
    rq.advance()
  }

  /** Entries that name nothing; and a buffer that is not out, read at once: later it might be, and then it would be returned. */
  #forge(a: number, b: number): void {
    const { ring, ifq } = this.rings[0]!
    const free = this.#anyIfq().pool.userRefs.indexOf(0)
    if (b % 3 === 0 && free >= 0) {
      this.#flushAll(ring, ifq)
      ifq.rq.push(0, free * PAGE, 0)
    } else if (b % 3 === 1) ifq.rq.push(7, a * PAGE, 0)
    else ifq.rq.push(0, 2 ** 31 + a * PAGE, 0)
    ifq.rq.advance()
    this.#flushAll(ring, ifq)
  }

  /** An entry that names nothing ends a flush. */
  #flushAll(ring: Ring, ifq: Ifq): void {
    for (let i = 0; i < ifq.rq.entries && ifq.rq.space() < ifq.rq.entries; i++) ring.flushRq(ifq.zcrxId)
  }

  #anyIfq(): (typeof this.pair.context.ifqs)[number] {
    return [...this.pair.kernel.ifqs][0]!
  }

  #cancel(ring: Ring, a: number): void {
    const userData = [...this.requests.keys()][a % Math.max(1, this.requests.size)]
    if (userData === undefined) return
    ring.getSqe()!.prepCancel(userData).setData(0)
    ring.submit()
    this.#reap(ring)
  }

  #area(ring: Ring, ifq: Ifq, a: number, b: number): void {
    const { areas } = this.#anyIfq()
    if (areas.length < 4) {
      const id = ring.addArea(ifq, new Uint8Array((1 + (a % 4)) * PAGE))
      expect(id).toBe(areas.length - 1)
      for (const other of this.rings) other.ifq.areas[id] = ifq.areas[id]!
    } else ring.removeArea(ifq, 1 + (b % 3))
  }

  /** A ring more that shares the instance; or the last of several ends. */
  #share(a: number): void {
    const { kernel } = this.pair
    if (this.rings.length > 2 || (this.rings.length === 2 && a % 2 === 1)) {
      const { ring } = this.rings.pop()!
      const armed = [...this.requests.keys()]
      ring.queueExit()
      // Its requests have no completion any more; those of other rings have.
      for (const userData of armed) if (!this.#armed(userData)) this.requests.delete(userData)
      return
    }
    const first = this.rings[0]!
    const fd = first.ring.exportIfq(first.ifq.zcrxId)
    const ring = Ring.queueInit(16, kernel, { flags: ZC_FLAGS, cqEntries: 32 })
    const ifq = ring.importIfq(fd, first.ifq)
    kernel.files.close(fd)!.release()
    if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
    this.rings.push({ ring, ifq })
  }

  #armed(userData: number): boolean {
    for (const { server } of this.ends) {
      const readers = this.pair.kernel.files.socket(server)?.readers ?? []
      if (readers.some((reader) => (reader as Request).userDataLow === userData)) return true
    }
    return false
  }

  /** A frame that nobody of ours has sent: rubbish, or an old one of the client's with a bit of it changed. */
  #frame(a: number, b: number): void {
    const frame =
      b % 2 === 0
        ? this.#lastFrame.slice()
        : Uint8Array.from({ length: 60 + (a % 1400) }, (_, i) => byteOf(b & 1, i * a))
    if (frame.length === 0) return
    if (b % 2 === 1) frame.set(this.#lastFrame.subarray(0, 14))
    // Behind the addresses: who lies about those is not heard. And not of the payload: checksums are of 16 bits.
    const at = 14 + (a % Math.min(52, frame.length - 14))
    frame[at] = frame[at]! ^ (1 << ((b >>> 4) % 8))
    this.pair.link.aToB.send(frame, 0, frame.length)
  }
  #lastFrame = new Uint8Array(0)

  #close(stream: number, b: number): void {
    const { tcb } = this.pair.kernel.files.socket(this.ends[stream]!.client)!
    if (b % 4 !== 0 || tcb === null || this.#closed[stream]) return
    this.#closed[stream] = true
    this.pair.client.tcp.shutdownSend(tcb, this.pair.clock.now())
  }

  #checkBytes({ areaId, offset, bytes, at, stream }: Held): void {
    const area = this.rings[0]!.ifq.areas[areaId]!
    for (let i = 0; i < bytes; i++) {
      if (area[offset + i] !== byteOf(stream, at + i)) {
        throw new Error(`byte ${at + i} of stream ${stream}, at ${offset + i} of area ${areaId}, is another`)
      }
    }
  }

  check(): void {
    const census = this.rings[0]!.ifq.census()
    expect(census.lost).toBe(0)
    const { free, fill, rx, queued, user, total } = census
    expect(free + fill + rx + queued + user).toBe(total)
    let out = 0
    for (const pool of this.#anyIfq().areas) out += pool?.userOut ?? 0
    const { refilled } = this.#anyIfq().stats
    expect(out).toBe(this.delivered - refilled)
    expect(refilled).toBeLessThanOrEqual(this.returned)
    for (const stack of [this.pair.server, this.pair.client]) expect(stack.census().lost).toBe(0)
    for (const stream of [0, 1]) expect(this.received[stream]!).toBeLessThanOrEqual(this.sent[stream]!)
  }

  /** With everything given back and requests renewed, all that was sent arrives, and all buffers come home. */
  finish(): void {
    for (let round = 0; round < 3000; round++) {
      this.#turn()
      this.#giveBack(1, 11)
      for (const { ring, ifq } of this.rings) ring.flushRq(ifq.zcrxId)
      if (this.received[0] === this.sent[0] && this.received[1] === this.sent[1] && this.held.length === 0)
        break
      for (const stream of [0, 1]) {
        const { ring, ifq } = this.rings[0]!
        this.#receive(ring, ifq, stream, 0)
      }
      const next = Math.min(this.pair.kernel.nextDeadline(), this.pair.link.nextArrival())
      this.pair.clock.advanceTo(Math.min(next, this.pair.clock.now() + 50_000))
    }
    this.check()
    expect(this.received).toEqual(this.sent)
    expect(this.held).toEqual([])
    const census = this.rings[0]!.ifq.census()
    expect({ user: census.user, lost: census.lost }).toEqual({ user: 0, lost: 0 })
    for (const { ring } of this.rings) ring.queueExit()
    expect(this.pair.kernel.ifqs.size).toBe(0)
    expect(this.pair.kernel.lockedBytes).toBe(0)
    expect(this.pair.server.census().lost).toBe(0)
  }
}

/** Programs of each kind: more than 10,000 in all when it is to be long. */
const RUNS = runs(2000, 100)

const DROPPING: RingPairOptions = {
  niovs: 80,
  rqEntries: 128,
  placement: 'split',
  cache: 64,
  tcp: { backpressure: 'drop' },
}

const steps = fc.array(fc.tuple(fc.nat(17), fc.nat(0xffff), fc.nat(0xffff)), { minLength: 4, maxLength: 28 })

describe('any program of ring operations, frames and refills keeps the census exact and gets the right bytes', () => {
  it.each<[string, RingPairOptions]>([
    ['a device queue', { niovs: 32, rqEntries: 64 }],
    ['a device queue on a path that loses, doubles and reorders', { niovs: 24, rqEntries: 32 }],
    ['without a device', { nodev: true, niovs: 6, rqEntries: 16 }],
    [
      'without a device, a completion queue of 8',
      { nodev: true, niovs: 12, entries: 8, params: { cqEntries: 8 } },
    ],
    [
      'header and payload apart, several payloads in a buffer',
      { niovs: 32, placement: 'split', split: { pack: true } },
    ],
    ['a device with a cache, dropping what finds no buffer', DROPPING],
  ])(
    '%s',
    (what, options) => {
      fc.assert(
        fc.property(steps, fc.integer(), (program, seed) => {
          const bad = what.includes('loses')
          const run = new Program({ ...options, seed })
          // From now on, when the neighbours have found each other.
          const { aToB, bToA } = run.pair.link
          if (bad)
            for (const way of [aToB, bToA]) way.impairments = { loss: 0.03, duplicate: 0.03, reorder: 0.05 }
          for (const [op, a, b] of program) run.step(op, a, b)
          run.finish()
        }),
        { numRuns: RUNS },
      )
    },
    300_000,
  )
})
