import { IpAddress } from '../../address.ts'
import { get32 } from '../../bytes.ts'
import { halfSipHash } from '../entropy.ts'

/** Bytes of the secret of {@link stableAddress}. */
export const SECRET_BYTES = 16

/** An address whose last 64 bits are made of the hardware address (RFC 4291 appendix A, RFC 2464 section 4). */
export function eui64Address(prefix: IpAddress, mac: Uint8Array): IpAddress {
  const high = ((mac[0]! ^ 2) << 24) | (mac[1]! << 16) | (mac[2]! << 8) | 0xff
  const low = (0xfe << 24) | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!
  return new IpAddress(prefix.w0, prefix.w1, high, low)
}

/**
 * An address whose last 64 bits are the same whenever the interface meets the prefix, and tell nothing elsewhere (RFC 7217
 * section 5). @param counter of duplicates that were found @param secret 16 bytes that nobody else knows
 */
export function stableAddress(
  prefix: IpAddress,
  mac: Uint8Array,
  counter: number,
  secret: Uint8Array,
): IpAddress {
  const words = [prefix.w0, prefix.w1, get32(mac, 0), (mac[4]! << 8) | mac[5]!]
  for (let tries = counter; ; tries++) {
    const high = halfSipHash(get32(secret, 0), get32(secret, 4), [...words, tries])
    const low = halfSipHash(get32(secret, 8), get32(secret, 12), [...words, tries])
    if (!reserved(high, low)) return new IpAddress(prefix.w0, prefix.w1, high, low)
  }
}

/** RFC 5453: the subnet routers' anycast address, and those at the end of a subnet (RFC 2526). */
function reserved(high: number, low: number): boolean {
  return (high === 0 && low === 0) || (high === (0xfdffffff | 0) && low >>> 0 >= 0xffffff80)
}
