import { get32, put32 } from './bytes.ts'

/** Third word of an IPv4 address in its v4-mapped form, `::ffff:a.b.c.d` (RFC 4291 2.5.5.2). */
export const V4_MAPPED = 0xffff

/**
 * An IPv4 or IPv6 address, immutable: four words in network order as signed 32-bit integers, IPv4 in its v4-mapped form,
 * so that addresses of both families compare alike. `::ffff:192.0.2.1` and `192.0.2.1` are one address, of version 4.
 */
export class IpAddress {
  /** `0.0.0.0`. */
  static readonly any4: IpAddress = new IpAddress(0, 0, V4_MAPPED, 0)
  /** `::`. */
  static readonly any6: IpAddress = new IpAddress(0, 0, 0, 0)

  /** Of IPv4 also when it was written v4-mapped. */
  readonly version: 4 | 6
  /** The first 32 bits; 0 of IPv4. */
  readonly w0: number
  /** The second 32 bits; 0 of IPv4. */
  readonly w1: number
  /** The third 32 bits; `V4_MAPPED` of IPv4. */
  readonly w2: number
  /** The IPv4 address, or the last 32 bits. */
  readonly w3: number

  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0 | 0
    this.w1 = w1 | 0
    this.w2 = w2 | 0
    this.w3 = w3 | 0
    this.version = this.w0 === 0 && this.w1 === 0 && this.w2 === V4_MAPPED ? 4 : 6
  }

  /** From an IPv4 address as an integer, signed or not. */
  static v4(address: number): IpAddress {
    return new IpAddress(0, 0, V4_MAPPED, address)
  }

  /** From 4 or 16 bytes in network order. @throws RangeError for another length */
  static from(bytes: Uint8Array): IpAddress {
    if (bytes.length === 4) return IpAddress.v4(get32(bytes, 0))
    if (bytes.length === 16) return IpAddress.at(bytes, 0)
    throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`)
  }

  /** From 16 bytes at an offset that the caller has checked. */
  static at(bytes: Uint8Array, offset: number): IpAddress {
    return new IpAddress(
      get32(bytes, offset),
      get32(bytes, offset + 4),
      get32(bytes, offset + 8),
      get32(bytes, offset + 12),
    )
  }

  /** From `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`; null when the text is no address. Zones (`%eth0`) are not taken. */
  static parse(text: string): IpAddress | null {
    if (text.startsWith('[') && text.endsWith(']')) {
      const inner = IpAddress.parse(text.slice(1, -1))
      return text.includes(':') ? inner : null
    }
    if (!text.includes(':')) {
      const address = parseIpv4(text)
      return address === null ? null : IpAddress.v4(address)
    }
    const words = parseIpv6(text)
    return words === null ? null : new IpAddress(...words)
  }

  /** The same address, hence of the same version. */
  equals(other: IpAddress): boolean {
    return this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0
  }

  /** 4 or 16 bytes in network order, after the version. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.version === 4 ? 4 : 16)
    if (this.version === 4) put32(bytes, 0, this.w3)
    else this.put(bytes, 0)
    return bytes
  }

  /** Writes 16 bytes in network order. */
  put(bytes: Uint8Array, at: number): void {
    put32(bytes, at, this.w0)
    put32(bytes, at + 4, this.w1)
    put32(bytes, at + 8, this.w2)
    put32(bytes, at + 12, this.w3)
  }

  /** `0.0.0.0` or `::`. */
  get unspecified(): boolean {
    return this.w3 === 0 && this.w1 === 0 && this.w0 === 0 && (this.w2 === 0 || this.version === 4)
  }

  /** `127.0.0.0/8` or `::1`. */
  get loopback(): boolean {
    if (this.version === 4) return this.w3 >>> 24 === 127
    return this.w0 === 0 && this.w1 === 0 && this.w2 === 0 && this.w3 === 1
  }

  /** `169.254.0.0/16` (RFC 3927) or `fe80::/10`. */
  get linkLocal(): boolean {
    return this.version === 4 ? this.w3 >>> 16 === 0xa9fe : this.w0 >>> 22 === 0x3fa
  }

  /** `224.0.0.0/4` or `ff00::/8`. */
  get multicast(): boolean {
    return this.version === 4 ? this.w3 >>> 28 === 14 : this.w0 >>> 24 === 0xff
  }

  /** Whether one host can have the address; nobody else is answered (RFC 1122 3.2.1.3, RFC 4291 2.7). */
  get unicast(): boolean {
    return isUnicastWords(this.version, this.w0, this.w1, this.w2, this.w3)
  }

  /** Whether the first `bits` bits (0..32 or 0..128) are those of `prefix`, which is of the same version. */
  within(prefix: IpAddress, bits: number): boolean {
    if (this.version !== prefix.version) return false
    const length = this.version === 4 ? bits + 96 : bits
    return (
      sameBits(this.w0, prefix.w0, length) &&
      sameBits(this.w1, prefix.w1, length - 32) &&
      sameBits(this.w2, prefix.w2, length - 64) &&
      sameBits(this.w3, prefix.w3, length - 96)
    )
  }

  /** Dotted quad, or RFC 5952's canonical form. */
  toString(): string {
    return this.version === 4 ? formatIpv4(this.w3) : formatIpv6(this)
  }
}

/** Like `IpAddress.unicast`, of an address in words. */
export function isUnicastWords(version: number, w0: number, w1: number, w2: number, w3: number): boolean {
  if (version === 4) {
    const first = w3 >>> 24
    return first !== 0 && first < 224
  }
  return w0 >>> 24 !== 0xff && (w0 | w1 | w2 | w3) !== 0
}

/** `192.0.2.1:9000`, `[2001:db8::1]:9000`. */
export function formatEndpoint(address: IpAddress | string, port: number): string {
  const text = String(address)
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`
}

