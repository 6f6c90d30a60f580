import fc from 'fast-check'
import { decode, encode, preencode } from 'ip-packet'
import { describe, expect, it } from 'vitest'
import { ipv4, ipv6 } from '../../packetdrill/family.ts'
import { checksum, get16, onesSum } from '../../packetdrill/wire/bytes.ts'
import { decodeIp, encodeIp, PROTOCOL_ICMPV6, PROTOCOL_TCP, pseudoHeader } from '../../packetdrill/wire/ip.ts'
import { decodeSegment, encodeSegment, flagBits, flagsOf, type Segment } from '../../packetdrill/wire/tcp.ts'

const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max })
const u32 = fc.nat({ max: 0xffff_ffff })

describe('IPv4', () => {
  it('is what ip-packet makes and reads', () => {
    fc.assert(
      fc.property(bytes(60), fc.nat({ max: 255 }), fc.nat({ max: 255 }), (payload, tos, ttl) => {
        const ours = encodeIp({
          source: ipv4.remote,
          destination: ipv4.local,
          protocol: 6,
          payload,
          tos,
          ttl,
        })
        const theirs = decode({ start: 0, end: ours.length, buffer: Buffer.from(ours) })
        expect(theirs).toMatchObject({ version: 4, ihl: 5, ttl, protocol: 6, flags: 2 })
        expect([theirs.sourceIp, theirs.destinationIp]).toEqual(['192.0.2.1', '192.168.0.1'])
        const state = { start: 0, end: 0, buffer: null as Buffer | null }
        preencode(state, theirs)
        state.buffer = Buffer.alloc(state.end)
        encode(state, theirs)
        expect(new Uint8Array(state.buffer)).toEqual(ours)
        expect(decodeIp(ours)).toMatchObject({ protocol: 6, tos, ttl, payload, problem: '' })
      }),
    )
  })

  it('sums as RFC 1071 3 does', () => {
    expect(onesSum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03), Uint8Array.of(0xf4, 0xf5, 0xf6, 0xf7))).toBe(0xddf2)
    expect(checksum(Uint8Array.of(0x00, 0x01, 0xf2))).toBe(0xffff - 0xf201)
  })

  it('tells what is wrong with a header', () => {
    const good = encodeIp({
      source: ipv4.remote,
      destination: ipv4.local,
      protocol: 6,
      payload: new Uint8Array(8),
    })
    const wrong = (at: number, value: number): string => decodeIp(good.with(at, value))!.problem
    expect(wrong(10, good[10]! ^ 1)).toBe('wrong IP header checksum')
    expect(decodeIp(good.subarray(0, 24))!.problem).toBe('IP total length beyond the frame')
    expect(wrong(0, 0x46)).toBe('IP options')
    expect(decodeIp(new Uint8Array(0))).toBeNull()
    expect(decodeIp(good.with(0, 0x41))).toBeNull()
  })
})

describe('IPv6', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(bytes(60), fc.nat({ max: 255 }), (payload, tos) => {
        const packet = encodeIp({
          source: ipv6.remote,
          destination: ipv6.local,
          protocol: 6,
          payload,
          tos,
          ttl: 9,
        })
        expect(packet.length).toBe(40 + payload.length)
        expect(decodeIp(packet)).toMatchObject({ source: ipv6.remote, tos, ttl: 9, payload, problem: '' })
      }),
    )
  })

  it('answers a solicitation with an advertisement', () => {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1)
    const asker = Uint8Array.of(2, 0, 0, 0, 0, 2)
    const body = new Uint8Array(32)
    body[0] = 135
    body.set(ipv6.remote, 8)
    const packet = encodeIp({
      source: ipv6.local,
      destination: ipv6.remote,
      protocol: PROTOCOL_ICMPV6,
      payload: body,
    })
    const frame = new Uint8Array([...mac, ...asker, 0x86, 0xdd, ...packet])
    const answer = ipv6.answer(frame, mac)!
    expect(answer.subarray(0, 6)).toEqual(asker)
    const { payload, source, destination, ttl } = decodeIp(answer.subarray(14))!
    expect([payload[0], payload[4], ttl]).toEqual([136, 0x60, 255])
    expect(payload.subarray(26)).toEqual(mac)
    expect(onesSum(pseudoHeader(source, destination, PROTOCOL_ICMPV6, payload.length), payload)).toBe(0xffff)
  })
})

