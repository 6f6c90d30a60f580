import { IpAddress } from '../../../address.ts'

/** Frames for the driver's tests, with only what an XDP program looks at. */

export const OURS = Uint8Array.of(10, 77, 0, 2)
export const PEER = Uint8Array.of(10, 77, 0, 1)

const BROADCAST = new Uint8Array(6).fill(0xff)

export interface Ipv4Options {
  destination?: Uint8Array
  protocol?: number
  /** Flags and fragment offset, as in the header. */
  fragment?: number
  /** Bytes of options, a multiple of 4. */
  options?: number
  version?: number
}

export function ethernet(
  type: number,
  payload: Uint8Array,
  tags: number[] = [],
  destination: Uint8Array = BROADCAST,
): Uint8Array {
  const head = [...destination, 2, 0, 0, 0, 0, 1]
  for (const tag of tags) head.push(tag >> 8, tag & 255, 0, 7)
  return Uint8Array.of(...head, type >> 8, type & 255, ...payload)
}

export function ipv4(
  payload: Uint8Array,
  { destination = OURS, protocol = 6, fragment = 0, options = 0, version = 4 }: Ipv4Options = {},
): Uint8Array {
  const head = 20 + options
  const packet = new Uint8Array(head + payload.length)
  const view = new DataView(packet.buffer)
  packet[0] = (version << 4) | (head / 4)
  view.setUint16(2, packet.length)
  view.setUint16(6, fragment)
  packet[8] = 64
  packet[9] = protocol
  packet.set(PEER, 12)
  packet.set(destination, 16)
  packet.fill(1, 20, head)
  packet.set(payload, head)
  let sum = 0
  for (let i = 0; i < head; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  view.setUint16(10, ~sum & 0xffff)
  return packet
}

export const OURS6 = address6('fd00:77::2')
export const PEER6 = address6('fd00:77::1')

export function address6(text: string): Uint8Array {
  return IpAddress.parse(text)!.bytes()
}

/** An IPv6 packet; `extensions` are whole headers whose first byte is filled in. */
export function ipv6(
  payload: Uint8Array,
  { destination = OURS6, protocol = 6, version = 6 }: Ipv4Options = {},
  extensions: [number, Uint8Array][] = [],
): Uint8Array {
  const kinds = [...extensions.map(([kind]) => kind), protocol]
  const rest = extensions.flatMap(([, bytes], i) => [...bytes.with(0, kinds[i + 1]!)])
  const length = rest.length + payload.length
  const head = [version << 4, 0, 0, 0, length >> 8, length & 255, kinds[0]!, 64]
  return Uint8Array.of(...head, ...PEER6, ...destination, ...rest, ...payload)
}

/** A neighbour solicitation without options. */
export function solicitation(target: Uint8Array): Uint8Array {
  return Uint8Array.of(135, 0, 0, 0, 0, 0, 0, 0, ...target)
}

/** A TCP segment, or the start of a UDP datagram: ports, then whatever. */
export function tcp(port: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const segment = new Uint8Array(20 + payload.length)
  const view = new DataView(segment.buffer)
  view.setUint16(0, 40000)
  view.setUint16(2, port)
  segment[12] = 5 << 4
  segment[13] = 0x10
  view.setUint16(14, 1000)
  segment.set(payload, 20)
  return segment
}

export function arp(target: Uint8Array, sender = PEER): Uint8Array {
  return Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, ...sender, 0, 0, 0, 0, 0, 0, ...target)
}

/** Bytes that tell where they are. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff)
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
