import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadNative } from '../../../driver/native/index.ts'
import { allocatePages } from '../../../driver/native/memory.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { obstacle, script } from '../xdp/setup.ts'

describe.skipIf(obstacle !== '')('the process lives on', () => {
  let pair: VethPair
  beforeAll(() => {
    pair = new VethPair()
  })
  afterAll(() => pair.destroy())

  /** In a process of its own, because it is a crash that would show. */
  function run(module: string, ...args: string[]): { status: number | null; output: string } {
    const path = fileURLToPath(new URL(module, import.meta.url))
    const command = ['netns', 'exec', pair.ours, process.execPath, '--no-warnings', path, ...args]
    const { status, stdout, stderr } = spawnSync('ip', command, { encoding: 'utf8', timeout: 60_000 })
    return { status, output: stdout + stderr }
  }

  test('whatever the exports of the addon are called with, in a worker too', () => {
    const { status, output } = run('./exports.mjs', '60', '7')
    expect(output).toMatch(/^\d{4,} calls\n$/)
    expect(status).toBe(0)
  })

  test('when threads are terminated while they call the addon', () => {
    expect(run('./threads.mjs', 'calls', '85')).toEqual({ status: 0, output: '85 terminated\n' })
  })

  test('when threads are terminated whose servers are at work', () => {
    const sender = pair.start(pair.peer, PYTHON, script('connect.py'), pair.ourAddress, '9000', '60')
    try {
      const args = ['servers', '15', pair.oursPath, pair.device]
      expect(run('./threads.mjs', ...args)).toEqual({ status: 0, output: '15 terminated\n' })
    } finally {
      sender.kill()
    }
  })

  test('when memory is asked for that the runtime has no buffers for', () => {
    const most = 2 ** 52
    expect(() => allocatePages(most)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_MEMORY' }))
    const five = loadNative().mapMemory(5 * 2 ** 30, false, -1)
    // Node 20 has none of 4 GiB, others do.
    if (typeof five === 'number') {
      expect(five).toBeLessThan(0)
      expect(() => allocatePages(5 * 2 ** 30)).toThrow(
        expect.objectContaining({ code: 'ZCRX_NIC_MEMORY', message: expect.stringContaining('5368709120') }),
      )
    } else expect(five.byteLength).toBe(5 * 2 ** 30)
  })

  test('when a descriptor is no memory, shorter, or can shrink', () => {
    const native = loadNative()
    const fd = native.createMemfd('zcrx-short', 8192, false)
    expect(native.mapMemory(16_384, false, fd)).toBeLessThan(0)
    expect(native.mapMemory(4096, true, -1)).toBeLessThan(0)
    expect(native.mapMemory(8192, false, fd)).toBeInstanceOf(ArrayBuffer)
    native.close(fd)
    expect(native.mapMemory(4096, false, 1_000_000)).toBeLessThan(0)
    expect(native.mapDescriptor(1_000_000, 4096, 0)).toBeLessThan(0)
  })
})