describe('TCP', () => {
  const options = fc.constantFrom<Segment['options'][]>(
    [],
    [{ kind: 'mss', value: 1460 }],
    [
      { kind: 'sackOK' },
      { kind: 'TS', value: 1, echo: 0xffff_ffff },
      { kind: 'nop' },
      { kind: 'wscale', value: 14 },
    ],
    [
      { kind: 'nop' },
      { kind: 'nop' },
      {
        kind: 'sack',
        blocks: [
          [1, 2],
          [0xffff_fff0, 4],
        ],
      },
    ],
    [{ kind: 'FO', bytes: [1, 2, 3, 4] }, { kind: 'eol' }, { kind: 'eol' }],
    [{ kind: 'FOEXP', bytes: [] }],
    [{ kind: 'md5', bytes: Array.from({ length: 16 }, (_, i) => i) }, { kind: 'nop' }, { kind: 'nop' }],
    [{ kind: 'unknown', number: 77, bytes: [1, 2] }],
  )

  it('reads what it writes', () => {
    fc.assert(
      fc.property(u32, u32, fc.nat({ max: 511 }), options, bytes(50), (seq, ack, bits, list, payload) => {
        const segment: Segment = {
          source: 8080,
          destination: 40_001,
          seq,
          ack,
          flags: flagsOf(bits),
          window: 1234,
          urgent: 7,
          options: list,
          payload,
        }
        expect(flagBits(segment.flags)).toBe(bits)
        const encoded = encodeSegment(segment)!
        expect(get16(encoded, 0)).toBe(8080)
        expect(decodeSegment(encoded)).toEqual(segment)
      }),
    )
  })

  it('refuses options that do not fit', () => {
    const segment = decodeSegment(new Uint8Array(20).with(12, 0x50))!
    expect(encodeSegment({ ...segment, options: [{ kind: 'nop' }] })).toBeNull()
    const many = Array.from({ length: 11 }, () => ({ kind: 'mss', value: 1 }) as const)
    expect(encodeSegment({ ...segment, options: many })).toBeNull()
  })

  it('survives any bytes', () => {
    fc.assert(
      fc.property(bytes(80), (data) => {
        decodeIp(data)
        decodeSegment(data)
      }),
    )
  })
})

describe('ICMP errors', () => {
  const quoted = encodeIp({
    source: ipv4.local,
    destination: ipv4.remote,
    protocol: PROTOCOL_TCP,
    payload: new Uint8Array(8),
  })
  it('have type, code, MTU, quotation and checksum', () => {
    const { payload, protocol } = decodeIp(ipv4.icmpError('unreachable', 'frag_needed', 1200, quoted)!)!
    expect([protocol, payload[0], payload[1], get16(payload, 6)]).toEqual([1, 3, 4, 1200])
    expect(payload.subarray(8)).toEqual(quoted)
    expect(onesSum(payload)).toBe(0xffff)
    const six = decodeIp(ipv6.icmpError('packet_too_big', null, 1280, quoted)!)!
    expect([six.protocol, six.payload[0], get16(six.payload, 6)]).toEqual([58, 2, 1280])
  })
  it('know what a family does not have', () => {
    expect(ipv4.icmpError('packet_too_big', null, 0, quoted)).toBeNull()
    expect(ipv4.icmpError('unreachable', 'constructor', 0, quoted)).toBeNull()
    expect(ipv6.icmpError('source_quench', null, 0, quoted)).toBeNull()
  })
})
