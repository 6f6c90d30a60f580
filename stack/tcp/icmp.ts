import { seqGe, seqGt } from '../wire/seq.ts'
import type { TcpContext } from './context.ts'
import type { FlowTable } from './flows.ts'
import type { Segment } from './segment.ts'
import { CLOSED, SYN_SENT, TIME_WAIT } from './state.ts'
import type { Tcb } from './tcb.ts'
import type { Transmitter } from './transmitter.ts'

/** What ends a connection attempt. */
export interface IcmpOwner {
  end(tcb: Tcb, error: number): void
}

/** RFC 8200 section 5. */
const MIN_MTU6 = 1280
/** RFC 1191 section 7.1: MTUs that links have, for routers that don't say theirs. */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68]

/** What ICMP errors mean to connections: RFC 1122 4.2.3.9, RFC 5461, with the checks of RFC 5927. */
export class TcpIcmp {
  readonly #owner: IcmpOwner
  readonly #context: TcpContext
  readonly #flows: FlowTable
  readonly #transmitter: Transmitter

  constructor(owner: IcmpOwner, context: TcpContext, flows: FlowTable, transmitter: Transmitter) {
    this.#owner = owner
    this.#context = context
    this.#flows = flows
    this.#transmitter = transmitter
  }

  /**
   * Something on the way refuses our segments. An attempt to connect ends with what Linux says; everything else goes on, and
   * the error is what a timeout will say (RFC 1122 4.2.3.9, RFC 5461 section 4: even "hard" errors are not believed).
   */
  error(quoted: Segment, errno: number): boolean {
    const tcb = this.#find(quoted)
    if (tcb === null) return false
    if (tcb.state === SYN_SENT) this.#owner.end(tcb, errno)
    else tcb.softError = errno
    return true
  }

  /** Path MTU discovery (RFC 1191, RFC 8201). @param mtu of the next hop, 0 when not said (RFC 1191 section 5) */
  tooBig(quoted: Segment, mtu: number, packetBytes: number, now: number): boolean {
    const tcb = this.#find(quoted)
    if (tcb === null) return false
    const { link, ipConfig } = this.#context
    const known = link.mtuTo(tcb.remote, now)
    if (mtu === 0) mtu = PLATEAUS.find((plateau) => plateau < Math.min(packetBytes || known, known)) ?? 68
    mtu = Math.max(mtu, tcb.remote.version === 4 ? ipConfig.minPathMtu : MIN_MTU6)
    // It can only become less (RFC 1191 section 3, RFC 8201 section 4).
    if (mtu < known) {
      link.pathMtus.set(tcb.remote, mtu, now)
      this.#context.counters.pathMtuLowered++
    }
    this.#transmitter.pathMtuChanged(tcb, Math.min(mtu, known), now)
    return true
  }

  /** RFC 5927 section 4: only an error about a segment that is in flight now can be genuine. */
  #find(quoted: Segment): Tcb | null {
    const tcb = this.#flows.find(quoted)
    if (tcb === null || tcb.state === CLOSED || tcb.state === TIME_WAIT) return null
    const { una, max } = tcb.snd
    return seqGe(quoted.seq, una) && seqGt(max, quoted.seq) ? tcb : null
  }
}
