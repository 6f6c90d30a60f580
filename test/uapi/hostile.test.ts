import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { ringContext } from '../support/contexts.ts'
import { runs } from '../support/long.ts'
import { RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const RUNS = runs(1500)

/** Numbers that checks get wrong, beside any. */
const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 7, 16, 64, 4095, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.nat(64),
  fc.integer(),
)

/** An entry of any bytes, mostly with an opcode that is served and descriptors that exist. */
const entry = fc.tuple(
  fc.oneof({ weight: 6, arbitrary: fc.nat(64) }, fc.nat(255)),
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 0, 0, 2, 4, 8, 16, 32, 64, 1) }, fc.nat(255)),
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0, 1, 2, 3) }, fc.nat(0xffff)),
  fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 2, max: 8 }) }, word),
  fc.array(word, { minLength: 14, maxLength: 14 }),
)

type Entry = [opcode: number, flags: number, ioprio: number, fd: number, words: number[]]

function write(slot: Uint8Array, [opcode, flags, ioprio, fd, words]: Entry, base: number): void {
  const view = new DataView(slot.buffer, slot.byteOffset, 64)
  view.setUint8(0, opcode)
  view.setUint8(1, flags)
  view.setUint16(2, ioprio, true)
  view.setInt32(4, fd | 0, true)
  for (const [i, value] of words.entries()) view.setInt32(8 + i * 4, value | 0, true)
  // One entry in two points to memory that there is.
  if (words[0]! % 2 === 0) {
    view.setUint32(16, (base + (words[1]! & 0xfff)) >>> 0, true)
    view.setUint32(20, 0, true)
    view.setUint32(24, words[2]! & 0x1ff, true)
  }
}

describe('what a program may hand to a ring', () => {
  it('any entries are answered: nothing throws, hangs or loses a buffer', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 12 }), fc.boolean(), (entries, nodev) => {
        const pair = new RingPair({ nodev, niovs: 16, rqEntries: 16 })
        const { client } = pair.connect()
        const memory = new Uint8Array(8192)
        const base = pair.kernel.space.addressOf(memory)
        for (const one of entries) {
          const sqe = pair.ring.getSqe()
          if (sqe === null) break
          const index = (pair.ring.memory.control[pair.ring.memory.sqHeadAt]! + pair.ring.sqReady() - 1) & 63
          write(pair.ring.memory.sqes.subarray(index * 64, index * 64 + 64), one as Entry, base)
          pair.ring.submit()
        }
        const socket = pair.kernel.files.socket(client)
        if (socket?.tcb) pair.client.tcp.send(socket.tcb, new Uint8Array(3000), 0, pair.clock.now(), false)
        for (let i = 0; i < 12; i++) {
          pair.ring.getEvents()
          pair.ring.cqAdvance(pair.ring.cqReady())
          pair.clock.advanceTo(pair.clock.now() + 1000)
        }
        if (pair.kernel.ifqs.size > 0) expect(pair.census().lost).toBe(0)
        pair.ring.queueExit()
        expect(pair.kernel.ifqs.size).toBe(0)
        expect(pair.server.census().lost).toBe(0)
      }),
      { numRuns: RUNS },
    )
  }, 120_000)

  it('any structures are answered by registrations, and a queue is given back whatever was asked', () => {
    const opcode = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(32, 35, 36, 24) }, fc.nat(48))
    const call = fc.tuple(opcode, fc.nat(3), fc.array(word, { minLength: 24, maxLength: 24 }), fc.nat(7))
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 10 }), (calls) => {
        const pair = new RingPair({ nodev: true, niovs: 8 })
        const backend = ringContext(pair.kernel, ZC_FLAGS)
        const heap = new Uint8Array(new SharedArrayBuffer(64 * 1024))
        const base = pair.kernel.space.addressOf(heap)
        for (const [op, nrArgs, words, good] of calls) {
          const arg = new Uint8Array(96)
          const view = new DataView(arg.buffer)
          for (const [i, value] of words.entries()) view.setInt32(i * 4, value | 0, true)
          // Some that get far: a registration with structures that are nearly right.
          if (op === abi.IORING_REGISTER_ZCRX_IFQ && good > 2) nearlyRight(arg, heap, base, words)
          if (op === abi.IORING_REGISTER_ZCRX_CTRL && good > 2) {
            arg.fill(0, 0, 24)
            view.setUint32(4, words[1]! & 7, true)
          }
          const result = backend.register(op, arg, op === 32 || op === 24 ? 1 : op > 34 ? 0 : nrArgs)
          expect(Number.isInteger(result)).toBe(true)
        }
        backend.enter(0, 0, abi.IORING_ENTER_GETEVENTS, 0)
        backend.close()
        expect(pair.kernel.ifqs.size).toBe(1)
        pair.ring.queueExit()
        expect([pair.kernel.ifqs.size, pair.kernel.lockedBytes]).toEqual([0, 0])
      }),
      { numRuns: RUNS },
    )
  }, 120_000)
})

/** A registration without a device over `heap`, with a word of each structure as it came. */
function nearlyRight(arg: Uint8Array, heap: Uint8Array, base: number, words: readonly number[]): void {
  arg.fill(0)
  heap.fill(0, 0, 4096)
  const reg = new abi.ZcrxIfqReg(arg)
  reg.rqEntries = 1 + (words[0]! & 0x1f)
  reg.flags = abi.ZCRX_REG_NODEV
  reg.regionPtr = base
  reg.areaPtr = base + 256
  const region = new abi.RegionDesc(heap.subarray(0, 64))
  region.size = 4096
  region.userAddr = base + 8192
  region.flags = abi.IORING_MEM_REGION_TYPE_USER
  const area = new abi.ZcrxAreaReg(heap.subarray(256, 304))
  area.addr = base + 16_384
  area.len = 4096 * (1 + (words[1]! & 3))
  const at = words[2]! & 63
  const target = at < 24 ? arg : at < 40 ? heap.subarray(0, 64) : heap.subarray(256, 304)
  const offset = ((words[3]! >>> 0) % (target.length / 4)) * 4
  if ((words[4]! & 3) === 0)
    new DataView(target.buffer, target.byteOffset).setInt32(offset, words[5]! | 0, true)
}
