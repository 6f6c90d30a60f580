import { Flight } from './flight.ts'
import { Rack } from './rack.ts'

/** Nothing is wrong; loss is being repaired; a congestion mark was answered; the timer fired. */
export const PHASE_OPEN = 0
export const PHASE_RECOVERY = 1
export const PHASE_CWR = 2
export const PHASE_LOSS = 3

/** What is worth remembering of a path while nothing is outstanding; the `Sender` does. */
export interface PathMemory {
  readonly una: number
  minRtt: number
  reordering: number
  tailProbe: number | null
}

/**
 * What a connection needs only while something it sent is unacknowledged: scoreboard, loss detection and the state of
 * recovery. Lent by the `Transmitter`, so that idle connections stay small; once all is acknowledged none of it matters.
 */
export class Outstanding {
  readonly flight: Flight = new Flight()
  readonly rack: Rack = new Rack()

  /** `PHASE_*` */
  phase = PHASE_OPEN
  /** SND.MAX when the phase began: it ends when this is acknowledged (RFC 6582 recover, RFC 6675 RecoveryPoint). */
  recover = 0
  /** Duplicate ACKs in a row, for peers without SACK: each says that one more segment has left the network. */
  dupAcks = 0
  /** Proportional rate reduction (RFC 9937): bytes delivered and sent since recovery began, and in flight when it did. */
  prrDelivered = 0
  prrOut = 0
  prrFlight = 0
  /** What to go back to when the reduction proves needless, and when the first retransmission left (RFC 4015). */
  priorCwnd = 0
  priorSsthresh = 0
  undoAt = -1
  /** The window held data back since the last ACK: only then may it grow (RFC 9438 5.8, RFC 7661). */
  cwndLimited = false
  /** When the retransmission timeout is due, whatever the timer is armed for (microseconds). */
  timeoutAt = 0

  /** Serves a connection from now on. */
  begin(snd: PathMemory): void {
    this.rack.begin(snd.una, snd.minRtt, snd.reordering, snd.tailProbe)
    this.phase = PHASE_OPEN
    this.dupAcks = 0
    this.undoAt = -1
    this.cwndLimited = false
  }

  /** Everything was acknowledged: leaves what is worth remembering of the path. */
  end(snd: PathMemory): void {
    snd.minRtt = this.rack.minRtt
    snd.reordering = this.rack.reordering
    snd.tailProbe = this.rack.probing && this.rack.probeResent ? this.rack.probeEnd : null
    this.flight.clear()
  }
}
