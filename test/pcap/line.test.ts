import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { merge, packets } from '../../pcap/build/index.ts'
import { CaptureReader } from '../../pcap/file/reader.ts'
import { PacketLines, packetLine } from '../../pcap/line.ts'
import { optionsText } from '../../pcap/options-text.ts'
import { SequenceTracker } from '../../pcap/sequence-tracker.ts'

const FOUR = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const SIX = { client: '[2001:db8::1]:40000', server: '[2001:db8::2]:80' }

async function lines(file: Uint8Array): Promise<string[]> {
  const all = new PacketLines()
  const out: string[] = []
  for await (const packet of await CaptureReader.from(file)) out.push(all.next(packet))
  return out
}

describe('a line per packet', () => {
  it('says what a person wants to know, relative to the beginning', async () => {
    const capture = packets({ ...FOUR, isn: { client: 0xffff_ffff } })
      .handshake({ mss: 1460, sackPermitted: true, timestamps: true, windowScale: 7 })
      .client(100)
      .lose()
      .client(50)
      .ack('server', { sack: true, timestamps: false })
      .client({ seq: 1, data: 'x', flags: 'PUA', urgent: 1, timestamps: false, checksum: 'bad' })
      .client({ data: 'x', timestamps: false, checksum: 'partial' })
      .rst('server')
    expect(await lines(capture.pcapng())).toEqual([
      '1 0.000000 192.0.2.1:40000 > 192.0.2.2:80 [SYN] seq=0 win=65535 len=0 <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>',
      '2 0.000100 192.0.2.2:80 > 192.0.2.1:40000 [SYN, ACK] seq=0 ack=1 win=65535 len=0 <mss 1460,sackOK,TS val 500000 ecr 1000,nop,wscale 7>',
      '3 0.000200 192.0.2.1:40000 > 192.0.2.2:80 [ACK] seq=1 ack=1 win=65535 len=0 <nop,nop,TS val 1000 ecr 500000>',
      '4 0.000300 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=1 ack=1 win=65535 len=100 <nop,nop,TS val 1000 ecr 500000>',
      '5 0.000400 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=101 ack=1 win=65535 len=50 <nop,nop,TS val 1000 ecr 500000>',
      '6 0.000500 192.0.2.2:80 > 192.0.2.1:40000 [ACK] seq=1 ack=1 win=65535 len=0 <nop,nop,sack {101:151}>',
      '7 0.000600 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK, URG] seq=1 ack=1 win=65535 len=1 urg=1 checksum=bad',
      '8 0.000700 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=151 ack=1 win=65535 len=1 checksum=partial',
      '9 0.000800 192.0.2.2:80 > 192.0.2.1:40000 [RST, ACK] seq=1 ack=1 win=65535 len=0',
    ])
  })

  it('knows IPv6, fragments, cut packets and what is something else', async () => {
    const a = packets(SIX).client(100, { identification: 5 }).fragment(64).client(500).truncate(80)
    const b = packets({ ...FOUR, start: 1_700_000_001 })
      .client('', { ipLength: 40 })
      .mutate((bytes) => {
        bytes[23] = 17
        return undefined
      })
      .raw(new Uint8Array(60))
      .client('', { ipLength: 30 })
      .client('', { dataOffset: 60 })
    expect((await lines(merge(a, b).pcapng())).map((line) => line.replace(/^\d+ \S+ /, ''))).toEqual([
      '2001:db8::1 > 2001:db8::2 fragment id=5 offset=0 len=64 more',
      '2001:db8::1 > 2001:db8::2 fragment id=5 offset=64 len=56',
      '[2001:db8::1]:40000 > [2001:db8::2]:80 [PSH, ACK] seq=1 ack=1 win=65535 len=500 captured=6',
      '192.0.2.1 > 192.0.2.2 protocol 17',
      'not IP, 60 bytes',
      'malformed: lengths of IP or TCP contradict each other in 54 of 54 bytes',
      'malformed: lengths of IP or TCP contradict each other in 54 of 54 bytes',
    ])
  })

  it('has absolute numbers without a tracker, and a number and a time only when it is told', () => {
    const [frame] = packets(FOUR).syn().list
    const absolute = '192.0.2.1:40000 > 192.0.2.2:80 [SYN] seq=1000000 win=65535 len=0'
    expect(packetLine(frame!.bytes, 1)).toBe(absolute)
    expect(packetLine(frame!.bytes, 1, { number: 7, time: 1.5 })).toBe(`7 1.500000 ${absolute}`)
  })

  it('begins again when ports are used again, and in the middle of a connection', () => {
    const tracker = new SequenceTracker()
    const say = (flags: number, seq: number, ack: number, forth = 'a', back = 'b') =>
      tracker.learn({ forth, back, seq, ack, flags })
    expect(say(2, 100, 0)).toEqual({ sender: 100, receiver: 0 })
    expect(say(18, 500, 101, 'b', 'a')).toEqual({ sender: 500, receiver: 100 })
    expect(say(2, 9000, 0)).toEqual({ sender: 9000, receiver: 0 })
    expect(say(18, 7, 9001, 'b', 'a')).toEqual({ sender: 7, receiver: 9000 })
    expect(say(16, 77, 33, 'c', 'd')).toEqual({ sender: 76, receiver: 32 })
  })
})

describe('options', () => {
  it.each([
    [[2, 4, 5, 180, 4, 2, 3, 3, 7], 'mss 1460,sackOK,wscale 7'],
    [[1, 1, 0, 9, 9], 'nop,nop,eol'],
    [[2, 0, 1, 1], 'option 2 bad length'],
    [[8, 10, 0], 'option 8 bad length'],
    [[2], 'option 2 bad length'],
    [[2, 3, 0, 34, 2], 'option 2 3 bytes,fastopen 2 bytes'],
    [[5, 2], 'option 5 2 bytes'],
    [[], ''],
  ])('%j: %s', (bytes, text) => {
    expect(optionsText(Uint8Array.from(bytes), 0, bytes.length)).toBe(text)
  })
})

describe('any bytes', () => {
  it('give a line', () => {
    const link = fc.constantFrom(0, 1, 12, 101, 108, 113, 228, 276, 9999)
    const seed = packets(FOUR).syn({ mss: 1, timestamps: true }).client(30).fragment(16).list
    const mutated = fc
      .tuple(
        fc.nat(seed.length - 1),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
        fc.nat(80),
      )
      .map(([which, changes, length]) => {
        const bytes = seed[which]!.bytes.slice(0, Math.max(1, length))
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), mutated), link, (bytes, linkType) => {
        expect(packetLine(bytes, linkType, { tracker: new SequenceTracker() })).not.toBe('')
      }),
      { numRuns: 5000, seed: 7 },
    )
  })
})
