import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DeafSockets } from '../../../driver/guard/deaf.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { OURS, OURS6 } from '../xdp/frames.ts'
import { obstacle } from '../xdp/setup.ts'
import { answers, segmentTo } from './segments.ts'

const PORT = 9000
const SYN = 2

describe.skipIf(obstacle !== '')('a deaf socket', () => {
  let pair: VethPair
  let guard: DeafSockets
  const open = (shared = false): DeafSockets =>
    new DeafSockets(loadNative(), pair.device, 1, pair.oursPath, shared)
  beforeEach(() => {
    pair = new VethPair({ ipv6: true })
    guard = open()
  })
  afterEach(() => {
    guard.close()
    pair.destroy()
  })

  test.each([
    ['IPv4', OURS],
    ['IPv6', OURS6],
  ])('keeps the kernel from answering over %s, for as long as it is held', (_version, address) => {
    const frames = [0x10, SYN, 0x11, 0x18].map((flags) => segmentTo(address, PORT, flags))
    expect(answers(pair, frames)).toEqual({ heard: 4, resets: 4 })
    guard.hold(address, PORT)
    expect(answers(pair, frames)).toEqual({ heard: 4, resets: 0 })
    expect(answers(pair, [segmentTo(address, PORT + 1, SYN)])).toEqual({ heard: 1, resets: 1 })
    guard.release(address, PORT)
    expect(answers(pair, frames)).toEqual({ heard: 4, resets: 4 })
  })

  test('is refused a port of the host, and keeps its own', () => {
    const command = `import socket
s = socket.create_server(("${pair.ourAddress}", ${PORT}))
print("ready", flush=True)
input()`
    const service = pair.start(pair.ours, PYTHON, '-c', command)
    return new Promise<void>((resolve, reject) => {
      service.stdout!.once('data', () => {
        try {
          expect(() => guard.hold(OURS, PORT)).toThrow(
            expect.objectContaining({
              code: 'ZCRX_NIC_BUSY',
              message: expect.stringContaining(`TCP port ${PORT} of 10.77.0.2 is taken`),
              remedy: expect.stringContaining('ss -tanp'),
            }),
          )
          guard.hold(OURS, PORT + 1)
          expect(() => open().hold(OURS, PORT + 1)).toThrow(
            expect.objectContaining({ code: 'ZCRX_NIC_BUSY' }),
          )
          resolve()
        } catch (error) {
          reject(error as Error)
        } finally {
          service.kill('SIGKILL')
        }
      })
    })
  })

  test('is shared where several queues hold the same port', () => {
    using second = new Closing(open(true))
    using first = new Closing(open(true))
    first.guard.hold(OURS, PORT)
    second.guard.hold(OURS, PORT)
    expect(() => guard.hold(OURS, PORT)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_BUSY' }))
    expect(answers(pair, [segmentTo(OURS, PORT, SYN)])).toEqual({ heard: 1, resets: 0 })
  })

  test('holds a port of an address that is not there yet', () => {
    const later = Uint8Array.of(10, 77, 0, 50)
    guard.hold(later, PORT)
    guard.close()
    guard.close()
    guard.release(later, PORT)
  })

  test('gives its descriptors back', () => {
    for (let i = 0; i < 3000; i++) {
      guard.hold(OURS, PORT)
      guard.release(OURS, PORT)
    }
    expect(pair.run(pair.ours, 'ss', '-Htln').trim()).toBe('')
  })
})

class Closing {
  readonly guard: DeafSockets
  constructor(guard: DeafSockets) {
    this.guard = guard
  }
  [Symbol.dispose](): void {
    this.guard.close()
  }
}
