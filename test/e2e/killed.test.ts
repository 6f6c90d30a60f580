import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tables } from '../driver/guard/tables.ts'
import { obstacle as noRaw } from '../driver/raw/setup.ts'
import { obstacle as noTap } from '../driver/tap/setup.ts'
import { obstacle as noDaemon, startDaemon } from '../support/daemon.ts'
import { ip, VethPair } from '../support/netns.ts'

const obstacle = noDaemon || noRaw || noTap
if (obstacle !== '') console.warn(`tests of killed daemons are skipped: ${obstacle}`)

const PORT = 9000

/** What a daemon holds of the system in its namespace. */
interface Held {
  /** An XDP program on the interface. */
  program: boolean
  tap: boolean
  /** Packet sockets. */
  packet: number
  /** Raw sockets: of TCP and of ICMP. */
  raw: number
  /** Kernel sockets that listen on our port. */
  listeners: number
  /** Tables of nftables. */
  tables: number
  /** Addresses in the namespace. */
  addresses: string[]
}

const NOTHING: Omit<Held, 'addresses'> = {
  program: false,
  tap: false,
  packet: 0,
  raw: 0,
  listeners: 0,
  tables: 0,
}

describe.skipIf(obstacle !== '')('after kill -9 of zcrxd', () => {
  let pair: VethPair
  let daemon: ChildProcess | null = null
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(() => {
    daemon?.kill('SIGKILL')
    pair.destroy()
  })

  function held(): Held {
    const links = JSON.parse(ip('-n', pair.ours, '-j', 'address')) as {
      ifname: string
      addr_info: { local: string }[]
    }[]
    const lines = (command: string): number => Number(pair.run(pair.ours, 'sh', '-c', `${command} | wc -l`))
    return {
      program: pair.xdpProgram() !== undefined,
      tap: links.some(({ ifname }) => ifname === 'zt0'),
      packet: lines('tail -n +2 /proc/net/packet'),
      raw: lines('tail -n +2 /proc/net/raw'),
      listeners: lines(`ss -Htln sport = :${PORT}`),
      tables: tables(pair).length,
      addresses: links.flatMap(({ addr_info }) => addr_info.map(({ local }) => local)).sort(),
    }
  }

  /** Starts a daemon; resolves once it listens. */
  async function start(device: string, ...more: string[]): Promise<void> {
    await startDaemon(pair.ours, ['--device', device, ...more], (child) => {
      daemon = child
    })
  }

  const listen = ['--listen', `10.77.0.2:${PORT}`]
  it.each<[string, string[], Partial<Held>]>([
    ['xdp:zc0', listen, { program: true }],
    ['tap:zt0', ['--listen', `10.78.0.2:${PORT}`, '--address', '10.78.0.2/24', '--no-dad'], { tap: true }],
    ['packet:zc0', listen, { packet: 1, listeners: 1, tables: 1 }],
    [
      'packet:zc0',
      ['--listen', `10.77.0.9:${PORT}`, '--address', '10.77.0.9/24', '--no-dad'],
      { packet: 1, tables: 1 },
    ],
    ['raw:10.77.0.2', listen, { raw: 2, listeners: 1 }],
  ])(
    '%s %j leaves nothing, and the next start has it at once',
    async (device, args, holds) => {
      const before = held()
      expect(before).toMatchObject(NOTHING)
      await start(device, ...args)
      expect(held()).toMatchObject({ ...NOTHING, ...holds })
      const exit = once(daemon!, 'exit')
      // `ip netns exec` has become the daemon.
      daemon!.kill('SIGKILL')
      await exit
      expect(held()).toEqual(before)
      await start(device, ...args)
      expect(held()).toMatchObject({ ...NOTHING, ...holds })
    },
    30_000,
  )
})
