import { constants } from 'node:os'
import { describe, expect, test } from 'vitest'
import { NicStats } from '../../../driver/nic.ts'
import { TransmitPath } from '../../../driver/xdp/transmit.ts'
import { fakeAddressRing, fakeDescriptorRing } from './rings.ts'

const { EAGAIN, EBUSY, ENETDOWN } = constants.errno
const BASE = 0xc0000000
const SLOTS = 4
const SLOT = 4096

/** A transmit path, and a kernel that sends up to `budget` frames a kick and then answers `stop`. */
function setup({ start = 0, zeroCopy = false, budget = 1000, stop = 0 } = {}) {
  const tx = fakeDescriptorRing(8, start)
  const completion = fakeAddressRing(8, start)
  const sent: [number, number][] = []
  const kernel = { budget, stop, kicks: 0 }
  const kick = (): number => {
    kernel.kicks++
    for (let i = 0; i < kernel.budget && tx.waiting() > 0; i++) {
      const [address, , length] = tx.consume()
      sent.push([address!, length!])
      completion.produce(address!, 0)
    }
    return kernel.stop
  }
  const rings = { tx: tx.ring, completion: completion.ring }
  const path = new TransmitPath({ ...rings, base: BASE, slots: SLOTS, slotBytes: SLOT, zeroCopy, kick })
  const stats = (): NicStats => {
    const counted = new NicStats()
    path.addCounters(counted)
    return counted
  }
  const send = (length = 60): void => path.commit(path.reserve(), length)
  return { path, tx, stats, sent, kernel, send }
}

describe.each([0, 0x7fffffff - 2, -3])('with indexes from %i', (start) => {
  test('slots go round', () => {
    const { path, sent, stats, kernel, send } = setup({ start })
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < SLOTS; i++) send(60 + i)
      path.flush()
    }
    expect(kernel.kicks).toBe(10)
    expect(sent.length).toBe(40)
    expect(new Set(sent.map(([address]) => address))).toEqual(
      new Set([BASE, BASE + SLOT, BASE + 2 * SLOT, BASE + 3 * SLOT]),
    )
    expect(sent.slice(0, 4).map(([, length]) => length)).toEqual([60, 61, 62, 63])
    expect([stats().txFrames, stats().txBytes, stats().txNoSlot, stats().txErrors]).toEqual([
      40,
      10 * 246,
      0,
      0,
    ])
  })
})

test('when all slots are used what they hold is sent, and only where that gives none back there is none', () => {
  const { path, kernel, send, sent, stats } = setup()
  for (let i = 0; i < 3 * SLOTS; i++) send()
  expect([kernel.kicks, sent.length, stats().txNoSlot]).toEqual([2, 2 * SLOTS, 0])
  kernel.budget = 0
  expect([path.reserve(), path.reserve(), stats().txNoSlot]).toEqual([-1, -1, 2])
  // Told once: nothing is new.
  expect(kernel.kicks).toBe(3)
  kernel.budget = SLOTS
  path.flush()
  expect([path.reserve() >= 0, sent.length]).toEqual([true, 3 * SLOTS])
})

test('one reservation is open at a time, and can be given back', () => {
  const { path, stats, sent } = setup()
  const slot = path.reserve()
  expect(path.reserve()).toBe(slot)
  path.commit(slot, 0)
  path.flush()
  expect([sent.length, stats().txFrames]).toEqual([0, 0])
  expect(path.reserve()).toBe(slot)
})

test('a kick only when something waits', () => {
  const { path, kernel, send } = setup()
  path.flush()
  expect(kernel.kicks).toBe(0)
  send()
  path.flush()
  path.flush()
  expect(kernel.kicks).toBe(1)
})

test('a kernel that stops at its budget is told again, one that stands still is not', () => {
  const { path, kernel, send, sent, stats } = setup({ budget: 1, stop: -EAGAIN })
  for (let i = 0; i < 3; i++) send()
  path.flush()
  expect(sent.length).toBe(3)
  kernel.budget = 0
  kernel.kicks = 0
  send()
  path.flush()
  expect([kernel.kicks, sent.length, stats().txErrors]).toEqual([1, 3, 0])
  kernel.budget = 1
  path.flush()
  expect(sent.length).toBe(4)
})

test('what the device drops or the kernel refuses is counted', () => {
  const { path, kernel, send, stats } = setup({ budget: 1, stop: -EBUSY })
  send()
  path.flush()
  expect(stats().txErrors).toBe(1)
  Object.assign(kernel, { budget: 0, stop: -ENETDOWN })
  send()
  send()
  path.flush()
  expect(stats().txErrors).toBe(3)
})

test('zero-copy: the driver is kicked only when it sleeps', () => {
  const { path, kernel, send, tx } = setup({ zeroCopy: true })
  send()
  path.flush()
  expect([kernel.kicks, tx.waiting()]).toEqual([0, 1])
  tx.setFlags(1)
  path.flush()
  expect(kernel.kicks).toBe(1)
})

test('misuse throws and changes nothing', () => {
  const { path, stats } = setup()
  expect(() => path.commit(0, 60)).toThrow('not the reserved one')
  const slot = path.reserve()
  expect(() => path.commit(slot, SLOT + 1)).toThrow('bytes')
  expect(() => path.commit(slot, 13)).toThrow('bytes')
  expect(() => path.commit(slot, Number.NaN)).toThrow('bytes')
  path.commit(slot, SLOT)
  expect(stats().txFrames).toBe(1)
})
