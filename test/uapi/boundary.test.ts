import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Arena, Scratch } from '../../uapi/ring/arena.ts'
import type { RingBackend } from '../../uapi/ring/backend.ts'
import { RingMemory } from '../../uapi/ring/memory.ts'
import { Pins } from '../../uapi/ring/pins.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { RecordingBackend, WasmMemory } from '../support/recording-backend.ts'
import { plainMemory } from '../support/stack-pair.ts'

/** A ring whose other side is numbers and one memory. */
function recorded(flags = 0): { ring: Ring; backend: RecordingBackend } {
  const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
  const backend = new RecordingBackend(kernel, new WasmMemory(4 << 20), true)
  return { ring: Ring.queueInit(8, { ringBackend: () => backend }, { flags }), backend }
}

/** A kernel with a layout of its own, that completes each entry with the number of calls it took to be asked. */
class Strange implements RingBackend {
  readonly diagnostics = null
  readonly fd = -1
  refusal(): null {
    return null
  }
  readonly enters: number[][] = []
  /** Answers to the next calls of `enter`. */
  readonly interruptions: number[] = []
  readonly #rings = new Uint8Array(new SharedArrayBuffer(4096))
  readonly #sqes = new Uint8Array(new SharedArrayBuffer(8 * 64))
  // Words in an order that nobody has.
  static readonly AT = {
    sqHead: 31,
    sqTail: 7,
    sqFlags: 3,
    sqDropped: 12,
    cqHead: 90,
    cqTail: 64,
    cqOverflow: 1,
  }
  static readonly CQES = 1024

