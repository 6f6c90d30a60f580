import { get16 } from '../../bytes.ts'
import { RX_BYTES } from '../counters.ts'
import { seqDiff, seqGe, seqGt, seqLe, seqLt, seqMin } from '../wire/seq.ts'
import { FIN } from '../wire/tcp.ts'
import type { AckScheduler } from './acks.ts'
import type { TcpContext } from './context.ts'
import type { TcpOutput } from './output.ts'
import type { TcpParts } from './parts.ts'
import type { PayloadTaker } from './payload.ts'
import type { Reclaim } from './reclaim.ts'
import type { Segment } from './segment.ts'
import {
  CLOSE_WAIT,
  CLOSING,
  ECONNRESET,
  ESTABLISHED,
  EVENT_READABLE,
  EVENT_URGENT,
  FIN_WAIT_1,
  FIN_WAIT_2,
  SYN_RECEIVED,
} from './state.ts'
import type { Tcb } from './tcb.ts'
import type { TimeWait } from './time-wait.ts'
import type { TransmitterOwner } from './transmitter.ts'
import type { WindowKeeper } from './window.ts'

/** What a segment brings: urgent pointer, text and FIN, the sixth to eighth check of RFC 9293 3.10.7.4. */
export class TextInput {
  readonly #owner: TransmitterOwner
  readonly #context: TcpContext
  readonly #output: TcpOutput
  readonly #payload: PayloadTaker
  readonly #window: WindowKeeper
  readonly #acks: AckScheduler
  readonly #timeWait: TimeWait
  readonly #reclaim: Reclaim

  constructor(owner: TransmitterOwner, context: TcpContext, parts: TcpParts, reclaim: Reclaim) {
    this.#owner = owner
    this.#context = context
    this.#output = parts.output
    this.#payload = parts.payload
    this.#window = parts.window
    this.#acks = parts.acks
    this.#timeWait = parts.timeWait
    this.#reclaim = reclaim
  }

