import { get16 } from '../../stack/wire/bytes.ts'
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN } from '../../stack/wire/ethernet.ts'
import * as format from '../file/format.ts'

/** The tag of what came before 802.1ad. */
const ETHERTYPE_OLD_QINQ = 0x9100
/** RFC 2516: the session stage. */
const ETHERTYPE_PPPOE = 0x8864
/** Version and type, code, session, length; then PPP's protocol (RFC 1661). */
const PPPOE_BYTES = 8
const PPP_IPV4 = 0x0021
const PPP_IPV6 = 0x0057
/** Below it the field is the length of an IEEE 802.3 frame. */
const FIRST_ETHERTYPE = 0x0600
/** LLC and SNAP (RFC 1042) in front of an EtherType. */
const SNAP_BYTES = 8
/** Tags and sessions inside each other that are looked into. */
const MOST_LAYERS = 8
/** AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS. */
const FAMILIES = new Set([2, 10, 24, 28, 30])

/**
 * Where the IP packet of a link-layer frame begins; -1 when there is none, or not enough of it. All lengths are checked
 * against `end`.
 */
export function ipOffset(bytes: Uint8Array, at: number, end: number, linkType: number): number {
  switch (linkType) {
    case format.LINKTYPE_ETHERNET:
      return at + 14 <= end ? behindType(bytes, at + 14, end, get16(bytes, at + 12)) : -1
    case format.LINKTYPE_LINUX_SLL:
      return at + 16 <= end ? behindType(bytes, at + 16, end, get16(bytes, at + 14)) : -1
    case format.LINKTYPE_LINUX_SLL2:
      return at + 20 <= end ? behindType(bytes, at + 20, end, get16(bytes, at)) : -1
    case format.LINKTYPE_RAW:
    case format.LINKTYPE_RAW_BSD:
    case format.LINKTYPE_RAW_OPENBSD:
    case format.LINKTYPE_IPV4:
    case format.LINKTYPE_IPV6:
      return at
    case format.LINKTYPE_NULL:
    case format.LINKTYPE_LOOP:
      return behindFamily(bytes, at, end)
    default:
      return -1
  }
}

/** Whether frames of this type can be looked into. */
export function isKnownLink(linkType: number): boolean {
  return KNOWN.has(linkType)
}

const KNOWN = new Set<number>([
  format.LINKTYPE_ETHERNET,
  format.LINKTYPE_LINUX_SLL,
  format.LINKTYPE_LINUX_SLL2,
  format.LINKTYPE_RAW,
  format.LINKTYPE_RAW_BSD,
  format.LINKTYPE_RAW_OPENBSD,
  format.LINKTYPE_IPV4,
  format.LINKTYPE_IPV6,
  format.LINKTYPE_NULL,
  format.LINKTYPE_LOOP,
])

function behindType(bytes: Uint8Array, at: number, end: number, type: number): number {
  for (let layers = 0; layers < MOST_LAYERS; layers++) {
    if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) return at
    if (type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ || type === ETHERTYPE_OLD_QINQ) {
      if (at + 4 > end) return -1
      type = get16(bytes, at + 2)
      at += 4
    } else if (type === ETHERTYPE_PPPOE) {
      if (at + PPPOE_BYTES > end) return -1
      const protocol = get16(bytes, at + 6)
      return protocol === PPP_IPV4 || protocol === PPP_IPV6 ? at + PPPOE_BYTES : -1
    } else if (type < FIRST_ETHERTYPE) {
      const snap = at + SNAP_BYTES <= end && get16(bytes, at) === 0xaaaa && bytes[at + 2] === 3
      if (!snap) return -1
      type = get16(bytes, at + 6)
      at += SNAP_BYTES
    } else return -1
  }
  return -1
}

/** BSD loopback: four bytes of address family, in the byte order of whoever captured, or of the network. */
function behindFamily(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1
  const little = bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 0
  const big = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 0
  const family = little ? bytes[at]! : big ? bytes[at + 3]! : 0
  return FAMILIES.has(family) ? at + 4 : -1
}
