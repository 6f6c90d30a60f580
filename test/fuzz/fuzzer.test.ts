import { describe, expect, it } from 'vitest'
import { Coverage } from '../../fuzz/coverage.ts'
import { Finding, Fuzzer, type FuzzerOptions, type Target } from '../../fuzz/fuzzer.ts'
import { mutate } from '../../fuzz/mutate.ts'
import { Random } from '../../fuzz/random.ts'

const OPTIONS: FuzzerOptions = { seed: 3, limit: 1000, memory: 1 << 28 }

/** Four bytes that have to be found one after the other, as if each were a condition in instrumented code. */
function locked(coverage: Coverage): Target {
  return {
    name: 'locked',
    seeds: () => [],
    run: (bytes) => {
      for (const [i, key] of [0x7a, 0x63, 0x72, 0x78].entries()) {
        if (bytes[i] !== key) return
        coverage.counters[i + 1]!++
      }
      throw new Error('open')
    },
  }
}

async function search(seed: number, most = 200_000): Promise<{ finding: Finding | null; runs: number }> {
  const coverage = new Coverage()
  const fuzzer = new Fuzzer(locked(coverage), coverage, { ...OPTIONS, seed })
  try {
    await fuzzer.fuzz(() => fuzzer.runs >= most)
  } catch (error) {
    if (!(error instanceof Finding)) throw error
    return { finding: error, runs: fuzzer.runs }
  }
  return { finding: null, runs: fuzzer.runs }
}

describe('the fuzzer', () => {
  it('finds what can only be found step by step, and the same again', async () => {
    const first = await search(3)
    expect([...first.finding!.input.subarray(0, 4)]).toEqual([0x7a, 0x63, 0x72, 0x78])
    expect(first.finding!.message).toContain('open')
    const again = await search(3)
    expect(again.runs).toBe(first.runs)
    expect(again.finding!.input).toEqual(first.finding!.input)
    expect((await search(4)).runs).not.toBe(first.runs)
  })

  it('does not find it when nothing guides it', async () => {
    const blind = locked(new Coverage())
    const fuzzer = new Fuzzer(blind, new Coverage(), OPTIONS)
    await fuzzer.fuzz(() => fuzzer.runs >= 20_000)
    expect(fuzzer.corpus).toEqual([])
  })

  it('reports what takes too long, or too much', async () => {
    const quiet: Target = { name: 'quiet', seeds: () => [], run: () => {} }
    let now = 0
    const slow = new Fuzzer(quiet, new Coverage(), { ...OPTIONS, now: () => (now += 1001) })
    await expect(slow.try(Uint8Array.of(1))).rejects.toThrow('took 1001 ms, more than 1000')
    let had = 0
    const greedy = new Fuzzer(quiet, new Coverage(), { ...OPTIONS, memory: 10, allocated: () => (had += 11) })
    await expect(greedy.try(Uint8Array.of(2))).rejects.toThrow('allocated 11 bytes, more than 10')
  })

  it('reports rejections, and hands over a copy', async () => {
    const input = Uint8Array.of(1, 2)
    const target: Target = {
      name: 'bad',
      seeds: () => [],
      run: async (bytes) => {
        bytes.fill(9)
        await Promise.reject(new TypeError('later'))
      },
    }
    const finding = await new Fuzzer(target, new Coverage(), OPTIONS).try(input).catch((error) => error)
    expect(finding).toBeInstanceOf(Finding)
    expect(finding.input).toEqual(Uint8Array.of(1, 2))
  })

  it('keeps few and short inputs that do all that the others do', async () => {
    const coverage = new Coverage()
    const target: Target = {
      name: 'letters',
      seeds: () => [],
      run: (bytes) => {
        for (const byte of bytes) if (byte >= 65 && byte < 70) coverage.counters[byte] = 1
      },
    }
    const fuzzer = new Fuzzer(target, coverage, OPTIONS)
    const text = (value: string) => new TextEncoder().encode(value)
    await fuzzer.seed([
      text('A'),
      text('xxxxxxxxB'),
      text('ABCDxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'),
      text('E'),
      text('A'),
    ])
    expect(fuzzer.corpus).toHaveLength(4)
    const kept = (await fuzzer.minimise(() => false)).map((bytes) => new TextDecoder().decode(bytes))
    expect(kept).toHaveLength(2)
    expect(kept.join('').length).toBeLessThan(12)
    expect([...new Set(kept.join('').replaceAll('x', ''))].sort().join('')).toBe('ABCDE')
  })
})

describe('counts', () => {
  it('are told apart in classes', () => {
    const coverage = new Coverage()
    const classes = [1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 127, 128, 255].map((count) => {
      coverage.clear()
      coverage.counters[5] = count
      const [feature] = coverage.features(true)
      return feature! & 255
    })
    expect(classes).toEqual([1, 2, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128])
  })

  it('are news once', () => {
    const coverage = new Coverage()
    coverage.counters[9] = 1
    coverage.learn(coverage.features())
    expect(coverage.features()).toEqual([])
    expect(coverage.features(true)).toEqual([(9 << 8) | 1])
    coverage.counters[9] = 2
    expect(coverage.features()).toHaveLength(1)
    expect(coverage.covered).toBe(1)
  })
})

describe('mutations', () => {
  it('are the same for the same seed, of bounded length, and leave the input alone', () => {
    const context = { corpus: [{ bytes: Uint8Array.of(7, 8, 9) }], dictionary: [Uint8Array.of(0xaa, 0xbb)] }
    for (const input of [new Uint8Array(0), Uint8Array.of(1), new Uint8Array(100).fill(5)]) {
      const before = input.slice()
      const run = () => {
        const random = new Random(11)
        return Array.from({ length: 2000 }, () => mutate(input, random, context, 120))
      }
      const first = run()
      expect(run()).toEqual(first)
      expect(input).toEqual(before)
      expect(Math.max(...first.map(({ length }) => length))).toBeLessThanOrEqual(120)
      expect(new Set(first.map(String)).size).toBeGreaterThan(500)
    }
  })
})
