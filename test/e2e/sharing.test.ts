import type { ChildProcess } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { PacketNic } from '../../driver/packet/index.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import type { Connection } from '../../net/connection.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { obstacle, script } from '../driver/xdp/setup.ts'
import { ip, VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const PORT = 9000
/** How long a rate is measured. */
const MEASURE_MS = 700
/** Part of its rate that a flow keeps beside what others do. Before memory was shared by niovs it was 0.03 to 0.08. */
const KEEPS = 0.2

describe.skipIf(obstacle !== '')('a flow beside peers that are no help, over a real link', () => {
  const cleanups: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

  /** A server, and what its connections have brought. */
  async function serve(
    driver: 'xdp' | 'packet',
    onConnection: (connection: Connection) => void = () => {},
  ): Promise<{ pair: VethPair; server: Server; bytes: () => number }> {
    const pair = new VethPair()
    cleanups.push(() => pair.destroy())
    const place = { device: pair.device, netns: pair.oursPath }
    let bytes = 0
    const server = await createServer({
      device: driver === 'xdp' ? XdpNic.open(place) : PacketNic.open(place),
      address: pair.ourAddress,
      port: PORT,
      backlog: 1024,
      handler: {
        onConnection,
        onData: (_connection, _offset, length) => {
          bytes += length
          return true
        },
        onEnd: (connection) => connection.close(),
      },
    })
    cleanups.push(() => server.close())
    return { pair, server, bytes: () => bytes }
  }

  function start(pair: VethPair, ...args: (string | number)[]): ChildProcess {
    const child = pair.start(pair.peer, PYTHON, ...args.map(String))
    cleanups.push(() => void child.kill('SIGKILL'))
    child.stderr!.on('data', (text) => process.stderr.write(text))
    return child
  }

  async function ready(child: ChildProcess): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve())
      child.once('exit', (code) => reject(new Error(`ended with ${code}`)))
    })
  }

  async function rate(bytes: () => number): Promise<number> {
    const before = bytes()
    const at = performance.now()
    await wait(MEASURE_MS)
    return (bytes() - before) / (performance.now() - at)
  }

  /** The flow's rate beside the nuisance over its rate before. */
  async function kept(driver: 'xdp' | 'packet', ...nuisance: (string | number)[]): Promise<number> {
    const { pair, server, bytes } = await serve(driver)
    const mac: string = JSON.parse(ip('-n', pair.ours, '-j', 'link', 'show', pair.device))[0].address
    start(pair, script('peer.py'), 'stream', pair.ourAddress, PORT, 1e12)
    await wait(300)
    const alone = await rate(bytes)
    const words = nuisance.map((word) => (word === 'MAC' ? mac : word === 'ADDRESS' ? pair.ourAddress : word))
    const child = start(pair, script('nuisance.py'), ...words)
    await ready(child)
    await wait(200)
    const beside = await rate(bytes)
    expect(server.census().lost).toBe(0)
    console.log(
      `${driver}, ${nuisance[0]}: ${((alone * 8) / 1e6).toFixed(2)} Gbit/s, then ${((beside * 8) / 1e6).toFixed(2)}`,
    )
    return beside / alone
  }

  it.each(['xdp', 'packet'] as const)(
    'keeps its rate while 1024 made-up addresses send SYNs: %s',
    async (driver) => {
      expect(await kept(driver, 'syns', 'zc1', 'MAC', 'ADDRESS', PORT, 1024, 5)).toBeGreaterThan(KEEPS)
    },
  )

  it('keeps its rate beside 1000 connections that say nothing', async () => {
    expect(await kept('xdp', 'idle', 'ADDRESS', PORT, 1000)).toBeGreaterThan(KEEPS)
  })

  it.each([
    ['xdp', 1, 16_500, 1],
    ['packet', 4, 4000, 2],
  ] as const)(
    'keeps its rate beside connections that leave out bytes: %s, %i of them',
    async (driver, count, segments, step) => {
      const part = await kept(driver, 'holes', 'zc1', 'MAC', 'ADDRESS', PORT, count, segments, step)
      expect(part).toBeGreaterThan(KEEPS)
    },
  )

  it('takes what a peer sends that reads nothing while we have 10 MB for it', async () => {
    const { pair, bytes } = await serve('xdp', (connection) => connection.send(new Uint8Array(10_000_000)))
    const child = start(pair, script('nuisance.py'), 'deaf', pair.ourAddress, PORT, 800_000_000)
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect([code, bytes()]).toEqual([0, 800_000_000])
  })
})
