import { describe, expect, it, vi } from 'vitest'
import { nativeOrNull } from '../../driver/native/index.ts'
import { Choices } from '../../fuzz/bulk/choices.ts'
import { playBulk } from '../../fuzz/bulk/script.ts'
import { BulkNative } from '../../stack/ip/bulk-native.ts'
import { runs } from '../support/long.ts'

const SCRIPTS = 120

function scriptOf(seed: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, Math.imul(seed + 1, 0x9e3779b1))
  return bytes
}

describe('bursts', () => {
  it('bring what their frames one by one would: completions, answers, counts, buffers and connections', () => {
    const all = { segments: 0, taken: 0, direct: 0, native: 0 }
    const { scan } = BulkNative.prototype
    vi.spyOn(BulkNative.prototype, 'scan').mockImplementation(function (this: BulkNative, from, count) {
      const end = scan.call(this, from, count)
      all.native += end - from
      return end
    })
    for (let seed = 0; seed < runs(SCRIPTS); seed++) {
      let tried: ReturnType<typeof playBulk>
      try {
        tried = playBulk(new Choices(scriptOf(seed)))
      } catch (error) {
        throw new Error(`script ${seed}: ${(error as Error).message}`, { cause: error })
      }
      all.segments += tried.segments
      all.taken += tried.taken
      all.direct += tried.direct
    }
    expect(all.taken).toBeGreaterThan(all.segments / 10)
    expect(all.direct).toBeGreaterThan(all.taken / 3)
    vi.restoreAllMocks()
    if (nativeOrNull() === null)
      console.warn('loops in machine code are not tested: the addon is not built (npm run build:native)')
    else expect(all.native).toBeGreaterThan(all.taken / 10)
  }, 120_000)
})
