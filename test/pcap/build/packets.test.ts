import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decode } from 'ip-packet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Capture, merge, packets, pattern } from '../../../pcap/build/index.ts'
import { tshark } from '../../support/tshark.ts'

const FOUR = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const SIX = { client: '[2001:db8::1]:40000', server: '[2001:db8::2]:80' }
const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'zcrx-build-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

/** What tshark says of each packet, one array of fields each. */
function fields(capture: Capture | Uint8Array, names: string[], ...more: string[]): string[][] {
  const file = join(directory, 'x.pcapng')
  writeFileSync(file, capture instanceof Uint8Array ? capture : capture.pcapng())
  const wanted = names.flatMap((name) => ['-e', name])
  return tshark(file, ...more, '-o', 'tcp.relative_sequence_numbers:TRUE', '-T', 'fields', ...wanted).map(
    (line) => line.split('\t'),
  )
}

const FAULTS = ['_ws.malformed', 'tcp.checksum.status', 'ip.checksum.status']

describe('a conversation', () => {
  it.each([FOUR, SIX])('has the numbers that a connection has: $client', (ends) => {
    const capture = packets(ends)
      .handshake(OFFERS)
      .client('hello')
      .server(2000, { after: 1500 })
      .ack()
      .close('client')
    expect(
      fields(capture, ['tcp.flags.str', 'tcp.seq', 'tcp.ack', 'tcp.len', 'frame.time_relative']),
    ).toEqual([
      ['··········S·', '0', '0', '0', '0.000000000'],
      ['·······A··S·', '0', '1', '0', '0.000100000'],
      ['·······A····', '1', '1', '0', '0.000200000'],
      ['·······AP···', '1', '1', '5', '0.000300000'],
      ['·······AP···', '1', '6', '2000', '0.001800000'],
      ['·······A····', '6', '2001', '0', '0.001900000'],
      ['·······A···F', '6', '2001', '0', '0.002000000'],
      ['·······A···F', '2001', '7', '0', '0.002100000'],
      ['·······A····', '7', '2002', '0', '0.002200000'],
    ])
    const checks = fields(capture, FAULTS)
    expect(checks.every(([malformed, tcp, ip]) => malformed === '' && tcp === '1' && ip !== '0')).toBe(true)
  })

  it('has the options of Linux, in its order', () => {
    const capture = packets(FOUR).handshake(OFFERS).client('x', { after: 5000 })
    const names = ['tcp.option_kind', 'tcp.options.mss_val', 'tcp.options.wscale.shift']
    expect(fields(capture, [...names, 'tcp.options.timestamp.tsval', 'tcp.options.timestamp.tsecr'])).toEqual(
      [
        ['2,4,8,1,3', '1460', '7', '1000', '0'],
        ['2,4,8,1,3', '1460', '7', '500000', '1000'],
        ['1,1,8', '', '', '1000', '500000'],
        ['1,1,8', '', '', '1005', '500000'],
      ],
    )
  })

  it('has each option alone, and what a script writes itself', () => {
    const capture = packets(FOUR)
      .syn({ sackPermitted: true })
      .synAck({ windowScale: 3, timestamps: [0xffff_fffe, 7] })
      .client({ options: Uint8Array.of(254, 5, 1, 2, 3) })
    const names = ['tcp.option_kind', 'tcp.hdr_len', 'tcp.options.timestamp.tsval']
    expect(fields(capture, names)).toEqual([
      ['1,1,4', '24', ''],
      ['1,1,8,1,3', '36', '4294967294'],
      ['254,0,0,0', '28', ''],
    ])
  })

  it('wraps sequence numbers and timestamps', () => {
    const capture = packets({ ...FOUR, isn: { client: 0xffff_fff0 }, clock: { client: 0xffff_fffe } })
      .handshake({ timestamps: true })
      .client(100, { after: 5000 })
      .server('', {})
    expect(fields(capture, ['tcp.seq_raw', 'tcp.ack_raw', 'tcp.options.timestamp.tsval']).slice(3)).toEqual([
      ['4294967281', '2000001', '3'],
      ['2000001', '85', '500005'],
    ])
  })

  it('acknowledges what has arrived in order, and says what has beyond', () => {
    const capture = packets(FOUR)
      .handshake(OFFERS)
      .client(100)
      .lose()
      .client(100)
      .ack('server', { sack: true })
      .client(100)
      .lose()
      .client(50)
      .ack('server', { sack: true })
      .client({ seq: 1, data: 100 })
      .ack('server', { sack: true })
      .client({ seq: 201, data: 100 })
      .ack('server', { sack: true })
    const names = ['tcp.ack', 'tcp.options.sack_le', 'tcp.options.sack_re']
    expect(fields(capture, names, '-Y', 'tcp.srcport == 80').slice(1)).toEqual([
      ['1', '101', '201'],
      ['1', '301,101', '351,201'],
      ['201', '301', '351'],
      ['351', '', ''],
    ])
  })

  it('leaves out, repeats and reorders', () => {
    const capture = packets(FOUR)
      .handshake()
      .client('a')
      .drop()
      .client('b')
      .repeat()
      .client('c')
      .hold('c')
      .client('d')
      .ack('server')
      .release('c', { after: 1000 })
      .ack('server')
    expect(fields(capture, ['tcp.seq', 'tcp.len', 'tcp.ack']).slice(3)).toEqual([
      ['2', '1', '1'],
      ['2', '1', '1'],
      ['4', '1', '1'],
      ['1', '0', '3'],
      ['3', '1', '1'],
      ['1', '0', '5'],
    ])
    expect(() => packets(FOUR).syn().drop().repeat()).toThrow('no packet before')
    expect(() => packets(FOUR).release('x')).toThrow('nothing is held as x')
  })

  it('sends again what was lost', () => {
    const capture = packets(FOUR).handshake().client('a').lose().ack('server').client('b').lose().repeat()
    expect(fields(capture.ack('server'), ['tcp.ack']).map(String)).toEqual([
      '0',
      '1',
      '1',
      '1',
      '1',
      '1',
      '1',
      '1',
    ])
    const again = packets(FOUR).handshake().client('a').lose().repeat().ack('server')
    expect(fields(again, ['tcp.ack']).at(-1)).toEqual(['2'])
  })

  it('takes every field of a segment', () => {
    const capture = packets(FOUR)
      .handshake()
      .client({ seq: 6, data: 'x', flags: 'PU', urgent: 1, window: 9, ack: 1 })
    const names = ['tcp.seq', 'tcp.flags', 'tcp.urgent_pointer', 'tcp.window_size_value', 'tcp.ack_raw']
    expect(fields(capture, names).at(-1)).toEqual(['6', '0x0028', '1', '9', '2000001'])
    const ip = packets(FOUR).syn({
      ttl: 3,
      trafficClass: 0xb9,
      identification: 77,
      dontFragment: false,
      ipOptions: Uint8Array.of(1, 1, 1, 0),
    })
    const names4 = ['ip.ttl', 'ip.dsfield', 'ip.id', 'ip.flags.df', 'ip.hdr_len', 'tcp.dstport']
    expect(fields(ip, names4)).toEqual([['3', '0xb9', '0x004d', '0', '24', '80']])
    const ip6 = packets(SIX).syn({
      ttl: 9,
      flowLabel: 0x12345,
      extensions: [[0, new Uint8Array([0, 0, 1, 4])]],
    })
    // An extension header of 4 bytes says that it has 8: Wireshark has to stumble over the rest.
    expect(fields(ip6, ['ipv6.hlim', 'ipv6.flow', 'ipv6.nxt'])[0]!.slice(0, 3)).toEqual([
      '9',
      '0x012345',
      '0',
    ])
    const hop = packets(SIX).syn({ extensions: [[0, Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0)]] })
    expect(fields(hop, ['ipv6.hopopts.nxt', 'tcp.dstport'])).toEqual([['6', '80']])
  })
})

