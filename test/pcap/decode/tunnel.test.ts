import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FRAGMENT, MALFORMED, NOT_TCP, SEGMENT, SegmentDecoder } from '../../../pcap/decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../../../pcap/file/format.ts'
import {
  ethernet,
  ipv4,
  ipv6,
  join,
  outer,
  packetOf,
  TUNNELS,
  udp,
  words,
} from '../../../pcap/samples/make/tunnels.ts'
import { follow, merge, packets, replay } from '../../../replay/index.ts'
import { captured, decode } from './frames.ts'

const four = packets({ client: '192.0.2.1:40000', server: '192.0.2.2:80' })
const six = packets({ client: '[2001:db8::1]:40000', server: '[2001:db8::2]:80' })
const FRAME4 = four.client('tunnelled').list[0]!.bytes
const FRAME6 = six.client('tunnelled').list[0]!.bytes
const inner = packetOf(FRAME4)

/** What is found, and what was not looked into. */
function found(frame: Uint8Array): [found: number, opaque: string, tunnels: number] {
  const { found: result, segment } = decode(frame, LINKTYPE_ETHERNET)
  return [result, segment.opaque, segment.tunnels]
}

describe('tunnels', () => {
  it.each(Object.entries(TUNNELS))('%s: the segment is found, whatever is behind it', (_name, tunnel) => {
    for (const frame of [FRAME4, FRAME6]) {
      // The padding of a short frame.
      const bytes = join(tunnel(frame), new Uint8Array(30).fill(0xee))
      const { found: result, segment } = decode(bytes, LINKTYPE_ETHERNET)
      expect(result).toBe(SEGMENT)
      expect(segment).toMatchObject({ sourcePort: 40_000, destinationPort: 80, payloadBytes: 9, beyond: 0 })
      const { payloadAt, capturedBytes } = segment
      const payload = segment.bytes.subarray(payloadAt, payloadAt + capturedBytes)
      expect(new TextDecoder().decode(payload)).toBe('tunnelled')
    }
  })

  it.each(Object.entries(TUNNELS))('%s: cut anywhere, it stays within what there is', (_name, tunnel) => {
    const bytes = tunnel(FRAME4)
    for (let length = 0; length < bytes.length; length++) {
      const cut = decode(bytes.subarray(0, length), LINKTYPE_ETHERNET, { wireLength: bytes.length })
      if (cut.found !== SEGMENT) continue
      const { capturedEnd, payloadBytes, capturedBytes } = cut.segment
      expect(capturedEnd).toBeLessThanOrEqual(32 + length)
      expect(payloadBytes).toBe(9)
      expect(capturedBytes).toBeLessThan(9)
    }
  })

  it('bound what is within them: UDP, IPv6 and IPv4', () => {
    const frame = TUNNELS.vxlan!(FRAME4)
    // The UDP header says less than the packet within it.
    const short = frame.slice()
    short[38] = 0
    short[39] = 8 + 8 + FRAME4.length - 4
    expect(decode(short, LINKTYPE_ETHERNET).segment).toMatchObject({ payloadBytes: 5, beyond: 4 })
    const around = outer(ipv6(4, inner.subarray(0, inner.length - 2)))
    expect(decode(around, LINKTYPE_ETHERNET).segment).toMatchObject({ payloadBytes: 7, beyond: 2 })
  })

  it.each([
    ['ESP', outer(ipv4(50, new Uint8Array(40)))],
    ['ESP', outer(ipv6(50, new Uint8Array(40)))],
    ['AH', outer(ipv4(51, new Uint8Array(40)))],
    ['IPComp', outer(ipv4(108, new Uint8Array(40)))],
    ['L2TP', outer(ipv4(115, new Uint8Array(40)))],
    ['L2TP', outer(ipv4(17, udp(1701, new Uint8Array(40))))],
    ['GTP', outer(ipv4(17, udp(2152, new Uint8Array(40))))],
    ['ESP', outer(ipv4(17, udp(4500, words(1, 2, 3, 4, 5, 6))))],
    ['PPTP', outer(ipv4(47, words(0x3001, 0x880b, 0, 0, 0, 0), inner))],
    ['GRE with a route', outer(ipv4(47, words(0x4000, 0x0800, 0, 0), inner))],
    ['ERSPAN version 7', outer(ipv4(47, words(0x1000, 0x88be, 0, 1, 0x7001, 0, 0, 0), FRAME4))],
    [
      'ERSPAN of frame type 3',
      outer(ipv4(47, words(0x1000, 0x22eb, 0, 1, 0x2001, 0, 0, 0, 0, 0x0c00), FRAME4)),
    ],
    ['MPLS', ethernet(0x8847, words(0x0001, 0x0140), new Uint8Array(60).fill(0x99))],
    ['MACsec', ethernet(0x88e5, new Uint8Array(60))],
    ['802.1ah (MAC in MAC)', ethernet(0x88e7, new Uint8Array(60))],
  ])('that are not looked into are named: %s', (name, frame) => {
    expect(found(frame)[1]).toBe(name)
    expect(found(frame)[0]).not.toBe(SEGMENT)
  })

  it.each([
    ['UDP of something else', outer(ipv4(17, udp(53, inner)))],
    ['keys that are exchanged', outer(ipv4(17, udp(4500, words(0, 0, 3, 4, 5, 6))))],
    ['a GRE keepalive', outer(ipv4(47, words(0, 0)))],
    ['VXLAN without an id', outer(ipv4(17, udp(4789, words(0, 0, 0, 0), FRAME4)))],
    ['another version of GENEVE', outer(ipv4(17, udp(6081, words(0x4000, 0x6558, 0, 0), FRAME4)))],
    ['ARP within GRE', outer(ipv4(47, words(0, 0x0806), new Uint8Array(28)))],
    ['a UDP length below its header', outer(ipv4(17, words(1, 4789, 7, 0), words(0x0800, 0, 0, 0), FRAME4))],
  ])('are none: %s', (_name, frame) => {
    expect(found(frame)).toEqual([NOT_TCP, '', 0])
  })

  it('are looked into eight deep', () => {
    let packet = inner
    for (let depth = 1; depth <= 8; depth++) packet = ipv4(depth === 1 ? 4 : 4, packet)
    expect(found(outer(packet))).toEqual([SEGMENT, '', 8])
    expect(found(outer(ipv4(4, packet)))).toEqual([NOT_TCP, 'tunnels inside each other', 9])
  })

  it('say what is malformed in them', () => {
    expect(found(outer(ipv4(4, inner.subarray(0, 30))))[0]).toBe(MALFORMED)
    const fragment = inner.slice()
    fragment[6] = 0x20
    expect(found(outer(ipv4(4, fragment)))[0]).toBe(FRAGMENT)
  })

  it('stay within the frame, whatever the bytes', () => {
    const tunnels = Object.values(TUNNELS)
    const segment = new SegmentDecoder()
    fc.assert(
      fc.property(
        fc.nat(tunnels.length - 1),
        fc.array(fc.tuple(fc.nat(160), fc.nat(255)), { maxLength: 6 }),
        fc.nat(200),
        (which, changes, length) => {
          const bytes = tunnels[which]!(FRAME6).slice(0, length)
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          const packet = captured(bytes, LINKTYPE_ETHERNET)
          if (segment.decode(packet) !== SEGMENT) return
          expect(segment.ipAt).toBeGreaterThanOrEqual(32)
          expect(segment.capturedEnd).toBeLessThanOrEqual(32 + bytes.length)
          expect(segment.payloadBytes).toBeGreaterThanOrEqual(segment.capturedBytes)
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('streams in tunnels', () => {
  it('that were fragmented outside, or inside, are put together', async () => {
    const conversation = packets({ client: '192.0.2.1:40000', server: '192.0.2.2:80' })
      .handshake({ mss: 1460 })
      .client(1200)
      .fragment(400, { order: [3, 2, 0, 1] })
      .ack('server')
      .client(800)
      .ack('server')
      .close()
    const list = conversation.list.flatMap((frame) => {
      const packet = ipv4(47, words(0, 0x0800), packetOf(frame.bytes))
      // The large ones in two pieces.
      const pieces = packet.length > 700 ? split(packet, 600) : [packet]
      return pieces.map((piece) => ({ ...frame, bytes: outer(piece), originalLength: piece.length + 14 }))
    })
    const capture = merge({ list })
    const run = await replay(capture)
    const followed = await follow(capture)
    expect(run.streams.map(({ bytes, end, gaps }) => [bytes, end, gaps])).toEqual([
      [2000, 'fin', 0],
      [0, 'fin', 0],
    ])
    expect(run.streams.map(({ sha256 }) => sha256)).toEqual(followed.streams.map(({ sha256 }) => sha256))
    expect(run.summary.drops).toEqual({})
  })
})

/** An IPv4 packet in two fragments. */
function split(packet: Uint8Array, bytes: number): Uint8Array[] {
  return [
    [0, bytes],
    [bytes, packet.length - 20],
  ].map(([from, to]) => {
    const piece = join(packet.subarray(0, 20), packet.subarray(20 + from!, 20 + to!))
    const view = new DataView(piece.buffer)
    view.setUint16(2, piece.length)
    view.setUint16(6, (from! / 8) | (from === 0 ? 0x2000 : 0))
    return piece
  })
}
