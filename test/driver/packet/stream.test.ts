import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PacketNic } from '../../../driver/packet/index.ts'
import { Endpoint } from '../../support/endpoint.ts'
import { type Cell, expectedOutcome, OWN4, OWN6, runCell } from '../../support/matrix.ts'
import { VethPair } from '../../support/netns.ts'
import { obstacle } from '../xdp/setup.ts'
import { kernelCounter } from './setup.ts'

const MANY = 24 << 20

describe.skipIf(obstacle !== '')('connections with Linux over AF_PACKET', () => {
  let pair: VethPair
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(() => pair?.destroy())

  const cells: [string, Cell & { own: boolean }][] = []
  for (const version of [4, 6] as const)
    for (const opens of ['Linux', 'we'] as const)
      for (const own of [false, true]) {
        const closes = opens === 'we' ? 'Linux' : 'we'
        const name = `IPv${version}, ${opens} open, ${own ? 'an address of our own' : 'the host’s address'}`
        cells.push([name, { opens, closes, version, send: 3 << 20, receive: MANY, own }])
      }

  test.each(cells)('%s: every byte both ways, and no reset of the kernel', async (_name, cell) => {
    const nic = PacketNic.open({ device: pair.device, netns: pair.oursPath })
    const host = cell.version === 4 ? pair.ourAddress : pair.ourAddress6
    const address = cell.own ? (cell.version === 4 ? OWN4 : OWN6) : host
    const endpoint = new Endpoint({ device: nic, address, ownAddress: cell.own })
    const before = kernelCounter(pair, pair.ours, 'TcpOutRsts')
    try {
      expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
      const { rxFrames, rxBytes, rxInvalid, rxDropped } = nic.stats()
      expect([rxInvalid, rxDropped]).toEqual([0, 0])
      // Super-frames came whole.
      expect(rxBytes / rxFrames).toBeGreaterThan(3000)
      expect(endpoint.host.stack.counters.checksumPartial).toBeGreaterThan(0)
      expect(kernelCounter(pair, pair.ours, 'TcpOutRsts')).toBe(before)
    } finally {
      endpoint.close()
      nic.close()
    }
  })

  test('many connections, one after the other and together', async () => {
    const cell: Cell = {
      opens: 'we',
      closes: 'we',
      version: 4,
      send: 20_000,
      receive: 20_000,
      times: 60,
      atOnce: 20,
    }
    const nic = PacketNic.open({ device: pair.device, netns: pair.oursPath })
    const endpoint = new Endpoint({ device: nic, address: pair.ourAddress, ownAddress: false })
    const before = kernelCounter(pair, pair.ours, 'TcpOutRsts')
    try {
      expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
      expect(kernelCounter(pair, pair.ours, 'TcpOutRsts')).toBe(before)
    } finally {
      endpoint.close()
      nic.close()
    }
  })
})