describe('checksums', () => {
  it.each([FOUR, SIX])('are good, bad or partial: $client', (ends) => {
    const capture = packets(ends).syn().syn({ checksum: 'bad' }).syn({ checksum: 'partial' })
    // 1 good, 0 bad; Wireshark 4 knows the partial one and says so in the tree only.
    const status = fields(capture, ['tcp.checksum.status']).map(String)
    expect(status.slice(0, 2)).toEqual(['1', '0'])
    const [frame] = packets(ends).syn({ checksum: 'partial' }).list
    const head = ends === FOUR ? 34 : 54
    const tcp = frame!.bytes.subarray(head)
    // Finishing it is what the device does: the sum over the segment, field included, complemented.
    const sum = ((tcp.length % 2) + tcp.reduce((s, byte, i) => s + (i % 2 === 0 ? byte << 8 : byte), 0)) >>> 0
    let folded = sum
    while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16)
    const good = packets(ends).syn().list[0]!.bytes.subarray(head)
    expect(~folded & 0xffff).toBe((good[16]! << 8) | good[17]!)
  })

  it('are those that ip-packet finds in the headers', () => {
    for (const { bytes } of packets(FOUR).handshake(OFFERS).client('hello').fragment(16).list) {
      const buffer = Buffer.from(bytes.subarray(14))
      const packet = decode({ start: 0, end: buffer.length, buffer })
      expect(packet).toMatchObject({ version: 4, sourceIp: expect.stringContaining('192.0.2.'), protocol: 6 })
      expect(packet.length).toBe(buffer.length)
    }
  })
})

