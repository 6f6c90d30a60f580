import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ImpairedNic } from '../../driver/wrap/index.ts'
import { obstacle, script } from '../driver/xdp/setup.ts'
import type { Endpoint, Stream } from '../support/endpoint.ts'
import {
  type Cell,
  type EndpointOptions,
  expectedOutcome,
  OWN4,
  OWN6,
  openEndpoint,
  Peer,
  PORT,
  runCell,
} from '../support/matrix.ts'
import { PYTHON } from '../support/python.ts'
import { faults, matches, WireCapture } from '../support/tshark.ts'
import { XdpWay } from '../support/ways.ts'

const CLOSED_PORT = 81

/** Connects to a port nobody listens on, sends a datagram to another; prints both errnos. */
const REFUSED = `
import socket, sys
address = sys.argv[1]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
stream = socket.socket(family)
stream.settimeout(5)
datagram = socket.socket(family, socket.SOCK_DGRAM)
datagram.settimeout(5)
try: stream.connect((address, ${CLOSED_PORT}))
except OSError as error: print(error.errno)
datagram.connect((address, 5))
datagram.send(b"x")
try: datagram.recv(1)
except OSError as error: print(error.errno)
`

/** Everything the stack says that a plain stream does not make it say, before tshark's eyes. */
describe.skipIf(obstacle !== '')('frames on the wire', () => {
  let pair: XdpWay
  let capture: WireCapture | null = null
  beforeAll(async () => {
    pair = new XdpWay({ ipv6: true })
    capture = await WireCapture.start(pair)
  })
  afterAll(() => {
    capture?.remove()
    pair?.destroy()
  })

  async function withEndpoint(
    options: Omit<EndpointOptions, 'own'>,
    use: (endpoint: Endpoint) => Promise<void>,
  ): Promise<void> {
    const endpoint = openEndpoint(pair, { ...options, own: true })
    try {
      await use(endpoint)
    } finally {
      endpoint.close()
    }
  }

  function cellOf(version: 4 | 6, bytes: number): Cell {
    return { opens: 'Linux', closes: 'Linux', version, send: bytes, receive: bytes }
  }

  it.each([4, 6] as const)(
    'SACK, over a path that loses and reorders, IPv%i',
    async (version) => {
      const impairments = { loss: 0.02, reorder: 0.05 }
      const wrap: EndpointOptions['wrap'] = (nic) =>
        new ImpairedNic(nic, { seed: 3, receive: impairments, transmit: impairments })
      await withEndpoint({ version, wrap }, async (endpoint) => {
        const cell = cellOf(version, 2 << 20)
        expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
      })
    },
    60_000,
  )

  it.each([4, 6] as const)(
    'SYN cookies, IPv%i',
    async (version) => {
      await withEndpoint({ version, tcp: { maxHalfOpen: 0 } }, async (endpoint) => {
        const cell = cellOf(version, 10_000)
        expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
        expect(endpoint.host.stack.counters.synCookiesTaken).toBe(1)
      })
    },
    60_000,
  )

  it.each([4, 6] as const)(
    'a reset of ours, for a stream left early, IPv%i',
    async (version) => {
      await withEndpoint({ version }, async (endpoint) => {
        const arriving = new Promise<Stream>((resolve) => void endpoint.listen(PORT, resolve))
        const peer = new Peer(pair, cellOf(version, 1 << 30), version === 4 ? OWN4 : OWN6)
        const stream = await arriving
        await stream.arrived(100_000)
        await stream.close()
        const [seen] = await peer.result()
        // ECONNRESET, or EPIPE to the thread that writes.
        expect([32, 104]).toContain(seen!.errno)
        await vi.waitFor(() => expect(endpoint.states()).toEqual([]), { interval: 2 })
      })
    },
    60_000,
  )

  it.each([4, 6] as const)(
    'resets, ICMP errors, echo replies in fragments, IPv%i',
    async (version) => {
      await withEndpoint({ version }, async (endpoint) => {
        const address = version === 4 ? OWN4 : OWN6
        await endpoint.listen(PORT, () => {})
        const run = (...args: string[]): Promise<string> =>
          new Promise((resolve) => {
            const child = pair.start(pair.peer, PYTHON, ...args)
            let text = ''
            child.stdout!.setEncoding('utf8').on('data', (part: string) => {
              text += part
            })
            child.once('close', (code) => resolve(`${text}${code}`))
          })
        // ECONNREFUSED; then the protocol that nobody speaks: ENOPROTOOPT, or EPROTO for an unknown next header.
        expect(await run('-c', REFUSED, address)).toBe(version === 4 ? '111\n92\n0' : '111\n71\n0')
        for (const bytes of ['56', '8000'])
          expect(await run(script('peer.py'), 'ping', address, bytes)).toBe('0')
        expect(endpoint.host.stack.counters.icmpEchoReplies).toBe(2)
      })
    },
    60_000,
  )

  it('tshark has seen each kind of frame, and finds no fault with any', async () => {
    expect(await capture!.stop()).toBeGreaterThan(1000)
    const { file } = capture!
    const filters = [
      'tcp.options.sack && ip',
      'tcp.options.sack && ipv6',
      'tcp.flags.reset == 1 && ip',
      'tcp.flags.reset == 1 && ipv6',
      'tcp.flags.syn == 1 && tcp.flags.ack == 1',
      'arp.opcode == 2',
      'icmpv6.type == 136',
      'icmp.type == 0',
      'icmpv6.type == 129',
      'icmp.type == 3',
      'icmpv6.type == 4',
      'ip.flags.mf == 1',
      'ipv6.fraghdr.more == 1',
    ]
    const counts = matches(file, filters)
    for (const [i, filter] of filters.entries()) expect(counts[i], filter).toBeGreaterThan(0)
    expect(faults(file)).toEqual([])
  }, 60_000)
})
