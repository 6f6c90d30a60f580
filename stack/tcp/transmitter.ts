import { seqDiff, seqGe, seqGt, seqLt } from '../wire/seq.ts'
import { ACK, FIN, SYN } from '../wire/tcp.ts'
import type { TcpContext } from './context.ts'
import type { TcpOutput } from './output.ts'
import type { Segment } from './segment.ts'
import { MAX_RTO_US } from './sender.ts'
import { ESTABLISHED, ETIMEDOUT, EVENT_WRITABLE, SYN_RECEIVED, SYN_SENT, TIME_WAIT } from './state.ts'
import type { Tcb } from './tcb.ts'

/** Duplicate ACKs that mean loss (RFC 5681 section 3.2). */
const DUP_ACK_THRESHOLD = 3

/** Timeouts in a row after which the neighbour's hardware address is doubted. */
const ASK_AGAIN_AFTER = 2

/** What the sending half asks of the module. */
export interface TransmitterOwner {
  raise(tcb: Tcb, event: number): void
  end(tcb: Tcb, error: number): void
}

/** Decides what leaves when: windows, congestion (RFC 5681, RFC 6582), retransmission (RFC 6298) and probing. */
export class Transmitter {
  readonly #owner: TransmitterOwner
  readonly #context: TcpContext
  readonly #output: TcpOutput

  constructor(owner: TransmitterOwner, context: TcpContext, output: TcpOutput) {
    this.#owner = owner
    this.#context = context
    this.#output = output
  }

  /** Sends our SYN or SYN,ACK, for the first time or again. */
  resendSyn(tcb: Tcb, now: number): void {
    const flags = tcb.state === SYN_SENT ? SYN : SYN | ACK
    this.#output.send(tcb, flags, tcb.snd.iss, 0, 0, now)
    if (!tcb.retransmitTimer.armed) this.arm(tcb, now)
  }

  /** New data of ours was acknowledged. */
  acknowledged(tcb: Tcb, segment: Segment, now: number): void {
    const { snd } = tcb
    const acked = seqDiff(segment.ack, snd.una)
    const synBytes = snd.una === snd.iss ? 1 : 0
    const dataBytes = Math.min(acked - synBytes, snd.buffered)
    if (dataBytes > 0) snd.discard(dataBytes)
    snd.una = segment.ack
    tcb.softError = 0
    if (seqLt(snd.nxt, snd.una)) snd.nxt = snd.una
    this.#measure(tcb, segment, now)
    snd.retries = 0
    if (snd.inRecovery) {
      if (seqGe(snd.una, snd.recover)) {
        snd.inRecovery = false
        snd.cwnd = snd.ssthresh
      } else {
        // RFC 6582 3.2 (4): a partial ACK means the next segment was lost too.
        this.#sendFrom(tcb, snd.una, now)
        snd.cwnd = Math.max(snd.mss, snd.cwnd - acked + snd.mss)
      }
    } else if (snd.cwnd < snd.ssthresh) snd.cwnd += Math.min(acked, 2 * snd.mss)
    else snd.cwnd += Math.max(1, Math.floor((snd.mss * snd.mss) / snd.cwnd))
    snd.dupAcks = 0
    if (snd.una === snd.max) this.#context.wheel.cancel(tcb.retransmitTimer)
    else this.arm(tcb, now)
    if (snd.wantsRoom && snd.room() >= snd.limit >>> 1) {
      snd.wantsRoom = false
      this.#owner.raise(tcb, EVENT_WRITABLE)
    }
  }

  /** RFC 5681 section 3.2. */
  duplicateAck(tcb: Tcb, now: number): void {
    const { snd } = tcb
    snd.dupAcks++
    if (snd.inRecovery) {
      snd.cwnd += snd.mss
      return
    }
    if (snd.dupAcks !== DUP_ACK_THRESHOLD) return
    snd.ssthresh = Math.max(seqDiff(snd.max, snd.una) >>> 1, 2 * snd.mss)
    snd.recover = snd.max
    snd.inRecovery = true
    snd.cwnd = snd.ssthresh + DUP_ACK_THRESHOLD * snd.mss
    this.#context.counters.fastRetransmits++
    this.#sendFrom(tcb, snd.una, now)
    this.arm(tcb, now)
  }

  /** Sends what windows and buffer allow: data, then the FIN. */
  transmit(tcb: Tcb, now: number): void {
    const { snd } = tcb
    if (tcb.state < ESTABLISHED || tcb.state === TIME_WAIT) return
    for (;;) {
      const inFlight = seqDiff(snd.nxt, snd.una)
      const unsent = snd.buffered - inFlight
      if (unsent <= 0) {
        // -1: the FIN is in flight, it takes one sequence number behind the last byte.
        if (unsent === 0 && snd.finQueued) this.#sendFin(tcb, now)
        break
      }
      const room = Math.min(snd.cwnd, snd.wnd) - inFlight
      const full = this.#output.payloadLimit(tcb)
      const length = Math.min(full, unsent, room)
      if (length <= 0) {
        // RFC 9293 3.8.6.1: a closed window is probed, else a lost update would end everything.
        if (snd.wnd === 0 && inFlight === 0 && !tcb.retransmitTimer.armed) this.arm(tcb, now)
        break
      }
      // Sender's silly window avoidance (RFC 9293 3.8.6.2.1): no fragment of a segment while more is in flight.
      if (length < full && length < unsent && inFlight > 0) break
      const last = length === unsent
      const fin = last && snd.finQueued
      const seq = snd.nxt
      if (!this.#output.send(tcb, this.#output.dataFlags(last, fin), seq, inFlight, length, now)) {
        if (!tcb.retransmitTimer.armed) this.arm(tcb, now)
        break
      }
      this.#sent(tcb, seq, length + (fin ? 1 : 0), now)
      if (fin) {
        snd.finSent = true
        break
      }
    }
  }

