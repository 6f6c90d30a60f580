import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NicStats, RX_CSUM_GOOD, RX_CSUM_PARTIAL, RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import { ReceivePath } from '../../../driver/packet/receive.ts'
import { pattern } from '../xdp/frames.ts'

const BLOCK = 4096
const BLOCKS = 4
/** As the kernel has it for an Ethernet device with virtio headers. */
const MAC = 92

interface Entry {
  frame: Uint8Array
  status?: number
  offload?: number
  length?: number
  type?: number
  tag?: [number, number]
}

/** What the kernel does to a ring. */
class Kernel {
  readonly ring = new ArrayBuffer(BLOCK * BLOCKS)
  readonly bytes = new Uint8Array(this.ring)
  readonly view = new DataView(this.ring)
  readonly path = new ReceivePath(this.ring, BLOCK)

  close(block: number, entries: Entry[]): void {
    const base = block * BLOCK
    let at = 48
    entries.forEach((entry, i) => {
      const { frame, status = 0, offload = 0, length = frame.length, type = 0, tag } = entry
      const header = base + at
      const next = (MAC + frame.length + 7) & ~7
      this.view.setUint32(header, i + 1 < entries.length ? next : 0, true)
      this.view.setUint32(header + 12, frame.length, true)
      this.view.setUint32(header + 16, length, true)
      this.view.setUint32(header + 20, status, true)
      this.view.setUint16(header + 24, MAC, true)
      this.view.setUint32(header + 32, tag?.[1] ?? 0, true)
      this.view.setUint16(header + 36, tag?.[0] ?? 0, true)
      this.bytes[header + 58] = type
      this.bytes[header + MAC - 10] = offload
      this.bytes.set(frame, header + MAC)
      at += next
    })
    this.view.setUint32(base + 12, entries.length, true)
    this.view.setUint32(base + 16, 48, true)
    this.view.setUint32(base + 20, at, true)
    this.view.setUint32(base + 8, 1, true)
  }

  closed(): boolean[] {
    return Array.from({ length: BLOCKS }, (_, i) => this.view.getUint32(i * BLOCK + 8, true) !== 0)
  }

  stats(): NicStats {
    const stats = new NicStats()
    this.path.addCounters(stats)
    return stats
  }
}

function shown(kernel: Kernel, burst: RxBurst): Uint8Array[] {
  return Array.from({ length: burst.count }, (_, i) =>
    kernel.bytes.slice(burst.offset[i]!, burst.offset[i]! + burst.length[i]!),
  )
}

const frames = (count: number, bytes = 60): Entry[] =>
  Array.from({ length: count }, (_, i) => ({ frame: pattern(bytes).fill(i + 1, 0, 6) }))

test('the frames of a block, which is the kernel’s again at the next receive', () => {
  const kernel = new Kernel()
  const burst = new RxBurst()
  expect(kernel.path.receive(burst)).toBe(0)
  const entries = frames(5)
  kernel.close(0, entries)
  expect(kernel.path.pending()).toBe(true)
  expect(kernel.path.receive(burst)).toBe(5)
  expect(shown(kernel, burst)).toEqual(entries.map(({ frame }) => frame))
  expect([...burst.flags.subarray(0, 5)]).toEqual(Array(5).fill(RX_SIDE))
  expect([...burst.offset.subarray(0, 5)].every((offset) => offset % 4 === 0)).toBe(true)
  expect([kernel.path.pending(), kernel.path.holding, kernel.closed()[0]]).toEqual([false, true, true])
  expect(kernel.path.receive(burst)).toBe(0)
  expect([kernel.path.holding, kernel.closed()[0]]).toEqual([false, false])
  expect(kernel.stats()).toMatchObject({ rxFrames: 5, rxFragments: 5, rxBytes: 300, rxInvalid: 0 })
})

test('more frames than a burst takes: the block stays until its last was shown', () => {
  const kernel = new Kernel()
  const burst = new RxBurst(64)
  const all = Array.from({ length: 70 }, (_, i) => ({ frame: new Uint8Array(14).fill(i) }))
  kernel.close(0, all.slice(0, 30))
  kernel.close(1, all.slice(30, 60))
  kernel.close(2, all.slice(60, 70))
  expect(kernel.path.receive(burst)).toBe(64)
  const first = shown(kernel, burst)
  expect(kernel.closed()).toEqual([true, true, true, false])
  expect(kernel.path.receive(burst)).toBe(6)
  expect([...first, ...shown(kernel, burst)]).toEqual(all.map(({ frame }) => frame))
  expect(kernel.closed()).toEqual([false, false, true, false])
  kernel.path.receive(burst)
  expect(kernel.closed()).toEqual([false, false, false, false])
})

test('a ring that is full is shown once', () => {
  const kernel = new Kernel()
  for (let block = 0; block < BLOCKS; block++) kernel.close(block, frames(2))
  const burst = new RxBurst()
  expect(kernel.path.receive(burst)).toBe(2 * BLOCKS)
  expect(kernel.path.pending()).toBe(false)
  expect(kernel.path.receive(burst)).toBe(0)
  kernel.close(0, frames(1))
  expect(kernel.path.receive(burst)).toBe(1)
})

