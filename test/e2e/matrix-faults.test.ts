import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { ECONNRESET, ENODEV } from '../../uapi/abi/errno.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import type { Endpoint, Stream } from '../support/endpoint.ts'
import {
  type Cell,
  cellRan,
  expectedOutcome,
  openEndpoint,
  Peer,
  PORT,
  reportCells,
  runCell,
} from '../support/matrix.ts'
import { ip, type VethPairOptions } from '../support/netns.ts'
import { XdpWay } from '../support/ways.ts'

const MB = 1 << 20

afterAll(() => reportCells('faults', obstacle))

describe.skipIf(obstacle !== '')('what happens to a path and to a peer', () => {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup()
  })

  function veth(options: VethPairOptions = {}): XdpWay {
    const pair = new XdpWay({ ipv6: true, ...options })
    cleanups.push(() => pair.destroy())
    return pair
  }

  function open(pair: XdpWay, version: 4 | 6): Endpoint {
    const endpoint = openEndpoint(pair, { version, own: true })
    cleanups.push(() => endpoint.close())
    return endpoint
  }

  /** Runs a cell; `disturb` is called once as many bytes as `after` have arrived. */
  async function disturbed(pair: XdpWay, endpoint: Endpoint, cell: Cell, after: number, disturb: () => void) {
    const { counters } = endpoint.host.stack
    let done = false
    const watch = setInterval(() => {
      if (done || counters.rxBytes < after) return
      done = true
      disturb()
    }, 1)
    try {
      expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
    } finally {
      clearInterval(watch)
    }
    expect(done).toBe(true)
    expect(endpoint.census().lost).toBe(0)
  }

  it.each([
    [9000, 1500, 4],
    [9000, 1500, 6],
    [1500, 9000, 4],
    [1500, 9000, 6],
  ] as const)(
    'the MTU of both ends changes from %i to %i in mid-stream, IPv%i',
    async (from, to, version) => {
      const pair = veth({ mtu: from })
      const endpoint = open(pair, version)
      const cell = { opens: 'Linux', closes: 'Linux', version, send: 32 * MB, receive: 32 * MB } as const
      await disturbed(pair, endpoint, cell, 8 * MB, () => {
        ip('-n', pair.peer, 'link', 'set', pair.peerDevice, 'mtu', `${to}`)
        ip('-n', pair.ours, 'link', 'set', pair.device, 'mtu', `${to}`)
      })
      cellRan()
    },
    60_000,
  )

  it.each([4, 6] as const)(
    'the link is down for two seconds in mid-stream, IPv%i',
    async (version) => {
      const pair = veth()
      const endpoint = open(pair, version)
      const cell = { opens: 'Linux', closes: 'Linux', version, send: 32 * MB, receive: 32 * MB } as const
      await disturbed(pair, endpoint, cell, 8 * MB, () => {
        // Addresses of IPv6 go when their link does, unless they are told to stay.
        pair.run(pair.peer, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/keep_addr_on_down')
        ip('-n', pair.peer, 'link', 'set', pair.peerDevice, 'down')
        setTimeout(() => ip('-n', pair.peer, 'link', 'set', pair.peerDevice, 'up'), 2000)
      })
      cellRan()
    },
    60_000,
  )

  it.each([
    ['Linux', 4],
    ['we', 6],
  ] as const)(
    'the peer is killed with data in flight, %s opened, IPv%i',
    async (opens, version) => {
      const pair = veth()
      const endpoint = open(pair, version)
      const cell = { opens, closes: 'Linux', version, send: 1024 * MB, receive: 1024 * MB } as const
      let accepted: (stream: Stream) => void
      const arriving = new Promise<Stream>((resolve) => {
        accepted = resolve
      })
      if (opens === 'Linux') await endpoint.listen(PORT, (stream) => accepted(stream))
      const peer = new Peer(pair, cell, endpoint.host.address.toString())
      cleanups.push(() => void peer.child.kill('SIGKILL'))
      if (opens === 'we') await peer.ready
      const stream = await (opens === 'we' ? endpoint.connect(pair.peerAddress6, PORT) : arriving)
      const sending = stream.send(cell.send)
      await stream.arrived(4 * MB)
      peer.child.kill('SIGKILL')
      // Its socket had unread data, so Linux resets (RFC 2525 2.17) what it does not deliver.
      // One of the requests is told (the error is a socket's, and read once).
      expect(await Promise.all([stream.ended, sending])).toContain(ECONNRESET)
      await stream.close()
      await vi.waitFor(() => expect(endpoint.states()).toEqual([]), { interval: 2 })
      const { lost, rx, queued, user } = endpoint.census()
      expect({ lost, rx, queued, user }).toEqual({ lost: 0, rx: 0, queued: 0, user: 0 })
      cellRan()
    },
    30_000,
  )

  it('the link is deleted under us: requests end with ENODEV, the process lives', async () => {
    const pair = veth()
    const timings = { initialRtoUs: 200_000, dataRetries: 3 }
    const endpoint = openEndpoint(pair, { version: 4, own: true, tcp: timings })
    cleanups.push(() => endpoint.close())
    const cell = { opens: 'Linux', closes: 'Linux', version: 4, send: 1024 * MB, receive: 1024 * MB } as const
    let accepted: (stream: Stream) => void
    const arriving = new Promise<Stream>((resolve) => {
      accepted = resolve
    })
    await endpoint.listen(PORT, (stream) => accepted(stream))
    const peer = new Peer(pair, cell, endpoint.host.address.toString())
    cleanups.push(() => void peer.child.kill('SIGKILL'))
    const stream = await arriving
    const sending = stream.send(cell.send)
    await stream.arrived(4 * MB)
    ip('-n', pair.ours, 'link', 'del', pair.device)
    // One of the requests is told (the error is a socket's, and read once).
    expect(await Promise.all([stream.ended, sending])).toContain(ENODEV)
    await stream.close()
    await vi.waitFor(() => expect(endpoint.states()).toEqual([]), { interval: 2 })
    expect(endpoint.census().lost).toBe(0)
    // The process goes on: another link, another queue.
    const again = veth()
    const other = open(again, 4)
    const next = { opens: 'we', closes: 'we', version: 4, send: MB, receive: MB } as const
    expect(await runCell(again, other, next)).toEqual(expectedOutcome(next))
    expect(other.census().lost).toBe(0)
    cellRan()
  }, 60_000)
})
