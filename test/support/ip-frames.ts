import { IpAddress } from '../../address.ts'
import { plainSum } from './raw-peer.ts'
import { CLIENT, CLIENT6, SERVER, SERVER6 } from './stack-pair.ts'

/** Frames of both versions of IP as an honest peer builds them, layer by layer, independent of the stack's encoders. */

export const PEER_MAC = [2, 0, 0, 0, 0, 1]
export const STACK_MAC = [2, 0, 0, 0, 0, 2]

const be16 = (value: number): number[] => [(value >> 8) & 255, value & 255]
const be32 = (value: number): number[] => [...be16(value >>> 16), ...be16(value & 0xffff)]

/** @param tags type and VLAN id of each tag, outer first */
export function ether(
  type: number,
  packet: ArrayLike<number>,
  { destination = STACK_MAC, tags = [] }: { destination?: number[]; tags?: [number, number][] } = {},
): Uint8Array {
  const tagBytes = tags.flatMap(([kind, id]) => [...be16(kind), ...be16(id)])
  return Uint8Array.of(...destination, ...PEER_MAC, ...tagBytes, ...be16(type), ...Array.from(packet))
}

export interface IpSpec {
  source?: IpAddress
  destination?: IpAddress
  protocol?: number
  /** IPv4: flags and fragment offset. */
  fragment?: number
  identification?: number
  options?: number[]
  hopLimit?: number
}

export function ip4(payload: ArrayLike<number>, spec: IpSpec = {}): Uint8Array {
  const { source = CLIENT, destination = SERVER, options = [] } = spec
  const head = [
    0x40 | (5 + options.length / 4),
    0,
    ...be16(20 + options.length + payload.length),
    ...be16(spec.identification ?? 0),
    ...be16(spec.fragment ?? 0),
    spec.hopLimit ?? 64,
    spec.protocol ?? 6,
    0,
    0,
    ...source.bytes(),
    ...destination.bytes(),
    ...options,
  ]
  const sum = ~plainSum(Uint8Array.from(head)) & 0xffff
  head[10] = sum >> 8
  head[11] = sum & 255
  return Uint8Array.of(...head, ...Array.from(payload))
}

/** @param extensions headers, whose first bytes (next header) are filled in: kind and bytes */
export function ip6(
  payload: ArrayLike<number>,
  spec: IpSpec = {},
  extensions: [number, number[]][] = [],
): Uint8Array {
  const { source = CLIENT6, destination = SERVER6 } = spec
  const kinds = [...extensions.map(([kind]) => kind), spec.protocol ?? 6]
  const rest = [
    ...extensions.flatMap(([, bytes], i) => [kinds[i + 1]!, ...bytes.slice(1)]),
    ...Array.from(payload),
  ]
  const head = [0x60, 0, 0, 0, ...be16(rest.length), kinds[0]!, spec.hopLimit ?? 64]
  return Uint8Array.of(...head, ...source.bytes(), ...destination.bytes(), ...rest)
}

/** An IPv6 fragment extension header for `ip6`. @param offset bytes */
export function fragment6(offset: number, more: boolean, identification: number): [number, number[]] {
  return [44, [0, 0, ...be16(offset | (more ? 1 : 0)), ...be32(identification)]]
}

/** Writes the right checksum into an upper-layer packet. */
export function finish(
  packet: number[],
  at: number,
  version: number,
  protocol: number,
  spec: IpSpec,
): Uint8Array {
  const source = spec.source ?? (version === 4 ? CLIENT : CLIENT6)
  const destination = spec.destination ?? (version === 4 ? SERVER : SERVER6)
  const pseudo =
    protocol === 1
      ? []
      : [...source.bytes(), ...destination.bytes(), ...be32(packet.length), ...be32(protocol)]
  packet[at] = packet[at + 1] = 0
  const sum = ~plainSum(Uint8Array.of(...pseudo, ...packet)) & 0xffff
  packet[at] = sum >> 8
  packet[at + 1] = sum & 255
  return Uint8Array.from(packet)
}