test.each([
  ['nothing', 0, 0, 0],
  ['that the checksum is to be finished', 0, 1, RX_CSUM_PARTIAL],
  ['that it was verified', 0, 2, RX_CSUM_GOOD],
  ['that it was verified, in the status', 1 << 7, 0, RX_CSUM_GOOD],
  ['that it is to be finished, before all', 1 << 7, 1, RX_CSUM_PARTIAL],
])('the kernel says %s', (_what, status, offload, flags) => {
  const kernel = new Kernel()
  kernel.close(0, [{ frame: pattern(60), status, offload }])
  const burst = new RxBurst()
  kernel.path.receive(burst)
  expect(burst.flags[0]).toBe(RX_SIDE | flags)
})

test.each([
  [1 << 4, [0x8100, 0x2007], 0x8100],
  [(1 << 4) | (1 << 6), [0x88a8, 0x2007], 0x88a8],
] as [number, [number, number], number][])('a tag is put back (status %i)', (status, tag, type) => {
  const kernel = new Kernel()
  const frame = pattern(60)
  kernel.close(0, [{ frame, status, tag, offload: 1 }, { frame }])
  const burst = new RxBurst()
  expect(kernel.path.receive(burst)).toBe(2)
  const tagged = Uint8Array.of(
    ...frame.subarray(0, 12),
    type >> 8,
    type & 255,
    0x20,
    7,
    ...frame.subarray(12),
  )
  expect(shown(kernel, burst)).toEqual([tagged, frame])
  expect(burst.flags[0]).toBe(RX_SIDE | RX_CSUM_PARTIAL)
})

describe('what is wrong is counted', () => {
  const burst = new RxBurst()

  test('a frame that was cut off', () => {
    const kernel = new Kernel()
    kernel.close(0, [{ frame: pattern(60), length: 70_000 }, { frame: pattern(60) }])
    expect(kernel.path.receive(burst)).toBe(1)
    expect(kernel.stats()).toMatchObject({ rxFrames: 1, rxDropped: 1, rxInvalid: 0 })
  })

  test('a frame that reaches beyond its block', () => {
    const kernel = new Kernel()
    kernel.close(0, frames(2))
    kernel.view.setUint32(48 + 12, BLOCK, true)
    kernel.view.setUint32(48 + 16, BLOCK, true)
    expect(kernel.path.receive(burst)).toBe(1)
    expect(kernel.stats()).toMatchObject({ rxFrames: 1, rxInvalid: 1 })
  })

  test('a frame that leads to nowhere takes the rest of the block along', () => {
    const kernel = new Kernel()
    kernel.close(0, frames(3))
    kernel.view.setUint32(48, 4, true)
    kernel.close(1, frames(1))
    expect(kernel.path.receive(burst)).toBe(1)
    expect(kernel.stats()).toMatchObject({ rxFrames: 1, rxInvalid: 3 })
  })

  test('a block that can’t be', () => {
    const kernel = new Kernel()
    kernel.close(0, frames(3))
    kernel.view.setUint32(20, BLOCK + 1, true)
    kernel.close(1, [])
    kernel.close(2, frames(1))
    expect(kernel.path.receive(burst)).toBe(1)
    expect(kernel.stats()).toMatchObject({ rxFrames: 1, rxInvalid: 1 })
  })

  test('whatever a block says, frames shown lie in it', () => {
    const word = fc.record({
      at: fc.integer({ min: 0, max: 300 }),
      value: fc.oneof(fc.nat(8192), fc.maxSafeNat()),
    })
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const kernel = new Kernel()
        kernel.close(0, frames(8, 100))
        for (const { at, value } of words) if (at !== 2) kernel.view.setUint32(at * 4, value >>> 0, true)
        kernel.close(1, frames(1))
        let count = 0
        do {
          kernel.path.receive(burst)
          for (let i = 0; i < burst.count; i++)
            expect(burst.offset[i]! + burst.length[i]!).toBeLessThanOrEqual(2 * BLOCK)
          count += burst.count
        } while (burst.count > 0 && count < 100_000)
        expect(kernel.closed().slice(0, 2)).toEqual([false, false])
      }),
      { seed: 3, numRuns: 300 },
    )
  })
})

test('our own frames are not shown', () => {
  const kernel = new Kernel()
  kernel.close(0, [{ frame: pattern(60), type: 4 }, { frame: pattern(61) }])
  const burst = new RxBurst()
  expect(kernel.path.receive(burst)).toBe(1)
  expect(burst.length[0]).toBe(61)
})

test('flush throws away what waits', () => {
  const kernel = new Kernel()
  const burst = new RxBurst(64)
  kernel.close(
    0,
    Array.from({ length: 35 }, () => ({ frame: new Uint8Array(14) })),
  )
  kernel.close(
    1,
    Array.from({ length: 35 }, () => ({ frame: new Uint8Array(14) })),
  )
  kernel.close(2, frames(2))
  kernel.path.receive(burst)
  kernel.path.flush()
  expect(kernel.closed()).toEqual([false, false, false, false])
  expect(kernel.path.receive(burst)).toBe(0)
})
