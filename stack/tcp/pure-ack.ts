import { littleEndian, swap16 } from '../../bytes.ts'
import type { FrameOutput } from '../ip/frame-output.ts'
import { fold } from '../wire/checksum.ts'
import { HOP_LIMIT } from '../wire/ipv6.ts'
import type { Tcb } from './tcb.ts'

/** ACK, and data offsets of a header without options and with timestamps, as they read behind each other. */
const PLAIN = 0x1050
const TIMESTAMPED = 0x1080
const TIMESTAMPS_BYTES = 12

/** RFC 6437 section 3: one label per flow, spread evenly. */
export function flowLabel({ snd }: Tcb): number {
  return Math.imul(snd.iss, 0x9e3779b1) >>> 12
}

/**
 * Writes the ACKs that bulk data is answered with, word by word: header and checksum are made of numbers at hand, so that nothing has to
 * be read back. Only for frames without tags, at slots that begin on a word.
 */
export class PureAck {
  readonly #frames: FrameOutput
  readonly #untagged: boolean
  /** `txMemory` by words, and which that is. */
  #of: Uint8Array | null = null
  #words: Int32Array = new Int32Array(0)

  constructor(frames: FrameOutput) {
    this.#frames = frames
    this.#untagged = littleEndian && frames.vlan.length === 0
  }

  /** An ACK of this connection has no options but timestamps, and can be written at a slot. @param at of `FrameOutput.reserve` */
  suits(tcb: Tcb, at: number): boolean {
    return (
      this.#untagged &&
      (at & 3) === 0 &&
      tcb.ecn === null &&
      (!tcb.sack || (tcb.rcv.ooo.blocks === 0 && !tcb.rcv.hasDsack)) &&
      this.#ready()
    )
  }

  /** Writes one in a slot that `suits`, and queues it. @param seq,window of the header @param tsVal where timestamps were agreed on */
  put(tcb: Tcb, at: number, seq: number, window: number, tsVal: number): void {
    const { mac } = this.#frames
    const tx = this.#words
    const to = at >>> 2
    const { remoteMacHigh, remoteMacLow, localPort, remotePort, timestamps } = tcb
    const bytes = timestamps ? 20 + TIMESTAMPS_BYTES : 20
    // Halves in the order of memory: their sum is right whichever way round bytes are (RFC 1071 section 2 (B)).
    const macHigh = swap16(remoteMacHigh)
    const source = swap16(localPort)
    const destination = swap16(remotePort)
    tx[to] = macHigh | (swap16(remoteMacLow >>> 16) << 16)
    tx[to + 1] = swap16(remoteMacLow & 0xffff) | (mac[0]! << 16) | (mac[1]! << 24)
    tx[to + 2] = mac[2]! | (mac[3]! << 8) | (mac[4]! << 16) | (mac[5]! << 24)
    const { local, remote } = tcb
    let sum = swap16(bytes) + (6 << 8) + source + destination
    const v4 = local.version === 4
    const t = v4 ? to + 8 : to + 13
    if (v4) {
      const sourceHigh = swap16(local.w3 >>> 16)
      const sourceLow = swap16(local.w3 & 0xffff)
      const destinationHigh = swap16(remote.w3 >>> 16)
      const destinationLow = swap16(remote.w3 & 0xffff)
      const addresses = sourceHigh + sourceLow + destinationHigh + destinationLow
      const total = swap16(20 + bytes)
      const first = 0x45 | ((tcb.options.trafficClass & 0xfc) << 8)
      const life = (tcb.options.hopLimit || HOP_LIMIT) | (6 << 8)
      tx[to + 3] = 0x0008 | (first << 16)
      tx[to + 4] = total
      // Don't fragment; the identification of such a packet means nothing (RFC 6864 4.1).
      tx[to + 5] = 0x0040 | (life << 16)
      tx[to + 6] = (~fold(first + total + 0x0040 + life + addresses) & 0xffff) | (sourceHigh << 16)
      tx[to + 7] = sourceLow | (destinationHigh << 16)
      tx[to + 8] = destinationLow | (source << 16)
      sum += addresses
    } else {
      const label = flowLabel(tcb)
      const class_ = tcb.options.trafficClass & 0xfc
      tx[to + 3] = 0xdd86 | ((0x60 | (class_ >>> 4)) << 16) | ((((class_ & 0xf) << 4) | (label >>> 16)) << 24)
      tx[to + 4] = swap16(label & 0xffff) | (swap16(bytes) << 16)
      let last = 6 | ((tcb.options.hopLimit || HOP_LIMIT) << 8)
      for (let i = 0; i < 8; i++) {
        const word = this.#addressWord(tcb, i)
        const high = swap16(word >>> 16)
        tx[to + 5 + i] = last | (high << 16)
        last = swap16(word & 0xffff)
        sum += high + last
      }
      tx[t] = last | (source << 16)
    }
    const seqHigh = swap16(seq >>> 16)
    const seqLow = swap16(seq & 0xffff)
    const { nxt, tsRecent } = tcb.rcv
    const ackHigh = swap16(nxt >>> 16)
    const ackLow = swap16(nxt & 0xffff)
    const shape = timestamps ? TIMESTAMPED : PLAIN
    const wide = swap16(window)
    sum += seqHigh + seqLow + ackHigh + ackLow + shape + wide
    tx[t + 1] = destination | (seqHigh << 16)
    tx[t + 2] = seqLow | (ackHigh << 16)
    tx[t + 3] = ackLow | (shape << 16)
    if (timestamps) {
      const valueHigh = swap16(tsVal >>> 16)
      const valueLow = swap16(tsVal & 0xffff)
      const echoHigh = swap16(tsRecent >>> 16)
      const echoLow = swap16(tsRecent & 0xffff)
      sum += 0x0101 + 0x0a08 + valueHigh + valueLow + echoHigh + echoLow
      // NOP NOP TIMESTAMPS 10.
      tx[t + 5] = 0x0101 << 16
      tx[t + 6] = 0x0a08 | (valueHigh << 16)
      tx[t + 7] = valueLow | (echoHigh << 16)
      tx[t + 8] = echoLow
    } else tx[t + 5] = 0
    tx[t + 4] = wide | ((~fold(sum) & 0xffff) << 16)
    this.#frames.commit(at, this.#frames.transportOffset(local) + bytes)
  }

  /** Words 0 to 3 of our address, 4 to 7 of the peer's. */
  #addressWord({ local, remote }: Tcb, i: number): number {
    const address = i < 4 ? local : remote
    const at = i & 3
    return at === 0 ? address.w0 : at === 1 ? address.w1 : at === 2 ? address.w2 : address.w3
  }

  #ready(): boolean {
    const { txMemory } = this.#frames.nic
    if (txMemory !== this.#of) {
      this.#of = txMemory
      const { buffer, byteOffset, byteLength } = txMemory
      this.#words =
        (byteOffset & 3) === 0 ? new Int32Array(buffer, byteOffset, byteLength >>> 2) : new Int32Array(0)
    }
    return this.#words.length > 0
  }
}
