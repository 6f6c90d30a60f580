/**
 * Netlink messages as bytes (netlink(7), Documentation/userspace-api/netlink/intro.rst): a header, for nfnetlink four bytes
 * more, then attributes, which may hold attributes. Headers are in the machine's byte order (little-endian), the numbers of
 * nftables in network order.
 */

export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3
export const NLM_F_REQUEST = 1
export const NLM_F_ACK = 4
export const NLM_F_DUMP = 0x300
export const NLM_F_CREATE = 0x400
export const NLM_F_EXCL = 0x200

const MESSAGE_HEADER_BYTES = 16
/** `struct nfgenmsg`: family, version, resource id in network order. */
const NFGEN_BYTES = 4
const ATTRIBUTE_HEADER_BYTES = 4
const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff

const aligned = (bytes: number): number => (bytes + 3) & ~3

/** Writes messages one behind the other. */
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
    const from = this.#take(MESSAGE_HEADER_BYTES + NFGEN_BYTES)
    const view = this.#view
    view.setUint16(from + 4, type, true)
    view.setUint16(from + 6, flags | NLM_F_REQUEST, true)
    view.setUint32(from + 8, sequence, true)
    view.setUint8(from + MESSAGE_HEADER_BYTES, family)
    view.setUint16(from + MESSAGE_HEADER_BYTES + 2, resource)
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

export interface NetlinkMessage {
  readonly type: number
  readonly sequence: number
  /** Of `NLMSG_ERROR`: 0 or a negative errno. */
  readonly error: number
  /** What follows the message header. */
  readonly payload: Uint8Array
}

/** The messages of a datagram; stops at one whose length can't be right. */
export function readMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const messages: NetlinkMessage[] = []
  for (let at = 0; at + MESSAGE_HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true)
    if (length < MESSAGE_HEADER_BYTES || length > bytes.length - at) break
    const type = view.getUint16(at + 4, true)
    const payload = bytes.subarray(at + MESSAGE_HEADER_BYTES, at + length)
    const error =
      type === NLMSG_ERROR && payload.length >= 4 ? view.getInt32(at + MESSAGE_HEADER_BYTES, true) : 0
    messages.push({ type, sequence: view.getUint32(at + 8, true), error, payload })
    at += aligned(length)
  }
  return messages
}

/** Attributes of an nfnetlink message by their type; of several of a type the last. */
export function readAttributes(payload: Uint8Array): Map<number, Uint8Array> {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const attributes = new Map<number, Uint8Array>()
  for (let at = NFGEN_BYTES; at + ATTRIBUTE_HEADER_BYTES <= payload.length; ) {
    const length = view.getUint16(at, true)
    if (length < ATTRIBUTE_HEADER_BYTES || length > payload.length - at) break
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK
    attributes.set(type, payload.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length))
    at += aligned(length)
  }
  return attributes
}
