import type { Counters } from '../counters.ts'
import { seqDiff, seqGe, seqGt, seqLe, seqLt } from '../wire/seq.ts'
import { type CongestionControl, reno } from './congestion/control.ts'
import { cubic } from './congestion/cubic.ts'
import { type Flight, LOST, SACKED } from './flight.ts'
import type { TcpConfig } from './options.ts'
import { type Outstanding, PHASE_CWR, PHASE_LOSS, PHASE_OPEN, PHASE_RECOVERY } from './outstanding.ts'
import { DUP_THRESHOLD, type Rack, widened } from './rack.ts'
import type { Segment } from './segment.ts'
import type { Tcb } from './tcb.ts'

/** Timestamps tick in milliseconds: times less than that apart can't be told from each other. */
const TICK_US = 1000

/**
 * What an ACK says about the path: round trips, losses (RFC 8985, RFC 6675, RFC 6582 for peers without SACK), and how much
 * may be in flight meanwhile (RFC 9937). It marks and counts; the `Transmitter` sends.
 */
export class Recovery {
  readonly #counters: Counters
  readonly #config: TcpConfig

  constructor(counters: Counters, config: TcpConfig) {
    this.#counters = counters
    this.#config = config
  }

  /** The algorithm a connection uses. */
  control(tcb: Tcb): CongestionControl {
    return (tcb.options.congestion || this.#config.congestion) === 'reno' ? reno : cubic
  }

  /** Bytes in the network. */
  pipe(tcb: Tcb): number {
    const { snd } = tcb
    const { out } = snd
    if (out === null) return 0
    const { flight } = out
    // After a timeout what was out counts as lost already; what duplicate ACKs speak of is not in the pipe (RFC 6582 4.1).
    if (tcb.sack || out.phase === PHASE_LOSS) return flight.pipe
    // RFC 5681 3.2: without SACK every duplicate ACK means one segment less.
    return Math.max(0, flight.pipe - out.dupAcks * snd.mss)
  }

  /**
   * Takes an ACK that may advance SND.UNA, carry SACK blocks or be a duplicate. `snd.una` has moved already.
   * @param acked bytes by which it moved
   * @param duplicate RFC 5681's definition of a duplicate ACK holds
   */
  ack(tcb: Tcb, segment: Segment, acked: number, duplicate: boolean, now: number): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null) {
      // The last ACK had everything; that a segment was needless is still worth knowing.
      if (
        tcb.sack &&
        segment.options.sackBlocks > 0 &&
        reportsDuplicate(segment) &&
        this.#plausible(tcb, segment)
      ) {
        this.#counters.dsackReceived++
        snd.reordering = widened(snd.reordering)
      }
      // The second ACK of the same: the probe was a duplicate.
      snd.tailProbe = null
      return
    }
    const { flight, rack } = out
    rack.wait = 0
    const outstanding = seqDiff(snd.max, snd.una) + acked
    const pipeBefore = this.pipe(tcb)
    const sackedBefore = flight.sackedCount
    rack.echoedAt = this.#echoedAt(tcb, segment, now)
    flight.begin()
    if (acked > 0) flight.acknowledge(snd.una, rack, now)
    const dsack = tcb.sack && segment.options.sackBlocks > 0 && this.#blocks(tcb, segment, flight, rack, now)
    this.#measure(tcb, flight, rack, acked, now)
    if (out.phase !== PHASE_OPEN && acked > 0) this.#undo(tcb, out)
    if (!tcb.sack) this.#withoutSack(tcb, out, acked, duplicate)
    else {
      if (duplicate || flight.sackedCount > sackedBefore) out.dupAcks++
      else if (acked > 0) out.dupAcks = 0
      this.#detect(tcb, out, now)
    }
    const twice = dsack || (duplicate && segment.options.sackBlocks === 0)
    this.#probeAcked(tcb, out, twice, outstanding)
    this.#progress(tcb, out, acked, outstanding, pipeBefore, now)
  }

  /** The reordering timer fired (RFC 8985 6.2): what is still missing now is lost. */
  lookAgain(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null) return
    const { flight, rack } = out
    rack.wait = 0
    this.#detect(tcb, out, now)
    if (flight.lostBytes > flight.resentBytes && out.phase !== PHASE_RECOVERY && out.phase !== PHASE_LOSS) {
      this.#enter(tcb, out, PHASE_RECOVERY, seqDiff(snd.max, snd.una), now)
    }
    if (out.phase === PHASE_RECOVERY) this.#rate(tcb, out, 0, false)
  }

  /** The retransmission timer fired: RFC 5681 (4), RFC 8985 6.3. */
  timedOut(tcb: Tcb, now: number): void {
    const { snd } = tcb
    const { out } = snd
    if (out === null || out.flight.count === 0) return
    const { flight, rack } = out
    if ((flight.flags[flight.slot(0)]! & SACKED) !== 0) {
      // RFC 2018 section 8: what is sacked at the left edge and still not acknowledged was thrown away.
      flight.renege()
      this.#counters.sackReneging++
    }
    if (out.phase !== PHASE_LOSS) {
      out.priorCwnd = snd.cwnd
      out.priorSsthresh = snd.ssthresh
      out.undoAt = now
      snd.ssthresh = this.control(tcb).reduce(snd, seqDiff(snd.max, snd.una))
    }
    if (tcb.ecn !== null) tcb.ecn.reduced = true
    this.control(tcb).restart(snd)
    rack.timeout(flight, rack.reorderingWindow(flight, true, snd.srtt), now)
    snd.cwnd = snd.mss
    out.phase = PHASE_LOSS
    out.recover = snd.max
    out.dupAcks = 0
    rack.probing = false
    rack.wait = 0
  }

  /**
   * A congestion mark was echoed (RFC 3168 6.1.2): once per window, as for a loss, but nothing is sent again. `ack` follows.
   * @param acked bytes by which `snd.una` has moved
   */
  marked(tcb: Tcb, acked: number, now: number): void {
    const { out } = tcb.snd
    if (out === null || out.phase !== PHASE_OPEN) return
    this.#enter(tcb, out, PHASE_CWR, seqDiff(tcb.snd.max, tcb.snd.una) + acked, now)
  }

  /** A quiet connection begins to send again (RFC 5681 4.1). */
  idle(tcb: Tcb, initialWindow: number): void {
    const { snd } = tcb
    snd.cwnd = Math.min(snd.cwnd, initialWindow)
    this.control(tcb).restart(snd)
  }

  /** When what the peer echoes was sent, microseconds; -1 when it does not say. */
  #echoedAt(tcb: Tcb, segment: Segment, now: number): number {
    const { options } = segment
    if (!tcb.timestamps || !options.hasTimestamps || options.tsEcr === 0) return -1
    const tick = Math.floor(now / TICK_US)
    const age = tcb.echoAge(options.tsEcr, tick)
    return age < 0 ? -1 : (tick - age) * TICK_US
  }

  /** Reads the SACK blocks; true when the first reports a duplicate (RFC 2883). */
  #blocks(tcb: Tcb, segment: Segment, flight: Flight, rack: Rack, now: number): boolean {
    const { snd } = tcb
    const { sack, sackBlocks } = segment.options
    const reported = reportsDuplicate(segment)
    const dsack = reported && this.#plausible(tcb, segment)
    if (dsack) {
      this.#counters.dsackReceived++
      rack.duplicateReported(snd.una, snd.max)
    }
    for (let i = reported ? 1 : 0; i < sackBlocks; i++) {
      const left = sack[2 * i]!
      const right = sack[2 * i + 1]!
      if (seqLt(left, right) && seqGt(right, snd.una) && seqLe(right, snd.max) && seqGe(left, snd.una)) {
        flight.sack(left, right, rack, now)
      }
    }
    if (!reported) flight.know(sack, sackBlocks)
    return dsack
  }

  /** Of what we did send: anything else is a mistake or a forgery. */
  #plausible(tcb: Tcb, segment: Segment): boolean {
    const { snd } = tcb
    const { sack } = segment.options
    return seqLe(sack[1]!, snd.max) && seqDiff(snd.una, sack[0]!) < Math.max(snd.maxWnd, 65_535)
  }

  /** RFC 6298 section 3 and RFC 7323 4.1: by the clock where it is certain, else by timestamps. */
  #measure(tcb: Tcb, flight: Flight, rack: Rack, acked: number, now: number): void {
    const { snd } = tcb
    if (flight.timedAt >= 0 && !flight.ambiguous) snd.measure(now - flight.timedAt)
    else if (acked > 0 && rack.echoedAt >= 0) snd.measure(now - rack.echoedAt)
  }

  /** RFC 4015: the first ACK after a retransmission echoes an earlier time, so the original had arrived. */
  #undo(tcb: Tcb, out: Outstanding): void {
    const { snd } = tcb
    const { flight, rack } = out
    if (out.undoAt < 0) return
    const spurious = rack.echoedAt >= 0 && rack.echoedAt + TICK_US <= out.undoAt
    out.undoAt = -1
    if (!spurious || out.phase === PHASE_CWR) return
    this.#counters.spuriousRetransmits++
    flight.unlose()
    snd.cwnd = Math.max(snd.cwnd, out.priorCwnd)
    snd.ssthresh = out.priorSsthresh
    out.phase = PHASE_OPEN
  }

  /** RFC 5681 3.2 and RFC 6582: duplicate ACKs stand for segments that arrived. */
  #withoutSack(tcb: Tcb, out: Outstanding, acked: number, duplicate: boolean): void {
    const { snd } = tcb
    const { flight } = out
    if (duplicate) {
      out.dupAcks++
      flight.delivered = snd.mss
      // RFC 6582 3.2 (1): not again for what the last recovery sent twice.
      const fresh = out.phase === PHASE_OPEN || out.phase === PHASE_CWR
      if (fresh && out.dupAcks >= DUP_THRESHOLD && flight.count > 0) flight.lose(flight.slot(0))
    } else if (acked > 0) {
      if (out.phase === PHASE_RECOVERY && seqLt(snd.una, out.recover)) {
        // RFC 6582 3.2 (4): a partial ACK means that the next segment was lost too.
        out.dupAcks = Math.max(0, out.dupAcks - Math.max(0, Math.ceil(acked / snd.mss) - 1))
        if (flight.count > 0) flight.lose(flight.slot(0))
      } else out.dupAcks = 0
    }
  }

  #detect(tcb: Tcb, out: Outstanding, now: number): void {
    const { snd } = tcb
    const { flight, rack } = out
    if (flight.count === 0) return
    if (!this.#config.rack) {
      lossBySack(flight, snd.mss)
      return
    }
    if (rack.xmitAt < 0) return
    const recovering = out.phase === PHASE_RECOVERY || out.phase === PHASE_LOSS
    rack.wait = rack.detect(flight, rack.reorderingWindow(flight, recovering, snd.srtt), now)
  }

  /** RFC 8985 7.4.2: what an ACK says of a tail loss probe. @param twice the probe's data had arrived before */
  #probeAcked(tcb: Tcb, out: Outstanding, twice: boolean, outstanding: number): void {
    const { snd } = tcb
    const { rack } = out
    if (!rack.probing || seqLt(snd.una, rack.probeEnd)) return
    if (!rack.probeResent || twice) rack.probing = false
    else if (seqGt(snd.una, rack.probeEnd)) {
      rack.probing = false
      // No sign of a duplicate: the probe repaired a loss nobody else noticed.
      if (out.phase === PHASE_OPEN) {
        snd.ssthresh = this.control(tcb).reduce(snd, outstanding)
        snd.cwnd = Math.min(snd.cwnd, snd.ssthresh)
      }
    }
  }

  /** Moves between the phases and sets the window. */
  #progress(
    tcb: Tcb,
    out: Outstanding,
    acked: number,
    outstanding: number,
    pipeBefore: number,
    now: number,
  ): void {
    const { snd } = tcb
    const { flight } = out
    if (out.phase !== PHASE_OPEN && acked > 0 && seqGe(snd.una, out.recover)) {
      // After a timeout slow start goes on; else the window is what the reduction made of it.
      if (out.phase === PHASE_LOSS) this.control(tcb).grow(snd, Math.min(acked, outstanding), now)
      else snd.cwnd = Math.max(snd.ssthresh, 2 * snd.mss)
      out.phase = PHASE_OPEN
      out.dupAcks = 0
      out.undoAt = -1
      out.rack.recovered()
      return
    }
    const lost = flight.lostBytes > flight.resentBytes
    if (lost && (out.phase === PHASE_OPEN || out.phase === PHASE_CWR)) {
      if (out.phase === PHASE_OPEN) this.#enter(tcb, out, PHASE_RECOVERY, outstanding, now)
      else {
        out.phase = PHASE_RECOVERY
        out.recover = snd.max
      }
      this.#counters.fastRetransmits++
    }
    if (out.phase === PHASE_RECOVERY || out.phase === PHASE_CWR) {
      // RFC 9937 5: what was known to be lost before says nothing new.
      this.#rate(tcb, out, flight.delivered, acked > 0 && !flight.newlyLost)
      return
    }
    if (acked > 0 && (out.cwndLimited || (snd.cwnd < snd.ssthresh && snd.cwnd < 2 * pipeBefore))) {
      this.control(tcb).grow(snd, Math.min(acked, outstanding), now)
    }
    out.cwndLimited = false
  }

  #enter(tcb: Tcb, out: Outstanding, phase: number, outstanding: number, now: number): void {
    const { snd } = tcb
    out.priorCwnd = snd.cwnd
    out.priorSsthresh = snd.ssthresh
    out.undoAt = phase === PHASE_RECOVERY ? now : -1
    snd.ssthresh = this.control(tcb).reduce(snd, outstanding)
    out.phase = phase
    out.recover = snd.max
    out.prrDelivered = 0
    out.prrOut = 0
    out.prrFlight = Math.max(snd.mss, outstanding)
    out.rack.probing = false
    if (tcb.ecn !== null) tcb.ecn.reduced = true
  }

  /** RFC 9937 section 5. @param safe the ACK advanced and shows no further loss */
  #rate(tcb: Tcb, out: Outstanding, delivered: number, safe: boolean): void {
    const { snd } = tcb
    const pipe = this.pipe(tcb)
    out.prrDelivered += delivered
    let count: number
    if (pipe > snd.ssthresh) {
      count = Math.ceil((out.prrDelivered * snd.ssthresh) / out.prrFlight) - out.prrOut
    } else {
      let limit = Math.max(out.prrDelivered - out.prrOut, delivered)
      if (safe) limit += snd.mss
      count = Math.min(snd.ssthresh - pipe, limit)
    }
    // The first retransmission leaves at once.
    if (out.prrOut === 0 && out.phase === PHASE_RECOVERY) count = Math.max(count, snd.mss)
    snd.cwnd = Math.max(snd.mss, pipe + Math.max(0, count))
  }
}

/** RFC 2883 section 4: the first block lies below the ACK, or within the second. */
function reportsDuplicate(segment: Segment): boolean {
  const { sack, sackBlocks } = segment.options
  const start = sack[0]!
  const end = sack[1]!
  if (!seqLt(start, end)) return false
  return seqLt(start, segment.ack) || (sackBlocks > 1 && seqGe(start, sack[2]!) && seqLe(end, sack[3]!))
}

/** RFC 6675 section 4, IsLost: three segments, or more than two segments' bytes, sacked above. */
function lossBySack(flight: Flight, mss: number): void {
  if (flight.sackedCount === 0) return
  let segments = 0
  let bytes = 0
  for (let i = flight.count - 1; i >= 0; i--) {
    const slot = flight.slot(i)
    if ((flight.flags[slot]! & SACKED) !== 0) {
      segments++
      bytes += (flight.end[slot]! - flight.seq[slot]!) | 0
    } else if (segments >= DUP_THRESHOLD || bytes > (DUP_THRESHOLD - 1) * mss) {
      if ((flight.flags[slot]! & LOST) === 0) flight.lose(slot)
    }
  }
}
