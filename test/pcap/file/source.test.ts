import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { deflateRawSync, gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/impairments.ts'
import { CapturedPacket } from '../../../pcap/file/packet.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { captureDirectory } from '../../support/tshark.ts'
import { frameOf, join, pcapFile, pieces, readOutcome } from './blocks.ts'

const directory = captureDirectory()
afterAll(directory.remove)

const noise = (length: number, seed: number): Uint8Array => {
  const random = seededRandom(seed)
  return Uint8Array.from({ length }, () => random() * 256)
}

/** Packets that hardly get smaller, so that the packed file is large enough to be read in many pieces. */
const frames = Array.from({ length: 600 }, (_, i) => noise(1 + ((i * 7919) % 2000), i))
const plain = pcapFile(
  {},
  frames.map((bytes, i) => [i, i, bytes]),
)
const ends = [24]
for (const { length } of frames) ends.push(ends.at(-1)! + 16 + length)

async function readsAll(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
  const { packets, error } = await readOutcome(bytes)
  expect(error).toBeNull()
  expect(packets.length).toBe(frames.length)
  for (const packet of packets) {
    const frame = frames[packet.number - 1]!
    if (Buffer.compare(frameOf(packet), frame) !== 0) throw new Error(`packet ${packet.number} differs`)
  }
}

describe('gzip', () => {
  const packed = Uint8Array.from(gzipSync(plain))

  it('reads one member, at any compression', async () => {
    expect(packed.length).toBeGreaterThan(500_000)
    for (const level of [0, 1, 9]) await readsAll(gzipSync(plain, { level }))
    const reader = await CaptureReader.from(packed)
    expect([reader.format, reader.compressed]).toEqual(['pcap', true])
    reader.close()
  })

  it('reads a header with a name, a comment, extra fields and a check of its own', async () => {
    const head = Uint8Array.of(
      0x1f,
      0x8b,
      8,
      0b1_1100,
      0,
      0,
      0,
      0,
      0,
      3,
      3,
      0,
      1,
      2,
      3,
      0x61,
      0,
      0x62,
      0x63,
      0,
    )
    await readsAll(join(head, deflateRawSync(plain), packed.subarray(-8)))
  })

  it('reads members that follow each other, cut anywhere', async () => {
    for (const at of [1, 23, 24, 30, 65_536, 300_000, plain.length]) {
      await readsAll(join(gzipSync(plain.subarray(0, at)), gzipSync(plain.subarray(at))))
    }
    const many: Uint8Array[] = []
    for (let at = 0; at < plain.length; at += 9973) many.push(gzipSync(plain.subarray(at, at + 9973)))
    await readsAll(join(...many))
    // Each comes alone: what is unpacked begins a member anew.
    await readsAll(
      (async function* () {
        yield* many
      })(),
    )
    await readsAll(join(gzipSync(new Uint8Array(0)), ...many, gzipSync(new Uint8Array(0))))
  })

  it('reads a stream in pieces of any size', async () => {
    for (const size of [101, 1000, 65_537]) await readsAll(pieces(packed, () => size))
  })

  it('passes over zeros behind it, as tapes have them', () => readsAll(join(packed, new Uint8Array(1024))))

  it('hands out every packet in front of the place where the file was cut off', async () => {
    const random = seededRandom(3)
    for (let i = 0; i < 60; i++) {
      // Also within the trailer, whose absence is an error though every packet is there.
      const length = i < 12 ? packed.length - 1 - i : 100 + Math.floor(random() * (packed.length - 100))
      const { packets, error } = await readOutcome(packed.subarray(0, length))
      expect(error, `${length} bytes`).toMatchObject({ code: 'PCAP_TRUNCATED' })
      // Noise of one byte costs one: of what is there all but the last block's codes and a few bytes can be unpacked.
      const most = ends.filter((end) => end <= length * (plain.length / packed.length)).length - 1
      if (i < 8) expect(packets.length).toBe(frames.length)
      else expect(packets.length).toBeGreaterThanOrEqual(most - 20)
      expect(error!.offset).toBeGreaterThanOrEqual(ends[packets.length]!)
    }
  })

  it('hands out what was stored in front of the place where the file was cut off, to the byte', async () => {
    const stored = gzipSync(plain, { level: 0 })
    for (let length = 200_000; length < 200_100; length++) {
      const { packets, error } = await readOutcome(stored.subarray(0, length))
      expect(error).toMatchObject({ code: 'PCAP_TRUNCATED' })
      const unpacked = error!.offset
      // A header of ten bytes, and five in front of each stored block.
      expect(length - unpacked).toBeGreaterThanOrEqual(15)
      expect(length - unpacked).toBeLessThan(15 + 5 * 8)
      expect(packets.length).toBe(ends.filter((end) => end <= unpacked).length - 1)
    }
  })

  it('hands them out also when it is read slowly', async () => {
    // A little more than is read at a time: the rest waits in the stream when its end is found to be missing.
    const records = Array.from({ length: 1040 }, () => [0, 0, new Uint8Array(1000)] as const)
    const stored = gzipSync(pcapFile({}, records), { level: 0 })
    const reader = await CaptureReader.from(stored.subarray(0, stored.length - 20))
    const packet = new CapturedPacket()
    const read = async (): Promise<void> => {
      do {
        while (reader.next(packet));
        for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate)
      } while (await reader.fill())
    }
    await expect(read()).rejects.toMatchObject({ code: 'PCAP_TRUNCATED' })
    expect(reader.count).toBe(records.length - 1)
    reader.close()
  })

  it('names what is damaged', async () => {
    const trailer = packed.slice()
    trailer[packed.length - 6]! ^= 1
    const { packets, error } = await readOutcome(trailer)
    expect(error).toMatchObject({ code: 'PCAP_COMPRESSION' })
    expect(error!.message).toContain('incorrect data check')
    expect(packets.length).toBeGreaterThan(frames.length - 120)
    const middle = packed.slice()
    middle.fill(0xff, 300_000, 300_100)
    const damaged = await readOutcome(middle)
    // The noise of another code may be unpacked without an error.
    expect(damaged.error?.code).toMatch(/^PCAP_(COMPRESSION|CORRUPT)$/)
    expect(damaged.packets.length).toBeGreaterThan(150)
    expect(damaged.packets.length).toBeLessThan(400)
    const head = packed.slice()
    head[2] = 7
    expect((await readOutcome(head)).error).toMatchObject({ code: 'PCAP_COMPRESSION', offset: 0 })
  })

  it('loses nothing in front of a damaged member', async () => {
    const half = ends[ends.length >> 1]!
    const first = Uint8Array.from(gzipSync(plain.subarray(0, half)))
    const second = Uint8Array.from(gzipSync(plain.subarray(half)))
    const whole = ends.length >> 1
    for (const [what, at] of [
      ['its magic', 0],
      ['its method', 2],
      ['its flags', 3],
      ['the type of its first block', 10],
    ] as const) {
      const damaged = second.slice()
      damaged[at]! ^= at === 10 ? 0x06 : 0xff
      const { packets, error } = await readOutcome(join(first, damaged))
      expect(error, what).toMatchObject({ code: 'PCAP_COMPRESSION' })
      expect(packets.length, what).toBe(whole)
    }
    // Its checksum is the last that is looked at: every packet is there.
    const check = second.slice()
    check[check.length - 6]! ^= 1
    const { packets, error } = await readOutcome(join(first, check))
    expect([packets.length, error?.code]).toEqual([frames.length, 'PCAP_COMPRESSION'])
    // One that is cut off has what was in front.
    const cut = await readOutcome(join(first, second.subarray(0, 5)))
    expect([cut.packets.length, cut.error?.code]).toEqual([whole, 'PCAP_TRUNCATED'])
  })

  it('hands out what lies in front of a damaged place, to the byte', async () => {
    // Stored blocks: where the fault is in what was packed says where it is in what was not.
    const stored = Uint8Array.from(gzipSync(plain, { level: 0 }))
    let at = 10
    let unpacked = 0
    for (let number = 0; at < stored.length - 8; number++) {
      const length = stored[at + 1]! + (stored[at + 2]! << 8)
      if (number % 3 === 1) {
        const damaged = stored.slice()
        // The complement of the block's length.
        damaged[at + 3]! ^= 0xff
        const { packets, error } = await readOutcome(damaged)
        expect(error).toMatchObject({ code: 'PCAP_COMPRESSION', offset: unpacked })
        expect(packets.length).toBe(ends.filter((end) => end <= unpacked).length - 1)
      }
      at += 5 + length
      unpacked += length
    }
    expect(unpacked).toBe(plain.length)
  })

  it('refuses what is no capture when it is unpacked, and what is packed twice', async () => {
    expect((await readOutcome(gzipSync('hello'))).error).toMatchObject({ code: 'PCAP_FORMAT' })
    expect((await readOutcome(gzipSync(packed))).error).toMatchObject({ code: 'PCAP_FORMAT' })
    expect((await readOutcome(gzipSync(''))).error!.message).toContain('empty')
  })

  it.each([
    ['zstd', 'zstd -dc', [0x28, 0xb5, 0x2f, 0xfd, 4]],
    ['lz4', 'lz4 -dc', [4, 0x22, 0x4d, 0x18, 0x64]],
    ['lz4', 'lz4 -dc', [2, 0x21, 0x4c, 0x18, 9]],
    ['xz', 'xz -dc', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0]],
    ['bzip2', 'bzip2 -dc', [0x42, 0x5a, 0x68, 0x39]],
    ['lzip', 'lzip -dc', [0x4c, 0x5a, 0x49, 0x50, 1]],
    ['zip', 'unzip -p', [0x50, 0x4b, 3, 4, 20]],
    ['zstd or lz4', 'zstd -dc FILE, or lz4 -dc', [0x50, 0x2a, 0x4d, 0x18, 1]],
  ])('names %s, and what unpacks it', async (name, command, begins) => {
    const file = Uint8Array.of(...begins, ...new Uint8Array(40))
    for (const bytes of [file, file.subarray(0, begins.length), gzipSync(file)]) {
      const { error } = await readOutcome(Uint8Array.from(bytes))
      expect(error).toMatchObject({ code: 'PCAP_COMPRESSION', offset: 0 })
      expect(error!.message).toContain(`packed with ${name}`)
      expect(error!.remedy).toContain(`${command} FILE`)
    }
  })

  it('unpacks a bomb in bounded memory', async () => {
    // 256 MiB of zeros in a block that is passed over.
    const members = Array.from({ length: 16 }, () => gzipSync(new Uint8Array(16 << 20)))
    const length = (256 << 20) + 12
    const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)
    const section = u32(0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffff_ffff, 0xffff_ffff, 28)
    const bomb = join(gzipSync(join(section, u32(0xbad, length))), ...members, gzipSync(u32(length)))
    expect(bomb.length).toBeLessThan(300_000)
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    }, 5)
    const { error } = await readOutcome(bomb)
    clearInterval(watch)
    expect(error).toBeNull()
    expect(most).toBeLessThan(64 << 20)
  })
})

