import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ArgumentError } from '../../../errors.ts'
import {
  type CaptureSink,
  FileSink,
  MemorySink,
  PcapngWriter,
  type PcapngWriterOptions,
  PcapWriter,
} from '../../../pcap/file/writer.ts'
import { capinfos, noCaptureTools, packetFields } from '../../support/capture-tools.ts'
import { captureDirectory } from '../../support/tshark.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: reading files back (${missing})`)
const directory = captureDirectory()
afterAll(() => directory.remove())

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function frame(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + seed) & 0xff
  // An EtherType of the local experiments: nothing tshark would dissect.
  bytes[12] = 0x88
  bytes[13] = 0xb5
  return bytes
}

describe('PcapngWriter, byte for byte', () => {
  const write = (options: PcapngWriterOptions) => {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink, { os: 'os', ...options })
    writer.addInterface({ linkType: 1, snapLength: 128, name: 'eth0' })
    writer.packet(0, 1, 5, Uint8Array.of(9, 1, 2, 3, 4, 5, 9), {
      at: 1,
      length: 5,
      originalLength: 60,
      direction: 2,
      comment: 'why',
      dropCount: 3,
    })
    writer.close()
    return hex(sink.bytes())
  }

  it('writes little-endian', () => {
    expect(write({})).toBe(
      [
        // Section header: type, length, magic, version 1.0, section length -1, options, length.
        '0a0d0d0a' + '30000000' + '4d3c2b1a' + '01000000' + 'ffffffffffffffff',
        '03000200' + '6f730000' + '04000400' + '7a637278' + '00000000' + '30000000',
        // Interface: Ethernet, snap length 128, name, nanoseconds.
        '01000000' + '28000000' + '01000000' + '80000000',
        '02000400' + '65746830' + '09000100' + '09000000' + '00000000' + '28000000',
        // Packet: interface 0, upper and lower half of 1000000005 ns, 5 of 60 bytes, flags, drop count, comment.
        '06000000' + '48000000' + '00000000' + '00000000' + '05ca9a3b' + '05000000' + '3c000000',
        '0102030405000000' + '02000400' + '02000000' + '04000800' + '0300000000000000',
        '01000300' + '77687900' + '00000000' + '48000000',
      ].join(''),
    )
  })

  it('writes big-endian', () => {
    expect(write({ bigEndian: true })).toBe(
      [
        '0a0d0d0a' + '00000030' + '1a2b3c4d' + '00010000' + 'ffffffffffffffff',
        '00030002' + '6f730000' + '00040004' + '7a637278' + '00000000' + '00000030',
        '00000001' + '00000028' + '00010000' + '00000080',
        '00020004' + '65746830' + '00090001' + '09000000' + '00000000' + '00000028',
        '00000006' + '00000048' + '00000000' + '00000000' + '3b9aca05' + '00000005' + '0000003c',
        '0102030405000000' + '00020004' + '00000002' + '00040008' + '0000000000000003',
        '00010003' + '77687900' + '00000000' + '00000048',
      ].join(''),
    )
  })

  it('writes simple packets, names, secrets and other blocks', () => {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink)
    writer.addInterface({ linkType: 1, snapLength: 2 })
    const before = writer.length
    writer.simplePacket(Uint8Array.of(1, 2), 0, 2, 9)
    writer.nameResolution([{ address: Uint8Array.of(192, 0, 2, 1), names: ['a', 'bc'] }])
    writer.secrets(0x544c_534b, Uint8Array.of(0x41))
    writer.rawBlock(0x8000_0001, Uint8Array.of(1, 2, 3))
    writer.close()
    expect(hex(sink.bytes().subarray(before))).toBe(
      [
        '03000000' + '14000000' + '09000000' + '01020000' + '14000000',
        '04000000' + '20000000' + '01000900' + 'c0000201' + '61006263' + '00000000' + '00000000' + '20000000',
        '0a000000' + '18000000' + '4b534c54' + '01000000' + '41000000' + '18000000',
        '01000080' + '10000000' + '01020300' + '10000000',
      ].join(''),
    )
    expect(writer.length).toBe(sink.bytes().length)
  })

  it('writes what an interface counted', () => {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink)
    writer.addInterface({ linkType: 1 })
    const before = writer.length
    const time = { seconds: 1, nanoseconds: 5 }
    writer.statistics(0, { time, end: time, received: 2 ** 32 + 7, interfaceDrops: 3, delivered: 4 })
    writer.close()
    expect(hex(sink.bytes().subarray(before))).toBe(
      [
        '05000000' + '4c000000' + '00000000' + '00000000' + '05ca9a3b',
        '03000800' + '00000000' + '05ca9a3b',
        '04000800' + '0700000001000000' + '05000800' + '0300000000000000',
        '08000800' + '0400000000000000' + '00000000' + '4c000000',
      ].join(''),
    )
  })

  it('splits times exactly into two halves', () => {
    for (const [seconds, nanoseconds] of [
      [0, 0],
      [4, 294_967_295],
      [4, 294_967_296],
      [1_800_000_000, 999_999_999],
      [9_007_199_254, 740_993_000],
      [18_446_744_072, 999_999_999],
    ] as const) {
      const sink = new MemorySink()
      const writer = new PcapngWriter(sink)
      writer.addInterface({ linkType: 1 })
      const at = writer.length
      writer.packet(0, seconds, nanoseconds, Uint8Array.of(1))
      writer.close()
      const view = new DataView(sink.bytes().buffer)
      const ticks = (BigInt(view.getUint32(at + 12, true)) << 32n) | BigInt(view.getUint32(at + 16, true))
      expect(ticks).toBe(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))
    }
  })
})

