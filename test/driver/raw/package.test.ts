import { once } from 'node:events'
import Module from 'node:module'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import { loadRawSocket } from '../../../driver/raw/package.ts'
import { script } from '../xdp/setup.ts'

const modules = Module as unknown as { _resolveFilename: (...args: unknown[]) => string }
const resolve = modules._resolveFilename

afterEach(() => {
  modules._resolveFilename = resolve
})

test('where the package is not installed the error says what to do', () => {
  modules._resolveFilename = (...args) => {
    if (args[0] === 'raw-socket') throw new Error("Cannot find module 'raw-socket'\nRequire stack: …")
    return resolve(...args)
  }
  expect(() => loadRawSocket()).toThrow(
    expect.objectContaining({
      code: 'ZCRX_NIC_ADDON',
      message:
        "the package raw-socket can't be loaded (Cannot find module 'raw-socket'): npm install raw-socket",
      remedy: 'npm install raw-socket',
    }),
  )
})

test('in a worker thread it is refused', async () => {
  const module = fileURLToPath(new URL('./loader.ts', import.meta.url))
  const worker = new Worker(script('child.mjs'), { argv: [module] })
  const [answer] = await once(worker, 'message')
  expect(answer).toMatchObject({
    code: 'ZCRX_NIC_UNSUPPORTED',
    message: expect.stringContaining('main thread'),
  })
})
