import { get16 } from '../../bytes.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../../stack/wire/ethernet.ts'
import * as format from '../file/format.ts'
import type { Layer } from './layer.ts'
import { ETHERTYPE_MPLS, ETHERTYPE_MPLS_MULTICAST, enterMpls } from './mpls.ts'
import { linkName } from './names.ts'

/** The tag of what came before 802.1ad. */
const ETHERTYPE_OLD_QINQ = 0x9100
const TAG_BYTES = 4
/** RFC 2516: the session stage. */
const ETHERTYPE_PPPOE = 0x8864
/** Version and type, code, session, length. */
const PPPOE_BYTES = 6
/** RFC 1661 and the registry of its protocols. */
const PPP_IPV4 = 0x0021
const PPP_IPV6 = 0x0057
const PPP_MPLS = 0x0281
/** From here on what a link says about itself. */
const PPP_CONTROL = 0x8000
/** Transparent Ethernet bridging (RFC 1701): a frame within another. */
const ETHERTYPE_BRIDGED = 0x6558
/** Below it the field is the length of an IEEE 802.3 frame. */
const FIRST_ETHERTYPE = 0x0600
/** LLC and SNAP (RFC 1042) in front of an EtherType. */
const SNAP_BYTES = 8
/** What Linux's cooked captures say of a frame with LLC, instead of a type. */
const SLL_LLC = 4
/** Tags, sessions and frames inside each other that are looked into. */
const MOST_LAYERS = 8
/** AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS. */
const FAMILIES = new Set([2, 10, 24, 28, 30])
/** Types that carry frames or packets of others. */
const OPAQUE: Readonly<Record<number, string>> = {
  34827: 'PPP',
  35045: 'MACsec',
  35047: '802.1ah (MAC in MAC)',
  35081: 'Cisco metadata',
  8947: 'TRILL',
  35151: 'NSH',
}

/** Goes from the start of a captured frame to its IP packet. False when there is none, or not enough of it. */
export function enterLink(layer: Layer, linkType: number): boolean {
  switch (linkType) {
    case format.LINKTYPE_ETHERNET:
      return enterEthernet(layer)
    case format.LINKTYPE_LINUX_SLL:
      return enterCooked(layer, 16, 14)
    case format.LINKTYPE_LINUX_SLL2:
      return enterCooked(layer, 20, 0)
    case format.LINKTYPE_RAW:
    case format.LINKTYPE_RAW_BSD:
    case format.LINKTYPE_RAW_OPENBSD:
    case format.LINKTYPE_IPV4:
    case format.LINKTYPE_IPV6:
      return true
    case format.LINKTYPE_NULL:
    case format.LINKTYPE_LOOP:
      return enterFamily(layer)
    default:
      return layer.stop(linkName(linkType))
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

/** An Ethernet frame that begins at the layer. */
export function enterEthernet(layer: Layer): boolean {
  if (!layer.has(ETHERNET_HEADER_BYTES)) return false
  const type = get16(layer.bytes, layer.at + ETHERNET_HEADER_BYTES - 2)
  layer.at += ETHERNET_HEADER_BYTES
  return enter(layer, type)
}

function enterCooked(layer: Layer, headerBytes: number, typeAt: number): boolean {
  if (!layer.has(headerBytes)) return false
  const type = get16(layer.bytes, layer.at + typeAt)
  layer.at += headerBytes
  return enterType(layer, type === SLL_LLC ? enterSnap(layer) : type)
}

/** What lies at the layer is of this EtherType. */
export function enterType(layer: Layer, type: number): boolean {
  return type >= FIRST_ETHERTYPE && enter(layer, type)
}

/** @param type as a frame has it: a length too */
function enter(layer: Layer, type: number): boolean {
  const { bytes } = layer
  for (let layers = 0; layers < MOST_LAYERS; layers++) {
    switch (type) {
      case ETHERTYPE_IPV4:
      case ETHERTYPE_IPV6:
        return true
      case ETHERTYPE_VLAN:
      case ETHERTYPE_QINQ:
      case ETHERTYPE_OLD_QINQ:
        if (!layer.has(TAG_BYTES)) return false
        type = get16(bytes, layer.at + 2)
        layer.at += TAG_BYTES
        break
      case ETHERTYPE_PPPOE:
        if (!layer.has(PPPOE_BYTES) || bytes[layer.at + 1] !== 0) return false
        layer.at += PPPOE_BYTES
        layer.limit(get16(bytes, layer.at - 2))
        type = enterPpp(layer)
        if (type < 0) return false
        break
      case ETHERTYPE_MPLS:
      case ETHERTYPE_MPLS_MULTICAST: {
        const payload = enterMpls(layer)
        if (payload !== 'ethernet') return payload === 'ip'
        type = ETHERTYPE_BRIDGED
        break
      }
      case ETHERTYPE_BRIDGED:
        if (!layer.has(ETHERNET_HEADER_BYTES)) return false
        type = get16(bytes, layer.at + ETHERNET_HEADER_BYTES - 2)
        layer.at += ETHERNET_HEADER_BYTES
        break
      default: {
        if (type >= FIRST_ETHERTYPE) {
          const name = OPAQUE[type]
          return name === undefined ? false : layer.stop(name)
        }
        layer.limit(type)
        type = enterSnap(layer)
        if (type < 0) return false
      }
    }
  }
  return layer.stop('headers inside each other')
}

/** The type behind LLC and SNAP; -1 = it is something else. */
function enterSnap(layer: Layer): number {
  const { bytes, at } = layer
  if (!layer.has(SNAP_BYTES) || get16(bytes, at) !== 0xaaaa || bytes[at + 2] !== 3) return -1
  layer.at += SNAP_BYTES
  return get16(bytes, at + 6)
}

/** What PPP carries, as an EtherType; -1 = nothing to look into. */
function enterPpp(layer: Layer): number {
  const { bytes, at } = layer
  if (!layer.has(2)) return -1
  // RFC 1661 section 6.5: the field of one that begins with an odd byte may be compressed to it.
  const compressed = (bytes[at]! & 1) !== 0
  const protocol = compressed ? bytes[at]! : get16(bytes, at)
  layer.at += compressed ? 1 : 2
  if (protocol === PPP_IPV4) return ETHERTYPE_IPV4
  if (protocol === PPP_IPV6) return ETHERTYPE_IPV6
  if (protocol === PPP_MPLS) return ETHERTYPE_MPLS
  if (protocol < PPP_CONTROL) layer.stop('PPP of another kind')
  return -1
}

/** BSD loopback: four bytes of address family, in the byte order of whoever captured, or of the network. */
function enterFamily(layer: Layer): boolean {
  const { bytes, at } = layer
  if (!layer.has(4)) return false
  const little = bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 0
  const big = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 0
  const family = little ? bytes[at]! : big ? bytes[at + 3]! : 0
  layer.at += 4
  return FAMILIES.has(family)
}
