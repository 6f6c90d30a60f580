import { put16, put32 } from '../../../bytes.ts'
import { sumBytes } from '../../../stack/wire/checksum.ts'
import { IPV4_MIN_HEADER_BYTES, putIpv4 } from '../../../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES } from '../../../stack/wire/ipv6.ts'

/** Headers that carry packets and frames, as mirror ports and overlays put them around what they forward. */

const ETHERNET_BYTES = 14
const OUTER = { source: 0xc633_6401 | 0, destination: 0xc633_6402 | 0 }
const TYPE_IPV4 = 0x0800
const TYPE_IPV6 = 0x86dd

/** A frame without its link's header. */
export function packetOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(ETHERNET_BYTES)
}

/** What Ethernet calls a packet. */
function typeOf(packet: Uint8Array): number {
  return packet[0]! >>> 4 === 4 ? TYPE_IPV4 : TYPE_IPV6
}

export function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 2)
  for (const [i, value] of values.entries()) put16(bytes, i * 2, value)
  return bytes
}

/** A frame of Ethernet. */
export function ethernet(type: number, ...body: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return join([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8], words(type), ...body)
}

/** An IP packet of a protocol between the ends of a tunnel. */
export function ipv4(protocol: number, ...body: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const payload = join(...body)
  const head = new Uint8Array(IPV4_MIN_HEADER_BYTES)
  putIpv4(head, 0, head.length + payload.length, 1, protocol, OUTER.source, OUTER.destination, 0)
  put16(head, 10, 0)
  put16(head, 10, ~sumBytes(head, 0, head.length) & 0xffff)
  return join(head, payload)
}

export function ipv6(next: number, ...body: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const payload = join(...body)
  const head = new Uint8Array(IPV6_HEADER_BYTES)
  put32(head, 0, 0x6000_0000)
  put16(head, 4, payload.length)
  head[6] = next
  head[7] = 64
  head.set([0x20, 0x01, 0x0d, 0xb8, 0, 1], 8)
  head.set([0x20, 0x01, 0x0d, 0xb8, 0, 2], 24)
  return join(head, payload)
}

/** A datagram without a checksum. */
export function udp(port: number, ...body: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const payload = join(...body)
  return join(words(49_152, port, payload.length + 8, 0), payload)
}

export const outer = (packet: Uint8Array): Uint8Array => ethernet(typeOf(packet), packet)

/** By name: a frame of a conversation in each kind of tunnel. */
export const TUNNELS: Readonly<Record<string, (frame: Uint8Array) => Uint8Array>> = {
  gre: (frame) => outer(ipv4(47, words(0, typeOf(packetOf(frame))), packetOf(frame))),
  'gre with checksum, key and sequence': (frame) =>
    outer(ipv4(47, words(0xb000, typeOf(packetOf(frame)), 0, 0, 0, 7, 0, 1), packetOf(frame))),
  'gre of frames': (frame) => outer(ipv4(47, words(0x2000, 0x6558, 0, 7), frame)),
  'gre over IPv6': (frame) => outer(ipv6(47, words(0, typeOf(packetOf(frame))), packetOf(frame))),
  'erspan I': (frame) => outer(ipv4(47, words(0, 0x88be), frame)),
  'erspan II': (frame) => outer(ipv4(47, words(0x1000, 0x88be, 0, 1, 0x1001, 0x0005, 0, 0), frame)),
  'erspan III': (frame) => outer(ipv4(47, words(0x1000, 0x22eb, 0, 1, 0x2001, 0x0005, 0, 0, 0, 0), frame)),
  'erspan III with a subheader': (frame) =>
    outer(ipv4(47, words(0x1000, 0x22eb, 0, 1, 0x2001, 0x0005, 0, 0, 0, 1, 0, 0, 0, 0), frame)),
  'IP in IPv4': (frame) => {
    const packet = packetOf(frame)
    return outer(ipv4(packet[0]! >>> 4 === 4 ? 4 : 41, packet))
  },
  'IP in IPv6': (frame) => {
    const packet = packetOf(frame)
    return outer(ipv6(packet[0]! >>> 4 === 4 ? 4 : 41, packet))
  },
  vxlan: (frame) => outer(ipv4(17, udp(4789, words(0x0800, 0, 0, 0x2a00), frame))),
  'vxlan over IPv6': (frame) => outer(ipv6(17, udp(4789, words(0x0800, 0, 0, 0x2a00), frame))),
  geneve: (frame) => outer(ipv4(17, udp(6081, words(0, 0x6558, 0, 0x2a00), frame))),
  'geneve with options': (frame) =>
    outer(
      ipv4(
        17,
        udp(6081, words(0x0200, typeOf(packetOf(frame)), 0, 0x2a00, 0x0102, 0x8001, 1, 2), packetOf(frame)),
      ),
    ),
  mpls: (frame) => ethernet(0x8847, words(0x0001, 0x0040, 0x0002, 0x0140), packetOf(frame)),
  // Wireshark believes in a control word when it knows who made the hardware behind it.
  'mpls of frames': (frame) => {
    const maker = words(0x001b, 0x2100)
    return ethernet(0x8847, words(0x0001, 0x0140, 0, 0), maker, [0, 2], maker, [0, 1], frame.subarray(12))
  },
  'mpls in gre': (frame) => outer(ipv4(47, words(0, 0x8847, 0x0001, 0x0140), packetOf(frame))),
  etherip: (frame) => outer(ipv4(97, words(0x3000), frame)),
  'vxlan in gre in a VLAN': (frame) =>
    ethernet(
      0x8100,
      words(42, TYPE_IPV4),
      ipv4(47, words(0, TYPE_IPV4), ipv4(17, udp(4789, words(0x0800, 0, 0, 0x2a00), frame))),
    ),
}

/** An ICMP error about a packet, of which it quotes so many bytes, to who sent it. */
export function unreachable(frame: Uint8Array, bytes: number): Uint8Array {
  const packet = packetOf(frame)
  const icmp = join(words(0x0301, 0, 0, 0), packet.subarray(0, bytes))
  put16(icmp, 2, ~sumBytes(icmp, 0, icmp.length) & 0xffff)
  return outer(ipv4(1, icmp))
}
