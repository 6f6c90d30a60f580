/** Ethernet II framing (IEEE 802.3): destination, source, EtherType, all before any VLAN tag. */

export const ETHERNET_HEADER_BYTES = 14
/** Shortest frame without its checksum; shorter ones are padded by the sender. */
export const ETHERNET_MIN_BYTES = 60
export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806

export const BROADCAST_MAC: Uint8Array = Uint8Array.of(255, 255, 255, 255, 255, 255)

/** `02:00:00:00:00:01` */
export function formatMac(mac: Uint8Array): string {
  return [...mac.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** Writes the 14-byte header. */
export function putEthernet(
  frame: Uint8Array,
  at: number,
  destination: Uint8Array,
  source: Uint8Array,
  type: number,
): void {
  for (let i = 0; i < 6; i++) {
    frame[at + i] = destination[i]!
    frame[at + 6 + i] = source[i]!
  }
  frame[at + 12] = type >>> 8
  frame[at + 13] = type
}
