import { describe, expect, it } from 'vitest'
import { CapturedPacket } from '../../../pcap/file/packet.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { Blocks, frameOf, join, readOutcome } from './blocks.ts'

const FRAME = Uint8Array.of(1, 2, 3, 4, 5)
const encoder = new TextEncoder()

/** Reads to the end and leaves the reader as it is there. */
async function readAll(bytes: Uint8Array): Promise<{ reader: CaptureReader; packets: CapturedPacket[] }> {
  const reader = await CaptureReader.from(bytes)
  const packets: CapturedPacket[] = []
  const packet = new CapturedPacket()
  do while (reader.next(packet)) packets.push(packet.copy())
  while (await reader.fill())
  reader.close()
  return { reader, packets }
}

describe.each([true, false])('pcapng, little-endian: %s', (little) => {
  const b = new Blocks(little)
  const head = join(b.section(), b.device())

  it('reads enhanced packets with options', async () => {
    const options = [
      b.option(1, 'first'),
      b.option(2, b.u32(2)),
      b.option(4, b.u64(7n)),
      b.option(1, 'second\0behind'),
      b.endOfOptions,
      b.option(1, 'behind the end'),
    ]
    const { packets } = await readAll(join(head, b.enhanced(0, 1_500_000n, FRAME, 60, ...options)))
    expect(frameOf(packets[0]!)).toEqual(FRAME)
    expect(packets[0]).toMatchObject({
      seconds: 1,
      nanoseconds: 500_000_000,
      timed: true,
      length: 5,
      wireLength: 60,
      number: 1,
      offset: head.length,
      direction: 2,
      comments: ['first', 'second'],
    })
  })

  it('reads a packet without options, and one without bytes', async () => {
    const { packets } = await readAll(
      join(head, b.enhanced(0, 0n, FRAME), b.enhanced(0, 1n, new Uint8Array(0), 9)),
    )
    expect(packets.map(({ length, wireLength, comments }) => [length, wireLength, comments])).toEqual([
      [5, 5, []],
      [0, 9, []],
    ])
    expect(packets[1]!.nanoseconds).toBe(1000)
  })

  it('reads simple packets: of the first interface, cut to its snap length, with the time before', async () => {
    const bytes = join(
      b.section(),
      b.device(101, 4),
      b.device(1),
      b.simple(FRAME.subarray(0, 3)),
      b.enhanced(1, 2_000_000n, FRAME),
      b.simple(FRAME.subarray(0, 4), 1500),
    )
    const { packets } = await readAll(bytes)
    expect(packets).toMatchObject([
      { length: 3, wireLength: 3, timed: false, seconds: 0, interface: 0, linkType: 101 },
      { length: 5, wireLength: 5, timed: true, seconds: 2, interface: 1, linkType: 1 },
      { length: 4, wireLength: 1500, timed: false, seconds: 2, interface: 0, linkType: 101 },
    ])
    expect(frameOf(packets[2]!)).toEqual(FRAME.subarray(0, 4))
  })

  it('takes no more for a simple packet than its block has', async () => {
    const { packets } = await readAll(join(head, b.simple(new Uint8Array(8), 0xffff_ffff)))
    expect(packets[0]).toMatchObject({ length: 8, wireLength: 0xffff_ffff })
  })

  it('reads obsolete packets', async () => {
    const { packets } = await readAll(join(head, b.device(228), b.obsolete(1, 0xffff, 3_000_001n, FRAME)))
    expect(packets[0]).toMatchObject({
      interface: 1,
      linkType: 228,
      seconds: 3,
      nanoseconds: 1000,
      length: 5,
    })
    expect(frameOf(packets[0]!)).toEqual(FRAME)
  })

  it('reads what is said about interfaces', async () => {
    const { reader, packets } = await readAll(
      join(
        b.section(),
        b.device(1, 96, b.option(2, 'eth0'), b.option(3, 'the first'), b.option(9, Uint8Array.of(9))),
        b.device(113, 0, b.option(9, Uint8Array.of(0x8a)), b.option(14, b.u64(-5n)), b.option(77, 'unknown')),
        b.enhanced(0, 1_000_000_001n, FRAME),
        b.enhanced(1, 1024n * 8n + 512n, FRAME),
        b.block(5, b.u32(0, 0, 0), b.option(4, b.u64(10n)), b.option(5, b.u64(2n)), b.option(7, b.u64(3n))),
        b.block(5, b.u32(9, 0, 0), b.option(4, b.u64(10n))),
        b.block(5, b.u32(1, 0, 0)),
      ),
    )
    expect(reader.interfaces).toMatchObject([
      { linkType: 1, snapLength: 96, name: 'eth0', description: 'the first', received: 10, dropped: 5 },
      { linkType: 113, snapLength: 0, name: '', description: '', received: -1, dropped: -1 },
    ])
    expect(packets).toMatchObject([
      { interface: 0, seconds: 1, nanoseconds: 1 },
      { interface: 1, seconds: 3, nanoseconds: 500_000_000 },
    ])
  })

  it('reads what is said about the file', async () => {
    const options = [b.option(1, 'one'), b.option(2, 'PC'), b.option(3, 'Linux'), b.option(4, 'dumpcap')]
    const { reader } = await readAll(b.section(...options, b.option(1, 'two'), b.endOfOptions))
    expect(reader.section).toMatchObject({
      hardware: 'PC',
      os: 'Linux',
      application: 'dumpcap',
      comments: ['one', 'two'],
    })
  })

  it('reads names of addresses', async () => {
    const record = (kind: number, ...parts: Uint8Array[]): Uint8Array => {
      const value = join(...parts)
      return join(b.u16(kind, value.length), value, new Uint8Array(-value.length & 3))
    }
    const v4 = Uint8Array.of(192, 0, 2, 1)
    const v6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    const { reader } = await readAll(
      join(
        b.section(),
        b.block(
          4,
          record(1, v4, encoder.encode('a\0bc\0')),
          record(2, v6, encoder.encode('six\0')),
          record(9, encoder.encode('unknown')),
          record(1, v4.subarray(0, 3)),
          record(1, v4, encoder.encode('d')),
          b.u32(0),
          record(1, v4, encoder.encode('behind the end\0')),
        ),
      ),
    )
    expect([...reader.section.names]).toEqual([
      ['192.0.2.1', ['a', 'bc', 'd']],
      ['2001:db8:0:0:0:0:0:1', ['six']],
    ])
  })

  it('passes over blocks that it has no use for, and counts them', async () => {
    const types = [10, 0x0bad, 0x4000_0bad, 0x8000_0001, 0, 11]
    const others = types.flatMap((type, i) => [
      b.block(type, new Uint8Array(i * 8)),
      b.enhanced(0, 0n, FRAME),
    ])
    const { reader, packets } = await readAll(join(head, ...others))
    expect(packets.length).toBe(types.length)
    expect(reader.section.skippedBlocks).toBe(types.length)
  })

  it('keeps interfaces of sections apart, whatever their byte orders', async () => {
    const other = new Blocks(!little)
    const { reader, packets } = await readAll(
      join(
        b.section(b.option(4, 'a')),
        b.device(1),
        b.device(101),
        b.enhanced(1, 1_000_000n, FRAME),
        other.section(other.option(4, 'b')),
        other.device(113, 0, other.option(9, Uint8Array.of(3))),
        other.enhanced(0, 2_000n, FRAME, 70, other.option(2, other.u32(1))),
        b.section(),
      ),
    )
    expect(packets).toMatchObject([
      { interface: 1, linkType: 101, seconds: 1, number: 1 },
      { interface: 0, linkType: 113, seconds: 2, number: 2, wireLength: 70, direction: 1 },
    ])
    expect(reader.interfaces).toEqual([])
    expect(reader.section.application).toBe('')
  })

  describe('refuses', () => {
    const refused = async (fault: Uint8Array, words: string, at = 0): Promise<void> => {
      const front = join(head, b.enhanced(0, 0n, FRAME))
      const { packets, error } = await readOutcome(join(front, fault, b.enhanced(0, 0n, FRAME)))
      expect(packets.length).toBe(1)
      expect(error).toMatchObject({ code: 'PCAP_CORRUPT', offset: front.length + at })
      expect(error!.message).toContain(words)
    }
    const edited = (block: Uint8Array, at: number, value: number): Uint8Array => {
      const bytes = block.slice()
      bytes.set(b.u32(value), at)
      return bytes
    }
    const packet = b.enhanced(0, 0n, FRAME)

    it('lengths that are none', async () => {
      for (const length of [0, 8, 11, 13, 0xffff_ffff]) await refused(edited(packet, 4, length), 'a block of')
    })
    it('blocks that are too large', () => refused(edited(packet, 4, (16 << 20) + 4), 'is not believed'))
    it('lengths that differ', async () => {
      await refused(edited(packet, packet.length - 4, 44), 'the two lengths')
      const custom = b.block(0x0bad, new Uint8Array(8))
      await refused(edited(custom, custom.length - 4, 16), 'the two lengths', custom.length - 4)
    })
    it('packets that are larger than their block', async () => {
      for (const length of [9, 0x7fff_ffff, 0xffff_fffd, 0xffff_ffff])
        await refused(edited(packet, 20, length), 'a packet of')
    })
    it('packets that are larger than any', () =>
      refused(b.enhanced(0, 0n, new Uint8Array(262_145)), 'a packet of 262145'))
    it('large simple packets', () => refused(b.simple(new Uint8Array(262_145)), 'a packet of 262145'))
    it('interfaces that there are not', async () => {
      await refused(edited(packet, 8, 1), 'interface 1')
      await refused(edited(packet, 8, 0xffff_ffff), 'interface 4294967295')
      await refused(b.obsolete(1, 0, 0n, FRAME), 'interface 1')
    })
    it('blocks without room for their heads', async () => {
      await refused(b.block(6, new Uint8Array(16)), 'room')
      await refused(b.block(3), 'room')
      await refused(b.block(1, new Uint8Array(4)), 'room')
      await refused(b.block(5, new Uint8Array(8)), 'room')
      await refused(b.block(0x0a0d0d0a, b.u32(0x1a2b3c4d)), 'room')
    })
    it('options that do not fit', () => refused(b.device(1, 0, b.u16(2, 5), b.u32(0)), 'options'))
    it('byte orders that are none', () => refused(b.block(0x0a0d0d0a, new Uint8Array(16)), 'byte order'))
    it('other versions', async () => {
      const section = b.block(0x0a0d0d0a, b.u32(0x1a2b3c4d), b.u16(2, 0), b.u64(-1n))
      const { error } = await readOutcome(section)
      expect(error).toMatchObject({ code: 'PCAP_FORMAT', offset: 0 })
    })
    it('more interfaces than 65536', async () => {
      const devices = new Uint8Array(20 * 65_537)
      const one = b.device()
      for (let i = 0; i < 65_537; i++) devices.set(one, i * 20)
      const { error } = await readOutcome(join(b.section(), devices))
      expect(error).toMatchObject({ code: 'PCAP_CORRUPT', offset: 28 + 20 * 65_536 })
    })
  })
})

describe('what a file can make the reader keep', () => {
  const b = new Blocks(true)

  it('is 65536 names, soon found', async () => {
    // All of one address: each is added to those before.
    const record = join(b.u16(1, 6), Uint8Array.of(192, 0, 2, 1), encoder.encode('n\0'), b.u16(0))
    const records = new Uint8Array(70_000 * record.length)
    for (let at = 0; at < records.length; at += record.length) records.set(record, at)
    const { reader } = await readAll(join(b.section(), b.block(4, records)))
    expect(reader.section.names.get('192.0.2.1')!.length).toBe(65_536)
  })

  it('is 16 MiB of texts', async () => {
    const long = 'x'.repeat(60_000)
    const device = b.device(1, 0, b.option(2, long), b.option(3, long))
    const { reader } = await readAll(join(b.section(), ...Array.from({ length: 400 }, () => device)))
    const kept = reader.interfaces.reduce(
      (sum, { name, description }) => sum + name.length + description.length,
      0,
    )
    expect(reader.interfaces.length).toBe(400)
    expect(kept).toBeLessThanOrEqual(16 << 20)
    expect(kept).toBeGreaterThan(15 << 20)
  })
})
