import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { packets, type SegmentSpec, type Side } from '../../../pcap/build/index.ts'
import { captureDirectory, tshark } from '../../support/tshark.ts'

const directory = captureDirectory()
afterAll(directory.remove)

const optional = { requiredKeys: [] }
const u32 = fc.nat(0xffff_ffff)
const segment = fc.record(
  {
    data: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.nat(2000)),
    seq: fc.nat(100_000),
    ack: fc.nat(100_000),
    flags: fc.subarray([...'FSRPAUEC']).map((letters) => letters.join('')),
    window: fc.nat(0xffff),
    urgent: fc.nat(0xffff),
    mss: fc.nat(0xffff),
    sackPermitted: fc.boolean(),
    windowScale: fc.nat(14),
    timestamps: fc.tuple(u32, u32),
    ttl: fc.integer({ min: 1, max: 255 }),
    trafficClass: fc.nat(255),
    identification: fc.nat(0xffff),
    flowLabel: fc.nat(0xfffff),
    checksum: fc.constantFrom('good' as const, 'bad' as const),
  },
  optional,
)
const script = fc.record({
  six: fc.boolean(),
  isn: fc.record({ client: u32, server: u32 }),
  link: fc.constantFrom(
    'ethernet' as const,
    'sll' as const,
    'sll2' as const,
    'raw' as const,
    'null' as const,
  ),
  segments: fc.array(fc.tuple(fc.constantFrom<Side>('client', 'server'), segment), {
    minLength: 1,
    maxLength: 80,
  }),
})

const BITS = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 } as Record<string, number>
const FIELDS = [
  'tcp.srcport',
  'tcp.len',
  'tcp.seq_raw',
  'tcp.flags',
  'tcp.window_size_value',
  'tcp.urgent_pointer',
  'tcp.options.mss_val',
  'tcp.options.wscale.shift',
  'tcp.options.sack_perm',
  'tcp.options.timestamp.tsval',
  'tcp.options.timestamp.tsecr',
  'tcp.checksum.status',
  'tcp.ack_raw',
  'ip.ttl',
  'ip.id',
  'ipv6.hlim',
  'ipv6.flow',
  'tcp.payload',
]

/** The fields as tshark shows them, of what the script says; `*` where it leaves them open. */
function expected(from: Side, spec: SegmentSpec, six: boolean, isn: Record<Side, number>): string[] {
  const data = spec.data ?? 0
  const length = typeof data === 'number' ? data : data.length
  const flags =
    spec.flags === undefined ? 16 + (length > 0 ? 8 : 0) : [...spec.flags].reduce((s, f) => s + BITS[f]!, 0)
  const number = (value: number | undefined, absent = ''): string =>
    value === undefined ? absent : String(value)
  const other = from === 'client' ? 'server' : 'client'
  const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`
  const stamps = Array.isArray(spec.timestamps) ? (spec.timestamps as number[]) : undefined
  return [
    from === 'client' ? '40000' : '80',
    String(length),
    spec.seq === undefined ? '*' : String((isn[from] + spec.seq) >>> 0),
    hex(flags, 4),
    number(spec.window, '65535'),
    number(spec.urgent, '0'),
    number(spec.mss),
    number(spec.windowScale),
    spec.sackPermitted === true ? '*' : '',
    number(stamps?.[0]),
    number(stamps?.[1]),
    spec.checksum === 'bad' ? '0' : '1',
    spec.ack === undefined ? '*' : String((isn[other] + spec.ack) >>> 0),
    six ? '' : number(spec.ttl, '64'),
    six ? '' : spec.identification === undefined ? '*' : hex(spec.identification, 4),
    six ? number(spec.ttl, '64') : '',
    six ? hex(spec.flowLabel ?? 0, 6) : '',
    // What comes with a RST is the reason for it, in words (RFC 9293 3.5.3), not payload.
    data instanceof Uint8Array && (flags & 4) === 0 ? Buffer.from(data).toString('hex') : '*',
  ]
}

describe('random scripts', () => {
  it('are decoded to what they say', () => {
    let round = 0
    fc.assert(
      fc.property(script, ({ six, isn, link, segments }) => {
        const ends = six
          ? { client: '[2001:db8::1]:40000', server: '[2001:db8::2]:80' }
          : { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
        const builder = packets({ ...ends, isn, link })
        for (const [from, spec] of segments) builder.send(from, spec)
        const file = join(directory.path, `${round++}.pcapng`)
        writeFileSync(file, builder.pcapng())
        // Port 80's payload is not HTTP here.
        const lines = tshark(
          file,
          '-d',
          'tcp.port==80,data',
          '-T',
          'fields',
          ...FIELDS.flatMap((f) => ['-e', f]),
        )
        const wanted = segments.map(([from, spec]) => expected(from, spec, six, isn))
        const seen = lines.map((line, i) =>
          line.split('\t').map((value, column) => (wanted[i]?.[column] === '*' ? '*' : value)),
        )
        expect(seen).toEqual(wanted)
      }),
      { numRuns: 12, seed: 20_240_601 },
    )
  }, 120_000)
})
