import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/impairments.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { Blocks, frameOf, join, type Outcome, pcapFile, pieces, readOutcome } from './blocks.ts'

/** Of which the fields that a reader fills are compared. */
function described({ packets, error }: Outcome): unknown {
  return {
    packets: packets.map((packet) => ({
      ...packet,
      bytes: [...frameOf(packet)],
      at: 0,
      optionsAt: 0,
      optionsEnd: 0,
    })),
    comments: packets.map(({ comments }) => comments),
    error: error === null ? null : { code: error.code, offset: error.offset, message: error.message },
  }
}

const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255)

/** A file with something of everything, and where its records end. */
function everything(little: boolean): { bytes: Uint8Array; ends: number[]; packetEnds: number[] } {
  const b = new Blocks(little)
  const other = new Blocks(!little)
  const blocks: [Uint8Array, packet: boolean][] = [
    [b.section(b.option(4, 'app'), b.endOfOptions), false],
    [b.device(1, 0, b.option(9, Uint8Array.of(9)), b.endOfOptions), false],
    [
      b.enhanced(0, 1_700_000_000_123_456_789n, bytesOf(61, 1), 70, b.option(1, 'note'), b.endOfOptions),
      true,
    ],
    [b.block(0x0bad, bytesOf(44, 2)), false],
    [b.simple(bytesOf(9, 3)), true],
    [b.obsolete(0, 1, 5n, bytesOf(12, 4)), true],
    [b.block(5, b.u32(0, 0, 0), b.option(4, b.u64(3n))), false],
    [other.section(), false],
    [other.device(101), false],
    [other.block(10, other.u32(0x544c_534b, 5), bytesOf(8, 5)), false],
    [other.enhanced(0, 7n, bytesOf(30, 6)), true],
  ]
  const ends: number[] = []
  const packetEnds: number[] = []
  let length = 0
  for (const [block, packet] of blocks) {
    length += block.length
    ends.push(length)
    if (packet) packetEnds.push(length)
  }
  return { bytes: join(...blocks.map(([block]) => block)), ends, packetEnds }
}

const classic = pcapFile({ little: false }, [
  [1, 2, bytesOf(20, 1)],
  [3, 4, bytesOf(0, 2), 9],
  [5, 6, bytesOf(33, 3)],
])
const files = {
  'pcapng, little-endian': everything(true),
  'pcapng, big-endian': everything(false),
  pcap: { bytes: classic, ends: [24, 60, 76, 125], packetEnds: [60, 76, 125] },
}

