import { describe, expect, test } from 'vitest'
import { NicStats, RX_MORE, RxBurst } from '../../../driver/nic.ts'
import { ReceivePath } from '../../../driver/xdp/receive.ts'
import { fakeAddressRing, fakeDescriptorRing } from './rings.ts'

const CHUNK = 4096
const CHUNKS = 256
const MORE = 1

/** A receive path, and a kernel that puts frames into the chunks of the fill ring. */
function setup({ start = 0, entries = 256 } = {}) {
  const rx = fakeDescriptorRing(entries, start)
  const fill = fakeAddressRing(entries, start)
  let wakes = 0
  const path = new ReceivePath(rx.ring, fill.ring, CHUNKS * CHUNK, CHUNK, () => wakes++)
  const stats = (): NicStats => {
    const counted = new NicStats()
    path.addCounters(counted)
    return counted
  }
  /** Lengths of a frame's fragments; `rest`: the frame goes on after them. */
  const deliver = (lengths: number[], rest = false): number[] =>
    lengths.map((length, i) => {
      const [address] = fill.consume()
      rx.produce(address! + 256, 0, length, i < lengths.length - 1 || rest ? MORE : 0)
      return address! / CHUNK
    })
  return { rx, fill, stats, path, deliver, wakes: () => wakes }
}

const numbers = (count: number, from = 0): Uint32Array =>
  Uint32Array.from({ length: count }, (_, i) => from + i)

describe.each([0, 0x7fffffff - 2, -3])('with indexes from %i', (start) => {
  test('chunks go round', () => {
    const { path, deliver, rx, fill, stats } = setup({ start, entries: 8 })
    const burst = new RxBurst()
    for (let round = 0; round < 20; round++) {
      expect(path.space()).toBe(8)
      expect(path.fill(numbers(10, round), 1, 9)).toBe(8)
      expect(path.space()).toBe(0)
      expect(path.pending()).toBe(false)
      const chunks = [...deliver([60]), ...deliver([3840, 3840, 100])]
      expect(chunks).toEqual([round + 1, round + 2, round + 3, round + 4])
      expect(path.pending()).toBe(true)
      expect(path.held).toBe(8)
      expect(path.receive(burst)).toBe(4)
      expect(path.held).toBe(4)
      expect([...burst.offset.subarray(0, 4)]).toEqual(chunks.map((chunk) => chunk * CHUNK + 256))
      expect([...burst.length.subarray(0, 4)]).toEqual([60, 3840, 3840, 100])
      expect([...burst.flags.subarray(0, 4)]).toEqual([0, RX_MORE, RX_MORE, 0])
      deliver([1, 1, 1, 1])
      path.receive(burst)
      expect(path.held).toBe(0)
      expect([rx.waiting(), fill.waiting()]).toEqual([0, 0])
    }
    expect(stats().rxFrames).toBe(60)
    expect(stats().rxFragments).toBe(160)
    expect(stats().rxBytes).toBe(20 * (60 + 7780 + 4))
  })
})

test('a frame whose end has not arrived stays', () => {
  const { path, deliver, rx } = setup()
  const burst = new RxBurst()
  path.fill(numbers(10), 0, 10)
  deliver([60])
  deliver([3840, 3840], true)
  expect(path.receive(burst)).toBe(1)
  expect(path.receive(burst)).toBe(0)
  expect(rx.waiting()).toBe(2)
  expect(path.held).toBe(9)
  deliver([7])
  expect(path.receive(burst)).toBe(3)
  expect([...burst.length.subarray(0, 3)]).toEqual([3840, 3840, 7])
})

test('a frame that does not fit in the rest of the burst stays', () => {
  const { path, deliver } = setup()
  const burst = new RxBurst(64)
  path.fill(numbers(200), 0, 200)
  for (let i = 0; i < 60; i++) deliver([60])
  deliver([1, 2, 3, 4, 5])
  expect(path.receive(burst)).toBe(60)
  expect(path.receive(burst)).toBe(5)
  deliver(Array.from({ length: 64 }, () => 9))
  deliver([8])
  expect(path.receive(burst)).toBe(64)
  expect(path.receive(burst)).toBe(1)
})

test('a frame longer than a burst is dropped, and its chunks go back first', () => {
  const { path, deliver, stats, fill } = setup()
  const burst = new RxBurst(64)
  path.fill(numbers(150), 0, 150)
  const lost = deliver(Array.from({ length: 70 }, () => 100))
  deliver([60])
  expect(path.receive(burst)).toBe(1)
  expect(stats().rxInvalid).toBe(1)
  expect(stats().rxFrames).toBe(1)
  expect(path.held).toBe(149)
  expect(path.space()).toBe(256 - 79 - 70)
  while (fill.waiting() > 0) fill.consume()
  expect(path.fill(numbers(1, 200), 0, 1)).toBe(1)
  expect(path.held).toBe(150)
  const given = Array.from({ length: 71 }, () => fill.consume()[0]! / CHUNK)
  expect(given.toSorted((a, b) => a - b)).toEqual([...lost, 200].toSorted((a, b) => a - b))
})

test('the rest of a dropped frame is dropped when it comes later', () => {
  const { path, deliver, stats, rx } = setup()
  const burst = new RxBurst(64)
  path.fill(numbers(150), 0, 150)
  deliver(
    Array.from({ length: 70 }, () => 100),
    true,
  )
  expect(path.receive(burst)).toBe(0)
  deliver([5, 5])
  deliver([60])
  expect(path.receive(burst)).toBe(1)
  expect(burst.length[0]).toBe(60)
  expect([stats().rxInvalid, rx.waiting(), path.held]).toEqual([1, 0, 149])
})

test('descriptors outside the area or over the end of a chunk lose their frame only', () => {
  const { path, deliver, rx, stats } = setup()
  const burst = new RxBurst()
  path.fill(numbers(10), 0, 10)
  rx.produce(CHUNKS * CHUNK, 0, 60, 0)
  rx.produce(256, 1, 60, 0)
  rx.produce(256, 0, 3841, 0)
  rx.produce(256, 0, 0, 0)
  deliver([1])
  deliver([2], true)
  rx.produce(0xffffffff, 0, 60, MORE)
  deliver([3])
  deliver([4])
  expect(path.receive(burst)).toBe(2)
  expect([...burst.length.subarray(0, 2)]).toEqual([1, 4])
  expect(stats().rxInvalid).toBe(5)
})

test('a chunk outside the area is refused before anything is given', () => {
  const { path, fill } = setup()
  expect(() => path.fill(Uint32Array.of(1, CHUNKS), 0, 2)).toThrow('outside the area')
  expect([fill.waiting(), path.held]).toEqual([0, 0])
})

test('the kernel is woken when it asks for it', () => {
  const { path, fill, wakes } = setup()
  path.fill(numbers(2), 0, 1)
  expect(wakes()).toBe(0)
  fill.setFlags(1)
  path.fill(numbers(2), 1, 1)
  expect(wakes()).toBe(1)
})
