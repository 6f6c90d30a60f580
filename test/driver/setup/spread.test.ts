import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isDefault, queuesOf, spreadCommand, spreadOver, withoutQueue } from '../../../driver/setup/spread.ts'

const table = (length: number, queues: number): number[] => Array.from({ length }, (_, i) => i % queues)

it('takes the last queue off as "equal" does', () => {
  const without = withoutQueue(table(8, 4), 3)!
  expect(without).toEqual([0, 1, 2, 0, 1, 2, 0, 1])
  expect(spreadCommand('eth0', queuesOf(without))).toBe('ethtool -X eth0 equal 3')
})

it('takes one in between off as weights do, in ethtool’s blocks', () => {
  const without = withoutQueue(table(128, 4), 1)!
  expect(without.indexOf(2)).toBe(42)
  expect(without.indexOf(3)).toBe(85)
  expect(spreadCommand('eth0', queuesOf(without))).toBe('ethtool -X eth0 weight 1 0 1 1')
})

it('leaves a queue off that was off before', () => {
  const without = withoutQueue(spreadOver(8, [0, 1, 3]), 3)!
  expect(queuesOf(without)).toEqual([0, 1])
})

it('has nothing without the only queue there is', () => {
  expect(withoutQueue([2, 2, 2], 2)).toBeNull()
})

it('knows the table that a driver begins with', () => {
  expect(isDefault(table(128, 4), 4)).toBe(true)
  expect(isDefault(table(128, 3), 4)).toBe(false)
  expect(isDefault([0], 0)).toBe(false)
})

it('names exactly the queues it is to, whatever the length', () => {
  const queues = fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(queues, fc.integer({ min: 8, max: 300 }), (wanted, length) => {
      const sorted = [...wanted].sort((a, b) => a - b)
      const made = spreadOver(length, sorted)
      expect(made).toHaveLength(length)
      expect(queuesOf(made)).toEqual(sorted)
    }),
    { seed: 2 },
  )
})
