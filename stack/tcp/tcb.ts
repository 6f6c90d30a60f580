import type { Fragments } from '../memory/fragments.ts'
import { Timer } from '../timers.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { CLOSED } from './state.ts'

/** What a connection's timers do when they fire; the TCP module implements it. */
export interface TimerHandler {
  onRetransmitTimer(tcb: Tcb, now: number): void
  onAckTimer(tcb: Tcb, now: number): void
  onLifeTimer(tcb: Tcb, now: number): void
}

class RetransmitTimer extends Timer {
  readonly #tcb: Tcb
  readonly #handler: TimerHandler
  constructor(tcb: Tcb, handler: TimerHandler) {
    super()
    this.#tcb = tcb
    this.#handler = handler
  }
  override fire(now: number): void {
    this.#handler.onRetransmitTimer(this.#tcb, now)
  }
}

class AckTimer extends Timer {
  readonly #tcb: Tcb
  readonly #handler: TimerHandler
  constructor(tcb: Tcb, handler: TimerHandler) {
    super()
    this.#tcb = tcb
    this.#handler = handler
  }
  override fire(now: number): void {
    this.#handler.onAckTimer(this.#tcb, now)
  }
}

class LifeTimer extends Timer {
  readonly #tcb: Tcb
  readonly #handler: TimerHandler
  constructor(tcb: Tcb, handler: TimerHandler) {
    super()
    this.#tcb = tcb
    this.#handler = handler
  }
  override fire(now: number): void {
    this.#handler.onLifeTimer(this.#tcb, now)
  }
}

/** Transmission control block (RFC 9293 section 3.3.1): one connection. */
export class Tcb {
  /** Index in the TCP module's table while the connection exists. */
  id = -1
  state = CLOSED
  /** Addresses as integers, ports in host order. */
  localAddress = 0
  localPort = 0
  remoteAddress = 0
  remotePort = 0
  /** Where its frames go. All zero until known. */
  readonly remoteMac: Uint8Array = new Uint8Array(6)
  hasRemoteMac = false

  /** Negotiated with the SYNs. */
  timestamps = false
  sack = false
  windowScaling = false
  /** Added to the clock for our TSval, so that uptime does not leak (RFC 7323 section 5.4). */
  tsOffset = 0

  readonly rcv: Receiver
  readonly snd: Sender
  readonly retransmitTimer: Timer
  readonly ackTimer: Timer
  /** TIME-WAIT, half-open and orphaned FIN-WAIT-2 connections end with it. */
  readonly lifeTimer: Timer

  /** `EVENT_*` bits not yet drained. */
  events = 0
  /** Positive errno the connection ended with, 0 when in order. */
  error = 0
  /** The application has let go: nobody will read or write any more. */
  orphaned = false
  /** Listener that will hand the connection out, until accepted. */
  listener: Listener | null = null
  /** Free for the owner (the socket layer's object). */
  owner: object | null = null
  /** IPv4 identification counter. */
  ipId = 0

  constructor(fragments: Fragments, handler: TimerHandler, maxRuns: number, sendLimit: number) {
    this.rcv = new Receiver(fragments, maxRuns)
    this.snd = new Sender(sendLimit)
    this.retransmitTimer = new RetransmitTimer(this, handler)
    this.ackTimer = new AckTimer(this, handler)
    this.lifeTimer = new LifeTimer(this, handler)
  }
}

/** A passive open: connections wait here, established and in order, until accepted. */
export class Listener {
  readonly address: number
  readonly port: number
  /** Most established connections that wait. */
  readonly backlog: number
  readonly ready: Tcb[] = []
  /** Connections in SYN-RECEIVED. */
  halfOpen = 0
  events = 0
  owner: object | null = null
  closed = false

  /** @param address 0 = every address of the interface */
  constructor(address: number, port: number, backlog: number) {
    this.address = address
    this.port = port
    this.backlog = backlog
  }
}
