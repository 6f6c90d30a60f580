import { AE, CWR, ECE } from '../wire/tcp.ts'
import type { Segment } from './segment.ts'

/** Codepoints of the IP header's ECN field (RFC 3168 section 5). */
export const NOT_ECT = 0
export const ECT_1 = 1
export const ECT_0 = 2
export const CE = 3

const ACE_FLAGS = AE | CWR | ECE
/** Counters wrap at 24 bits (RFC 9768 section 3.2.1). */
const COUNTER_MASK = 0xff_ffff

/**
 * RFC 9768 tables 2 and 3: how AE, CWR and ECE of a SYN,ACK, and of the ACK that follows it, say with which codepoint the
 * packet they answer arrived. By codepoint.
 */
const HANDSHAKE_ACE = [0b010, 0b011, 0b100, 0b110] as const

/** The three flags as the number they form in AccECN, AE being the highest bit. */
function aceOf(flags: number): number {
  return ((flags & AE) !== 0 ? 4 : 0) | ((flags & CWR) !== 0 ? 2 : 0) | ((flags & ECE) !== 0 ? 1 : 0)
}

function flagsOfAce(ace: number): number {
  return ((ace & 4) !== 0 ? AE : 0) | ((ace & 2) !== 0 ? CWR : 0) | ((ace & 1) !== 0 ? ECE : 0)
}

/** Whether a host asks for ECN, and which kind it accepts. */
export type EcnMode = 'off' | 'accept' | 'request' | 'accurate'

/** Explicit congestion notification of one connection, both directions: RFC 3168, or RFC 9768 where `accurate`. */
export class Ecn {
  readonly accurate: boolean
  /** RFC 3168 6.1.3: a marked packet came, every ACK says so until the peer has reduced its window. */
  echo = false
  /** RFC 3168 6.1.2: the window was reduced; the next new data says so. */
  reduced = false
  /** RFC 9768 3.2.1: packets with CE, and bytes by codepoint, received. */
  cePackets = 5
  ceBytes = 0
  ect0Bytes = 1
  ect1Bytes = 1
  /** What the peer has told us of ours. */
  peerCePackets = 5
  /** ACE of the ACK that ends the handshake, sent once; -1 otherwise. */
  handshakeAce = -1
  /** `ceBytes` as the last option said it; -1 before the first option. */
  reportedCeBytes = -1

  constructor(accurate: boolean) {
    this.accurate = accurate
  }

  /** Flags of a SYN that asks for ECN. */
  static request(mode: EcnMode): number {
    if (mode === 'accurate') return ACE_FLAGS
    return mode === 'request' ? ECE | CWR : 0
  }

  /** What a SYN asks for and we accept; null for neither. */
  static accept(mode: EcnMode, segment: Segment): Ecn | null {
    if (mode === 'off') return null
    const flags = segment.flags & ACE_FLAGS
    if (flags === ACE_FLAGS && mode === 'accurate') {
      const ecn = new Ecn(true)
      ecn.handshakeAce = HANDSHAKE_ACE[segment.ecn as 0 | 1 | 2 | 3]
      return ecn
    }
    return (flags & (ECE | CWR)) === (ECE | CWR) ? new Ecn(false) : null
  }

  /** What a SYN,ACK agrees to; null for nothing. */
  static agreed(mode: EcnMode, segment: Segment): Ecn | null {
    const ace = aceOf(segment.flags)
    if (mode !== 'accurate' && mode !== 'request') return null
    // RFC 9768 table 2: 101 was the nonce's and 111 comes from who reflects flags: neither means ECN.
    if (ace === 0b001) return new Ecn(false)
    if (mode !== 'accurate' || ace === 0 || ace === 0b101 || ace === 0b111) return null
    const ecn = new Ecn(true)
    ecn.handshakeAce = HANDSHAKE_ACE[segment.ecn as 0 | 1 | 2 | 3]
    if (segment.ecn === CE) ecn.cePackets++
    return ecn
  }

  /** Flags of our SYN,ACK. */
  synAckFlags(): number {
    return this.accurate ? flagsOfAce(this.handshakeAce) : ECE
  }

  /** Flags of a segment without SYN. @param fresh it carries data sent for the first time */
  flags(fresh: boolean, pureAck: boolean): number {
    if (!this.accurate) {
      let flags = this.echo ? ECE : 0
      if (fresh && this.reduced) {
        flags |= CWR
        this.reduced = false
      }
      return flags
    }
    if (pureAck && this.handshakeAce >= 0) {
      const flags = flagsOfAce(this.handshakeAce)
      this.handshakeAce = -1
      return flags
    }
    return flagsOfAce(this.cePackets & 7)
  }

  /** Takes note of how a segment arrived. True when that must be told at once. */
  arrived(segment: Segment): boolean {
    const marked = segment.ecn === CE
    if (!this.accurate) {
      // RFC 3168 6.1.3: CWR ends the echo, a mark on the same packet begins it anew.
      if ((segment.flags & CWR) !== 0) this.echo = false
      if (marked && segment.length > 0) {
        const news = !this.echo
        this.echo = true
        return news
      }
      return false
    }
    if (marked) {
      this.cePackets = (this.cePackets + 1) & COUNTER_MASK
      this.ceBytes = (this.ceBytes + segment.length) & COUNTER_MASK
    } else if (segment.ecn === ECT_0) this.ect0Bytes = (this.ect0Bytes + segment.length) & COUNTER_MASK
    else if (segment.ecn === ECT_1) this.ect1Bytes = (this.ect1Bytes + segment.length) & COUNTER_MASK
    return marked
  }

  /** Whether an ACK says that packets of ours were marked. @param first it ends the handshake */
  congested(segment: Segment, first: boolean): boolean {
    if (!this.accurate) return (segment.flags & ECE) !== 0
    const ace = aceOf(segment.flags)
    if (first) {
      // RFC 9768 table 4: the codepoint our SYN,ACK arrived with.
      if (ace === HANDSHAKE_ACE[CE]) this.peerCePackets++
      return ace === HANDSHAKE_ACE[CE]
    }
    // RFC 9768 3.2.2.5.1: modulo 8.
    const news = (ace - this.peerCePackets) & 7
    this.peerCePackets = (this.peerCePackets + news) & COUNTER_MASK
    return news > 0
  }
}
