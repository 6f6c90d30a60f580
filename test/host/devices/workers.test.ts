import { expect, it } from 'vitest'
import { parseDevice } from '../../../host/devices/index.ts'
import { workersFinding } from '../../../host/devices/workers.ts'
import type { Facts, Finding, Way } from '../../../host/examine/index.ts'
import { factsWith } from '../examine/facts.ts'

/** What is said of a device whose way is that of `driver`. */
function said(device: string, facts: Facts = factsWith(), driver = device.split(':')[0]!): Finding | null {
  const chosen: Way = { driver, mode: '', device: `${driver}:192.0.2.2`, open: true, reasons: [] }
  return workersFinding(device, parseDevice(device), chosen, facts)
}

it('as many receive queues as cores are as wanted', () => {
  expect(said('xdp:eth0', factsWith({ info: { rxQueues: 4 } }))).toEqual({
    check: 'workers',
    status: 'ok',
    found:
      "'queues' takes 4, the receive queues of eth0; the device spreads connections over them by a hash of addresses and " +
      'ports (RSS): ethtool -x eth0 shows how',
  })
})

it('fewer are worth a word, where the device has more to give', () => {
  expect(said('xdp:eth0')).toEqual({
    check: 'workers',
    status: 'note',
    found: "'queues' takes the one receive queue there is",
    cost: 'one worker, where 4 cores could work',
    fix: 'ethtool -L eth0 combined 4; ethtool -X eth0 equal 4',
  })
  expect(said('xdp:eth0', factsWith({ features: { channels: null } }))?.status).toBe('ok')
  const veth = said('auto:eth0', factsWith({ info: { driver: 'veth' }, features: { channels: null } }), 'xdp')
  expect(veth?.fix).toBe('ip link add eth0 numrxqueues 4 numtxqueues 4 type veth …')
})

it('more than cores are, too', () => {
  expect(said('xdp:eth0', factsWith({ info: { rxQueues: 8 } }))).toMatchObject({
    status: 'note',
    cost: '8 workers would share 4 cores',
    fix: 'ethtool -L eth0 combined 4',
  })
})

it('those of a veth are the sender’s transmit queues', () => {
  const veth = factsWith({ info: { driver: 'veth', rxQueues: 2 }, machine: { cores: 2 } })
  expect(said('auto:eth0', veth, 'xdp')?.found).toMatch(/takes 2, .*its transmit queue/)
})

it('those that are named are as many as are named', () => {
  const eight = factsWith({ info: { rxQueues: 8 } })
  expect(said('xdp:eth0/0-1', eight)).toMatchObject({
    status: 'ok',
    found: expect.stringMatching(/takes 2, those that are named; the device spreads/),
  })
  expect(said('auto:eth0/1', eight, 'xdp')?.found).toBe("'queues' takes the one that is named")
})

it('where there can be any number, there are as many as cores, eight at the most', () => {
  for (const [cores, taken] of [
    [2, 2],
    [4, 4],
    [32, 8],
  ]) {
    const facts = factsWith({ machine: { cores: cores! } })
    for (const [device, driver] of [
      ['packet:eth0', 'packet'],
      ['auto:eth0', 'packet'],
      ['tap:eth0', 'tap'],
    ] as const)
      expect(said(device, facts, driver)).toMatchObject({
        status: 'ok',
        found: expect.stringContaining(`takes ${taken}, `),
      })
  }
  const made = factsWith({ info: { driver: 'tun', rxQueues: 1 } })
  expect(said('tap:eth0', made)?.found).toBe("'queues' takes the one queue there is")
  expect(said('tap:eth0?queues=one')?.found).toBe("'queues' takes the one queue there is")
  const alone = factsWith({ machine: { cores: 1 } })
  expect(said('packet:eth0', alone)?.found).toBe("'queues' takes one: there is one core")
})

it('of what has one there is said why, and nothing of what has no interface', () => {
  expect(said('raw:192.0.2.2')?.found).toMatch(/^'queues' takes one: every raw socket/)
  expect(said('auto:eth0', factsWith(), 'raw')?.found).toMatch(/^'queues' takes one: every raw socket/)
  expect(said('memory:')).toBeNull()
  expect(workersFinding('xdp:eth0', parseDevice('xdp:eth0'), null, factsWith())).toBeNull()
})
