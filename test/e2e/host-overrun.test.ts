import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IpAddress } from '../../address.ts'
import { PacketNic } from '../../driver/packet/index.ts'
import { Host } from '../../uapi/backend/host.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { ip, VethPair } from '../support/netns.ts'

/** More than the socket's buffer has room for. */
const CHANGES = 900

describe.skipIf(obstacle !== '')(
  'what the host knows of the interface, when more happens than its socket holds',
  () => {
    let pair: VethPair
    let host: Host
    beforeEach(() => {
      pair = new VethPair()
      host = Host.open({ device: PacketNic.open({ device: pair.device, netns: pair.oursPath }) })
    })
    afterEach(() => {
      host.close()
      pair.destroy()
    })

    /** One process, and meanwhile nobody reads. */
    function batch(lines: string[]): void {
      execFileSync('ip', ['-n', pair.ours, '-batch', '-'], {
        input: lines.join('\n'),
        stdio: ['pipe', 'pipe', 'pipe'],
      })
    }

    /** What the kernel has, as `HostNetwork` has it. */
    function kernels(): unknown {
      const [link] = JSON.parse(ip('-n', pair.ours, '-j', 'address', 'show', 'dev', pair.device))
      const routes = JSON.parse(ip('-n', pair.ours, '-j', 'route', 'show', 'dev', pair.device))
      const entries = link.addr_info as { local: string; prefixlen: number }[]
      return {
        mtu: link.mtu,
        addresses: entries.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort(),
        routes: (routes as { dst: string; gateway?: string }[])
          .map(({ dst, gateway }) => `${dst.includes('/') ? dst : `${dst}/32`} ${gateway ?? ''}`)
          .sort(),
      }
    }

    function ours(): unknown {
      const { link } = host.stack
      return {
        mtu: link.mtu,
        addresses: host
          .network!.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`)
          .sort(),
        routes: link.routes.all
          .map(({ prefix, prefixLength, gateway }) => `${prefix}/${prefixLength} ${gateway ?? ''}`)
          .sort(),
      }
    }

    function macOf(address: string): string {
      const found = host.stack.link.neighbours.lookup(IpAddress.parse(address)!)
      return found === null ? '' : found.macLow.toString(16)
    }

    it('is what the kernel has afterwards, and it goes on hearing', async () => {
      const { device, ourAddress } = pair
      const known = ['10.77.0.44', '10.77.0.45']
      for (const [i, address] of known.entries())
        batch([`neigh replace ${address} lladdr 02:00:00:00:00:0${i + 1} dev ${device}`])
      const { link, clock } = host.stack
      for (const address of known)
        link.neighbours.use(IpAddress.parse(address)!, IpAddress.parse(ourAddress)!, clock.now())
      expect(known.map(macOf)).toEqual(['1', '2'])
      for (let round = 0; round < 2; round++) {
        const many = Array.from(
          { length: CHANGES },
          (_, i) => `address ${round === 0 ? 'add' : 'del'} 10.78.${i >> 8}.${i & 255}/32 dev ${device}`,
        )
        batch([
          ...many,
          `link set dev ${device} mtu ${1400 - round}`,
          `route add 198.51.10${round}.0/24 via ${pair.peerAddress} dev ${device}`,
          `neigh replace 10.77.0.44 lladdr 02:00:00:00:00:1${round} dev ${device}`,
          ...(round === 0 ? [`neigh del 10.77.0.45 dev ${device}`] : []),
        ])
        await until(
          () => host.network!.resyncs > round && JSON.stringify(ours()) === JSON.stringify(kernels()),
        )
        expect([macOf('10.77.0.44'), macOf('10.77.0.45')]).toEqual([`1${round}`, ''])
        // What comes later is heard as before.
        batch([
          `address add 10.79.0.${round + 1}/24 dev ${device}`,
          `link set dev ${device} mtu ${1300 - round}`,
        ])
        await until(() => link.mtu === 1300 - round)
        expect(ours()).toEqual(kernels())
      }
    })
  },
)

async function until(done: () => boolean): Promise<void> {
  const end = performance.now() + 5000
  while (!done()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
