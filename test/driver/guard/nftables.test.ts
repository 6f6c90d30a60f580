import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NftablesGuard } from '../../../driver/guard/nftables.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { PacketNic } from '../../../driver/packet/index.ts'
import { Endpoint } from '../../support/endpoint.ts'
import { nextLine } from '../../support/lines.ts'
import { type Cell, expectedOutcome, runCell } from '../../support/matrix.ts'
import { VethPair } from '../../support/netns.ts'
import { kernelCounter } from '../packet/setup.ts'
import { OURS, OURS6 } from '../xdp/frames.ts'
import { obstacle as noQueues, script } from '../xdp/setup.ts'
import { answers, segmentTo } from './segments.ts'
import { tables } from './tables.ts'

const PORT = 9000
const SYN = 2

const obstacle = ((): string => {
  if (noQueues !== '') return noQueues
  try {
    new NftablesGuard(loadNative(), 'lo', undefined).close()
    return ''
  } catch (error) {
    return (error as Error).message
  }
})()
if (obstacle !== '') console.warn(`tests of nftables are skipped: ${obstacle}`)

describe.skipIf(obstacle !== '')('a table of nftables', () => {
  let pair: VethPair
  let guard: NftablesGuard
  const open = (owned = true): NftablesGuard =>
    new NftablesGuard(loadNative(), pair.device, pair.oursPath, owned)
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
  })
  afterEach(() => {
    guard?.close()
    pair.destroy()
  })

  test.each([
    ['IPv4', OURS],
    ['IPv6', OURS6],
  ])('keeps segments over %s from the kernel, for as long as the port is held', (_version, address) => {
    guard = open()
    const frames = [0x10, SYN, 0x11].map((flags) => segmentTo(address, PORT, flags))
    expect(answers(pair, frames)).toEqual({ heard: 3, resets: 3 })
    guard.hold(address, PORT)
    expect(answers(pair, frames)).toEqual({ heard: 0, resets: 0 })
    expect(answers(pair, [segmentTo(address, PORT + 1, SYN)])).toEqual({ heard: 1, resets: 1 })
    guard.release(address, PORT)
    expect(answers(pair, frames)).toEqual({ heard: 3, resets: 3 })
  })

  test.each([true, false])('goes when it is closed (owned: %s)', (owned) => {
    guard = open(owned)
    guard.hold(OURS, PORT)
    expect(tables(pair)).toEqual([guard.table])
    guard.close()
    guard.close()
    guard.release(OURS, PORT)
    expect(tables(pair)).toEqual([])
  })

  test('two of a process do not touch each other', () => {
    guard = open(false)
    const other = open()
    guard.hold(OURS, PORT)
    other.hold(OURS, PORT)
    other.close()
    expect(tables(pair)).toEqual([guard.table])
    expect(answers(pair, [segmentTo(OURS, PORT, SYN)])).toEqual({ heard: 0, resets: 0 })
  })

  async function killed(...args: string[]): Promise<void> {
    const module = script('../driver/guard/holder.ts')
    const holder = pair.start(pair.ours, process.execPath, script('child.mjs'), module, pair.device, ...args)
    expect(await nextLine(holder.stdout!)).toBe('ready')
    expect(tables(pair)).toHaveLength(1)
    const exit = once(holder, 'exit')
    holder.kill('SIGKILL')
    await exit
  }

  test('is gone after kill -9, without anybody’s doing', async () => {
    await killed('owned')
    expect(tables(pair)).toEqual([])
  })

  test('without an owner is removed by the next that is made', async () => {
    await killed('unowned')
    expect(tables(pair)).toHaveLength(1)
    guard = open()
    expect(tables(pair)).toEqual([guard.table])
  })

  test('what is not held is not released, what is held once or twice is once', () => {
    guard = open()
    guard.release(OURS, PORT)
    guard.hold(OURS, PORT)
    guard.hold(OURS, PORT)
    guard.release(OURS, PORT)
    guard.release(OURS, PORT)
    expect(answers(pair, [segmentTo(OURS, PORT, SYN)])).toEqual({ heard: 1, resets: 1 })
  })

  test.each(['nftables', 'both', 'auto'] as const)(
    'a connection at the host’s address under guard %s',
    async (kind) => {
      const nic = PacketNic.open({ device: pair.device, netns: pair.oursPath, guard: kind })
      const endpoint = new Endpoint({ device: nic, address: pair.ourAddress, ownAddress: false })
      const cell: Cell = { opens: 'Linux', closes: 'we', version: 4, send: 1 << 20, receive: 4 << 20 }
      const heard = kernelCounter(pair, pair.ours, 'TcpInSegs')
      try {
        expect(await runCell(pair, endpoint, cell)).toEqual(expectedOutcome(cell))
        expect(kernelCounter(pair, pair.ours, 'TcpInSegs')).toBe(heard)
      } finally {
        endpoint.close()
        nic.close()
      }
      expect(tables(pair)).toEqual([])
    },
  )
})
