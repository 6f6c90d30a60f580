/**
 * Netlink messages (netlink(7), linux/netlink.h): a header, a fixed structure, attributes. Numbers are in the machine's byte
 * order, which Node runs on as little-endian only. What comes in is checked against its lengths; what is cut off or lies
 * about them ends the walk.
 */

export const NLMSG_HEADER_BYTES = 16
const ATTRIBUTE_HEADER_BYTES = 4

// nlmsg_type below NLMSG_MIN_TYPE.
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

// nlmsg_flags.
export const NLM_F_REQUEST = 0x01
export const NLM_F_ACK = 0x04
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_CREATE = 0x400
export const NLM_F_EXCL = 0x200
/** Of an answer: what was dumped changed meanwhile. */
export const NLM_F_DUMP_INTR = 0x10

/** Of an NLMSG_ERROR: of the request only the header is repeated; attributes with an explanation follow. */
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200

const NLMSGERR_ATTR_MSG = 1
/** More than the kernel says in any explanation. */
const MAX_EXPLANATION = 200

/** Of a nested attribute's type: new families insist on it. */
export const NLA_F_NESTED = 0x8000
/** Without the nested and byte order bits of an attribute's type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff

/** One message. `body` is a view of the received bytes behind the header. */
export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly body: Uint8Array
}

/** An attribute to send: its type and its bytes. */
export type NetlinkAttribute = readonly [type: number, value: Uint8Array]

/** The messages of a datagram, in order. */
export function readMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = []
  const view = viewOf(datagram)
  for (let at = 0; at + NLMSG_HEADER_BYTES <= datagram.length; ) {
    const length = view.getUint32(at, true)
    if (length < NLMSG_HEADER_BYTES || length > datagram.length - at) break
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: datagram.subarray(at + NLMSG_HEADER_BYTES, at + length),
    })
    at += align(length)
  }
  return messages
}

/** Attributes from `at` on, by type; of several of one type the last. */
export function readAttributes(bytes: Uint8Array, at = 0): Map<number, Uint8Array> {
  return new Map(listAttributes(bytes, at))
}

/** Attributes from `at` on, in order. */
export function listAttributes(bytes: Uint8Array, at = 0): [type: number, value: Uint8Array][] {
  const attributes: [number, Uint8Array][] = []
  const view = viewOf(bytes)
  while (at + ATTRIBUTE_HEADER_BYTES <= bytes.length) {
    const length = view.getUint16(at, true)
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at) break
    const type = view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK
    attributes.push([type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length)])
    at += align(length)
  }
  return attributes
}

/** The first four bytes of an attribute as an unsigned number; undefined when it is missing or shorter. */
export function attributeNumber(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true)
}

/** A number as an attribute's four bytes. */
export function numberAttribute(type: number, value: number): NetlinkAttribute {
  const bytes = new Uint8Array(4)
  viewOf(bytes).setUint32(0, value, true)
  return [type, bytes]
}

/** Attributes one behind the other, padded: what a nested attribute holds. */
export function writeAttributes(attributes: readonly NetlinkAttribute[]): Uint8Array {
  let length = 0
  for (const [, value] of attributes) length += align(ATTRIBUTE_HEADER_BYTES + value.length)
  const bytes = new Uint8Array(length)
  const view = viewOf(bytes)
  let at = 0
  for (const [attribute, value] of attributes) {
    view.setUint16(at, ATTRIBUTE_HEADER_BYTES + value.length, true)
    view.setUint16(at + 2, attribute, true)
    bytes.set(value, at + ATTRIBUTE_HEADER_BYTES)
    at += align(ATTRIBUTE_HEADER_BYTES + value.length)
  }
  return bytes
}

/** A whole message. @param body the fixed structure behind the header */
export function writeMessage(
  type: number,
  flags: number,
  sequence: number,
  body: Uint8Array,
  attributes: readonly NetlinkAttribute[] = [],
): Uint8Array {
  const behind = writeAttributes(attributes)
  const at = NLMSG_HEADER_BYTES + align(body.length)
  const bytes = new Uint8Array(at + behind.length)
  const view = viewOf(bytes)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, type, true)
  view.setUint16(6, flags, true)
  view.setUint32(8, sequence, true)
  bytes.set(body, NLMSG_HEADER_BYTES)
  bytes.set(behind, at)
  return bytes
}

/** The errno, 0 or negative, of an NLMSG_ERROR or NLMSG_DONE; 0 when it says none. */
export function errnoOf(message: NetlinkMessage): number {
  return message.body.length < 4 ? 0 : Math.min(0, viewOf(message.body).getInt32(0, true))
}

/** What the kernel says in words with an NLMSG_ERROR or NLMSG_DONE (extended acknowledgement); empty when it says nothing. */
export function explanationOf({ type, flags, body }: NetlinkMessage): string {
  if ((flags & NLM_F_ACK_TLVS) === 0) return ''
  let at = 4
  if (type === NLMSG_ERROR) {
    const headerEnd = 4 + NLMSG_HEADER_BYTES
    if (body.length < headerEnd) return ''
    // Behind the errno the request comes back, or its header.
    at = (flags & NLM_F_CAPPED) === 0 ? 4 + align(viewOf(body).getUint32(4, true)) : headerEnd
    if (at < headerEnd || at > body.length) return ''
  }
  const words = readAttributes(body, at).get(NLMSGERR_ATTR_MSG)
  return words === undefined ? '' : attributeText(words).slice(0, MAX_EXPLANATION)
}

/** Text up to the zero byte that ends it, what is not printable in ASCII left out. */
export function attributeText(value: Uint8Array): string {
  const end = value.indexOf(0)
  const bytes = end < 0 ? value : value.subarray(0, end)
  return String.fromCharCode(...bytes.filter((byte) => byte >= 0x20 && byte < 0x7f))
}

function align(length: number): number {
  return (length + 3) & ~3
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
