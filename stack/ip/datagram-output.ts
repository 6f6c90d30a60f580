import { put16, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts'
import { IPV4_MIN_HEADER_BYTES, IPV4_MORE_FRAGMENTS, putIpv4 } from '../wire/ipv4.ts'
import { FRAGMENT_HEADER_BYTES, IPPROTO_FRAGMENT, IPV6_HEADER_BYTES, putIpv6 } from '../wire/ipv6.ts'
import type { FrameOutput } from './frame-output.ts'
import type { Link } from './link.ts'
import type { OutgoingFrame } from './outgoing-frame.ts'

/** Sends datagrams that are not TCP's, cut into fragments where the path needs it (RFC 791 3.2, RFC 8200 4.5). */
export class DatagramOutput {
  readonly #link: Link
  readonly #frames: FrameOutput
  readonly #counters: Counters
  readonly #entropy: Entropy
  /** RFC 6864 4.3: not again within the life of a datagram. */
  #identification: number

  constructor(link: Link, counters: Counters, entropy: Entropy) {
    this.#link = link
    this.#frames = link.frames
    this.#counters = counters
    this.#entropy = entropy
    this.#identification = entropy() & 0xffff
  }

  /**
   * Sends the first `transportBytes` of `payload` behind the headers that `out` describes; its slot is chosen here. Gives up when
   * slots run out (counted).
   */
  send(out: OutgoingFrame, payload: Uint8Array, now: number): void {
    const { source, destination, transportBytes: length } = out
    const frames = this.#frames
    const mtu = Math.min(this.#link.mtuTo(destination, now), frames.nic.txSlotBytes - frames.linkBytes)
    const v4 = source.version === 4
    const header = v4 ? IPV4_MIN_HEADER_BYTES : IPV6_HEADER_BYTES
    if (header + length <= mtu) {
      out.at = frames.reserve()
      if (out.at < 0) return
      frames.nic.txMemory.set(payload.subarray(0, length), out.at + frames.transportOffset(source))
      frames.send(out)
      return
    }
    const piece = (mtu - header - (v4 ? 0 : FRAGMENT_HEADER_BYTES)) & ~7
    if (piece <= 0) return
    // RFC 7739: what nobody can guess can't be used to disturb reassembly.
    const identification = v4 ? this.#identification++ & 0xffff : this.#entropy()
    for (let offset = 0; offset < length; offset += piece) {
      const at = frames.reserve()
      if (at < 0) return
      const bytes = Math.min(piece, length - offset)
      const more = offset + bytes < length
      const frame = frames.nic.txMemory
      let data = at + frames.putEthernet(at, out.macHigh, out.macLow, v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)
      if (v4) {
        const flags = (more ? IPV4_MORE_FRAGMENTS : 0) | (offset >>> 3)
        putIpv4(frame, data, header + bytes, identification, out.protocol, source.w3, destination.w3, flags)
        data += header
      } else {
        putIpv6(frame, data, FRAGMENT_HEADER_BYTES + bytes, IPPROTO_FRAGMENT, source, destination, 0)
        data += header
        put16(frame, data, out.protocol << 8)
        put16(frame, data + 2, offset | (more ? 1 : 0))
        put32(frame, data + 4, identification)
        data += FRAGMENT_HEADER_BYTES
      }
      frame.set(payload.subarray(offset, offset + bytes), data)
      frames.commit(at, data - at + bytes)
      this.#counters.fragmentsSent++
    }
  }
}
