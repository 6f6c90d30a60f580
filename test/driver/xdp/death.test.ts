import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { XdpNic } from '../../../driver/xdp/index.ts'
import { nextLine } from '../../support/lines.ts'
import { VethPair } from '../../support/netns.ts'
import { memoryFor, obstacle, script } from './setup.ts'

describe.skipIf(obstacle !== '')('a queue comes back', () => {
  let pair: VethPair
  let holder: ChildProcess
  beforeEach(() => {
    pair = new VethPair()
  })
  afterEach(() => {
    holder?.kill('SIGKILL')
    pair.destroy()
  })

  /** Starts a process that takes the queue; resolves when it has it. */
  async function hold(...how: string[]): Promise<() => Promise<string>> {
    const module = fileURLToPath(new URL('./holder.ts', import.meta.url))
    holder = spawn(process.execPath, [script('child.mjs'), module, pair.oursPath, pair.device, ...how], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const line = (): Promise<string> => nextLine(holder.stdout!)
    expect(await line()).toBe('ready')
    expect(pair.xdpProgram()).toMatchObject({ name: 'zcrx' })
    return line
  }

  function takeIt(): void {
    using nic = XdpNic.open({ device: pair.device, netns: pair.oursPath })
    nic.attach(memoryFor(nic))
  }

  test('after kill -9, at once', async () => {
    await hold()
    const exit = once(holder, 'exit')
    holder.kill('SIGKILL')
    await exit
    takeIt()
    expect(pair.xdpProgram()).toBeUndefined()
  })

  test('a second holder is told who has it', async () => {
    await hold()
    expect(takeIt).toThrow(
      expect.objectContaining({
        code: 'ZCRX_NIC_BUSY',
        message: expect.stringMatching(
          new RegExp(`taken by program \\d+ 'zcrx' in generic mode, held by pid ${holder.pid} \\(node\\)`),
        ),
        remedy: 'stop that process',
      }),
    )
  })

  test('when the worker thread that has it is terminated', async () => {
    const line = await hold('worker')
    holder.stdin!.write('go\n')
    expect(await line()).toBe('terminated')
    takeIt()
  })

  test('when the XdpNic is collected', async () => {
    const { setFlagsFromString } = await import('node:v8')
    const { runInNewContext } = await import('node:vm')
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    ;(() => {
      const nic = XdpNic.open({ device: pair.device, netns: pair.oursPath })
      nic.attach(memoryFor(nic))
      nic.arm(() => {})
      nic.arm(null)
    })()
    expect(pair.xdpProgram()).toBeDefined()
    for (let i = 0; i < 50 && pair.xdpProgram() !== undefined; i++) {
      collectGarbage()
      await sleep(10)
    }
    expect(pair.xdpProgram()).toBeUndefined()
    takeIt()
  })
})
