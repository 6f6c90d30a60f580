import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { type XdpMode, XdpNic } from '../../../driver/xdp/index.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { OURS } from './frames.ts'
import { chunkNumbers, memoryFor, obstacle, script } from './setup.ts'
import { Sink } from './sink.ts'

const CHUNKS = 8192
const PORT = 9000
const BYTES = 32 << 20

describe.skipIf(obstacle !== '')('a stream of a Linux sender', () => {
  test.each<[XdpMode, number, number]>([
    ['generic', 1500, 4 << 20],
    ['generic', 9000, 4 << 20],
    ['native', 9000, 1 << 20],
    ['native', 1500, 256 << 10],
  ])('%s, MTU %i: every byte, in order', async (mode, mtu, window) => {
    using pair = new VethPair({ mtu })
    using nic = XdpNic.open({ device: pair.device, netns: pair.oursPath, mode })
    const memory = memoryFor(nic, CHUNKS)
    nic.attach(memory)
    nic.fill(chunkNumbers(CHUNKS), 0, CHUNKS)
    nic.steer(OURS, PORT)
    const sink = new Sink(nic, memory, window)
    let wrong = 0
    sink.onData = (bytes, at) => {
      if (bytes[0] !== at % 251 || bytes[bytes.length - 1] !== (at + bytes.length - 1) % 251) wrong++
    }
    const sender = pair.start(
      pair.peer,
      PYTHON,
      script('peer.py'),
      'stream',
      '10.77.0.2',
      `${PORT}`,
      `${BYTES}`,
    )
    const exit = once(sender, 'exit')
    expect(nic.wait(5000)).toBe(true)
    const start = performance.now()
    while (!sink.finished && sink.step());
    const seconds = (performance.now() - start) / 1000
    sender.kill('SIGKILL')
    await exit
    const figures = {
      gbps: ((BYTES * 8) / seconds / 1e9).toFixed(2),
      outOfOrder: sink.outOfOrder,
      ...nic.stats(),
    }
    if (process.env.ZCRX_FIGURES !== undefined) console.log(mode, mtu, figures)
    expect([sink.received, wrong]).toEqual([BYTES, 0])
    expect(sink.largestFrame).toBeGreaterThan(mode === 'generic' ? 20_000 : mtu - 100)
    expect(nic.chunksHeld()).toBe(CHUNKS)
  })
})
