import { put16, put32 } from '../../bytes.ts'

/** Ethernet II framing (IEEE 802.3): destination, source, EtherType, all before any VLAN tag. */

export const ETHERNET_HEADER_BYTES = 14
/** Shortest frame without its checksum; shorter ones are padded by the sender. */
export const ETHERNET_MIN_BYTES = 60
export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806
export const ETHERTYPE_IPV6 = 0x86dd
/** 802.1Q tag, and the outer tag of 802.1ad. */
export const ETHERTYPE_VLAN = 0x8100
export const ETHERTYPE_QINQ = 0x88a8

/** `ff:ff:ff:ff:ff:ff`, first two and last four bytes. */
export const BROADCAST_MAC_HIGH = 0xffff
export const BROADCAST_MAC_LOW = -1

/** `02:00:00:00:00:01` */
export function formatMac(mac: Uint8Array): string {
  return [...mac.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** Writes the 14-byte header. @param high,low first two and last four bytes of the destination @param source six bytes */
export function putEthernet(
  frame: Uint8Array,
  at: number,
  high: number,
  low: number,
  source: Uint8Array,
  type: number,
): void {
  put16(frame, at, high)
  put32(frame, at + 2, low)
  for (let i = 0; i < 6; i++) frame[at + 6 + i] = source[i]!
  frame[at + 12] = type >>> 8
  frame[at + 13] = type
}

/** A hardware address as a frame's first bytes read on a little-endian machine: four, as a signed word, and two. */
export function wordsOfMac(mac: Uint8Array): readonly [low: number, high: number] {
  return [(mac[3]! << 24) | (mac[2]! << 16) | (mac[1]! << 8) | mac[0]!, (mac[5]! << 8) | mac[4]!]
}
