import { spawnSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadNative, nativeOrNull } from '../../../driver/native/index.ts'
import { allocatePages } from '../../../driver/native/memory.ts'

const { EBADF, EINVAL } = constants.errno
const missing = nativeOrNull() === null
if (missing) console.warn('addon tests are skipped: the native addon is not built (npm run build:native)')

test('without the addon the error says how to build it', () => {
  const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
  const args = [here('../../support/child.mjs'), here('../xdp/opener.ts'), 'lo']
  // node-gyp-build looks there instead.
  const env = { ...process.env, ZCRX_PREBUILD: '/nonexistent' }
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  expect(stdout).toMatch(/^ZCRX_NIC_ADDON: the native addon can't be loaded \(.*\): npm run build:native/)
})

/** RFC 1071 by the book: big-endian words, folded, not inverted. */
function reference(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i++) sum += bytes[i]! * (i % 2 === 0 ? 256 : 1)
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000)
  return sum
}

describe.skipIf(missing)('copies', () => {
  const native = missing ? null! : loadNative()
  const shared = (): Uint8Array =>
    new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer)

  test('bring every byte, no other, and their sum', () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 5000 })
    fc.assert(
      fc.property(bytes, fc.nat(64), fc.nat(64), fc.boolean(), (data, start, at, threads) => {
        const length = Math.max(0, data.length - start)
        const part = data.subarray(start, start + length)
        for (const sums of [false, true]) {
          const into = threads ? shared() : new Uint8Array(6000)
          into.fill(0xa5)
          const sum = sums
            ? native.copySum(into, at, data, Math.min(start, data.length), length)
            : native.copyBytes(into, at, data, Math.min(start, data.length), length)
          expect(into.subarray(at, at + length)).toEqual(part)
          expect(into.subarray(0, at).every((byte) => byte === 0xa5)).toBe(true)
          expect(into.subarray(at + length).every((byte) => byte === 0xa5)).toBe(true)
          if (sums) expect(sum ?? 0).toBe(reference(part))
        }
      }),
    )
  })

  test('refuse what lies outside a memory, and what is none', () => {
    const [into, from] = [new Uint8Array(100), new Uint8Array(50)]
    for (const copy of [native.copyBytes, native.copySum]) {
      expect(() => copy(into, 0, from, 0, 51)).toThrow(RangeError)
      expect(() => copy(into, 51, from, 0, 50)).toThrow(RangeError)
      expect(() => copy(into, 0, from, 1, 50)).toThrow(RangeError)
      expect(() => copy(into, 4294967295, from, 0, 2)).toThrow(RangeError)
      expect(() => copy(into, 0, from, 0, 4294967295)).toThrow(RangeError)
      for (const far of [-1, 2 ** 32, 2 ** 32 + 8, -(2 ** 32), 2 ** 53, 1e300]) {
        expect(() => copy(into, far, from, 0, 2)).toThrow(RangeError)
        expect(() => copy(into, 0, from, far, 2)).toThrow(RangeError)
        expect(() => copy(into, 0, from, 0, far)).toThrow(RangeError)
      }
      expect(() => copy(into, 0, from, 0, 'x' as never)).toThrow(TypeError)
      expect(() => copy(into, 0, new Uint32Array(9) as never, 0, 4)).toThrow(TypeError)
      expect(() => copy(new ArrayBuffer(9) as never, 0, from, 0, 4)).toThrow(TypeError)
      expect(() => (copy as () => void)()).toThrow(TypeError)
    }
    expect(into.every((byte) => byte === 0)).toBe(true)
  })
})

describe.skipIf(missing)('sumFragments', () => {
  const native = missing ? null! : loadNative()

  test('is the one of RFC 1071 for any bytes at any place', () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 5000 })
    fc.assert(
      fc.property(bytes, fc.nat(64), fc.nat(64), (data, from, base) => {
        const start = Math.min(from + base, data.length)
        const offset = Uint32Array.of(Math.max(0, start - base), 0)
        const length = Uint32Array.of(
          Math.max(0, data.length - base - offset[0]!),
          Math.max(0, data.length - base),
        )
        if (base > data.length) return
        const out = new Uint32Array(2)
        native.sumFragments(data, offset, length, out, 2, base)
        expect(out[0]).toBe(reference(data.subarray(base + offset[0]!, base + offset[0]! + length[0]!)))
        expect(out[1]).toBe(reference(data.subarray(base)))
      }),
    )
  })

  test('holds for the largest sums', () => {
    const memory = new Uint8Array(1 << 20).fill(0xff)
    const out = new Uint32Array(3)
    native.sumFragments(memory, Uint32Array.of(0, 1, 7), Uint32Array.of(1 << 20, 65535, 0), out, 3, 0)
    expect([...out]).toEqual([0xffff, reference(memory.subarray(1, 65536)), 0])
  })

  test('reads shared memory', () => {
    const out = new Uint32Array(1)
    const shared = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    const view = new Uint8Array(shared.buffer)
    view.set([1, 2, 3])
    native.sumFragments(view, Uint32Array.of(0), Uint32Array.of(3), out, 1, 0)
    expect(out[0]).toBe(0x0402)
  })

  test('never reads outside the memory', () => {
    const one = Uint32Array.of(1)
    const call =
      (offset: number, length: number, count = 1, base = 0) =>
      () =>
        native.sumFragments(
          new Uint8Array(100),
          Uint32Array.of(offset),
          Uint32Array.of(length),
          one,
          count,
          base,
        )
    for (const wrong of [
      call(100, 1),
      call(0, 101),
      call(0xffffffff, 0xffffffff),
      call(0, 1, 2),
      call(0, 1, -1),
      call(0, 1, 1, 100),
      call(0, 1, 1, 2 ** 53),
      call(0, 1, 1, Number.NaN),
    ]) {
      expect(wrong).toThrow(RangeError)
    }
    expect(call(100, 0)).not.toThrow()
  })
})

