import { IpAddress } from '../../address.ts'
import { put16 } from '../../bytes.ts'
import { addSums, pseudoHeaderSum, pseudoHeaderSum6, sumBytes } from '../../stack/wire/checksum.ts'
import { putEthernet } from '../../stack/wire/ethernet.ts'
import { IPV4_DF, putIpv4 } from '../../stack/wire/ipv4.ts'
import { putIpv6 } from '../../stack/wire/ipv6.ts'
import { putMss, putTcp, putTimestamps, putWindowScale, SYN } from '../../stack/wire/tcp.ts'

export const PORT = 9000
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1)
export const ADDRESSES: Readonly<Record<4 | 6, { server: IpAddress; client: IpAddress }>> = {
  4: { server: IpAddress.parse('192.0.2.2')!, client: IpAddress.parse('192.0.2.1')! },
  6: { server: IpAddress.parse('2001:db8::2')!, client: IpAddress.parse('2001:db8::1')! },
}

/** What a segment says. */
export interface Said {
  readonly version: 4 | 6
  readonly vlan: readonly number[]
  readonly port: number
  readonly seq: number
  readonly ack: number
  readonly flags: number
  readonly window: number
  /** Null: none. */
  readonly timestamps: readonly [value: number, echo: number] | null
  readonly payload: Uint8Array
  /** The ECN codepoint, and whatever else of the traffic class. */
  readonly trafficClass: number
  /** The checksum is that of the pseudo-header only. */
  readonly unfinished: boolean
}

/** A frame, and its bytes in front of the payload. */
export function frameOf(said: Said): { bytes: Uint8Array; headers: number } {
  const { version, vlan, flags, payload } = said
  const { server, client } = ADDRESSES[version]
  const syn = (flags & SYN) !== 0
  const options = (syn ? 8 : 0) + (said.timestamps === null ? 0 : 12)
  const ip = 14 + 4 * vlan.length
  const tcp = ip + (version === 4 ? 20 : 40)
  const headers = tcp + 20 + options
  const bytes = new Uint8Array(headers + payload.length)
  putEthernet(bytes, 0, 0x0200, 2, PEER_MAC, vlan.length > 0 ? 0x8100 : version === 4 ? 0x0800 : 0x86dd)
  for (const [i, id] of vlan.entries()) {
    put16(bytes, 14 + 4 * i, id)
    put16(bytes, 16 + 4 * i, i + 1 < vlan.length ? 0x8100 : version === 4 ? 0x0800 : 0x86dd)
  }
  const length = 20 + options + payload.length
  if (version === 4)
    putIpv4(bytes, ip, 20 + length, said.seq & 0xffff, 6, client.w3, server.w3, IPV4_DF, said.trafficClass)
  else putIpv6(bytes, ip, length, 6, client, server, 7, 64, said.trafficClass)
  putTcp(bytes, tcp, said.port, PORT, said.seq, said.ack, 20 + options, flags, said.window)
  let used = 20
  if (syn) {
    used += putMss(bytes, tcp + used, 8900)
    used += putWindowScale(bytes, tcp + used, 7)
  }
  if (said.timestamps !== null) putTimestamps(bytes, tcp + used, ...said.timestamps)
  bytes.set(payload, headers)
  const pseudo =
    version === 4
      ? pseudoHeaderSum(client.w3, server.w3, 6, length)
      : pseudoHeaderSum6(client, server, 6, length)
  put16(bytes, tcp + 16, said.unfinished ? pseudo : ~addSums(pseudo, sumBytes(bytes, tcp, length)) & 0xffff)
  return { bytes, headers }
}
