import fc from 'fast-check'
import { checksum, decode, encode } from 'ip-packet'
import { describe, expect, it } from 'vitest'
import { formatIpv4, IpAddress, parseIpv4 } from '../../../address.ts'
import {
  ARP_REPLY,
  ARP_REQUEST,
  arpOperation,
  arpSenderAddress,
  arpTargetAddress,
  isArpIpv4,
  putArp,
} from '../../../stack/wire/arp.ts'
import { formatMac, putEthernet } from '../../../stack/wire/ethernet.ts'
import { putIpv4 } from '../../../stack/wire/ipv4.ts'
import { formatFlags, putTcp } from '../../../stack/wire/tcp.ts'

const address = fc.integer()

describe('IPv4 headers, against the ip-packet package', () => {
  it('are byte for byte what the other encoder writes', () => {
    fc.assert(
      fc.property(
        address,
        address,
        fc.nat({ max: 65_535 }),
        fc.constantFrom(1, 6, 17),
        fc.uint8Array({ maxLength: 64 }),
        (source, destination, identification, protocol, payload) => {
          const ours = new Uint8Array(20 + payload.length)
          putIpv4(ours, 0, ours.length, identification, protocol, source, destination)
          ours.set(payload, 20)
          const theirs = Buffer.alloc(ours.length)
          encode(
            { buffer: theirs, start: 0, end: theirs.length },
            {
              version: 4,
              ihl: 5,
              identification,
              flags: 2,
              fragmentOffset: 0,
              ttl: 64,
              protocol,
              sourceIp: formatIpv4(source),
              destinationIp: formatIpv4(destination),
              checksum: 0,
              data: Buffer.from(payload),
            },
          )
          checksum(theirs)
          expect(Buffer.from(ours).toString('hex')).toBe(theirs.toString('hex'))
        },
      ),
    )
  })

  it('are decoded by the other to what was given', () => {
    const frame = new Uint8Array(40)
    putIpv4(frame, 8, 32, 0xbeef, 6, parseIpv4('192.0.2.1')!, parseIpv4('255.254.253.252')!)
    expect(decode({ buffer: Buffer.from(frame), start: 8, end: 40 })).toMatchObject({
      version: 4,
      ihl: 5,
      length: 32,
      identification: 0xbeef,
      flags: 2,
      fragmentOffset: 0,
      ttl: 64,
      protocol: 6,
      sourceIp: '192.0.2.1',
      destinationIp: '255.254.253.252',
    })
  })
})

describe('addresses', () => {
  it('survive text and bytes', () => {
    fc.assert(
      fc.property(address, (a) => {
        expect(parseIpv4(formatIpv4(a))).toBe(a)
      }),
    )
  })

  it.each(['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.-4', '1.2.3.4 ', 'a.b.c.d', '1..2.3', '0x1.2.3.4'])(
    'refuses %j',
    (text) => expect(parseIpv4(text)).toBeNull(),
  )

  it.each([
    ['0.0.0.0', false],
    ['0.255.255.255', false],
    ['1.0.0.0', true],
    ['223.255.255.255', true],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
  ])('%s is one host: %s (RFC 1122 3.2.1.3)', (text, expected) => {
    expect(IpAddress.parse(text)!.unicast).toBe(expected)
  })
})

describe('golden bytes', () => {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1)
  const other = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56)

  it('of an Ethernet II header', () => {
    const frame = new Uint8Array(16).fill(0xaa)
    putEthernet(frame, 1, 0x5254, 0x00123456, mac, 0x0806)
    expect(Buffer.from(frame).toString('hex')).toBe('aa5254001234560200000000010806aa')
    expect(formatMac(other)).toBe('52:54:00:12:34:56')
  })

  it('of an ARP request and reply (RFC 826)', () => {
    const local = parseIpv4('192.0.2.1')!
    const remote = parseIpv4('192.0.2.2')!
    const frame = new Uint8Array(28)
    putArp(frame, 0, ARP_REQUEST, mac, local, 0, 0, remote)
    expect(Buffer.from(frame).toString('hex')).toBe(
      '0001080006040001020000000001c0000201000000000000c0000202',
    )
    putArp(frame, 0, ARP_REPLY, other, remote, 0x0200, 0x00000001, local)
    expect(Buffer.from(frame).toString('hex')).toBe(
      '0001080006040002525400123456c0000202020000000001c0000201',
    )
    expect(isArpIpv4(frame, 0)).toBe(true)
    expect([arpOperation(frame, 0), arpSenderAddress(frame, 0), arpTargetAddress(frame, 0)]).toEqual([
      2,
      remote,
      local,
    ])
    frame[1] = 6
    expect(isArpIpv4(frame, 0)).toBe(false)
  })

  it('of a TCP header (RFC 9293 3.1)', () => {
    const frame = new Uint8Array(22).fill(0xee)
    putTcp(frame, 1, 0x1234, 9000, 0x01020304, -2, 20, 0x12, 0xfedc)
    expect(Buffer.from(frame).toString('hex')).toBe('ee1234232801020304fffffffe5012fedc00000000ee')
    expect(formatFlags(0x12)).toBe('SYN,ACK')
    putTcp(frame, 1, 1, 1, 0, 0, 60, 0, 0)
    expect(frame[13]).toBe(0xf0)
  })
})
