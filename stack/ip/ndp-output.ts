import { IpAddress } from '../../address.ts'
import { put16, put32 } from '../../bytes.ts'
import { addSums, pseudoHeaderSum6, sumBytes } from '../wire/checksum.ts'
import { ETHERTYPE_IPV6 } from '../wire/ethernet.ts'
import {
  IPPROTO_ICMPV6,
  NDP_NEIGHBOUR_BYTES,
  NDP_NEIGHBOUR_SOLICITATION,
  NDP_NONCE,
  NDP_ROUTER_SOLICITATION,
  NDP_SOURCE_LINK_ADDRESS,
} from '../wire/icmp.ts'
import { IPV6_HEADER_BYTES, putIpv6 } from '../wire/ipv6.ts'
import type { Link } from './link.ts'

/** RFC 4861 6.1, 7.1: proves that no router has forwarded the packet. */
export const NDP_HOP_LIMIT = 255
/** The least nonce (RFC 3971 5.3.2): with it the option is eight bytes. */
export const NONCE_BYTES = 6

export const ALL_NODES: IpAddress = new IpAddress(0xff020000, 0, 0, 1)
const ALL_ROUTERS = new IpAddress(0xff020000, 0, 0, 2)

/** The solicited-node multicast address of an address (RFC 4291 2.7.1). */
export function solicitedNode(address: IpAddress): IpAddress {
  return new IpAddress(0xff020000, 0, 1, 0xff000000 | (address.w3 & 0xffffff))
}

/** Asks whether anybody has an address that we want (RFC 4862 5.4.2), with a nonce that tells the question from others' (RFC 7527). */
export function sendAddressProbe(link: Link, address: IpAddress, nonce: Uint8Array): void {
  const message = new Uint8Array(NDP_NEIGHBOUR_BYTES + 2 + NONCE_BYTES)
  message[0] = NDP_NEIGHBOUR_SOLICITATION
  address.put(message, 8)
  message[24] = NDP_NONCE
  message[25] = 1
  message.set(nonce, 26)
  sendToGroup(link, IpAddress.any6, solicitedNode(address), message)
}

/** Asks routers to say what they know (RFC 4861 4.1). */
export function sendRouterSolicit(link: Link, source: IpAddress): void {
  const message = new Uint8Array(16)
  message[0] = NDP_ROUTER_SOLICITATION
  message[8] = NDP_SOURCE_LINK_ADDRESS
  message[9] = 1
  message.set(link.mac, 10)
  sendToGroup(link, source, ALL_ROUTERS, message)
}

/** @param message with room for its checksum */
function sendToGroup(link: Link, source: IpAddress, group: IpAddress, message: Uint8Array): void {
  const slot = link.reserve()
  if (slot < 0) return
  const frame = link.nic.txMemory
  // RFC 2464 section 7: 33:33 and the group's last four bytes.
  const ip = slot + link.putEthernet(slot, 0x3333, group.w3, ETHERTYPE_IPV6)
  const at = ip + IPV6_HEADER_BYTES
  putIpv6(frame, ip, message.length, IPPROTO_ICMPV6, source, group, 0, NDP_HOP_LIMIT)
  frame.set(message, at)
  put32(frame, at, message[0]! << 24)
  const pseudo = pseudoHeaderSum6(source, group, IPPROTO_ICMPV6, message.length)
  put16(frame, at + 2, ~addSums(pseudo, sumBytes(frame, at, message.length)) & 0xffff)
  link.commit(slot, at - slot + message.length)
}
