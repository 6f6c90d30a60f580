import { put16, put32 } from '../../bytes.ts'
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN } from '../../stack/wire/ethernet.ts'
import {
  LINKTYPE_ETHERNET,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_LOOP,
  LINKTYPE_NULL,
  LINKTYPE_RAW,
} from '../file/format.ts'
import type { Side } from './pattern.ts'

/** What a packet is captured from. */
export type LinkName = 'ethernet' | 'sll' | 'sll2' | 'raw' | 'null' | 'loop'

/** Numbers of the capture formats. */
export const linkTypes: Readonly<Record<LinkName, number>> = {
  ethernet: LINKTYPE_ETHERNET,
  sll: LINKTYPE_LINUX_SLL,
  sll2: LINKTYPE_LINUX_SLL2,
  raw: LINKTYPE_RAW,
  null: LINKTYPE_NULL,
  loop: LINKTYPE_LOOP,
}

/** How packets of a conversation are framed. */
export interface Framing {
  link: LinkName
  /** VLAN ids, outer first: one is an 802.1Q tag; of several the first is 802.1ad. Ethernet and cooked captures. */
  vlan: readonly number[]
  /** Session of PPP over Ethernet (RFC 2516); null for none. */
  pppoe: number | null
  mac: Readonly<Record<Side, Uint8Array>>
}

const ETHERTYPE_PPPOE_SESSION = 0x8864
const PPP_IPV4 = 0x0021
const PPP_IPV6 = 0x0057
const ARPHRD_ETHER = 1
/** Packet types of cooked captures, as seen on the client's host: sent by us, sent to us. */
const SLL_OUTGOING = 4
const SLL_HOST = 0
/** Address families of BSD: loopback captures have the writer's. IPv6 is Darwin's. */
const AF_INET = 2
const AF_INET6 = 30

/** The link's frame around an IP packet of a version, sent by one side. */
export function frame(framing: Framing, from: Side, version: 4 | 6, packet: Uint8Array): Uint8Array {
  switch (framing.link) {
    case 'raw':
      return packet.slice()
    case 'null': {
      // Host byte order: here always little-endian.
      const family = version === 4 ? AF_INET : AF_INET6
      return join(Uint8Array.of(family, 0, 0, 0), packet)
    }
    case 'loop':
      return join(Uint8Array.of(0, 0, 0, version === 4 ? AF_INET : AF_INET6), packet)
    case 'ethernet': {
      const head = new Uint8Array(12)
      head.set(framing.mac[from === 'client' ? 'server' : 'client'], 0)
      head.set(framing.mac[from], 6)
      return join(head, typed(framing, version, packet))
    }
    case 'sll': {
      const head = new Uint8Array(14)
      put16(head, 0, from === 'client' ? SLL_OUTGOING : SLL_HOST)
      put16(head, 2, ARPHRD_ETHER)
      put16(head, 4, 6)
      head.set(framing.mac[from], 6)
      return join(head, typed(framing, version, packet))
    }
    case 'sll2': {
      const rest = typed(framing, version, packet)
      const head = new Uint8Array(20)
      head.set(rest.subarray(0, 2), 0)
      put32(head, 4, 1)
      put16(head, 8, ARPHRD_ETHER)
      head[10] = from === 'client' ? SLL_OUTGOING : SLL_HOST
      head[11] = 6
      head.set(framing.mac[from], 12)
      return join(head, rest.subarray(2))
    }
  }
}

/** The packet behind its type, with tags and session in between. */
function typed({ vlan, pppoe }: Framing, version: 4 | 6, packet: Uint8Array): Uint8Array {
  let type = version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6
  let body = packet
  if (pppoe !== null) {
    const head = new Uint8Array(8)
    head[0] = 0x11
    put16(head, 2, pppoe)
    put16(head, 4, packet.length + 2)
    put16(head, 6, version === 4 ? PPP_IPV4 : PPP_IPV6)
    body = join(head, packet)
    type = ETHERTYPE_PPPOE_SESSION
  }
  for (let i = vlan.length - 1; i >= 0; i--) {
    const tag = new Uint8Array(4)
    put16(tag, 0, vlan[i]!)
    put16(tag, 2, type)
    body = join(tag, body)
    type = i === 0 && vlan.length > 1 ? ETHERTYPE_QINQ : ETHERTYPE_VLAN
  }
  return join(Uint8Array.of(type >>> 8, type & 255), body)
}

function join(head: Uint8Array, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + body.length)
  bytes.set(head)
  bytes.set(body, head.length)
  return bytes
}
