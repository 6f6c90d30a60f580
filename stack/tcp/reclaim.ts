import { Timer } from '../timers.ts'
import type { TcpContext } from './context.ts'
import type { FlowTable } from './flows.ts'
import type { PayloadTaker } from './payload.ts'
import type { Tcb } from './tcb.ts'
import type { WindowKeeper } from './window.ts'

/** Between two looks, while there is something to look for. */
const LOOK_US = 1_000_000
/** How long data beyond a hole is kept while nothing in front of it comes; when memory is short. */
const KEEP_US = 30_000_000
const KEEP_SHORT_US = 1_000_000

/**
 * Takes memory back from connections that don't use it: what lies beyond a hole that nobody fills is given up, which RFC 2018
 * section 8 allows, and while others wait for memory, promises to connections that send nothing are lent to them.
 */
export class Reclaim extends Timer {
  readonly #context: TcpContext
  readonly #flows: FlowTable
  readonly #window: WindowKeeper
  readonly #payload: PayloadTaker

  constructor(context: TcpContext, flows: FlowTable, window: WindowKeeper, payload: PayloadTaker) {
    super()
    this.#context = context
    this.#flows = flows
    this.#window = window
    this.#payload = payload
  }

  /** The connection has got its first hole. */
  watch(tcb: Tcb): void {
    const { rcv } = tcb
    rcv.ooo.holesNxt = rcv.nxt
    rcv.ooo.holesSince = tcb.heardAt
    this.soon(tcb.heardAt)
  }

  /** Looks within a second. */
  soon(now: number): void {
    if (!this.armed) this.#context.wheel.arm(this, now + LOOK_US)
  }

  /** The queue was restarted over other memory: what connections hold of the earlier one is not charged to them any more. */
  writeOff(): void {
    this.#context.fragments.writeOff()
    for (const { rcv } of this.#flows) {
      rcv.niovs = 0
      if (!rcv.ooo.shared) rcv.ooo.niovs = 0
    }
  }

  override fire(now: number): void {
    const { short } = this.#window
    let again = false
    for (const tcb of this.#flows) {
      const { rcv } = tcb
      const { ooo } = rcv
      if (ooo.count > 0) {
        if (ooo.holesNxt !== rcv.nxt) {
          ooo.holesNxt = rcv.nxt
          ooo.holesSince = now
        }
        if (now - ooo.holesSince >= (short ? KEEP_SHORT_US : KEEP_US)) this.#giveUp(tcb)
        else again = true
      }
      if (short) this.#window.lend(tcb, now)
    }
    if (again || short) this.soon(now)
  }

  #giveUp(tcb: Tcb): void {
    const { rcv } = tcb
    this.#context.counters.reneged += rcv.ooo.bytes
    rcv.ooo.clear()
    rcv.hasDsack = false
    this.#payload.unpack(rcv)
    this.#window.recharge(tcb)
  }
}