describe('PcapWriter, byte for byte', () => {
  it.each([
    [true, false, 'a1b23c4d', '3b9ac9ff'],
    [false, false, 'a1b2c3d4', '000f423f'],
    [true, true, 'a1b23c4d', '3b9ac9ff'],
  ])('nanoseconds %s, big-endian %s', (nanoseconds, bigEndian, magic, fraction) => {
    const sink = new MemorySink()
    const writer = new PcapWriter(sink, { linkType: 101, snapLength: 96, nanoseconds, bigEndian })
    writer.packet(0xffff_ffff, 999_999_999, Uint8Array.of(1, 2, 3), 1, 2, 70)
    writer.close()
    const word = (value: string) => (bigEndian ? value : (value.match(/../g) as string[]).reverse().join(''))
    const version = bigEndian ? '00020004' : '02000400'
    expect(hex(sink.bytes())).toBe(
      [
        word(magic) + version + '00000000'.repeat(2) + word('00000060') + word('00000065'),
        word('ffffffff') + word(fraction),
        word('00000002') + word('00000046'),
        '0203',
      ].join(''),
    )
  })
})

describe('pieces and buffers', () => {
  it.each([PcapngWriter, PcapWriter])('a packet in pieces is the packet: %o', (Writer) => {
    const bytes = frame(70_000)
    const whole = new MemorySink()
    const pieces = new MemorySink()
    for (const sink of [whole, pieces]) {
      // Smaller than the packet: the buffer has to grow with a block open.
      const options = { linkType: 1, bufferBytes: 1024 }
      const writer = Writer === PcapngWriter ? new PcapngWriter(sink, options) : new PcapWriter(sink, options)
      const index = writer instanceof PcapngWriter ? [writer.addInterface({ linkType: 1 })] : []
      for (let round = 0; round < 3; round++) {
        if (sink === whole) {
          if (writer instanceof PcapngWriter) writer.packet(0, 5, 6, bytes)
          else writer.packet(5, 6, bytes)
        } else {
          ;(writer.begin as (...args: number[]) => void)(...index, 5, 6, bytes.length)
          for (let at = 0; at < bytes.length; at += 999)
            writer.append(bytes, at, Math.min(999, bytes.length - at))
          writer.end()
        }
      }
      expect(writer.length).toBeGreaterThan(210_000)
      writer.close()
      expect(writer.length).toBe(sink.bytes().length)
    }
    expect(Buffer.compare(pieces.bytes(), whole.bytes())).toBe(0)
  })

  it('hands over whole blocks only, and nothing before the buffer is full or flushed', () => {
    const parts: number[] = []
    const sink: CaptureSink = { write: (bytes) => parts.push(bytes.length) }
    const writer = new PcapngWriter(sink, { bufferBytes: 4096 })
    writer.addInterface({ linkType: 1 })
    expect(parts).toEqual([])
    writer.flush()
    const head = writer.length
    expect(parts).toEqual([head])
    for (let i = 0; i < 10; i++) writer.packet(0, 0, 0, frame(1000))
    expect(parts).toEqual([head, 1032 * 3, 1032 * 3, 1032 * 3])
    writer.begin(0, 0, 0, 1000)
    writer.append(frame(500))
    writer.flush()
    expect(parts.at(-1)).toBe(1032)
    writer.append(frame(500))
    writer.end()
    writer.close()
    expect(parts.at(-1)).toBe(1032)
    expect(parts.reduce((sum, part) => sum + part)).toBe(writer.length)
  })

  it('forgets the packet that a failing sink interrupts, and keeps what is whole', () => {
    const sink = new MemorySink()
    let full = false
    const writer = new PcapngWriter(
      {
        write: (bytes) => {
          if (full) throw new Error('full')
          sink.write(bytes)
        },
      },
      { bufferBytes: 1024 },
    )
    writer.addInterface({ linkType: 1 })
    writer.packet(0, 0, 0, frame(600, 1))
    full = true
    expect(() => writer.packet(0, 0, 0, frame(600, 2))).toThrow('full')
    expect(() => writer.flush()).toThrow('full')
    full = false
    writer.packet(0, 0, 0, frame(600, 3))
    writer.close()
    const bytes = Buffer.from(sink.bytes())
    expect([1, 2, 3].map((seed) => bytes.includes(Buffer.from(frame(600, seed))))).toEqual([
      true,
      false,
      true,
    ])
  })

  it('cuts a long comment between characters', () => {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink)
    writer.addInterface({ linkType: 1 })
    const at = writer.length
    writer.packet(0, 0, 0, Uint8Array.of(1, 2, 3, 4), { comment: `x${'é'.repeat(40_000)}` })
    writer.close()
    const view = new DataView(sink.bytes().buffer)
    expect(view.getUint16(at + 34, true)).toBe(65_535)
    expect(sink.bytes().subarray(at + 36 + 65_533, at + 36 + 65_537)).toEqual(Uint8Array.of(0xc3, 0xa9, 0, 0))
  })

  it('refuses what a file can not hold', () => {
    const writer = new PcapngWriter(new MemorySink())
    const one = Uint8Array.of(1)
    expect(() => writer.packet(0, 0, 0, one)).toThrow(/no interface 0/)
    expect(() => writer.simplePacket(one)).toThrow(ArgumentError)
    writer.addInterface({ linkType: 1 })
    for (const [seconds, nanoseconds] of [
      [-1, 0],
      [0.5, 0],
      [Number.NaN, 0],
      [18_446_744_073, 0],
      [0, 1e9],
      [0, -1],
    ] as const)
      expect(() => writer.packet(0, seconds, nanoseconds, one)).toThrow(ArgumentError)
    expect(() => writer.packet(0, 0, 0, one, { at: 1, length: 1 })).toThrow(ArgumentError)
    expect(() => writer.packet(0, 0, 0, new Uint8Array(262_145))).toThrow(/more than 262144/)
    expect(() => writer.end()).toThrow(/no packet is open/)
    expect(() => writer.simplePacket(one, 0, 1, 2)).toThrow(ArgumentError)
    expect(() => writer.nameResolution([{ address: one, names: [] }])).toThrow(ArgumentError)
    const name = 'n'.repeat(40_000)
    expect(() => writer.nameResolution([{ address: new Uint8Array(4), names: [name, name] }])).toThrow(
      ArgumentError,
    )
    writer.begin(0, 0, 0, 1)
    expect(() => writer.packet(0, 0, 0, one)).toThrow(/a packet is open/)
    writer.end()
    writer.close()
    writer.close()
    expect(() => writer.packet(0, 0, 0, one)).toThrow(/closed/)
  })
})