  /** Sixth check: the urgent pointer. The data itself stays in line (RFC 6093 section 6). */
  urgent(tcb: Tcb, segment: Segment): void {
    if (tcb.state !== ESTABLISHED && tcb.state !== FIN_WAIT_1 && tcb.state !== FIN_WAIT_2) return
    const rare = tcb.seldom()
    // The pointer is the last field of the fixed header; RFC 6093: it points behind the last urgent byte.
    const end = (segment.seq + get16(this.#context.header(), segment.optionsAt - 2)) | 0
    if (rare.urgent && seqLe(end, rare.urgentEnd)) return
    rare.urgent = true
    rare.urgentEnd = end
    this.#owner.raise(tcb, EVENT_URGENT)
  }

  /**
   * New text, or a FIN behind text that is still to come, of a connection that nobody reads any more: said by a reset, as on Linux
   * (RFC 1122 4.2.2.13). True: there was one.
   */
  refused(tcb: Tcb, segment: Segment): boolean {
    const { rcv, state } = tcb
    if (!tcb.orphaned && !rcv.shut) return false
    if (state !== FIN_WAIT_1 && state !== FIN_WAIT_2) return false
    const bare = segment.length === 0 && (segment.flags & FIN) === 0
    if (bare || seqLe((segment.seq + segment.length) | 0, rcv.nxt)) return false
    this.#context.counters.dropAfterShutdown++
    this.#output.resetFor(segment, this.#context.header())
    this.#owner.end(tcb, tcb.orphaned ? 0 : ECONNRESET)
    return true
  }

  /** Seventh check: segment text. */
  data(tcb: Tcb, segment: Segment): void {
    const rcv = tcb.rcv
    const counters = this.#context.counters
    const fastOpened = tcb.state === SYN_RECEIVED && tcb.fastOpened
    if (tcb.state !== ESTABLISHED && tcb.state !== FIN_WAIT_1 && tcb.state !== FIN_WAIT_2 && !fastOpened) {
      counters.dropAfterShutdown++
      return
    }
    const start = segment.seq
    const end = (start + segment.length) | 0
    if (seqLe(end, rcv.nxt)) {
      counters.dropDuplicate++
      this.reportDuplicate(tcb, segment)
      this.#acks.soon(tcb)
      return
    }
    const payload = this.#payload
    const packs = payload.shouldPack(rcv, segment)
    if (!packs || !payload.fits(rcv, segment)) {
      if (seqLe(start, rcv.nxt)) {
        // What fills the hole goes before what lies behind it: the peer keeps SACKed data until it is acknowledged
        // (RFC 2018 section 8), so the far end of the out-of-order queue can be given up.
        while (payload.exhausted() && rcv.ooo.count > 0) counters.reneged += rcv.ooo.dropLast()
      }
      const admitted = this.#window.admits(tcb, segment.length)
      if (!admitted || payload.exhausted() || (start !== rcv.nxt && payload.scarce())) {
        counters.dropNoMemory++
        this.#acks.soon(tcb)
        return
      }
    }
    this.#placed(tcb, segment, start, end, packs)
  }

  /** Trims to the window and queues in order or out of order. @param packs it is copied behind earlier small payload */
  #placed(tcb: Tcb, segment: Segment, start: number, end: number, packs: boolean): void {
    const rcv = tcb.rcv
    const counters = this.#context.counters
    const { fragments } = this.#context
    const payload = this.#payload
    if (!packs && rcv.ooo.count === 0) payload.unpack(rcv)
    let head = packs ? payload.pack(rcv, segment) : payload.take(segment)
    if (head < 0) {
      counters.dropNoMemory++
      this.#acks.soon(tcb)
      return
    }
    const beyond = seqDiff(end, rcv.adv)
    if (beyond > 0) {
      head = fragments.keepFront(head, segment.length - beyond)
      end = rcv.adv
      // A FIN behind the cut can't be taken yet.
      segment.flags &= ~FIN
    }
    const known = seqDiff(rcv.nxt, start)
    if (known > 0) {
      counters.duplicateBytes += known
      this.#report(tcb, start, rcv.nxt)
      head = fragments.dropFront(head, known)
      start = rcv.nxt
      this.#acks.soon(tcb)
    }
    if (start === rcv.nxt && rcv.ooo.count === 0) {
      this.#append(tcb, head, seqDiff(end, start))
      this.#acks.owe(tcb, segment.length)
      return
    }
    counters.outOfOrderSegments++
    rcv.sinceNiovs += payload.niovs
    // RFC 5681 section 4.2: an ACK at once for a gap, and for data that fills one.
    this.#acks.soon(tcb)
    const holes = rcv.holes()
    if (holes.count === 0) this.#reclaim.watch(tcb)
    if (!holes.insert(start, end, head, payload.packed)) {
      counters.dropReassemblyLimit++
      return
    }
    if (rcv.ooo.duplicateBytes > 0) {
      counters.duplicateBytes += rcv.ooo.duplicateBytes
      // RFC 2883 section 4.2: of several ranges the first is reported.
      if (known <= 0) this.#report(tcb, rcv.ooo.duplicateStart, rcv.ooo.duplicateEnd)
    }
    while (rcv.ooo.ready(rcv.nxt)) {
      const list = rcv.ooo.takeFirst(rcv.nxt)
      if (list >= 0) {
        const { takenEnd, takenTail, takenNiovs } = rcv.ooo
        this.#payload.niovs = 0
        this.deliver(tcb, list, takenTail, seqDiff(takenEnd, rcv.nxt), takenNiovs)
      }
    }
  }

  /** Appends what is left of a segment after trimming: packed, it may be part of what is there already. */
  #append(tcb: Tcb, head: number, bytes: number): void {
    const { fragments } = this.#context
    const { rcv } = tcb
    if (this.#payload.packed && rcv.tail >= 0 && fragments.join(rcv.tail, head))
      this.deliver(tcb, -1, -1, bytes, 0)
    else this.deliver(tcb, head, fragments.lastOf(head), bytes, fragments.weigh(head))
  }

  /** Appends in-order payload to the receive queue. @param head -1: it is part of the last fragment @param niovs that it holds */
  deliver(tcb: Tcb, head: number, tail: number, bytes: number, niovs: number): void {
    const rcv = tcb.rcv
    if (head >= 0) {
      if (rcv.tail < 0) rcv.head = head
      else this.#context.fragments.next[rcv.tail] = head
      rcv.tail = tail
    }
    rcv.nxt = (rcv.nxt + bytes) | 0
    rcv.queuedBytes += bytes
    rcv.niovs += niovs
    rcv.sinceBytes += bytes
    rcv.sinceNiovs += this.#payload.niovs
    this.#context.counters.cells[RX_BYTES]! += bytes
    if ((tcb.events & EVENT_READABLE) === 0) this.#owner.raise(tcb, EVENT_READABLE)
  }

  fin(tcb: Tcb, segment: Segment): void {
    const rcv = tcb.rcv
    const seq = (segment.seq + segment.length) | 0
    if (seqLt(seq, rcv.nxt)) return
    if (rcv.finSeq !== null && seqGe(seq, rcv.finSeq)) {
      // The earliest one counts; a later one would leave the end of the stream unreached.
      if (!rcv.finished) this.#finAgain(tcb, segment, seq)
      return
    }
    if (seqGt(seq, rcv.nxt)) rcv.holes().noteFin(seq)
    rcv.finSeq = seq
    this.#acks.soon(tcb)
  }

  /** A FIN that waits behind a hole came again: the peer has not heard of it. */
  #finAgain(tcb: Tcb, segment: Segment, seq: number): void {
    const { rcv } = tcb
    this.#acks.soon(tcb)
    if (seq !== rcv.finSeq) return
    if (segment.length === 0) this.#report(tcb, seq, (seq + 1) | 0)
    // Of its data it has been said already.
    else if (rcv.hasDsack && tcb.seldom().dsackEnd === seq) tcb.seldom().dsackEnd = (seq + 1) | 0
  }

