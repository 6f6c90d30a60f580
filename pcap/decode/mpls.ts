import { get16 } from '../../bytes.ts'
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../../stack/wire/ethernet.ts'
import type { Layer } from './layer.ts'

/** RFC 3032: label, traffic class, bottom of stack, time to live. */
const LABEL_BYTES = 4
const MOST_LABELS = 16
/** RFC 4385: what may stand between the labels and a frame. */
const CONTROL_WORD_BYTES = 4
export const ETHERTYPE_MPLS = 0x8847
export const ETHERTYPE_MPLS_MULTICAST = 0x8848

/** What lies behind a stack of labels; nothing there says it. */
export type MplsPayload = 'ip' | 'ethernet' | 'none'

/**
 * Goes behind the labels. An IP packet is told by its version, a pseudowire's frame by its control word (RFC 4448), or by
 * a type in it that is known.
 */
export function enterMpls(layer: Layer): MplsPayload {
  const { bytes } = layer
  for (let labels = 0; ; labels++) {
    if (labels === MOST_LABELS || !layer.has(LABEL_BYTES + 1)) return 'none'
    const bottom = (bytes[layer.at + 2]! & 1) !== 0
    layer.at += LABEL_BYTES
    if (bottom) break
  }
  const nibble = bytes[layer.at]! >>> 4
  if (nibble === 4 || nibble === 6) return 'ip'
  if (nibble === 0 && isFrame(layer, CONTROL_WORD_BYTES)) {
    layer.at += CONTROL_WORD_BYTES
    return 'ethernet'
  }
  if (isFrame(layer, 0)) return 'ethernet'
  layer.stop('MPLS')
  return 'none'
}

function isFrame(layer: Layer, skip: number): boolean {
  if (!layer.has(skip + ETHERNET_HEADER_BYTES)) return false
  switch (get16(layer.bytes, layer.at + skip + ETHERNET_HEADER_BYTES - 2)) {
    case ETHERTYPE_IPV4:
    case ETHERTYPE_IPV6:
    case ETHERTYPE_VLAN:
    case ETHERTYPE_QINQ:
    case ETHERTYPE_MPLS:
      return true
    default:
      return false
  }
}