describe('FileSink', () => {
  it('tells what open(2) says', () => {
    expect(() => new FileSink(join(directory.path, 'missing', 'file'))).toThrow(/ENOENT/)
  })

  it('tells what write(2) says', () => {
    const writer = new PcapngWriter(new FileSink('/dev/full'))
    expect(() => writer.flush()).toThrow(/ENOSPC/)
    expect(() => writer.close()).toThrow(/ENOSPC/)
  })

  it('closes its descriptor, once', () => {
    const path = join(directory.path, 'closed')
    const probe = openSync('/dev/null', 'r')
    closeSync(probe)
    const sink = new FileSink(path)
    sink.write(Uint8Array.of(1, 2, 3))
    sink.close()
    sink.close()
    const again = openSync('/dev/null', 'r')
    closeSync(again)
    expect(again).toBe(probe)
    expect([...readFileSync(path)]).toEqual([1, 2, 3])
  })
})

describe.skipIf(missing !== undefined)('read back by Wireshark', () => {
  it.each([false, true])('pcapng, big-endian %s', (bigEndian) => {
    const file = join(directory.path, `back-${bigEndian}.pcapng`)
    const writer = new PcapngWriter(new FileSink(file), { bigEndian })
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1)
    writer.addInterface({
      linkType: 1,
      name: 'zc0',
      description: 'a test',
      mac,
      filter: 'tcp',
      snapLength: 100,
    })
    writer.addInterface({ linkType: 1, name: 'zc1' })
    writer.packet(0, 1_700_000_000, 123_456_789, frame(60), { direction: 1, comment: 'one' })
    writer.packet(1, 1_700_000_000, 999_999_999, frame(1500), {
      length: 100,
      originalLength: 1500,
      direction: 2,
      comment: ['two', 'zwei ü'],
    })
    writer.packet(0, 1_700_000_001, 0, frame(61), { dropCount: 5_000_000_000 })
    const time = { seconds: 1_700_000_002, nanoseconds: 1 }
    writer.statistics(0, {
      time,
      start: time,
      end: time,
      received: 2 ** 40,
      interfaceDrops: 7,
      osDrops: 1,
      delivered: 2,
    })
    writer.close()
    const { rows, complaint } = packetFields(
      file,
      'frame.time_epoch',
      'frame.cap_len',
      'frame.len',
      'frame.interface_name',
      'frame.packet_flags_direction',
      'frame.comment',
      'frame.drop_count',
    )
    expect(complaint).toBe('')
    expect(rows.map((row) => [...row, ...Array(7 - row.length).fill('')])).toEqual([
      ['1700000000.123456789', '60', '60', 'zc0', '0x00000001', 'one', ''],
      ['1700000000.999999999', '100', '1500', 'zc1', '0x00000002', 'two,zwei ü', ''],
      ['1700000001.000000000', '61', '61', 'zc0', '', '', '5000000000'],
    ])
    const infos = capinfos(file)
    expect(infos).toMatchObject({
      'Number of packets': '3',
      'Number of interfaces in file': '2',
      'Capture application': 'zcrx',
      'File timestamp precision': 'nanoseconds (9)',
      'Number of stat entries': '1',
    })
  })

  it.each([
    [true, false],
    [true, true],
    [false, false],
    [false, true],
  ])('pcap, nanoseconds %s, big-endian %s', (nanoseconds, bigEndian) => {
    const file = join(directory.path, `back-${nanoseconds}-${bigEndian}.pcap`)
    const writer = new PcapWriter(new FileSink(file), { linkType: 1, nanoseconds, bigEndian })
    writer.packet(1_700_000_000, 123_456_789, frame(60))
    writer.packet(1_700_000_001, 1000, frame(1500), 0, 100, 1500)
    writer.close()
    const { rows, complaint } = packetFields(file, 'frame.time_epoch', 'frame.cap_len', 'frame.len')
    expect(complaint).toBe('')
    expect(rows.map(([time, ...rest]) => [time!.padEnd(20, '0'), ...rest])).toEqual([
      [nanoseconds ? '1700000000.123456789' : '1700000000.123456000', '60', '60'],
      ['1700000001.000001000', '100', '1500'],
    ])
    expect(capinfos(file)['Number of packets']).toBe('2')
  })
})
