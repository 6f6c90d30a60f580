import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { XdpNic } from '../../driver/xdp/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import type { HostOptions } from '../../uapi/backend/host.ts'
import { obstacle, script } from '../driver/xdp/setup.ts'
import { connect } from '../support/client.ts'
import { nextLine } from '../support/lines.ts'
import { ip, VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'
import { faults, WireCapture } from '../support/tshark.ts'

const BYTES = 400_000
/** RFC 5227 takes seven seconds; here nobody minds a shorter look. */
const QUICK = { probeWaitUs: 100_000, probeMinUs: 100_000, probeMaxUs: 200_000, announceWaitUs: 200_000 }

describe.skipIf(obstacle !== '')('addresses of our own on a link with Linux', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  function veth(): VethPair {
    const pair = new VethPair({ ipv6: true })
    cleanups.push(() => pair.destroy())
    return pair
  }

  /** Routers are asked for thirteen seconds (RFC 4861 6.3.7), while the other tests run. */
  let unanswered: Promise<unknown>
  let quiet: VethPair | undefined
  beforeAll(() => {
    quiet = new VethPair({ ipv6: true })
    unanswered = serve(quiet, { address: 'auto' }).catch((error: unknown) => error)
  })
  afterAll(() => quiet?.destroy())

  async function serve(pair: VethPair, options: Partial<HostOptions>): Promise<Server> {
    const device = XdpNic.open({ device: pair.device, netns: pair.oursPath, mode: 'generic' })
    const server = await createServer({
      device,
      areaBytes: 8 << 20,
      port: 9000,
      dad: true,
      ip: QUICK,
      handler: {
        onData: () => true,
        onEnd: (connection) => {
          connection.send(Uint8Array.of(1))
          connection.close()
        },
      },
      ...options,
    })
    cleanups.push(() => server.close())
    return server
  }

  /** Linux sends a stream to the address and waits for the answer. Its exit status. */
  async function stream(pair: VethPair, address: string): Promise<number> {
    const args = ['stream', address, '9000', `${BYTES}`, '1']
    const child = pair.start(pair.peer, PYTHON, script('peer.py'), ...args)
    cleanups.push(() => child.kill('SIGKILL'))
    const [code] = (await once(child, 'exit')) as [number]
    return code
  }

  const macOf = (pair: VethPair): string =>
    JSON.parse(ip('-n', pair.peer, '-j', 'link', 'show', pair.peerDevice))[0].address

  it.each([4, 6] as const)(
    'leave an IPv%i address to Linux when it has it',
    async (version) => {
      const pair = veth()
      const address = version === 4 ? `${pair.peerAddress}/24` : `${pair.peerAddress6}/64`
      await expect(serve(pair, { address, ownAddress: true })).rejects.toMatchObject({
        code: 'ZCRX_ADDRESS_IN_USE',
        message: expect.stringContaining(macOf(pair)),
      })
      // The queue was given back.
      const server = await serve(pair, { address: ['10.77.0.99/24'], ownAddress: true })
      expect(await stream(pair, server.address()!.address)).toBe(0)
    },
    60_000,
  )

  it('of both versions at once, reached over both', async () => {
    const pair = veth()
    const capture = await WireCapture.start(pair)
    cleanups.push(() => capture.remove())
    const address = ['10.77.0.99/24', 'fd00:77::99/64']
    const server = await serve(pair, { address, ownAddress: true, gateway: [pair.peerAddress, 'fe80::1'] })
    expect(server.addresses.sort()).toEqual(['10.77.0.99', 'fd00:77::99'])
    expect(await Promise.all(server.addresses.map((to) => stream(pair, to)))).toEqual([0, 0])
    expect(await capture.stop()).toBeGreaterThan(10)
    expect(faults(capture.file)).toEqual([])
  }, 60_000)

  it('that Linux wants in its turn are not given to it', async () => {
    const pair = veth()
    await serve(pair, { address: 'fd00:77::99/64', ownAddress: true })
    ip('-n', pair.peer, 'address', 'add', 'fd00:77::99/64', 'dev', pair.peerDevice)
    const end = performance.now() + 10_000
    let flags: string[] = []
    while (!flags.includes('dadfailed') && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      const [link] = JSON.parse(ip('-n', pair.peer, '-j', '-6', 'address', 'show', 'dev', pair.peerDevice))
      const entry = link.addr_info.find(({ local }: { local: string }) => local === 'fd00:77::99')
      flags = Object.keys(entry ?? {})
    }
    expect(flags).toContain('dadfailed')
  }, 30_000)

  it('come from a router on the link, and are reached there', async () => {
    const pair = veth()
    ip('-n', pair.peer, 'address', 'add', '2001:db8:77::1/64', 'dev', pair.peerDevice, 'nodad')
    const router = pair.start(
      pair.peer,
      PYTHON,
      script('router.py'),
      pair.peerDevice,
      '2001:db8:77::',
      '1400',
    )
    cleanups.push(() => router.kill('SIGKILL'))
    const lines = createInterface({ input: router.stdout! })
    const asked: string[] = []
    await once(lines, 'line')
    lines.on('line', (line) => asked.push(line))
    const server = await serve(pair, { address: 'auto' })
    expect(server.address()!.address).toMatch(/^2001:db8:77:0?:/)
    expect(server.addresses).toContain(server.address()!.address)
    expect(asked.length).toBeGreaterThan(0)
    expect(await stream(pair, server.address()!.address)).toBe(0)
    // Linux learned where we are by asking us, and its segments are no longer than the router said.
    expect(ip('-n', pair.peer, '-6', 'neigh', 'show', server.address()!.address)).toContain('lladdr')
    const { tcp } = server.stats()
    expect([tcp.routerAdvertsTaken! > 0, tcp.addressConflicts]).toEqual([true, 0])
  }, 60_000)

  it('serve to open connections from, once they are tested', async () => {
    const pair = veth()
    const child = pair.start(pair.peer, PYTHON, '-c', ACCEPT)
    cleanups.push(() => child.kill('SIGKILL'))
    await nextLine(child.stdout!)
    const client = await connect({
      device: XdpNic.open({ device: pair.device, netns: pair.oursPath, mode: 'generic' }),
      address: '10.77.0.99/24',
      ownAddress: true,
      dad: true,
      ip: QUICK,
      remoteAddress: pair.peerAddress,
      remotePort: 9100,
    })
    await client.send(0, new Uint8Array(BYTES))
    await client.end(0)
    expect(await nextLine(child.stdout!)).toBe(`10.77.0.99 ${BYTES}`)
    client.close()
  }, 30_000)

  it('are not to be had where no router says anything', async () => {
    expect(await unanswered).toMatchObject({ code: 'ZCRX_NO_ROUTER' })
  }, 30_000)
})

const ACCEPT = `
import socket
server = socket.create_server(('10.77.0.1', 9100))
print('ready', flush=True)
connection, who = server.accept()
count = 0
while data := connection.recv(65536):
    count += len(data)
print(who[0], count, flush=True)
`