function sameBits(a: number, b: number, bits: number): boolean {
  if (bits <= 0) return true
  return bits >= 32 ? a === b : (a ^ b) >>> (32 - bits) === 0
}

/** `192.0.2.1` from an integer. */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** An integer (signed, as the stack keeps addresses) from `192.0.2.1`; null when the text is not an address. */
export function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  let address = 0
  for (let i = 1; i <= 4; i++) {
    const part = Number(match[i])
    if (part > 255) return null
    address = (address << 8) | part
  }
  return address
}

/** An address as four words in network order. */
interface AddressWords {
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
}

/** Four words in network order from `2001:db8::1`; null when the text is not an address. */
export function parseIpv6(text: string): [number, number, number, number] | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const front = parseGroups(halves[0]!, halves.length === 1)
  const back = halves.length === 1 ? [] : parseGroups(halves[1]!, true)
  if (front === null || back === null) return null
  const missing = 8 - front.length - back.length
  // RFC 4291 2.2: "::" stands for one group of zeros at least.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null
  const g = [...front, ...new Array<number>(missing).fill(0), ...back]
  return [(g[0]! << 16) | g[1]!, (g[2]! << 16) | g[3]!, (g[4]! << 16) | g[5]!, (g[6]! << 16) | g[7]!]
}

/** Groups of 16 bits; the last part may be a dotted quad when it ends the address. */
function parseGroups(text: string, last: boolean): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const address = parseIpv4(part)
      if (address === null) return null
      groups.push(address >>> 16, address & 0xffff)
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return null
  }
  return groups
}

/** RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups is "::". */
export function formatIpv6({ w0, w1, w2, w3 }: AddressWords): string {
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff])
  let best = -1
  let bestLength = 1
  for (let at = 0; at < 8; ) {
    let end = at
    while (end < 8 && groups[end] === 0) end++
    if (end - at > bestLength) {
      best = at
      bestLength = end - at
    }
    at = end + 1
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`
}