describe.each(Object.entries(files))('%s', (_name, { bytes, ends, packetEnds }) => {
  it('reads the same however the stream is cut', async () => {
    const whole = described(await readOutcome(bytes))
    for (let at = 0; at <= bytes.length; at++) {
      const cut = pieces(bytes, () => (at === 0 ? 1 : at))
      expect(described(await readOutcome(cut))).toEqual(whole)
    }
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(40), { minLength: 1, maxLength: 20 }), async (sizes) => {
        let turn = 0
        // A piece now and then is empty.
        const cut = pieces(bytes, () => (turn++ % 50 === 49 ? 50 : sizes[turn % sizes.length]!))
        expect(described(await readOutcome(cut))).toEqual(whole)
      }),
    )
  })

  it('hands out every packet in front of the place where the file ends', async () => {
    for (let length = 0; length <= bytes.length; length++) {
      const { packets, error } = await readOutcome(bytes.subarray(0, length))
      expect(packets.length).toBe(packetEnds.filter((end) => end <= length).length)
      if (ends.includes(length)) expect(error).toBeNull()
      else if (length < 4) expect(error).toMatchObject({ code: 'PCAP_FORMAT', offset: 0 })
      else {
        const record = ends.findLast((end) => end <= length) ?? 0
        expect(error).toMatchObject({ code: 'PCAP_TRUNCATED', offset: record })
      }
    }
  })

  it('reads any damage of a byte without crashing', async () => {
    const damaged = bytes.slice()
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        damaged[at] = value
        await readOutcome(damaged)
      }
      damaged[at] = bytes[at]!
    }
  })

  it('reads any bytes behind its first ones', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), fc.uint8Array({ maxLength: 300 }), async (at, rest) => {
        const outcome = await readOutcome(join(bytes.subarray(0, at), rest))
        expect(outcome.packets.length).toBeGreaterThanOrEqual(packetEnds.filter((end) => end <= at).length)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('CaptureReader', () => {
  it('reads any bytes at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const { error } = await readOutcome(bytes)
        expect(error?.code).toMatch(/^PCAP_(FORMAT|TRUNCATED|CORRUPT|COMPRESSION)$/)
      }),
      { numRuns: 1000 },
    )
  })

  it('hands out packets of their own by iteration, and closes', async () => {
    const reader = await CaptureReader.from(classic)
    const lengths: number[] = []
    for await (const packet of reader) {
      expect(packet.bytes.buffer.byteLength).toBe(packet.length)
      lengths.push(packet.length)
    }
    expect(lengths).toEqual([20, 0, 33])
    expect(reader.count).toBe(3)
    expect(reader.offset).toBe(classic.length)
    expect(await reader.fill()).toBe(false)
  })

  it('lets go of a stream that it does not read to its end', async () => {
    let over = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        yield classic
        for (;;) yield new Uint8Array(65_536)
      } finally {
        over = true
      }
    }
    for await (const packet of await CaptureReader.from(endless())) if (packet.number === 2) break
    await new Promise(setImmediate)
    expect(over).toBe(true)
  })

  it('reads a stream no further than it has to', async () => {
    let taken = 0
    async function* counted(): AsyncGenerator<Uint8Array> {
      const record = pcapFile({}, [[0, 0, new Uint8Array(1000)]]).subarray(24)
      yield pcapFile({}, [])
      for (;;) {
        taken++
        yield record
      }
    }
    let packets = 0
    for await (const _ of await CaptureReader.from(counted())) if (++packets === 100) break
    expect(taken).toBeLessThanOrEqual(101)
  })

  it('carries over a window: packets of all sizes', async () => {
    const random = seededRandom(7)
    const sizes = Array.from({ length: 300 }, () => Math.floor(random() * random() * 262_145))
    const bytes = pcapFile(
      {},
      sizes.map((size, i) => [i, i, new Uint8Array(size).fill(i)]),
    )
    expect(bytes.length).toBeGreaterThan(8 << 20)
    const reader = await CaptureReader.from(bytes)
    let i = 0
    for await (const packet of reader) {
      expect([packet.length, packet.seconds]).toEqual([sizes[i], i])
      if (packet.length > 0) expect([packet.bytes[0], packet.bytes.at(-1)]).toEqual([i & 255, i & 255])
      i++
    }
    expect(i).toBe(300)
  })
})

describe('memory', () => {
  const b = new Blocks(true)
  const head = join(b.section(), b.device())
  const grown = async (read: () => Promise<unknown>): Promise<number> => {
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }, 1)
    await read()
    clearInterval(watch)
    return Math.max(most, process.memoryUsage().arrayBuffers - before)
  }

  it('does not grow with a block that is passed over', async () => {
    const body = 256 << 20
    const piece = new Uint8Array(1 << 20)
    let seen = 0
    async function* large(): AsyncGenerator<Uint8Array> {
      yield join(head, b.u32(0x0bad, body + 12))
      for (let at = 0; at < body; at += piece.length) {
        seen++
        yield piece
        // Lets the watch look.
        if (seen % 16 === 0) await new Promise(setImmediate)
      }
      yield join(b.u32(body + 12), b.enhanced(0, 0n, Uint8Array.of(1)))
    }
    const most = await grown(async () => {
      const { packets, error } = await readOutcome(large())
      expect(error).toBeNull()
      expect(packets).toMatchObject([{ length: 1, offset: head.length + body + 12 }])
    })
    expect(seen).toBe(256)
    expect(most).toBeLessThan(24 << 20)
  })

  it('is not given to sizes that a file only claims', async () => {
    for (const bytes of [
      join(head, b.u32(6, 0x7fff_fffc)),
      join(head, b.u32(0x0a0d_0d0a, 0xffff_fffc, 0x1a2b3c4d)),
      join(head, b.u32(1, 0x4000_0000), new Uint8Array(8)),
      join(pcapFile({}, []), b.u32(0, 0, 0xffff_ffff, 0xffff_ffff)),
      join(pcapFile({}, []), b.u32(0, 0, 262_144, 262_144)),
    ]) {
      const most = await grown(async () => {
        expect((await readOutcome(bytes)).error?.code).toMatch(/PCAP_(CORRUPT|TRUNCATED)/)
      })
      expect(most).toBeLessThan(4 << 20)
    }
  })

  it('is 16 MiB at the most for a block that is kept', async () => {
    const most = await grown(async () => {
      const { error } = await readOutcome(join(head, b.u32(6, 16 << 20), new Uint8Array(100)))
      expect(error).toMatchObject({ code: 'PCAP_TRUNCATED', offset: head.length })
    })
    expect(most).toBeLessThan(24 << 20)
  })
})