/** An ICMP message of the version. @param word the second 32 bits */
export function icmp(
  version: 4 | 6,
  type: number,
  code: number,
  word: number,
  body: ArrayLike<number> = [],
  spec: IpSpec = {},
): Uint8Array {
  const packet = [type, code, 0, 0, ...be32(word), ...Array.from(body)]
  return finish(packet, 2, version, version === 4 ? 1 : 58, spec)
}

export interface TcpSpec {
  sourcePort?: number
  destinationPort?: number
  seq?: number
  ack?: number
  flags?: number
  payload?: ArrayLike<number>
}

export function tcpSegment(version: 4 | 6, tcp: TcpSpec, spec: IpSpec = {}): Uint8Array {
  const packet = [
    ...be16(tcp.sourcePort ?? 40_000),
    ...be16(tcp.destinationPort ?? 9000),
    ...be32(tcp.seq ?? 0),
    ...be32(tcp.ack ?? 0),
    0x50,
    tcp.flags ?? 0x10,
    ...be16(65_535),
    0,
    0,
    0,
    0,
    ...Array.from(tcp.payload ?? []),
  ]
  return finish(packet, 16, version, 6, spec)
}

/** A whole frame around a packet of the version. */
export function framed(version: 4 | 6, payload: ArrayLike<number>, spec: IpSpec = {}): Uint8Array {
  return version === 4 ? ether(0x0800, ip4(payload, spec)) : ether(0x86dd, ip6(payload, spec))
}

/** An untagged frame of the stack's, taken apart; checksums are verified. */
export interface Parsed {
  version: number
  mac: string
  source: string
  destination: string
  protocol: number
  hopLimit: number
  /** Identification, offset and more-fragments bit of a fragment. */
  fragment: { identification: number; offset: number; more: boolean } | null
  payload: Uint8Array
}

export function parse(frame: Uint8Array): Parsed {
  const view = new DataView(frame.buffer, frame.byteOffset)
  const mac = [...frame.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
  if (view.getUint16(12) === 0x0800) {
    const head = (frame[14]! & 15) * 4
    if (plainSum(frame.subarray(14, 14 + head)) !== 0xffff) throw new Error('IPv4 checksum')
    const field = view.getUint16(20)
    return {
      version: 4,
      mac,
      source: IpAddress.from(frame.subarray(26, 30)).toString(),
      destination: IpAddress.from(frame.subarray(30, 34)).toString(),
      protocol: frame[23]!,
      hopLimit: frame[22]!,
      fragment:
        (field & 0x3fff) === 0
          ? null
          : {
              identification: view.getUint16(18),
              offset: (field & 0x1fff) * 8,
              more: (field & 0x2000) !== 0,
            },
      payload: frame.slice(14 + head, 14 + view.getUint16(16)),
    }
  }
  if (view.getUint16(12) !== 0x86dd) throw new Error(`EtherType ${view.getUint16(12).toString(16)}`)
  const isFragment = frame[20] === 44
  const at = isFragment ? 62 : 54
  const field = isFragment ? view.getUint16(56) : 0
  return {
    version: 6,
    mac,
    source: IpAddress.from(frame.subarray(22, 38)).toString(),
    destination: IpAddress.from(frame.subarray(38, 54)).toString(),
    protocol: isFragment ? frame[54]! : frame[20]!,
    hopLimit: frame[21]!,
    fragment: isFragment
      ? { identification: view.getUint32(58), offset: field & 0xfff8, more: (field & 1) !== 0 }
      : null,
    payload: frame.slice(at, 54 + view.getUint16(18)),
  }
}

/** Whether an upper-layer packet's checksum is right. */
export function checksumOk({ version, source, destination, protocol, payload }: Parsed): boolean {
  const bytes = (text: string): Uint8Array => IpAddress.parse(text)!.bytes()
  const pseudo =
    version === 4 && protocol === 1
      ? []
      : [...bytes(source), ...bytes(destination), ...be32(payload.length), ...be32(protocol)]
  return plainSum(Uint8Array.of(...pseudo, ...payload)) === 0xffff
}