  open(_entries: number, params: abi.UringParams): ReturnType<RingBackend['open']> {
    const { sqHead, sqTail, sqFlags, sqDropped, cqHead, cqTail, cqOverflow } = Strange.AT
    params.sqEntries = 8
    params.cqEntries = 16
    params.sqOff = {
      ...{ head: 4 * sqHead, tail: 4 * sqTail, flags: 4 * sqFlags, dropped: 4 * sqDropped },
      ...{ ringMask: 200, ringEntries: 204, array: 0 },
    }
    params.cqOff = {
      ...{ head: 4 * cqHead, tail: 4 * cqTail, overflow: 4 * cqOverflow, cqes: Strange.CQES },
      ...{ ringMask: 208, ringEntries: 212, flags: 216 },
    }
    return { rings: this.#rings, sqes: this.#sqes }
  }
  enter(...args: [number, number, number, number]): number {
    this.enters.push(args)
    const interruption = this.interruptions.shift()
    if (interruption !== undefined) return interruption
    const words = new Int32Array(this.#rings.buffer)
    const entries = new Int32Array(this.#sqes.buffer)
    const { sqHead, sqTail, cqTail } = Strange.AT
    const count = words[sqTail]! - words[sqHead]!
    for (let i = 0; i < count; i++) {
      const slot = (Strange.CQES + (words[cqTail]! & 15) * 16) / 4
      words[slot] = entries[((words[sqHead]! + i) & 7) * 16 + 8]!
      words[slot + 2] = this.enters.length
      words[cqTail]!++
    }
    words[sqHead]! += count
    return count
  }
  /** The kernel says that it has something to do. */
  say(flags: number): void {
    new Int32Array(this.#rings.buffer)[Strange.AT.sqFlags] = flags
  }
  attend(): boolean {
    return false
  }
  register(): number {
    return -abi.EINVAL
  }
  mmap(): number {
    return -abi.EINVAL
  }
  allocate(bytes: number): Uint8Array {
    return new Uint8Array(bytes)
  }
  addressOf(): number {
    return 4096
  }
  reaches(): boolean {
    return true
  }
  keepAlive(): void {}
  arm(): void {}
  close(): void {}
}

describe('a ring', () => {
  it('finds heads, tails and completions where io_uring_setup(2) says', () => {
    const backend = new Strange()
    const ring = Ring.queueInit(8, { ringBackend: () => backend })
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 7; i++)
        ring
          .getSqe()!
          .prepNop()
          .setData(round * 7 + i)
      expect(ring.submit()).toBe(7)
      const seen: number[] = []
      ring.cqAdvance(ring.forEachCqe(({ userData }) => seen.push(userData)))
      expect(seen).toEqual(Array.from({ length: 7 }, (_, i) => round * 7 + i))
    }
    expect([ring.cqReady(), ring.sqReady(), ring.sqSpaceLeft()]).toEqual([0, 0, 8])
  })

  it('tries again when a signal interrupted the call, and leaves other errors to the caller', () => {
    const backend = new Strange()
    const ring = Ring.queueInit(8, { ringBackend: () => backend })
    backend.interruptions.push(-abi.EINTR, -abi.EINTR)
    ring.getSqe()!.prepNop().setData(5)
    expect(ring.submitAndWait(1)).toBe(1)
    expect(backend.enters).toEqual(
      Array(3).fill([1, 1, abi.IORING_ENTER_GETEVENTS, Number.POSITIVE_INFINITY]),
    )
    expect(ring.waitCqe().res).toBe(3)
    backend.interruptions.push(-abi.EBUSY)
    expect(ring.getEvents()).toBe(-abi.EBUSY)
  })

  it('has work when the flags say so', () => {
    const backend = new Strange()
    const ring = Ring.queueInit(8, { ringBackend: () => backend })
    expect(ring.hasWork()).toBe(false)
    for (const flag of [abi.IORING_SQ_TASKRUN, abi.IORING_SQ_CQ_OVERFLOW]) {
      backend.say(flag)
      expect(ring.hasWork()).toBe(true)
    }
    backend.say(abi.IORING_SQ_NEED_WAKEUP)
    expect(ring.hasWork()).toBe(false)
  })

  it('says that nobody tells of buffers where there is nobody', () => {
    const ring = Ring.queueInit(8, { ringBackend: () => new Strange() })
    expect(ring.diagnostics).toBeNull()
  })

  it('refuses memory that the other side does not reach, and says where to take it from', () => {
    const { ring, backend } = recorded()
    expect(() => ring.getSqe()!.prepSend(3, new Uint8Array(8))).toThrow(/Ring\.arena/)
    const reached = ring.arena.take(8)
    expect([backend.reaches(reached), backend.reaches(new Uint8Array(8))]).toEqual([true, false])
    expect(() => ring.getSqe()!.prepSend(3, reached)).not.toThrow()
  })

  it('does nothing, and nothing that was there before, with an entry that could not be filled', () => {
    const { ring, backend } = recorded()
    const results = (): number[][] => {
      const seen: number[][] = []
      ring.cqAdvance(ring.forEachCqe(({ userData, res }) => seen.push([userData, res])))
      return seen
    }
    // Every slot has a CLOSE of what is descriptor 3 by now.
    for (let i = 0; i < 8; i++)
      ring
        .getSqe()!
        .prepClose(3)
        .setData(50 + i)
    ring.submit()
    results()
    ring.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setData(1)
    ring.submit()
    expect(results()).toEqual([[1, 3]])
    expect(() => ring.getSqe()!.prepSend(3, new Uint8Array(8))).toThrow(/Ring\.arena/)
    ring.submit()
    expect([results(), ring.pinned, backend.reaches(new Uint8Array(1))]).toEqual([[[0, 0]], 0, false])
    ring.getSqe()!.prepClose(3).setData(2)
    ring.submit()
    expect(results()).toEqual([[2, 0]])
  })

  it('registers, asks and provides buffers with nothing but what the other side reaches', () => {
    const { ring } = recorded(abi.IORING_SETUP_SUBMIT_ALL)
    const opcodes = new abi.QueryOpcode(new Uint8Array(abi.QueryOpcode.SIZE))
    expect(ring.query(abi.IO_URING_QUERY_OPCODES, opcodes.bytes)).toBe(abi.QueryOpcode.SIZE)
    expect(opcodes.nrRequestOpcodes).toBeGreaterThan(50)
    expect(ring.getProbe().opcodeSupported(abi.IORING_OP_RECV_ZC)).toBe(true)
    ring.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0)
    ring.submitAndWait(1)
    const fd = ring.waitCqe().res
    expect(ring.registerFiles([fd, -1], [7, 0])).toBe(0)
    expect(ring.registerFilesUpdate(1, [fd], [9])).toBe(1)
    expect(ring.registerFileAllocRange(0, 1)).toBe(0)
    expect(ring.unregisterFiles()).toBe(0)
    expect(ring.registerFilesSparse(4)).toBe(0)
    for (const flags of [0, abi.IOU_PBUF_RING_MMAP]) {
      const buffers = ring.setupBufRing(8, 5, flags)
      if (typeof buffers === 'number') throw new Error(abi.errnoName(buffers))
      buffers.bufRingAdd(ring.arena.take(100), 1)
      buffers.bufRingAdvance()
      expect(ring.bufRingHead(5)).toBe(0)
      expect(ring.freeBufRing(buffers)).toBe(0)
    }
    const cancel = new abi.SyncCancelReg(new Uint8Array(abi.SyncCancelReg.SIZE))
    cancel.flags = abi.IORING_ASYNC_CANCEL_ANY
    expect(ring.registerSyncCancel(cancel)).toBe(0)
    ring.queueExit()
  })
})

describe('memory of requests in flight', () => {
  const memory = new RingMemory(
    { rings: new Uint8Array(new SharedArrayBuffer(4096)), sqes: new Uint8Array(1024) },
    (() => {
      const params = new abi.UringParams(new Uint8Array(abi.UringParams.SIZE))
      params.sqEntries = 8
      params.cqEntries = 16
      params.cqOff = { head: 8, tail: 12, ringMask: 0, ringEntries: 0, overflow: 0, cqes: 64, flags: 0 }
      return params
    })(),
  )
  const complete = (slot: number, userData: number, flags: number): void => {
    memory.cqes.set([userData, 0, 0, flags], slot * 4)
  }

  it('is held until the last completion: that of a SEND_ZC is its notification', () => {
    const pins = new Pins(memory)
    pins.submitted(4, [new Uint8Array(8)])
    complete(0, 4, abi.IORING_CQE_F_MORE)
    complete(1, 4, abi.IORING_CQE_F_NOTIF)
    pins.seen(0, 1)
    expect(pins.size).toBe(1)
    pins.seen(1, 1)
    expect(pins.size).toBe(0)
  })

  it('is held together for requests that can not be told apart, until all have completed', () => {
    const pins = new Pins(memory)
    pins.submitted(4, [new Uint8Array(8)])
    pins.submitted(4, [new Uint8Array(8)])
    // One that names nothing counts beside those that do.
    pins.submitted(4, null)
    pins.submitted(5, null)
    for (const slot of [0, 1, 2]) complete(slot, 4, 0)
    pins.seen(0, 2)
    expect(pins.size).toBe(1)
    pins.seen(2, 1)
    expect(pins.size).toBe(0)
  })

  it('goes by slots where completions are of mixed sizes, and around the end of the queue', () => {
    const pins = new Pins(memory)
    pins.submitted(1, [new Uint8Array(8)])
    pins.submitted(2, [new Uint8Array(8)])
    complete(15, 1, abi.IORING_CQE_F_32)
    // The second half of a wide one looks like a completion of request 2.
    complete(0, 2, 0)
    pins.seen(15, 2)
    expect(pins.size).toBe(1)
    complete(1, 2, 0)
    pins.seen(17, 1)
    expect(pins.size).toBe(0)
  })

  it('is looked for in the queue that there is, however much is said to be read', () => {
    const pins = new Pins(memory)
    pins.submitted(99, [new Uint8Array(8)])
    const begin = performance.now()
    pins.seen(0, 2 ** 31)
    expect(performance.now() - begin).toBeLessThan(1000)
    expect(pins.size).toBe(1)
  })

  it('is not let go by what fills the end of a queue of mixed sizes', () => {
    const pins = new Pins(memory)
    pins.submitted(0, [new Uint8Array(8)])
    complete(15, 0, abi.IORING_CQE_F_SKIP)
    pins.seen(15, 1)
    expect(pins.size).toBe(1)
    complete(0, 0, 0)
    pins.seen(16, 1)
    expect(pins.size).toBe(0)
  })

  it('of a ring is let go with its completions, and kept by nobody who asks for no completion', () => {
    const { ring } = recorded()
    for (let i = 0; i < 100; i++) {
      const bytes = ring.arena.take(64)
      ring.getSqe()!.prepSend(77, bytes).setData(i)
      ring.submitAndWait(1)
      const cqe = ring.waitCqe()
      expect([cqe.userData, cqe.res]).toEqual([i, -abi.EBADF])
      ring.cqeSeen(cqe)
      ring.arena.give(bytes)
    }
    expect(ring.pinned).toBe(0)
    // Behind the first of a chain nobody hears of the others either, when it fails.
    const quiet = abi.IOSQE_CQE_SKIP_SUCCESS | abi.IOSQE_IO_LINK
    ring.getSqe()!.prepSend(77, ring.arena.take(64)).setFlags(quiet)
    ring.getSqe()!.prepSend(77, ring.arena.take(64)).setFlags(abi.IOSQE_IO_LINK)
    ring.getSqe()!.prepSend(77, ring.arena.take(64))
    ring.submit()
    expect(ring.pinned).toBe(0)
    ring.getSqe()!.prepSend(77, ring.arena.take(64)).setData(3)
    ring.submit()
    expect(ring.pinned).toBe(1)
    ring.cqAdvance(ring.cqReady())
    expect(ring.pinned).toBe(0)
  })
})

describe('the arena', () => {
  function arena(): Arena {
    return new Arena(new Strange())
  }

  it('gives zeroed bytes on lines of their own, and what came back again', () => {
    const some = arena()
    const first = some.take(10)
    const second = some.take(65)
    expect([first.length, first.byteOffset % 64, second.byteOffset % 64]).toEqual([10, 0, 0])
    expect(second.byteOffset - first.byteOffset).toBe(64)
    first.fill(0xff)
    some.give(first)
    const again = some.take(64)
    expect([again.byteOffset, again.length, Math.max(...again)]).toEqual([first.byteOffset, 64, 0])
    // Of another size nothing is taken from it.
    some.give(again)
    expect(some.take(65).byteOffset).not.toBe(first.byteOffset)
  })

  it('takes back what it gave, once, and nothing else', () => {
    const some = arena()
    const bytes = some.take(100)
    const wrong = expect.objectContaining({ code: 'ZCRX_ARGUMENT' })
    for (const other of [new Uint8Array(100), bytes.subarray(0, 50), bytes.subarray()])
      expect(() => some.give(other)).toThrow(wrong)
    some.give(bytes)
    expect(() => some.give(bytes)).toThrow(wrong)
  })

  it.each([Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY])('refuses %d bytes', (bytes) => {
    const some = arena()
    expect(() => some.take(bytes)).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
    expect(some.take(100).length).toBe(100)
  })

  it('has pages for what is large, and for what asks for them', () => {
    const some = arena()
    const large = some.take(100_000)
    expect(large.length).toBe(100_000)
    some.give(large)
    expect(some.take(120_000).buffer).toBe(large.buffer)
    expect(some.pages(8192).length).toBe(8192)
  })

  it('lends what the other side does not reach as a copy, which is written back', () => {
    const memory = new WasmMemory(1 << 20)
    const backend = {
      allocate: (bytes: number) => memory.allocate(bytes),
      reaches: (bytes: Uint8Array) => memory.reaches(bytes),
      addressOf: ({ byteOffset }: Uint8Array) => byteOffset,
    }
    const some = new Arena(backend)
    const scratch = new Scratch(some)
    const own = Uint8Array.of(1, 2, 3)
    const lent = scratch.lend(own)
    expect([memory.reaches(lent), [...lent]]).toEqual([true, [1, 2, 3]])
    lent[1] = 9
    const reached = some.take(3)
    expect(scratch.lend(reached)).toBe(reached)
    scratch.end()
    expect([...own]).toEqual([1, 9, 3])
    expect(some.take(3).byteOffset).toBe(lent.byteOffset)
  })
})
