import { createHash } from 'node:crypto'
import { IpAddress } from '../address.ts'
import { put16, put32 } from '../bytes.ts'
import { LINKTYPE_ETHERNET } from '../pcap/file/format.ts'
import { FileSink, PcapWriter } from '../pcap/file/writer.ts'
import { addSums, pseudoHeaderSum, sumBytes } from '../stack/wire/checksum.ts'
import { putEthernet } from '../stack/wire/ethernet.ts'
import { putIpv4 } from '../stack/wire/ipv4.ts'
import { ACK, FIN, PSH, putMss, putTcp, putTimestamps, putWindowScale, SYN } from '../stack/wire/tcp.ts'

/** Payload of a full segment with timestamps at MTU 1500. */
export const SEGMENT_BYTES = 1448
const START_SECONDS = 1_700_000_000
/** A full frame takes so long at 10 Gbit/s. */
const SPACING_NS = 1200
const WINDOW_SHIFT = 8
const TCP_AT = 34

export interface BulkCapture {
  readonly packets: number
  /** Payload bytes of the client. */
  readonly bytes: number
  readonly fileBytes: number
  readonly sha256: string
}

interface End {
  readonly address: number
  readonly port: number
  readonly mac: number
  seq: number
}

/** Segments of two ends, each written over the one before it. */
class Writer {
  packets = 0
  readonly #writer: PcapWriter
  readonly #frame = new Uint8Array(1514)
  #nanoseconds = 0

  constructor(writer: PcapWriter) {
    this.#writer = writer
  }

  segment(from: End, to: End, flags: number, payload: Uint8Array, payloadSum: number): void {
    const frame = this.#frame
    const syn = (flags & SYN) !== 0
    const header = syn ? 40 : 32
    const { length } = payload
    const source = Uint8Array.of(2, 0, 0, 0, 0, from.mac)
    putEthernet(frame, 0, 0x0200, to.mac, source, 0x0800)
    putIpv4(frame, 14, 20 + header + length, this.packets & 0xffff, 6, from.address, to.address)
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    const acknowledged = (flags & ACK) !== 0 ? to.seq : 0
    putTcp(frame, TCP_AT, from.port, to.port, from.seq, acknowledged, header, flags, 0xffff)
    let at = TCP_AT + 20
    if (syn) at += putMss(frame, at, 1460)
    if (syn) at += putWindowScale(frame, at, WINDOW_SHIFT)
    const milliseconds = 1 + Math.floor(this.#nanoseconds / 1e6)
    putTimestamps(frame, at, milliseconds, acknowledged === 0 ? 0 : milliseconds)
    const pseudo = pseudoHeaderSum(from.address, to.address, 6, header + length)
    const sum = addSums(addSums(pseudo, payloadSum), sumBytes(frame, TCP_AT, header))
    put16(frame, TCP_AT + 16, ~sum & 0xffff)
    frame.set(payload, TCP_AT + header)
    const ns = this.#nanoseconds
    this.#writer.packet(START_SECONDS + Math.floor(ns / 1e9), ns % 1e9, frame, 0, TCP_AT + header + length)
    this.#nanoseconds += SPACING_NS
    this.packets++
    const ends = (flags & (SYN | FIN)) === 0 ? 0 : 1
    from.seq = (from.seq + length + ends) | 0
  }
}

/**
 * Writes a capture of a bulk transfer: handshake, full segments with an ACK for every second one, both FINs. Every checksum
 * is right, and every segment says where in the stream it is.
 * @param packets about how many
 */
export function writeBulkCapture(path: string, packets: number): BulkCapture {
  const writer = new PcapWriter(new FileSink(path), { linkType: LINKTYPE_ETHERNET, bufferBytes: 1 << 20 })
  const out = new Writer(writer)
  const client: End = { address: IpAddress.v4(0xc0000201).w3, port: 40_000, mac: 1, seq: 0x7fff_0000 }
  const server: End = { address: IpAddress.v4(0xc0000202).w3, port: 9000, mac: 2, seq: 1000 }
  const none = new Uint8Array(0)
  const payload = Uint8Array.from({ length: SEGMENT_BYTES }, (_, i) => (i * 7) & 0xff)
  put32(payload, 0, 0)
  const constantSum = sumBytes(payload, 0, SEGMENT_BYTES)
  const hash = createHash('sha256')
  out.segment(client, server, SYN, none, 0)
  out.segment(server, client, SYN | ACK, none, 0)
  out.segment(client, server, ACK, none, 0)
  const segments = 2 * Math.max(1, Math.floor((packets - 6) / 3))
  for (let i = 0; i < segments; i++) {
    put32(payload, 0, i)
    hash.update(payload)
    out.segment(client, server, ACK | PSH, payload, addSums(constantSum, sumBytes(payload, 0, 4)))
    if ((i & 1) === 1) out.segment(server, client, ACK, none, 0)
  }
  out.segment(client, server, FIN | ACK, none, 0)
  out.segment(server, client, FIN | ACK, none, 0)
  out.segment(client, server, ACK, none, 0)
  writer.close()
  return {
    packets: out.packets,
    bytes: segments * SEGMENT_BYTES,
    fileBytes: writer.length,
    sha256: hash.digest('hex'),
  }
}
