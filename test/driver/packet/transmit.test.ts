import { expect, test } from 'vitest'
import type { Native } from '../../../driver/native/index.ts'
import { NicStats } from '../../../driver/nic.ts'
import { TransmitPath } from '../../../driver/packet/transmit.ts'
import { ERRNO } from '../../../driver/system.ts'

/** A kernel that answers `packetSend` as it is told; by default it takes everything. */
class FakeKernel {
  readonly sent: Uint8Array[] = []
  answers: number[] = []
  calls = 0
  gone = 0
  readonly path: TransmitPath

  constructor(mtu = 1500) {
    const packetSend: Native['packetSend'] = (_fd, memory, offsets, lengths, from, count) => {
      this.calls++
      const answer = this.answers.shift() ?? count
      for (let i = from; i < from + answer; i++)
        this.sent.push(memory.slice(offsets[i]!, offsets[i]! + lengths[i]!))
      return answer
    }
    this.path = new TransmitPath({ packetSend } as Native, 3, mtu, () => this.gone++)
  }

  put(byte: number, length = 60): void {
    const at = this.path.reserve()
    this.path.memory.fill(byte, at, at + length)
    this.path.commit(at, length)
  }

  stats(): NicStats {
    const stats = new NicStats()
    this.path.addCounters(stats)
    return stats
  }

  bytes(): number[] {
    return this.sent.map((frame) => frame[10]!)
  }
}

test('frames go out in one call, behind an empty header', () => {
  const kernel = new FakeKernel()
  for (const byte of [1, 2, 3]) kernel.put(byte)
  kernel.path.flush()
  kernel.path.flush()
  expect(kernel.calls).toBe(1)
  expect(kernel.sent.map((frame) => [...frame.subarray(0, 11)])).toEqual(
    [1, 2, 3].map((byte) => [...Array(10).fill(0), byte]),
  )
  expect(kernel.stats()).toMatchObject({ txFrames: 3, txBytes: 180, txErrors: 0, txNoSlot: 0 })
})

test('a slot takes the largest frame', () => {
  expect(new FakeKernel(1500).path.slotBytes).toBe(4096)
  expect(new FakeKernel(9000).path.slotBytes).toBeGreaterThanOrEqual(9022)
})

test.each(['EAGAIN', 'ENOBUFS'])('after %s the rest waits for the next flush', (name) => {
  const kernel = new FakeKernel()
  for (const byte of [1, 2, 3]) kernel.put(byte)
  kernel.answers = [1, -ERRNO[name as 'EAGAIN']]
  kernel.path.flush()
  expect([kernel.bytes(), kernel.calls]).toEqual([[1], 2])
  kernel.put(4)
  kernel.path.flush()
  expect(kernel.bytes()).toEqual([1, 2, 3, 4])
  expect(kernel.stats()).toMatchObject({ txFrames: 4, txErrors: 0 })
})

test('a frame that is refused is counted, the others go on', () => {
  const kernel = new FakeKernel()
  for (const byte of [1, 2, 3]) kernel.put(byte)
  kernel.answers = [1, -ERRNO.EMSGSIZE]
  kernel.path.flush()
  expect(kernel.bytes()).toEqual([1, 3])
  expect(kernel.stats()).toMatchObject({ txFrames: 2, txErrors: 1 })
})

test.each([
  ['ENXIO', 1],
  ['ENETDOWN', 0],
] as const)('%s refuses all', (name, gone) => {
  const kernel = new FakeKernel()
  for (const byte of [1, 2]) kernel.put(byte)
  kernel.answers = [-ERRNO[name]]
  kernel.path.flush()
  expect([kernel.sent.length, kernel.gone, kernel.calls]).toEqual([0, gone, 1])
  expect(kernel.stats().txErrors).toBe(2)
})

test('without a slot the reservation is refused and counted', () => {
  const kernel = new FakeKernel()
  kernel.answers = Array(10).fill(-ERRNO.EAGAIN)
  for (let i = 0; i < 256; i++) kernel.put(i & 0xff)
  expect(kernel.path.reserve()).toBe(-1)
  expect(kernel.stats().txNoSlot).toBe(1)
  kernel.answers = []
  expect(kernel.path.reserve()).toBeGreaterThanOrEqual(0)
  expect(kernel.sent.length).toBe(256)
})

test('what can’t be a frame, or is no reserved slot, is an error', () => {
  const { path } = new FakeKernel()
  const at = path.reserve()
  expect(() => path.commit(at + 1, 60)).toThrow(/not the reserved one/)
  expect(() => path.commit(at, 13)).toThrow(/14 to 4096/)
  expect(() => path.commit(at, 4097)).toThrow(/14 to 4096/)
  path.commit(at, 0)
  expect(() => path.commit(at, 60)).toThrow(/not the reserved one/)
})