  /** RFC 6298 section 5, and the persist timer. */
  timeout(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { config, counters } = this.#context
    const opening = tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED
    const probing = !opening && snd.wnd === 0 && snd.buffered > 0
    snd.retries++
    // RFC 9293 3.8.6.1: a peer that answers probes keeps the connection however long its window is closed.
    if (snd.retries > (opening ? config.synRetries : config.dataRetries)) {
      if (tcb.state === SYN_RECEIVED) counters.halfOpenExpired++
      else counters.connectionsTimedOut++
      if (!opening) this.#output.reset(tcb)
      this.#owner.end(tcb, tcb.softError || ETIMEDOUT)
      return
    }
    // RFC 1122 2.3.2.1: nothing comes back, so perhaps the neighbour has moved. The old address serves until it answers.
    if (snd.retries >= ASK_AGAIN_AFTER && this.#context.link.isOwn(tcb.local)) {
      this.#context.link.ask(tcb.local, tcb.remote, now)
    }
    snd.rto = Math.min(MAX_RTO_US, snd.rto * 2)
    snd.timing = false
    snd.timeoutAt = now
    counters.retransmitTimeouts++
    if (opening) {
      counters.retransmits++
      this.resendSyn(tcb, now)
      return
    }
    if (probing) {
      snd.nxt = snd.una
      if (this.#output.send(tcb, ACK, snd.una, 0, 1, now)) this.#sent(tcb, snd.una, 1, now)
      // Not counted as in flight: when the window opens everything leaves from the oldest byte on.
      snd.nxt = snd.una
    } else if (snd.una !== snd.max) {
      // RFC 5681 (4), then everything outstanding again from the oldest byte.
      if (snd.retries === 1) snd.ssthresh = Math.max(seqDiff(snd.max, snd.una) >>> 1, 2 * snd.mss)
      snd.cwnd = snd.mss
      snd.inRecovery = false
      snd.dupAcks = 0
      snd.nxt = snd.una
      counters.retransmits++
    }
    this.arm(tcb, now)
    if (!probing) this.transmit(tcb, now)
  }

  /** ICMP says that packets of more than `mtu` bytes don't get through: smaller ones from now on, the lost one at once. */
  pathMtuChanged(tcb: Tcb, mtu: number, now: number): void {
    const { snd } = tcb
    const mss = this.#output.mssFor(tcb, mtu)
    if (mss >= snd.mss) return
    snd.mss = mss
    if (tcb.state < ESTABLISHED || snd.una === snd.max) return
    this.#sendFrom(tcb, snd.una, now)
    this.arm(tcb, now)
  }

  #measure(tcb: Tcb, segment: Segment, now: number): void {
    const { snd } = tcb
    // What is acknowledged now ends the doubling even when it can't be timed.
    snd.clearBackoff()
    if (tcb.timestamps && segment.options.hasTimestamps && segment.options.tsEcr !== 0) {
      const rtt = ((this.#output.timestamp(tcb, now) - segment.options.tsEcr) | 0) * 1000
      // The ACK of a duplicate echoes the original's timestamp (RFC 7323 4.3): after a timeout that says nothing.
      const beforeTimeout = snd.retries > 0 && now - rtt < snd.timeoutAt - 1000
      if (rtt >= 0 && !beforeTimeout) snd.measure(rtt)
    } else if (snd.timing && seqGe(segment.ack, snd.timedSeq)) {
      snd.timing = false
      snd.measure(now - snd.timedAt)
    }
  }

  #sent(tcb: Tcb, seq: number, extent: number, now: number): void {
    const { snd } = tcb
    const end = (seq + extent) | 0
    snd.nxt = end
    if (seqGt(end, snd.max)) {
      snd.max = end
      if (!snd.timing && !tcb.timestamps) {
        snd.timing = true
        snd.timedSeq = end
        snd.timedAt = now
      }
    } else this.#context.counters.retransmits++
    if (!tcb.retransmitTimer.armed) this.arm(tcb, now)
  }

  #sendFin(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const seq = snd.nxt
    if (this.#output.send(tcb, ACK | FIN, seq, 0, 0, now)) {
      snd.finSent = true
      this.#sent(tcb, seq, 1, now)
    } else if (!tcb.retransmitTimer.armed) this.arm(tcb, now)
  }

  /** Retransmits one segment that begins at `seq`, without moving SND.NXT. */
  #sendFrom(tcb: Tcb, seq: number, now: number): void {
    const { snd } = tcb
    const skip = seqDiff(seq, snd.una)
    // Not beyond what was sent: an ACK of more than SND.MAX would be taken for a forged one.
    const sent = Math.min(snd.buffered - skip, seqDiff(snd.max, seq))
    const length = Math.min(this.#output.payloadLimit(tcb), sent)
    const fin = snd.finSent && skip + length === snd.buffered
    if (length <= 0 && !fin) return
    this.#context.counters.retransmits++
    snd.timing = false
    this.#output.send(tcb, this.#output.dataFlags(fin, fin), seq, skip, Math.max(0, length), now)
  }

  arm(tcb: Tcb, now: number): void {
    this.#context.wheel.arm(tcb.retransmitTimer, now + tcb.snd.rto)
  }
}
