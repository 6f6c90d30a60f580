import { get16, get32 } from '../../bytes.ts'
import type { Layer } from './layer.ts'
import { enterEthernet, enterType } from './link.ts'
import { ETHERTYPE_MPLS } from './mpls.ts'

/** Protocols of IP that carry packets or frames. */
const IPPROTO_IPIP = 4
const IPPROTO_UDP = 17
const IPPROTO_IPV6 = 41
const IPPROTO_GRE = 47
const IPPROTO_ESP = 50
const IPPROTO_AH = 51
const IPPROTO_ETHERIP = 97
const IPPROTO_IPCOMP = 108
const IPPROTO_L2TP = 115
const IPPROTO_MPLS = 137

/** RFC 2784, RFC 2890. */
const GRE_CHECKSUM = 0x8000
const GRE_ROUTING = 0x4000
const GRE_KEY = 0x2000
const GRE_SEQUENCE = 0x1000
const GRE_VERSION = 7
/** draft-foschiano-erspan: types I and II have the first, type III the second. */
const GRE_ERSPAN = 0x88be
const GRE_ERSPAN_3 = 0x22eb
const ERSPAN_2_BYTES = 8
const ERSPAN_3_BYTES = 12
/** What type III may have besides, and its word for a bare IP packet instead of a frame. */
const ERSPAN_PLATFORM_BYTES = 8
const ERSPAN_FRAME_IP = 2

const UDP_BYTES = 8
/** RFC 3948, RFC 7348, draft-ietf-nvo3-vxlan-gpe, RFC 8926, RFC 7510. */
const PORT_ESP = 4500
const PORT_VXLAN = 4789
const PORT_VXLAN_GPE = 4790
const PORT_GENEVE = 6081
const PORT_MPLS = 6635
const VXLAN_BYTES = 8
const VXLAN_HAS_ID = 0x08
const GENEVE_BYTES = 8
/** Ports of what may carry packets and is not looked into. */
const OPAQUE_PORTS: Readonly<Record<number, string>> = {
  1701: 'L2TP',
  2152: 'GTP',
  3544: 'Teredo',
}

/**
 * Goes from the data of an IP packet, where the layer is, to the IP packet within it. False when the protocol is no
 * tunnel, or one that is not looked into.
 */
export function enterTunnel(layer: Layer, protocol: number): boolean {
  switch (protocol) {
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
      return true
    case IPPROTO_GRE:
      return enterGre(layer)
    case IPPROTO_UDP:
      return enterUdp(layer)
    case IPPROTO_MPLS:
      return enterType(layer, ETHERTYPE_MPLS)
    case IPPROTO_ETHERIP:
      // RFC 3378: a version of 3, and reserved bits.
      if (!layer.has(2) || layer.bytes[layer.at]! >>> 4 !== 3) return false
      layer.at += 2
      return enterEthernet(layer)
    case IPPROTO_ESP:
      return layer.stop('ESP')
    case IPPROTO_AH:
      return layer.stop('AH')
    case IPPROTO_IPCOMP:
      return layer.stop('IPComp')
    case IPPROTO_L2TP:
      return layer.stop('L2TP')
    default:
      return false
  }
}

function enterGre(layer: Layer): boolean {
  if (!layer.has(4)) return false
  const { bytes } = layer
  const flags = get16(bytes, layer.at)
  const type = get16(bytes, layer.at + 2)
  const version = flags & GRE_VERSION
  if (version !== 0) return layer.stop(version === 1 ? 'PPTP' : `GRE version ${version}`)
  if ((flags & GRE_ROUTING) !== 0) return layer.stop('GRE with a route')
  layer.at += 4
  if ((flags & GRE_CHECKSUM) !== 0) layer.at += 4
  if ((flags & GRE_KEY) !== 0) layer.at += 4
  const numbered = (flags & GRE_SEQUENCE) !== 0
  if (numbered) layer.at += 4
  if (!layer.has(0)) return false
  if (type === GRE_ERSPAN || type === GRE_ERSPAN_3) return enterErspan(layer, numbered)
  return enterType(layer, type)
}

/** @param numbered type I has no header of its own, and no sequence numbers */
function enterErspan(layer: Layer, numbered: boolean): boolean {
  const { bytes, at } = layer
  if (!numbered) return enterEthernet(layer)
  if (!layer.has(ERSPAN_2_BYTES)) return false
  const version = bytes[at]! >>> 4
  if (version === 1) {
    layer.at += ERSPAN_2_BYTES
    return enterEthernet(layer)
  }
  if (version !== 2) return layer.stop(`ERSPAN version ${version}`)
  if (!layer.has(ERSPAN_3_BYTES)) return false
  const last = get16(bytes, at + 10)
  layer.at += ERSPAN_3_BYTES + ((last & 1) !== 0 ? ERSPAN_PLATFORM_BYTES : 0)
  const frame = (last >>> 10) & 31
  if (frame === ERSPAN_FRAME_IP) return layer.has(1)
  return frame === 0 ? enterEthernet(layer) : layer.stop(`ERSPAN of frame type ${frame}`)
}

function enterUdp(layer: Layer): boolean {
  const { bytes, at } = layer
  if (!layer.has(UDP_BYTES)) return false
  const source = get16(bytes, at)
  const destination = get16(bytes, at + 2)
  const length = get16(bytes, at + 4)
  // Zero: too long for the field (RFC 2675 section 4), as of a sender that leaves the cutting to its device.
  if (length !== 0) {
    if (length < UDP_BYTES) return false
    layer.limit(length)
  }
  layer.at += UDP_BYTES
  const data = layer.at
  if (enterPort(layer, destination)) return true
  if (layer.opaque !== '' || source === destination) return false
  layer.at = data
  return enterPort(layer, source)
}

function enterPort(layer: Layer, port: number): boolean {
  const { bytes, at } = layer
  switch (port) {
    case PORT_VXLAN:
      if (!layer.has(VXLAN_BYTES) || (bytes[at]! & VXLAN_HAS_ID) === 0) return false
      layer.at += VXLAN_BYTES
      return enterEthernet(layer)
    case PORT_VXLAN_GPE:
      if (!layer.has(VXLAN_BYTES) || (bytes[at]! & VXLAN_HAS_ID) === 0) return false
      layer.at += VXLAN_BYTES
      return enterGpe(layer, bytes[at + 3]!)
    case PORT_GENEVE:
      return enterGeneve(layer)
    case PORT_MPLS:
      return enterType(layer, ETHERTYPE_MPLS)
    case PORT_ESP:
      // RFC 3948: four zeros mark what only arranges keys.
      return layer.has(8) && get32(bytes, at) !== 0 ? layer.stop('ESP') : false
    default: {
      const name = OPAQUE_PORTS[port]
      return name === undefined ? false : layer.stop(name)
    }
  }
}

function enterGpe(layer: Layer, next: number): boolean {
  if (next === 1 || next === 2) return layer.has(1)
  if (next === 3) return enterEthernet(layer)
  return next === 5 ? enterType(layer, ETHERTYPE_MPLS) : layer.stop('VXLAN of another kind')
}

function enterGeneve(layer: Layer): boolean {
  const { bytes, at } = layer
  if (!layer.has(GENEVE_BYTES) || bytes[at]! >>> 6 !== 0) return false
  const headerBytes = GENEVE_BYTES + (bytes[at]! & 63) * 4
  if (!layer.has(headerBytes)) return false
  layer.at += headerBytes
  return enterType(layer, get16(bytes, at + 2))
}