  /** Eighth check: the FIN, once everything before it is here. */
  reachFin(tcb: Tcb, now: number): void {
    const rcv = tcb.rcv
    if (rcv.finished || rcv.nxt !== rcv.finSeq) {
      // Data goes on behind it: that FIN was forged.
      if (rcv.finSeq !== null && !rcv.finished && seqGt(rcv.nxt, rcv.finSeq)) {
        rcv.finSeq = null
        rcv.ooo.forgetFin()
      }
      return
    }
    rcv.finished = true
    rcv.ooo.forgetFin()
    // Nothing more is asked of the peer: what it sent twice no longer matters.
    rcv.hasDsack = false
    this.#payload.unpack(rcv)
    this.#window.close(tcb)
    rcv.nxt = (rcv.nxt + 1) | 0
    if (seqLt(rcv.adv, rcv.nxt)) rcv.adv = rcv.nxt
    this.#acks.soon(tcb)
    this.#owner.raise(tcb, EVENT_READABLE)
    if (tcb.state === ESTABLISHED) tcb.state = CLOSE_WAIT
    else if (tcb.state === FIN_WAIT_1) tcb.state = CLOSING
    else if (tcb.state === FIN_WAIT_2) this.#timeWait.enter(tcb, now)
  }

  /**
   * Bytes of a segment that was not taken, as far as they are here already: the first such range is told with the next ACK (RFC 2883
   * section 4). What is not here must not be named, or the peer would never send it.
   */
  reportDuplicate(tcb: Tcb, segment: Segment): void {
    const { rcv } = tcb
    const extent = segment.length + ((segment.flags & FIN) !== 0 ? 1 : 0)
    if (extent === 0) return
    const start = segment.seq
    const end = (start + extent) | 0
    if (seqLt(start, rcv.nxt)) this.#report(tcb, start, seqMin(end, rcv.nxt))
    else if (rcv.ooo.overlap(start, end)) this.#report(tcb, rcv.ooo.duplicateStart, rcv.ooo.duplicateEnd)
  }

  /** A range for the D-SACK block of the next ACK. */
  #report(tcb: Tcb, start: number, end: number): void {
    if (!tcb.sack || !this.#context.config.dsack) return
    tcb.rcv.hasDsack = true
    const rare = tcb.seldom()
    rare.dsackStart = start
    rare.dsackEnd = end
  }
}
