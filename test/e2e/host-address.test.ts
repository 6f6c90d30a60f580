import { afterEach, describe, expect, it } from 'vitest'
import { XdpNic } from '../../driver/xdp/index.ts'
import { EHOSTUNREACH } from '../../stack/tcp/state.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { Endpoint } from '../support/endpoint.ts'
import { type Cell, expectedOutcome, runCell } from '../support/matrix.ts'
import { ip, VethPair } from '../support/netns.ts'

const CELL: Cell = { opens: 'we', closes: 'we', version: 4, send: 300_000, receive: 300_000, times: 2 }

describe.skipIf(obstacle !== '')('connections from an address of the host’s', () => {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup()
  })

  function open(address?: 4 | 6): { pair: VethPair; endpoint: Endpoint } {
    const pair = new VethPair({ ipv6: true })
    cleanups.push(() => pair.destroy())
    const endpoint = new Endpoint({
      device: XdpNic.open({ device: pair.device, netns: pair.oursPath, mode: 'generic' }),
      ...(address === 6 ? { address: pair.ourAddress6 } : {}),
      areaBytes: 8 << 20,
    })
    cleanups.push(() => endpoint.close())
    return { pair, endpoint }
  }

  /** Nothing that the kernel does not know: no ARP request, no solicitation is ours. */
  function expectSilent(endpoint: Endpoint): void {
    const { arpRequestsSent, neighbourSolicitsSent } = endpoint.host.stack.counters
    expect([arpRequestsSent, neighbourSolicitsSent]).toEqual([0, 0])
  }

  it.each([4, 6] as const)(
    'over IPv%i to a peer that the kernel has to find',
    async (version) => {
      const { pair, endpoint } = open(version)
      // The interface's first address was found in its namespace.
      if (version === 4) expect(endpoint.host.address.toString()).toBe(pair.ourAddress)
      const cell = { ...CELL, version }
      expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
      expectSilent(endpoint)
    },
    60_000,
  )

  it('to a neighbour that the kernel has known for long', async () => {
    const { pair, endpoint } = open()
    const [peer] = JSON.parse(ip('-n', pair.peer, '-j', 'link', 'show', pair.peerDevice))
    const entry = ['10.77.0.1', 'lladdr', peer.address, 'dev', pair.device, 'nud', 'permanent']
    ip('-n', pair.ours, 'neigh', 'replace', ...entry)
    expect(await runCell(pair, endpoint, CELL)).toEqual(expectedOutcome(CELL))
  }, 60_000)

  it('through a gateway, by a route that came after the host was opened', async () => {
    const { pair, endpoint } = open()
    ip('-n', pair.peer, 'address', 'add', '198.51.100.7/32', 'dev', 'lo')
    ip('-n', pair.ours, 'route', 'add', '198.51.100.0/24', 'via', pair.peerAddress, 'mtu', '1300')
    const { link } = endpoint.host.stack
    endpoint.engine.wake()
    await until(() => link.routes.all.some((route) => route.gateway !== null))
    expect(link.routes.all).toContainEqual(expect.objectContaining({ prefixLength: 24, mtu: 1300 }))
    const peer = { ...pair, peerAddress: '198.51.100.7' }
    Object.setPrototypeOf(peer, pair)
    expect(await runCell(peer as VethPair, endpoint, CELL)).toEqual(expectedOutcome(CELL))
    ip('-n', pair.ours, 'route', 'del', '198.51.100.0/24')
    await until(() => link.routes.all.every((route) => route.gateway === null))
    // The route of the interface's own prefix is still there, so this one leads nowhere.
    await expect(endpoint.connect('198.51.100.7', 9000)).rejects.toMatchObject({ errno: 101 })
  }, 60_000)

  it('end when nobody answers the kernel', async () => {
    const { endpoint } = open()
    await expect(endpoint.connect('10.77.0.200', 9000)).rejects.toMatchObject({ errno: EHOSTUNREACH })
    expectSilent(endpoint)
  }, 30_000)

  it('follow a peer whose hardware address changes while they are open', async () => {
    const { pair, endpoint } = open()
    const cell: Cell = { ...CELL, times: 1 }
    await runCell(pair, endpoint, cell)
    const mac = '02:77:00:00:00:99'
    ip('-n', pair.peer, 'link', 'set', pair.peerDevice, 'address', mac)
    ip('-n', pair.ours, 'neigh', 'replace', pair.peerAddress, 'lladdr', mac, 'dev', pair.device)
    expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
  }, 60_000)

  it('follow the MTU, and a dump after lost events', async () => {
    const { pair, endpoint } = open()
    const { stack, network } = endpoint.host
    endpoint.engine.wake()
    ip('-n', pair.ours, 'link', 'set', pair.device, 'mtu', '1400')
    await until(() => stack.link.mtu === 1400)
    // The kernel drops routes of an interface that goes down without a word.
    ip('-n', pair.ours, 'link', 'set', pair.device, 'down')
    await until(() => !network!.up && stack.link.routes.all.every((route) => route.prefix.version === 6))
    ip('-n', pair.ours, 'link', 'set', pair.device, 'up')
    await until(() => network!.up && stack.link.routes.all.some((route) => route.prefix.version === 4))
    expect(network!.addresses.map(({ address }) => address.toString())).toContain(pair.ourAddress)
  }, 30_000)
})

/** Lets the event loop turn until something is so. */
async function until(done: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!done()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
