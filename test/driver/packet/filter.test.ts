import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Flows } from '../../../driver/flows.ts'
import { loadNative } from '../../../driver/native/index.ts'
import { buildFilter, nothingFilter } from '../../../driver/packet/filter.ts'
import { address6, arp, ethernet, ipv4, ipv6, OURS, OURS6, solicitation, tcp } from '../xdp/frames.ts'
import { obstacle } from '../xdp/setup.ts'
import { runFilter } from './bpf.ts'

const OTHER = Uint8Array.of(10, 77, 0, 3)
const OTHER6 = address6('fd00:77::3')
const ALL_NODES = address6('ff02::1')
const PORT = 9000

function filterOf(...flows: [Uint8Array, number][]): Uint8Array {
  const set = new Flows()
  for (const [address, port] of flows) set.add(address, port)
  return buildFilter(set.addresses)
}

const takes = (filter: Uint8Array, frame: Uint8Array): boolean => runFilter(filter, frame) > 0
const frame4 = (packet: Uint8Array, tags: number[] = []): Uint8Array => ethernet(0x0800, packet, tags)
const frame6 = (packet: Uint8Array, tags: number[] = []): Uint8Array => ethernet(0x86dd, packet, tags)
const icmp = (type: number): Uint8Array => Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0)
/** A fragment header whose first byte `ipv6` fills in. */
const piece = (offset: number, more: boolean): [number, Uint8Array] => [
  44,
  Uint8Array.of(0, 0, offset >> 5, ((offset << 3) & 0xff) | (more ? 1 : 0), 0, 0, 0, 1),
]
const destinationOptions: [number, Uint8Array] = [60, Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0)]

test('before anything is steered nothing is taken', () => {
  expect(takes(nothingFilter(), frame4(ipv4(tcp(PORT))))).toBe(false)
  expect(takes(filterOf(), frame4(ipv4(tcp(PORT))))).toBe(false)
})

describe('of a steered port', () => {
  const filter = filterOf([OURS, PORT], [OURS6, PORT])
  test.each<[string, Uint8Array, boolean]>([
    ['TCP to it', frame4(ipv4(tcp(PORT))), true],
    ['behind IP options', frame4(ipv4(tcp(PORT), { options: 12 })), true],
    ['behind a tag', frame4(ipv4(tcp(PORT)), [0x8100]), true],
    ['behind a service tag', frame6(ipv6(tcp(PORT)), [0x88a8]), true],
    ['TCP to another port', frame4(ipv4(tcp(PORT + 1))), false],
    ['TCP to another address', frame4(ipv4(tcp(PORT), { destination: OTHER })), false],
    ['UDP to its number', frame4(ipv4(tcp(PORT), { protocol: 17 })), false],
    ['a first fragment of it', frame4(ipv4(tcp(PORT), { fragment: 0x2000 })), true],
    ['a first fragment of another port', frame4(ipv4(tcp(22), { fragment: 0x2000 })), false],
    ['a later fragment of TCP', frame4(ipv4(tcp(22), { fragment: 0x2005 })), true],
    ['a later fragment of UDP', frame4(ipv4(tcp(22), { fragment: 5, protocol: 17 })), false],
    ['a packet of version 5', frame4(ipv4(tcp(PORT), { version: 5 })), false],
    ['an unreachable destination', frame4(ipv4(icmp(3), { protocol: 1 })), true],
    ['an exceeded time behind options', frame4(ipv4(icmp(11), { protocol: 1, options: 8 })), true],
    ['an echo request', frame4(ipv4(icmp(8), { protocol: 1 })), false],
    ['an ICMP error to another address', frame4(ipv4(icmp(3), { protocol: 1, destination: OTHER })), false],
    ['an ARP request for it', ethernet(0x0806, arp(OURS)), false],
    ['an ARP reply to it', ethernet(0x0806, arp(OURS).with(7, 2)), true],
    ['an ARP reply to another address', ethernet(0x0806, arp(OTHER).with(7, 2)), false],
    ['a neighbour advertisement to it', frame6(ipv6(icmp(136), { protocol: 58 })), true],
    ['a frame cut short', frame4(ipv4(tcp(PORT))).subarray(0, 36), false],
    ['TCP over IPv6', frame6(ipv6(tcp(PORT))), true],
    ['TCP over IPv6 to another port', frame6(ipv6(tcp(22))), false],
    ['TCP over IPv6 to another address', frame6(ipv6(tcp(PORT), { destination: OTHER6 })), false],
    ['a first fragment over IPv6', frame6(ipv6(tcp(PORT), {}, [piece(0, true)])), true],
    ['that of another port', frame6(ipv6(tcp(22), {}, [piece(0, true)])), false],
    ['a later fragment over IPv6', frame6(ipv6(tcp(22), {}, [piece(64, false)])), true],
    ['a later fragment of UDP over IPv6', frame6(ipv6(tcp(22), { protocol: 17 }, [piece(64, false)])), false],
    ['behind other extension headers', frame6(ipv6(tcp(PORT), {}, [destinationOptions])), false],
    ['a packet that is too big', frame6(ipv6(icmp(2), { protocol: 58 })), true],
    ['an echo request over IPv6', frame6(ipv6(icmp(128), { protocol: 58 })), false],
    ['a neighbour solicitation', frame6(ipv6(solicitation(OURS6), { protocol: 58 })), false],
  ])('%s: %#', (_what, frame, taken) => {
    expect(takes(filter, frame)).toBe(taken)
  })
})