describe('files', () => {
  it('says which file can not be opened, and why', async () => {
    const path = joinPath(directory.path, 'no-such')
    const { error } = await readOutcome(path)
    expect(error).toMatchObject({ code: 'PCAP_IO', offset: -1, remedy: 'check the path' })
    expect(error!.message).toContain(`${path} can't be opened (ENOENT)`)
  })

  it('does not read directories', async () => {
    const path = joinPath(directory.path, 'directory')
    mkdirSync(path)
    const { error } = await readOutcome(path)
    expect(error).toMatchObject({ code: 'PCAP_IO', remedy: 'name a capture in it' })
  })

  it('does not read what it may not', async (context) => {
    if (process.getuid?.() !== 0) {
      console.log('skipped: what may not be read (not root)')
      context.skip()
    }
    const path = joinPath(directory.path, 'secret.pcap')
    writeFileSync(path, plain)
    chmodSync(path, 0o600)
    chmodSync(directory.path, 0o755)
    process.seteuid!(65_534)
    try {
      const { error } = await readOutcome(path)
      expect(error).toMatchObject({ code: 'PCAP_IO', remedy: 'it may be read by its owner only' })
      expect(error!.message).toContain('EACCES')
    } finally {
      process.seteuid!(0)
    }
    expect((await readOutcome(path)).packets.length).toBe(frames.length)
  })

  it('reads a file packed and as it is', async () => {
    for (const [name, bytes] of [
      ['plain.pcap', plain],
      ['packed.pcap.gz', gzipSync(plain)],
    ] as const) {
      const path = joinPath(directory.path, name)
      writeFileSync(path, bytes)
      const { packets, error } = await readOutcome(path)
      expect([packets.length, error]).toEqual([frames.length, null])
    }
  })
})

