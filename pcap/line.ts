import { formatIpv4, formatIpv6 } from '../address.ts'
import { get16 } from '../bytes.ts'
import { addSums, sumBytes } from '../stack/wire/checksum.ts'
import { IPPROTO_TCP } from '../stack/wire/ipv4.ts'
import { ACK, formatFlags, tcpField, URG } from '../stack/wire/tcp.ts'
import { FRAGMENT, MALFORMED, NOT_IP, NOT_TCP, SegmentDecoder } from './decode/segment.ts'
import { CapturedPacket } from './file/packet.ts'
import { optionsText } from './options-text.ts'
import { SequenceTracker } from './sequence-tracker.ts'

/** What a line says of the packet beside its own bytes. */
export interface LineOptions {
  /** Printed in front. */
  number?: number
  /** Seconds, printed with six digits behind the point. */
  time?: number
  /** Bytes that the frame had on the wire, when it was cut. */
  wireLength?: number
  /** Remembers initial sequence numbers from line to line. Without one the numbers are absolute. */
  tracker?: SequenceTracker
}

/**
 * One line about a captured frame, for people and for comparing captures:
 *
 *     12 0.000123 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=1 ack=1 win=502 len=1448 <nop,nop,TS val 1 ecr 2>
 *
 * A checksum is mentioned when it is not right. Never throws, whatever the bytes are.
 * @param linkType `LINKTYPE_*`
 */
export function packetLine(bytes: Uint8Array, linkType: number, options: LineOptions = {}): string {
  const packet = new CapturedPacket()
  packet.bytes = bytes
  packet.length = bytes.length
  packet.wireLength = Math.max(bytes.length, options.wireLength ?? 0)
  packet.linkType = linkType
  const head = [options.number?.toString(), options.time?.toFixed(6)].filter((text) => text !== undefined)
  return [...head, describe(packet, options.tracker)].join(' ')
}

/** The same for every packet of a capture: numbers and times count from the first, sequence numbers are relative. */
export class PacketLines {
  readonly #tracker = new SequenceTracker()
  #count = 0
  #seconds = 0
  #nanoseconds = 0

  /** The packet as a line: number, time, and what it is. */
  next(packet: CapturedPacket): string {
    if (this.#count++ === 0) {
      this.#seconds = packet.seconds
      this.#nanoseconds = packet.nanoseconds
    }
    const time = packet.seconds - this.#seconds + (packet.nanoseconds - this.#nanoseconds) / 1e9
    return `${this.#count} ${time.toFixed(6)} ${describe(packet, this.#tracker)}`
  }
}

function describe(packet: CapturedPacket, tracker: SequenceTracker | undefined): string {
  const segment = new SegmentDecoder()
  const found = segment.decode(packet)
  if (found === NOT_IP) return `not IP, ${packet.wireLength} bytes`
  if (found === MALFORMED) {
    return `malformed: lengths of IP or TCP contradict each other in ${packet.length} of ${packet.wireLength} bytes`
  }
  const source = address(segment, segment.source0, segment.source1, segment.source2, segment.source3)
  const destination = address(
    segment,
    segment.destination0,
    segment.destination1,
    segment.destination2,
    segment.destination3,
  )
  if (found === FRAGMENT) {
    const length = segment.ipEnd - segment.dataAt
    const more = segment.fragmentMore ? ' more' : ''
    const id = segment.fragmentId >>> 0
    return `${source} > ${destination} fragment id=${id} offset=${segment.fragmentOffset} len=${length}${more}`
  }
  if (found === NOT_TCP) return `${source} > ${destination} protocol ${segment.protocol}`
  return describeSegment(
    segment,
    endpoint(source, segment.sourcePort),
    endpoint(destination, segment.destinationPort),
    tracker,
  )
}

function describeSegment(
  segment: SegmentDecoder,
  source: string,
  destination: string,
  tracker: SequenceTracker | undefined,
): string {
  const { seq, ack, flags, bytes, tcpAt } = segment
  const forth = `${source} > ${destination}`
  const back = `${destination} > ${source}`
  const base = tracker?.learn({ forth, back, seq, ack, flags }) ?? { sender: 0, receiver: 0 }
  const parts = [forth, `[${formatFlags(flags).replaceAll(',', ', ')}]`, `seq=${(seq - base.sender) >>> 0}`]
  if ((flags & ACK) !== 0) parts.push(`ack=${(ack - base.receiver) >>> 0}`)
  parts.push(`win=${segment.window}`, `len=${segment.payloadBytes}`)
  if ((flags & URG) !== 0 && tcpAt + tcpField.urgentPointer + 2 <= segment.capturedEnd) {
    parts.push(`urg=${get16(bytes, tcpAt + tcpField.urgentPointer)}`)
  }
  if (segment.capturedBytes < segment.payloadBytes) parts.push(`captured=${segment.capturedBytes}`)
  else if (segment.capturedEnd === segment.ipEnd) parts.push(...checksumText(segment))
  const optionsEnd = Math.min(segment.payloadAt, segment.capturedEnd)
  const options = optionsText(bytes, tcpAt + 20, optionsEnd, base.receiver)
  if (options !== '') parts.push(`<${options}>`)
  return parts.join(' ')
}

/** Nothing when the checksum of TCP is right. */
function checksumText(segment: SegmentDecoder): string[] {
  const { bytes, tcpAt, ipAt, ipEnd, version } = segment
  const length = ipEnd - tcpAt
  const addresses = version === 4 ? sumBytes(bytes, ipAt + 12, 8) : sumBytes(bytes, ipAt + 8, 32)
  const pseudo = addSums(addresses, addSums(IPPROTO_TCP, addSums(length >>> 16, length & 0xffff)))
  const field = get16(bytes, tcpAt + tcpField.checksum)
  if (addSums(pseudo, sumBytes(bytes, tcpAt, length)) === 0xffff) return []
  return [field === pseudo ? 'checksum=partial' : 'checksum=bad']
}

function address({ version }: SegmentDecoder, w0: number, w1: number, w2: number, w3: number): string {
  return version === 4 ? formatIpv4(w3) : formatIpv6({ w0, w1, w2, w3 })
}

function endpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
