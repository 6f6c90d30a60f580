import type { VethPair } from '../../support/netns.ts'
import { kernelCounter } from '../packet/setup.ts'
import { ethernet, ipv4, ipv6, tcp } from '../xdp/frames.ts'
import { inject } from '../xdp/setup.ts'

/** A segment that belongs to no connection, with its flags and the checksum right. */
export function segmentTo(address: Uint8Array, port: number, flags: number): Uint8Array {
  const segment = tcp(port)
  segment[13] = flags
  const packet = address.length === 4 ? ipv4(segment) : ipv6(segment)
  const at = packet.length - segment.length
  const view = new DataView(packet.buffer, packet.byteOffset)
  let sum = 6 + segment.length
  for (let i = address.length === 4 ? 12 : 8; i < packet.length; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  view.setUint16(at + 16, ~sum & 0xffff)
  return ethernet(address.length === 4 ? 0x0800 : 0x86dd, packet)
}

/** Sends frames from the peer; how many of them the TCP of our end's kernel gets, and how many resets it answers. */
export function answers(pair: VethPair, frames: Uint8Array[]): { heard: number; resets: number } {
  const count = (name: string): number => kernelCounter(pair, pair.ours, name)
  const [heard, resets] = [count('TcpInSegs'), count('TcpOutRsts')]
  // To the interface's hardware address: what is for everybody is not answered.
  const mac = pair.run(pair.ours, 'cat', `/sys/class/net/${pair.device}/address`).trim()
  const ours = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  inject(
    pair,
    frames.map((frame) => Uint8Array.of(...ours, ...frame.subarray(6))),
  )
  return { heard: count('TcpInSegs') - heard, resets: count('TcpOutRsts') - resets }
}
