import { closeSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadNative } from '../../driver/native/index.ts'
import { type Nic, RxBurst } from '../../driver/nic.ts'
import { PacketNic } from '../../driver/packet/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import { ip, VethPair } from '../support/netns.ts'
import { someMemory } from './packet/setup.ts'
import { ethernet, ipv4, OURS, pattern, tcp } from './xdp/frames.ts'
import { chunkNumbers, inject, memoryFor, obstacle } from './xdp/setup.ts'

const PORT = 8000

describe.skipIf(obstacle !== '')('a watched descriptor', () => {
  let pair: VethPair
  let nic: Nic | null = null
  beforeEach(() => {
    pair = new VethPair()
  })
  afterEach(() => {
    nic?.close()
    nic = null
    pair.destroy()
  })

  function open(way: 'packet' | 'generic' | 'native'): Nic {
    const place = { device: pair.device, netns: pair.oursPath }
    if (way === 'packet') {
      const packet = PacketNic.open(place)
      packet.attach(someMemory())
      return packet
    }
    const xdp = XdpNic.open({ ...place, mode: way })
    xdp.attach(memoryFor(xdp))
    xdp.fill(chunkNumbers(256), 0, 256)
    return xdp
  }

  test.each(['packet', 'generic', 'native'] as const)(
    '%s: hears again after the interface was down, from the event loop',
    async (way) => {
      nic = open(way)
      nic.roles.steering!.steer(OURS, PORT)
      const burst = new RxBurst()
      let frames = 0
      let calls = 0
      // As an engine does: looks whenever it is called, and is called again.
      const look = (): void => {
        calls++
        frames += nic!.receive(burst)
        nic!.arm(look)
      }
      nic.arm(look)
      for (let round = 1; round <= 3; round++) {
        for (const state of ['down', 'up']) {
          ip('-n', pair.ours, 'link', 'set', pair.device, state)
          await turns()
        }
        inject(pair, [ethernet(0x0800, ipv4(tcp(PORT, pattern(40)), { destination: OURS }))])
        await until(() => frames === round)
      }
      const before = calls
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(calls - before).toBeLessThan(8)
      expect(nic.gone).toBe(false)
    },
  )

  test('with an error that does not go away is looked at less and less often', async () => {
    const native = loadNative()
    // A TAP queue whose device was deleted.
    const fd = inNamespace(native, pair.oursPath, () => native.tapOpen('zctap', 0x1002))
    expect(fd).toBeGreaterThan(0)
    ip('-n', pair.ours, 'link', 'del', 'zctap')
    const watcher = new native.Watcher(fd)
    const failures: boolean[] = []
    const cpu = process.cpuUsage()
    watcher.start((failed) => failures.push(failed), true)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { user, system } = process.cpuUsage(cpu)
    expect(failures.length).toBeGreaterThan(2)
    // 1, 2, 4, … ms
    expect(failures.length).toBeLessThan(12)
    expect(failures).not.toContain(false)
    expect((user + system) / 1000).toBeLessThan(150)
    watcher.stop()
    const count = failures.length
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(failures.length).toBe(count)
    watcher.close()
    native.close(fd)
  })

  test('once: an error is told once', async () => {
    const native = loadNative()
    const fd = inNamespace(native, pair.oursPath, () => native.tapOpen('zctap', 0x1002))
    ip('-n', pair.ours, 'link', 'del', 'zctap')
    const watcher = new native.Watcher(fd)
    let calls = 0
    watcher.start(() => calls++, false)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(calls).toBe(1)
    native.close(fd)
    // Its descriptor was closed, and it with it.
    expect(watcher.start(() => {}, true)).toBeLessThan(0)
  })

  test('that somebody else closes does no harm', async () => {
    const native = loadNative()
    const watched = native.netlinkOpen(0, 0)
    const watcher = new native.Watcher(watched)
    watcher.start(() => {}, true)
    closeSync(watched)
    await turns()
    watcher.start(() => {}, true)
    await turns()
    watcher.close()
    watcher.close()
    native.close(watched)
  })
})

/** A few turns of the event loop. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 1))
}

async function until(done: () => boolean): Promise<void> {
  const end = performance.now() + 3000
  while (!done()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