describe('of a claimed address', () => {
  const filter = filterOf([OURS, 0], [OURS6, 0], [OTHER, PORT])
  const group = { protocol: 58, destination: address6('ff02::1:ff00:2') }
  test.each<[string, Uint8Array, boolean]>([
    ['any port', frame4(ipv4(tcp(22))), true],
    ['any protocol', frame4(ipv4(tcp(22), { protocol: 17, fragment: 9 })), true],
    ['ARP for it', ethernet(0x0806, arp(OURS)), true],
    ['ARP for it behind a tag', ethernet(0x0806, arp(OURS), [0x8100]), true],
    ['ARP for another', ethernet(0x0806, arp(OTHER)), false],
    ['ARP of another hardware', ethernet(0x0806, arp(OURS).with(1, 6)), false],
    ['a steered port of another address', frame4(ipv4(tcp(PORT), { destination: OTHER })), true],
    ['another of its ports', frame4(ipv4(tcp(22), { destination: OTHER })), false],
    ['any over IPv6', frame6(ipv6(icmp(128), { protocol: 58 }, [destinationOptions])), true],
    ['who asks for it', frame6(ipv6(solicitation(OURS6), group)), true],
    ['who asks for another of the group', frame6(ipv6(solicitation(OTHER6), group)), false],
    [
      'who tells everybody',
      frame6(ipv6(solicitation(OTHER6).with(0, 136), { protocol: 58, destination: ALL_NODES })),
      true,
    ],
    [
      'a router that tells everybody',
      frame6(ipv6(solicitation(OTHER6).with(0, 134), { protocol: 58, destination: ALL_NODES })),
      false,
    ],
    ['another group', frame6(ipv6(tcp(PORT), { destination: ALL_NODES })), false],
  ])('%s: %#', (_what, frame, taken) => {
    expect(takes(filter, frame)).toBe(taken)
  })
})

test('as many ports as are wanted, and no other', () => {
  const ports = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: 1, maxLength: 400 })
  fc.assert(
    fc.property(ports, fc.array(fc.integer({ min: 1, max: 65535 })), (wanted, others) => {
      const filter = filterOf(...wanted.map((port): [Uint8Array, number] => [OURS, port]))
      const near = wanted.slice(0, 20).flatMap((port) => [port - 1, port, port + 1])
      for (const port of [...near, ...others]) {
        expect(takes(filter, frame4(ipv4(tcp(port & 0xffff))))).toBe(wanted.includes(port & 0xffff))
      }
    }),
    { seed: 7, numRuns: 60 },
  )
})

test('three thousand ports apart fit, and whole ranges', () => {
  const apart = Array.from({ length: 3000 }, (_, i): [Uint8Array, number] => [OURS, 2 * i + 1])
  const filter = filterOf(...apart)
  expect(filter.length / 8).toBeLessThanOrEqual(4096)
  for (const port of [1, 2999, 5999]) expect(takes(filter, frame4(ipv4(tcp(port))))).toBe(true)
  for (const port of [2, 3000, 6001]) expect(takes(filter, frame4(ipv4(tcp(port))))).toBe(false)
  const range = filterOf(...Array.from({ length: 60000 }, (_, i): [Uint8Array, number] => [OURS, i + 1000]))
  expect(range.length / 8).toBeLessThan(100)
  expect(takes(range, frame4(ipv4(tcp(60999))))).toBe(true)
  expect(takes(range, frame4(ipv4(tcp(61000))))).toBe(false)
})

test('more than the kernel takes are refused', () => {
  const apart = Array.from({ length: 5000 }, (_, i): [Uint8Array, number] => [OURS, 2 * i + 1])
  expect(() => filterOf(...apart)).toThrow(
    expect.objectContaining({ code: 'ZCRX_NIC_UNSUPPORTED', message: expect.stringMatching(/4096/) }),
  )
})

test.skipIf(obstacle !== '')('the kernel takes the filters', () => {
  const native = loadNative()
  const fd = native.packetSocket()
  const apart = Array.from({ length: 3000 }, (_, i): [Uint8Array, number] => [OURS, 2 * i + 1])
  for (const flows of [
    [],
    apart,
    [
      [OURS, 0],
      [OURS6, 0],
      [OTHER6, PORT],
    ] as [Uint8Array, number][],
  ])
    expect(native.attachFilter(fd, filterOf(...flows))).toBe(0)
  expect(() => native.attachFilter(fd, new Uint8Array(12))).toThrow(TypeError)
  native.close(fd)
})
