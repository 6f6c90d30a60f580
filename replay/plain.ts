import { get16, get32, put16, put32 } from '../bytes.ts'
import type { SegmentDecoder } from '../pcap/decode/segment.ts'
import { type FrameNic, OUR_MAC } from '../pcap/play/frame-nic.ts'
import { fold, halves } from '../stack/wire/checksum.ts'
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../stack/wire/ethernet.ts'
import { IPPROTO_TCP, IPV4_MIN_HEADER_BYTES } from '../stack/wire/ipv4.ts'
import { IPV6_HEADER_BYTES } from '../stack/wire/ipv6.ts'
import { TCP_MIN_HEADER_BYTES, TIMESTAMP_PREFIX, tcpField } from '../stack/wire/tcp.ts'
import { LOCAL4, LOCAL6, PEER_MAC } from './endpoint.ts'
import type { ReplaySession } from './session.ts'

/** A TCP header with timestamps in their usual form (RFC 7323 appendix A), and where their echo lies in it. */
const TIMESTAMPED_BYTES = 32
const TSECR_AT = 28
/** The Ethernet header's addresses, ours first. */
const OUR_MAC_HIGH = get32(OUR_MAC, 0)
const MIDDLE_OF_MACS = (get16(OUR_MAC, 4) << 16) | get16(PEER_MAC, 0)
const PEER_MAC_LOW = get32(PEER_MAC, 2)

/**
 * The fast path: a segment without IP options, and with timestamps or nothing as TCP options, goes to the area as it is, and what our
 * endpoint chose is written over there. Returns where in the area the frame lies; -1, and nothing is done, for any other.
 */
export function playPlain(nic: FrameNic, session: ReplaySession, segment: SegmentDecoder): number {
  const { bytes, ipAt, tcpAt, headerBytes, ipEnd, payloadBytes } = segment
  const v4 = session.version === 4
  const ipBytes = tcpAt - ipAt
  const packetBytes = ipEnd - ipAt
  if (ipBytes !== (v4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES)) return -1
  const stamped = headerBytes === TIMESTAMPED_BYTES
  if (stamped && get32(bytes, tcpAt + TCP_MIN_HEADER_BYTES) !== TIMESTAMP_PREFIX) return -1
  if (!stamped && headerBytes !== TCP_MIN_HEADER_BYTES) return -1
  // An offloading sender's length of zero is put right elsewhere.
  const said = v4 ? get16(bytes, ipAt + 2) : get16(bytes, ipAt + 4) + IPV6_HEADER_BYTES
  const ipSum = v4 ? get16(bytes, ipAt + 10) : 1
  if (said !== packetBytes || ipSum === 0) return -1
  const total = ETHERNET_HEADER_BYTES + packetBytes
  const to = nic.reserve(total)
  if (to < 0) return -1
  const { area } = nic
  const ip = to + ETHERNET_HEADER_BYTES
  area.set(bytes.subarray(ipAt, ipEnd), ip)
  put32(area, to, OUR_MAC_HIGH)
  put32(area, to + 4, MIDDLE_OF_MACS)
  put32(area, to + 8, PEER_MAC_LOW)
  put16(area, to + 12, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)
  const tcp = ip + ipBytes
  const ack = session.ack(segment.ack)
  put32(area, tcp + tcpField.acknowledgment, ack)
  // RFC 1624: each field that changes is taken out of the sum and put back.
  let change = session.addressSum + (~session.capturedSum & 0xffff)
  if (v4) {
    put16(area, ip + 10, ~fold((~ipSum & 0xffff) + change) & 0xffff)
    put32(area, ip + 12, session.remote.w3)
    put32(area, ip + 16, LOCAL4.w3)
  } else {
    session.remote.put(area, ip + 8)
    LOCAL6.put(area, ip + 24)
  }
  change += halves(ack) + halves(~segment.ack)
  if (stamped) {
    const captured = get32(bytes, tcpAt + TSECR_AT)
    const tsEcr = session.tsEcr(captured)
    put32(area, tcp + TSECR_AT, tsEcr)
    change += halves(tsEcr) + halves(~captured)
  }
  const field = get16(bytes, tcpAt + tcpField.checksum)
  const pseudo = session.capturedSum + IPPROTO_TCP
  const transport = headerBytes + payloadBytes
  const unfinished = field === fold(pseudo + transport) || field === fold(pseudo)
  const sum = unfinished
    ? fold(session.addressSum + IPPROTO_TCP + transport)
    : ~fold((~field & 0xffff) + fold(change)) & 0xffff
  put16(area, tcp + tcpField.checksum, sum)
  nic.commit(to, total)
  session.lastAck = segment.ack
  session.lastWindow = segment.window
  if (stamped) session.lastTsVal = get32(bytes, tcpAt + TCP_MIN_HEADER_BYTES + 4)
  return to
}
