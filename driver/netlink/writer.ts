import { NLM_F_REQUEST, NLMSG_HEADER_BYTES } from './message.ts'

/** `struct nfgenmsg`: family, version, resource id in network order. Attributes are behind it. */
export const NFGEN_BYTES = 4
const ATTRIBUTE_HEADER_BYTES = 4
const NLA_F_NESTED = 0x8000

const aligned = (bytes: number): number => (bytes + 3) & ~3

/**
 * Writes nfnetlink messages one behind the other: a header, four bytes more, then attributes, which may hold attributes. Headers
 * are in the machine's byte order (little-endian), the numbers of nftables in network order.
 */
export class NetlinkWriter {
  #bytes = new Uint8Array(1024)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  /** One nfnetlink message; `attributes` writes what it holds. */
  message(
    type: number,
    flags: number,
    sequence: number,
    family: number,
    resource: number,
    attributes: () => void = () => {},
  ): this {
    const from = this.#take(NLMSG_HEADER_BYTES + NFGEN_BYTES)
    const view = this.#view
    view.setUint16(from + 4, type, true)
    view.setUint16(from + 6, flags | NLM_F_REQUEST, true)
    view.setUint32(from + 8, sequence, true)
    view.setUint8(from + NLMSG_HEADER_BYTES, family)
    view.setUint16(from + NLMSG_HEADER_BYTES + 2, resource)
    attributes()
    this.#view.setUint32(from, this.#length - from, true)
    return this
  }

  bytes(type: number, value: Uint8Array): this {
    const from = this.#take(aligned(ATTRIBUTE_HEADER_BYTES + value.length))
    this.#view.setUint16(from, ATTRIBUTE_HEADER_BYTES + value.length, true)
    this.#view.setUint16(from + 2, type, true)
    this.#bytes.set(value, from + ATTRIBUTE_HEADER_BYTES)
    return this
  }

  /** A 32-bit number, signed or not, in network order. */
  number(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value))
  }

  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`))
  }

  nested(type: number, attributes: () => void): this {
    const from = this.#take(ATTRIBUTE_HEADER_BYTES)
    attributes()
    this.#view.setUint16(from, this.#length - from, true)
    this.#view.setUint16(from + 2, type | NLA_F_NESTED, true)
    return this
  }

  /** What was written, until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #take(count: number): number {
    const from = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length))
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return from
  }
}