describe('standard input', () => {
  const child = fileURLToPath(new URL('../../support/child.mjs', import.meta.url))
  const script = fileURLToPath(new URL('read-stdin.ts', import.meta.url))
  const run = promisify(execFile)
  const read = async (bytes: Uint8Array, ...args: string[]): Promise<string> => {
    const running = run('node', [child, script, ...args])
    // It may stop reading before the end.
    running.child.stdin!.on('error', () => {}).end(bytes)
    return (await running).stdout
  }

  it('is read through a pipe, packed or not, and cut short', async () => {
    const cut = plain.subarray(0, ends[10]! + 5)
    const [whole, packed, short, nothing] = await Promise.all([
      read(plain),
      read(gzipSync(plain)),
      read(cut),
      read(new Uint8Array(0)),
    ])
    expect(whole).toBe('600 packets\n')
    expect(packed).toBe('600 packets\n')
    expect(short).toBe(`10 packets, PCAP_TRUNCATED at ${ends[10]}\n`)
    expect(nothing).toBe('0 packets, PCAP_FORMAT at 0\n')
  })

  it('is let go of when the reader is closed', async () => {
    // The pipe stays open: the process ends all the same.
    const running = run('node', [child, script, '3'], { timeout: 20_000 })
    running.child.stdin!.on('error', () => {}).write(plain)
    const { stdout } = await running
    expect(stdout).toBe('3 packets\n')
  })
})
