import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadNative } from '../../../driver/native/index.ts'
import {
  AF_INET,
  AF_INET6,
  addressesOf,
  type NeighbourMessage,
  NUD_VALID,
  neighboursOn,
  ROUTE_GROUPS,
  RouteSocket,
  readRoute,
  routesThrough,
  useNeighbour,
} from '../../../driver/netlink/index.ts'
import { inNamespace, linkInfo } from '../../../driver/system.ts'
import { ip, VethPair } from '../../support/netns.ts'
import { obstacle } from '../xdp/setup.ts'

describe.skipIf(obstacle !== '')('a socket of rtnetlink', () => {
  let pair: VethPair
  beforeAll(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterAll(() => pair.destroy())

  function open(groups = 0): { socket: RouteSocket; ifIndex: number } {
    const native = loadNative()
    return inNamespace(native, pair.oursPath, () => ({
      socket: new RouteSocket(native, groups),
      ifIndex: linkInfo(native, pair.device).index,
    }))
  }

  it('dumps the addresses, routes and neighbours of one interface', () => {
    const { socket, ifIndex } = open()
    ip('-n', pair.ours, 'route', 'add', 'default', 'via', pair.peerAddress, 'mtu', '1400')
    ip('-n', pair.ours, 'neigh', 'add', '10.77.0.44', 'lladdr', '02:00:00:00:00:44', 'dev', pair.device)
    const seen: unknown[] = []
    const dump = (request: Parameters<RouteSocket['ask']>[0]) =>
      socket.ask(request, true, (message) => {
        const read = readRoute(message)
        // A kernel without strict checking tells of all interfaces.
        if (read?.ifIndex === ifIndex) seen.push(read)
      })
    expect(dump(addressesOf(ifIndex))).toBe(0)
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'address', prefixLength: 24, address: Uint8Array.of(10, 77, 0, 2) }),
    )
    expect(dump(routesThrough(ifIndex, AF_INET))).toBe(0)
    expect(dump(routesThrough(ifIndex, AF_INET6))).toBe(0)
    const gateway = Uint8Array.of(10, 77, 0, 1)
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'route', prefixLength: 0, gateway, mtu: 1400 }),
    )
    expect(seen).toContainEqual(expect.objectContaining({ kind: 'route', prefixLength: 24, gateway: null }))
    expect(dump(neighboursOn(ifIndex))).toBe(0)
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'neighbour', mac: Uint8Array.of(2, 0, 0, 0, 0, 0x44) }),
    )
    socket.close()
    socket.close()
    expect(socket.tell(addressesOf(1))).toBeLessThan(0)
  })

  it('makes the kernel find a neighbour, and hears of it', async () => {
    const { socket, ifIndex } = open(ROUTE_GROUPS)
    const wanted = Uint8Array.of(10, 77, 0, 1)
    const found = new Promise<NeighbourMessage>((resolve) => {
      socket.watch(() =>
        socket.receive((message) => {
          const read = readRoute(message)
          if (read?.kind === 'neighbour' && (read.state & NUD_VALID) !== 0) resolve(read)
        }),
      )
    })
    // Unreferenced: the test's own timer is what keeps the process going.
    const wait = setTimeout(() => {}, 5000)
    expect(socket.tell(useNeighbour(ifIndex, wanted))).toBeGreaterThan(0)
    const { address, mac } = await found
    clearTimeout(wait)
    socket.close()
    const [peer] = JSON.parse(ip('-n', pair.peer, '-j', 'link', 'show', pair.peerDevice))
    expect([...address]).toEqual([...wanted])
    expect([...mac!].map((byte) => byte.toString(16).padStart(2, '0')).join(':')).toBe(peer.address)
  })

  it('says what the kernel refuses', () => {
    const { socket } = open()
    const errno = socket.ask(useNeighbour(0x7fffffff, Uint8Array.of(10, 0, 0, 1)), false, () => {})
    expect(errno).toBe(-19)
    socket.close()
  })
})