describe('fragments', () => {
  it.each([FOUR, SIX])('are put together by Wireshark, in any order: $client', (ends) => {
    const capture = packets(ends)
      .handshake()
      .client(1000)
      .fragment(400, { order: [2, 0, 1] })
    const wanted = ['frame.number', 'tcp.len', 'tcp.checksum.status', 'tcp.payload']
    const last = fields(capture, wanted).at(-1)!
    expect(last.slice(0, 3)).toEqual(['6', '1000', '1'])
    expect(last[3]).toBe(Buffer.from(pattern('client', 0, 1000)).toString('hex'))
  })

  it('can be lost, repeated and mutated together', () => {
    const capture = packets(FOUR).syn().client(16).fragment(24).lose().ack('server').repeat().truncate(40)
    expect(capture.list.map(({ bytes }) => bytes.length)).toEqual([54, 58, 46, 54, 40])
    const twice = packets(FOUR).syn().client(16).fragment(24).lose().repeat().truncate(40).ack('server')
    expect(twice.list.map(({ bytes }) => bytes.length)).toEqual([54, 58, 46, 40, 40, 54])
    expect(fields(twice, ['tcp.ack_raw']).at(-1)).toEqual(['1000017'])
  })

  it('can be missing and come twice', () => {
    const capture = packets(FOUR)
      .client(1000)
      .fragment(400, { order: [0, 0, 2] })
    // Wireshark 4.0 shows the field, in units of 8 bytes.
    const names = ['ip.flags.mf', 'ip.frag_offset']
    expect(fields(capture, names)).toEqual([
      ['1', '0'],
      ['1', '0'],
      ['0', '100'],
    ])
    expect(() => packets(FOUR).client(9).fragment(12)).toThrow('multiple of 8')
    expect(() =>
      packets(FOUR)
        .client(9)
        .fragment(16, { order: [5] }),
    ).toThrow('no fragment 5')
  })
})

