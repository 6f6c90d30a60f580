import { describe, expect, it } from 'vitest'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { frameOf, join, type PcapRecord, pcapFile, readOutcome, Words } from './blocks.ts'

const MICROSECONDS = 0xa1b2c3d4
const NANOSECONDS = 0xa1b23c4d
const MODIFIED = 0xa1b2cd34

const RECORDS: PcapRecord[] = [
  [1_700_000_000, 999_999, Uint8Array.of(1, 2, 3)],
  [0xffff_ffff, 0, new Uint8Array(0), 1500],
  [0, 1, Uint8Array.of(9), 1],
]

describe.each([
  { little: true, magic: MICROSECONDS, unit: 1000 },
  { little: false, magic: MICROSECONDS, unit: 1000 },
  { little: true, magic: NANOSECONDS, unit: 1 },
  { little: false, magic: NANOSECONDS, unit: 1 },
  { little: true, magic: MODIFIED, unit: 1000 },
  { little: false, magic: MODIFIED, unit: 1000 },
])('pcap, %o', ({ little, magic, unit }) => {
  it('reads packets, times, lengths and where they are', async () => {
    const { packets, error } = await readOutcome(pcapFile({ little, magic }, RECORDS))
    expect(error).toBeNull()
    const head = magic === MODIFIED ? 24 : 16
    let offset = 24
    packets.forEach((packet, i) => {
      const [seconds, fraction, bytes, wireLength = bytes.length] = RECORDS[i]!
      expect(frameOf(packet)).toEqual(bytes)
      expect(packet).toMatchObject({
        seconds,
        nanoseconds: fraction * unit,
        length: bytes.length,
        wireLength,
        timed: true,
        interface: 0,
        linkType: 1,
        number: i + 1,
        offset,
        direction: 0,
        comments: [],
      })
      offset += head + bytes.length
    })
    expect(packets.length).toBe(3)
  })

  it('carries a fraction of a second or more over', async () => {
    const { packets } = await readOutcome(pcapFile({ little, magic }, [[5, 3_000_000_007, Uint8Array.of(1)]]))
    const nanoseconds = 5e9 + 3_000_000_007 * unit
    expect(packets[0]).toMatchObject({
      seconds: Math.floor(nanoseconds / 1e9),
      nanoseconds: nanoseconds % 1e9,
    })
  })

  it('does not believe a packet of more than 262144 bytes', async () => {
    const bytes = new Uint8Array(262_144)
    expect((await readOutcome(pcapFile({ little, magic }, [[0, 0, bytes]]))).packets.length).toBe(1)
    const larger = pcapFile({ little, magic }, [
      [0, 0, Uint8Array.of(1)],
      [0, 0, new Uint8Array(262_145)],
    ])
    const { packets, error } = await readOutcome(larger)
    expect(packets.length).toBe(1)
    expect(error).toMatchObject({ code: 'PCAP_CORRUPT', offset: 24 + (magic === MODIFIED ? 24 : 16) + 1 })
  })
})

describe('the header of pcap', () => {
  it('describes the only interface, without the bits above the link type', async () => {
    const reader = await CaptureReader.from(pcapFile({ linkType: 0x1400_0071, snapLength: 96 }, []))
    expect(reader.format).toBe('pcap')
    expect(reader.compressed).toBe(false)
    expect(reader.interfaces).toMatchObject([{ linkType: 113, snapLength: 96, name: '', dropped: -1 }])
    expect(reader.section.skippedBlocks).toBe(0)
    expect(reader.offset).toBe(24)
    reader.close()
  })

  it('takes a wire length below the captured length for that', async () => {
    const { packets } = await readOutcome(pcapFile({}, [[0, 0, new Uint8Array(60), 20]]))
    expect(packets[0]).toMatchObject({ length: 60, wireLength: 60 })
  })

  it('refuses other versions, other files, and nothing at all', async () => {
    expect((await readOutcome(pcapFile({ major: 3 }, []))).error).toMatchObject({
      code: 'PCAP_FORMAT',
      offset: 4,
      remedy: 'convert it with editcap',
    })
    const text = new TextEncoder().encode('GET / HTTP/1.1\r\nHost: example\r\n\r\n')
    for (const bytes of [text, text.subarray(0, 3), new Words(true).u32(0xa1b2c3d5), new Uint8Array(64)]) {
      const { error } = await readOutcome(bytes)
      expect(error).toMatchObject({ code: 'PCAP_FORMAT', offset: 0 })
      expect(error!.message).toContain('neither pcap nor pcapng')
    }
    const { error } = await readOutcome(new Uint8Array(0))
    expect(error!.message).toContain('the file is empty')
  })

  it('may come alone', async () => {
    expect(await readOutcome(pcapFile({}, []))).toEqual({ packets: [], error: null })
    const { error } = await readOutcome(join(pcapFile({}, []), Uint8Array.of(1)))
    expect(error).toMatchObject({ code: 'PCAP_TRUNCATED', offset: 24 })
  })
})