describe.skipIf(missing)('memory', () => {
  const native = missing ? null! : loadNative()

  test('begins on a page, zeroed, writable', () => {
    const { buffer, fd } = allocatePages(5000)
    expect([buffer.byteLength, fd]).toEqual([8192, -1])
    const bytes = new Uint8Array(buffer)
    expect(native.addressOf(bytes) % 4096).toBe(0)
    expect(native.addressOf(bytes.subarray(10))).toBe(native.addressOf(bytes) + 10)
    expect(bytes.every((byte) => byte === 0)).toBe(true)
    bytes.fill(1)
  })

  test('a memfd is seen through its descriptor', () => {
    const { buffer, fd } = allocatePages(4096, { memfd: 'zcrx-area' })
    new Uint8Array(buffer).set([1, 2, 3])
    expect(readlinkSync(`/proc/self/fd/${fd}`)).toContain('zcrx-area')
    expect([...readFileSync(`/proc/self/fd/${fd}`).subarray(0, 4)]).toEqual([1, 2, 3, 0])
    expect([native.close(fd), native.close(fd)]).toEqual([0, -EBADF])
  })

  test('huge pages come, or the error says how to reserve them', () => {
    const reserved = Number(/^HugePages_Free:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1])
    const allocate = (): ArrayBuffer => allocatePages(1, { huge: true }).buffer
    if (reserved > 0) expect(allocate().byteLength).toBe(2 << 20)
    else expect(allocate).toThrow('vm.nr_hugepages=1')
  })

  test('what is released reads as zero and stays mapped', () => {
    const bytes = new Uint8Array(allocatePages(8192).buffer).fill(7)
    expect(native.release(bytes.subarray(1))).toBe(-EINVAL)
    expect(native.release(bytes.subarray(0, 4096))).toBe(-EINVAL)
    expect(native.release(new Uint8Array(4096))).toBe(-EINVAL)
    expect(native.release(bytes)).toBe(0)
    expect(bytes.every((byte) => byte === 0)).toBe(true)
    bytes.fill(1)
  })

  test('is unmapped when it is collected', async () => {
    const { setFlagsFromString } = await import('node:v8')
    const { runInNewContext } = await import('node:vm')
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const size = 123 * 4096
    const address = (() => native.addressOf(new Uint8Array(allocatePages(size).buffer)))().toString(16)
    const mapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(address)
    expect(mapped()).toBe(true)
    for (let i = 0; i < 50 && mapped(); i++) {
      collectGarbage()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(mapped()).toBe(false)
  })
})

describe.skipIf(missing)('wrong arguments throw, refused calls return errno', () => {
  const native = missing ? null! : loadNative()

  test('any function survives any arguments', () => {
    const anything = fc.array(
      fc.oneof(
        fc.constantFrom(undefined, null, -1, Number.NaN, 2 ** 40, 1.5, 'x', true, {}, [], new Uint8Array(0)),
        fc.constantFrom(
          new Uint32Array(4),
          new Uint32Array(16),
          new Float64Array(2),
          new DataView(new ArrayBuffer(9)),
        ),
        fc.constant(1_000_000),
      ),
      { maxLength: 7 },
    )
    const names = Object.keys(native).filter(
      (name) => name !== 'Watcher' && name !== 'poll',
    ) as (keyof typeof native)[]
    fc.assert(
      fc.property(fc.constantFrom(...names), anything, (name, args) => {
        try {
          const call = native[name] as (...values: unknown[]) => unknown
          const result = call(...args)
          if (typeof result === 'number' && result > 2 && name !== 'addressOf') native.close(result)
        } catch (error) {
          expect(error === null || error instanceof TypeError || error instanceof RangeError).toBe(true)
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('a descriptor of someone else is not closed', () => {
    expect(native.close(0)).toBe(-EBADF)
    expect(native.xskKickTx(1_000_000)).toBe(-EBADF)
  })

  test('map elements of the wrong size never reach the kernel', () => {
    const map = native.bpfMapCreate(1, 8, 8, 4, 0, 'zcrx_test')
    if (map === -constants.errno.EPERM) return
    const bytes = (length: number): Uint8Array => new Uint8Array(length)
    expect(native.bpfMapUpdate(map, bytes(8), bytes(8).fill(3))).toBe(0)
    const value = bytes(8)
    expect([native.bpfMapLookup(map, bytes(8), value), value[0]]).toEqual([0, 3])
    expect(native.bpfMapLookup(map, bytes(8), bytes(4))).toBe(-EINVAL)
    expect(native.bpfMapUpdate(map, bytes(4), bytes(8))).toBe(-EINVAL)
    expect(native.bpfMapDelete(map, bytes(9))).toBe(-EINVAL)
    expect(native.bpfMapDelete(map, bytes(8))).toBe(0)
    native.close(map)
  })

  test('a watcher of a descriptor that is none', () => {
    expect(() => new native.Watcher(1_000_000)).toThrow(TypeError)
    expect(() => new native.Watcher(-1)).toThrow(RangeError)
  })
})