describe('links', () => {
  const link = ['frame.protocols', 'vlan.id', 'tcp.dstport', 'pppoe.session_id']
  const cases = [
    [{ link: 'ethernet' as const }, 'eth:ethertype:ip:tcp', '', ''],
    [{ vlan: [7] }, 'eth:ethertype:vlan:ethertype:ip:tcp', '7', ''],
    [{ vlan: [100, 7] }, 'eth:ethertype:ieee8021ad:ethertype:vlan:ethertype:ip:tcp', '7', ''],
    [{ pppoe: 0x1234 }, 'eth:ethertype:pppoes:ppp:ip:tcp', '', '0x1234'],
    [{ vlan: [9], pppoe: 1 }, 'eth:ethertype:vlan:ethertype:pppoes:ppp:ip:tcp', '9', '0x0001'],
    [{ link: 'sll' as const }, 'sll:ethertype:ip:tcp', '', ''],
    [{ link: 'sll2' as const }, 'sll:ethertype:ip:tcp', '', ''],
    [{ link: 'sll2' as const, vlan: [5] }, 'sll:ethertype:vlan:ethertype:ip:tcp', '5', ''],
    [{ link: 'raw' as const }, 'raw:ip:tcp', '', ''],
    [{ link: 'null' as const }, 'null:ip:tcp', '', ''],
    [{ link: 'loop' as const }, 'null:ip:tcp', '', ''],
  ] as const

  /** Of each case, of IPv4 and IPv6, what tshark says of the pcapng and of the pcap: it is asked once about all of them. */
  let seen: string[][] = []
  beforeAll(() => {
    const files = cases.flatMap(([options], i) =>
      [FOUR, SIX].flatMap((ends, j) => {
        const capture = packets({ ...ends, ...options }).syn()
        return [capture.pcapng(), capture.pcap()].map((bytes, k) => {
          const file = join(directory, `link-${i}-${j}-${k}`)
          writeFileSync(file, bytes)
          return file
        })
      }),
    )
    const all = join(directory, 'links.pcapng')
    execFileSync('mergecap', ['-a', '-w', all, ...files], { stdio: 'ignore' })
    seen = fields(readFileSync(all), link)
  })

  it.each(cases.map((one, i) => [one[0], i] as const))('%j', (_, i) => {
    expect(seen.length).toBe(4 * cases.length)
    const [, protocols, vlan, session] = cases[i]!
    for (const [j, ends] of [FOUR, SIX].entries()) {
      const [pcapng, pcap] = seen.slice(4 * i + 2 * j)
      const expected = [ends === FOUR ? protocols : protocols.replace('ip:', 'ipv6:'), vlan, '80', session]
      expect(pcapng).toEqual(expected)
      expect(pcap).toEqual(expected)
    }
  })
})

describe('the capture', () => {
  it('joins conversations by time, and truncates, mutates, comments', () => {
    const a = packets(FOUR).syn({ comment: 'first' }).client(100).truncate(60)
    const b = packets({ ...SIX, start: 1_700_000_000.00005 })
      .syn()
      .raw(Uint8Array.of(1, 2, 3))
      .syn()
      .mutate((bytes) => {
        bytes[20] = 17
        return undefined
      })
    const both = merge(a, b)
    const names = ['frame.time_relative', 'frame.len', 'frame.cap_len', 'frame.comment', 'ipv6.nxt']
    expect(fields(both, names)).toEqual([
      ['0.000000000', '54', '54', 'first', ''],
      ['0.000050000', '74', '74', '', '6'],
      ['0.000100000', '154', '60', '', ''],
      ['0.000150000', '3', '3', '', ''],
      ['0.000250000', '74', '74', '', '17'],
    ])
    expect(() => merge(a, packets({ ...FOUR, link: 'raw' }).syn()).pcap()).toThrow('one link type')
  })

  it('says who sent what', () => {
    const capture = packets(FOUR).syn().synAck()
    expect(capture.list.map(({ from }) => from)).toEqual(['client', 'server'])
    expect(fields(capture, ['frame.packet_flags_direction']).map(String)).toEqual([
      '0x00000002',
      '0x00000001',
    ])
  })
})

describe('what can not be', () => {
  it.each([
    [() => packets({ client: '192.0.2.1', server: '192.0.2.2:80' }), 'not an endpoint'],
    [() => packets({ client: '192.0.2.1:99999', server: '192.0.2.2:80' }), 'not an endpoint'],
    [() => packets({ client: '[2001:db8::1]:1', server: '192.0.2.2:80' }), 'different versions'],
    [() => packets(FOUR).client({ flags: 'X' }), 'no TCP flag'],
    [() => packets(FOUR).client({ options: new Uint8Array(41) }), "don't fit"],
    [() => packets(FOUR).client(70_000), 'set ipLength'],
    [() => packets(FOUR).syn().drop().truncate(1), 'no packet before'],
  ])('is refused', (build, message) => {
    expect(build).toThrow(message)
  })
})
