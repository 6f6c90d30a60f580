import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DeafSockets } from '../../../driver/guard/deaf.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { VethPair } from '../../support/netns.ts'
import { kernelCounter } from '../packet/setup.ts'
import { ethernet, ipv4, ipv6, OURS, OURS6, tcp } from '../xdp/frames.ts'
import { inject, obstacle } from '../xdp/setup.ts'

const PORT = 9000
const SYN = 2

/** A segment as nobody's connection has it, with its flags and the sum right. */
export function segmentTo(address: Uint8Array, port: number, flags: number): Uint8Array {
  const segment = tcp(port)
  segment[13] = flags
  const packet = address.length === 4 ? ipv4(segment) : ipv6(segment)
  const at = packet.length - segment.length
  const view = new DataView(packet.buffer, packet.byteOffset)
  let sum = 6 + segment.length
  for (let i = address.length === 4 ? 12 : 8; i < packet.length; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  view.setUint16(at + 16, ~sum & 0xffff)
  return ethernet(address.length === 4 ? 0x0800 : 0x86dd, packet)
}

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

  const resets = (): number => kernelCounter(pair, pair.ours, 'TcpOutRsts')
  const heard = (): number => kernelCounter(pair, pair.ours, 'TcpInSegs')

  /** Resets that the kernel sends for these frames, once it has seen them. */
  function answers(frames: Uint8Array[]): number {
    const [resetsBefore, heardBefore] = [resets(), heard()]
    // To the interface's hardware address: what is for everybody is not answered.
    const mac = pair.run(pair.ours, 'cat', `/sys/class/net/${pair.device}/address`).trim()
    const ours = mac.split(':').map((byte) => Number.parseInt(byte, 16))
    inject(
      pair,
      frames.map((frame) => Uint8Array.of(...ours, ...frame.subarray(6))),
    )
    expect(heard() - heardBefore).toBe(frames.length)
    return resets() - resetsBefore
  }

  test.each([
    ['IPv4', OURS],
    ['IPv6', OURS6],
  ])('keeps the kernel from answering over %s, for as long as it is held', (_version, address) => {
    const frames = [0x10, SYN, 0x11, 0x18].map((flags) => segmentTo(address, PORT, flags))
    expect(answers(frames)).toBe(4)
    guard.hold(address, PORT)
    expect(answers(frames)).toBe(0)
    expect(answers([segmentTo(address, PORT + 1, SYN)])).toBe(1)
    guard.release(address, PORT)
    expect(answers(frames)).toBe(4)
  })

  test('is refused a port of the host, and keeps its own', () => {
    const command = `import socket
s = socket.create_server(("${pair.ourAddress}", ${PORT}))
print("ready", flush=True)
input()`
    const service = pair.start(pair.ours, 'python3', '-c', command)
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
    expect(answers([segmentTo(OURS, PORT, SYN)])).toBe(0)
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
