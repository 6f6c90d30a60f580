import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { Nic } from '../../driver/nic.ts'
import { ImpairedNic } from '../../driver/wrap/index.ts'
import { XdpNic, type XdpNicOptions } from '../../driver/xdp/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { obstacle, script } from '../driver/xdp/setup.ts'
import { PEER_PERIOD, patternDigest } from '../support/endpoint.ts'
import { LONG } from '../support/long.ts'
import { VethPair, type VethPairOptions } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const PORT = 9000

interface Outcome {
  digests: string[]
  bytes: number
  errors: number[]
}

describe.skipIf(obstacle !== '')('a server on AF_XDP, Linux at the other end', () => {
  const cleanups: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  function veth(options: VethPairOptions): VethPair {
    const pair = new VethPair(options)
    cleanups.push(() => pair.destroy())
    return pair
  }

  /** A server that hashes `flows` streams, answers each with `reply` and closes. */
  async function serve(
    pair: VethPair,
    flows: number,
    options: Partial<XdpNicOptions> = {},
    wrap: (nic: Nic) => Nic = (nic) => nic,
    reply = new Uint8Array([1]),
  ): Promise<{ server: Server; outcome: Promise<Outcome> }> {
    const nic = wrap(XdpNic.open({ device: pair.device, netns: pair.oursPath, ...options }))
    const hashes = new Map<number, ReturnType<typeof createHash>>()
    const outcome: Outcome = { digests: [], bytes: 0, errors: [] }
    let settle: (outcome: Outcome) => void
    const done = new Promise<Outcome>((resolve) => {
      settle = resolve
    })
    const server = await createServer({
      device: nic,
      address: pair.ourAddress,
      port: PORT,
      handler: {
        onConnection: (connection) => hashes.set(connection.id, createHash('sha256')),
        onData: (connection, offset, length) => {
          hashes.get(connection.id)!.update(server.area.subarray(offset, offset + length))
          outcome.bytes += length
          return true
        },
        onEnd: (connection, errno) => {
          outcome.digests.push(hashes.get(connection.id)!.digest('hex'))
          outcome.errors.push(errno)
          connection.send(reply)
          connection.close()
          if (outcome.digests.length === flows) settle(outcome)
        },
      },
    })
    cleanups.push(() => server.close())
    return { server, outcome: done }
  }

  function stream(pair: VethPair, bytes: number, answer = 1): ChildProcess {
    const child = pair.start(
      pair.peer,
      PYTHON,
      script('peer.py'),
      'stream',
      pair.ourAddress,
      `${PORT}`,
      `${bytes}`,
      `${answer}`,
    )
    cleanups.push(() => void child.kill('SIGKILL'))
    return child
  }

  function exit(child: ChildProcess): Promise<number | null> {
    return new Promise((resolve) => child.once('exit', resolve))
  }

  function expectClean(server: Server, bytes: number): void {
    const stats = server.stats()
    expect(stats.zeroCopiedBytes).toBe(bytes)
    expect(stats.copiedBytes).toBe(0)
    expect(server.census().lost).toBe(0)
  }

  it.each([
    [1500, 'generic', 8],
    [1500, 'native', 8],
    [1500, 'native', 1],
    [9000, 'generic', 1],
    [9000, 'native', 1],
    [65_535, 'generic', 1],
    [65_535, 'native', 1],
  ] as const)(
    'receives what Linux sends, in place, at MTU %i in %s mode over %i flows',
    async (mtu, mode, flows) => {
      const pair = veth({ mtu })
      const bytes = LONG ? 40_000_000 : 12_000_000
      const { server, outcome } = await serve(pair, flows, { mode })
      const children = Array.from({ length: flows }, () => stream(pair, bytes))
      const codes = await Promise.all(children.map(exit))
      const { digests, errors } = await outcome
      expect(codes).toEqual(codes.map(() => 0))
      expect(errors).toEqual(errors.map(() => 0))
      expect(digests).toEqual(digests.map(() => patternDigest(PEER_PERIOD, bytes)))
      expectClean(server, bytes * flows)
    },
    60_000,
  )

  it.each([
    ['frames of one fragment', 1500, 'native'],
    ['frames of many fragments', 1500, 'generic'],
    ['jumbo frames', 9000, 'native'],
  ] as const)(
    'carries a stream through lost and reordered %s with SACK',
    async (_what, mtu, mode) => {
      const pair = veth({ mtu })
      const bytes = 20_000_000
      let impaired: ImpairedNic | null = null
      const { server, outcome } = await serve(pair, 1, { mode }, (nic) => {
        impaired = new ImpairedNic(nic, { seed: 7, receive: { loss: 0.01, reorder: 0.02 } })
        return impaired
      })
      expect(await exit(stream(pair, bytes))).toBe(0)
      const { digests } = await outcome
      expect(digests).toEqual([patternDigest(PEER_PERIOD, bytes)])
      expect(impaired!.received.dropped + impaired!.received.reordered).toBeGreaterThan(3)
      const { tcp } = server.stats()
      expect(tcp.outOfOrderSegments).toBeGreaterThan(0)
      expect(tcp.sackSent).toBeGreaterThan(0)
      expectClean(server, bytes)
    },
    60_000,
  )
})
