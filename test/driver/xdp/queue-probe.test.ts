import { constants } from 'node:os'
import { expect, test } from 'vitest'
import type { Native } from '../../../driver/native/index.ts'
import { QueueProbe } from '../../../driver/xdp/queue-probe.ts'
import { type XskOptions, XskSocket } from '../../../driver/xdp/socket.ts'

const { EBUSY, ENODEV, EOPNOTSUPP } = constants.errno

/** A kernel whose queue is taken for a number of attempts after the socket was closed. */
class FakeKernel {
  readonly open = new Set<number>()
  readonly calls: string[] = []
  busyFor: number
  readonly answer: number
  readonly zeroCopy: boolean
  #next = 10
  #first = -1

  constructor(busyFor: number, answer = 0, zeroCopy = true) {
    this.busyFor = busyFor
    this.answer = answer
    this.zeroCopy = zeroCopy
  }

  get native(): Native {
    const layout = [0, 64, 128, 192]
    return {
      xskSocket: () => {
        this.open.add(this.#next)
        return this.#next++
      },
      xskRegisterUmem: () => 0,
      xskConfigureRings: (_fd: number, _sizes: Uint32Array, offsets: Uint32Array) => {
        for (let i = 0; i < 16; i++) offsets[i] = layout[i & 3]!
        return 0
      },
      xskMapRing: (_fd: number, _ring: number, bytes: number) => new ArrayBuffer((bytes + 7) & ~7),
      mapMemory: (bytes: number) => new ArrayBuffer(bytes),
      xskBind: (fd: number) => {
        if (this.#first < 0) {
          this.#first = fd
          return this.zeroCopy ? 0 : -EOPNOTSUPP
        }
        this.calls.push('bind')
        if (this.open.has(this.#first)) return -EBUSY
        return this.busyFor-- > 0 ? -EBUSY : this.answer
      },
      xskOptions: () => 1,
      xskSetTxBudget: () => 0,
      release: () => 0,
      poll: () => 0,
      close: (fd: number) => {
        this.calls.push(`close ${fd === this.#first ? 'queue' : 'probe'}`)
        return this.open.delete(fd) ? 0 : -9
      },
    } as unknown as Native
  }
}

const OPTIONS: XskOptions = {
  device: 'eth0',
  ifIndex: 2,
  queue: 0,
  umem: new Uint8Array(8192),
  chunkSize: 4096,
  sizes: { fill: 8, completion: 8, rx: 8, tx: 8 },
  bind: { zeroCopy: true, multiBuffer: false },
}

test.each([0, 1, 7])('a closed queue is given back after %i attempts, when it can be bound again', (busy) => {
  const kernel = new FakeKernel(busy)
  const socket = new XskSocket(kernel.native, OPTIONS)
  expect(socket.zeroCopy).toBe(true)
  socket.close()
  socket.close()
  expect(kernel.calls).toEqual(['close queue', ...Array(busy + 1).fill('bind'), 'close probe'])
  expect(kernel.open.size).toBe(0)
})

test('a deleted interface has let go', () => {
  const kernel = new FakeKernel(0, -ENODEV)
  new XskSocket(kernel.native, OPTIONS).close()
  expect(kernel.open.size).toBe(0)
})

test('memory that does not come back is told of', () => {
  const kernel = new FakeKernel(Number.POSITIVE_INFINITY)
  const probe = QueueProbe.open(kernel.native, 'eth0', 2, 0)
  kernel.native.xskBind(0, 0, 0, 0)
  expect(probe.wait(5)).toBe(false)
  expect(kernel.open.size).toBe(0)
})

test('a way to bind that is refused leaves nothing, and waits for nothing', () => {
  const kernel = new FakeKernel(0, 0, false)
  expect(() => new XskSocket(kernel.native, OPTIONS)).toThrow(
    expect.objectContaining({ code: 'ZCRX_NIC_UNSUPPORTED' }),
  )
  expect([kernel.open.size, kernel.calls.filter((call) => call === 'bind')]).toEqual([0, []])
})
