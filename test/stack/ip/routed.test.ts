import { expect, test } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { MemoryLink } from '../../../driver/memory/index.ts'
import { type Nic, NO_ROLES } from '../../../driver/nic.ts'
import { Counters } from '../../../stack/counters.ts'
import { seededEntropy } from '../../../stack/entropy.ts'
import { Link } from '../../../stack/ip/link.ts'
import { REACHABLE } from '../../../stack/ip/neighbours.ts'
import { defaultIpConfig } from '../../../stack/ip/options.ts'
import { TimerWheel } from '../../../stack/timers.ts'

const address = (text: string): IpAddress => IpAddress.parse(text)!

/** What the stack asks of a NIC to send a frame is refused: nothing is to be sent. */
function linkOver(routed: boolean): { link: Link; counters: Counters; asked: () => number } {
  const { info, txMemory, txSlotBytes } = new MemoryLink().a
  let asked = 0
  const txReserve = (): number => {
    asked++
    return -1
  }
  const nic = {
    info: { ...info, routed },
    roles: NO_ROLES,
    txMemory,
    txSlotBytes,
    txReserve,
  } as unknown as Nic
  const counters = new Counters()
  return {
    link: new Link(nic, counters, new TimerWheel(0), defaultIpConfig, seededEntropy(1)),
    counters,
    asked: () => asked,
  }
}

test.each([
  ['10.0.0.1', '10.0.0.2'],
  ['10.0.0.1', '192.0.2.9'],
  ['fd00::1', '2001:db8::1'],
])('from %s to %s nobody is asked for a hardware address where the kernel finds the way', (from, to) => {
  const { link, counters, asked } = linkOver(true)
  // A route that leads nowhere in particular does not matter either.
  link.routes.add({ prefix: address('10.0.0.0'), prefixLength: 24, gateway: null, mtu: 0 })
  const way = link.resolve(address(from), address(to), 0)
  expect(way?.state).toBe(REACHABLE)
  link.ask(address(from), address(to), 5_000_000)
  link.confirm(address(to), 5_000_000)
  expect(link.resolve(address(from), address(to), 100_000_000)).toBe(way)
  expect([asked(), counters.noNeighbour]).toEqual([0, 0])
})

test('elsewhere somebody is', () => {
  const { link, counters, asked } = linkOver(false)
  expect(link.resolve(address('10.0.0.1'), address('10.0.0.2'), 0)).toBeNull()
  expect([asked(), counters.noNeighbour]).toEqual([1, 1])
})
