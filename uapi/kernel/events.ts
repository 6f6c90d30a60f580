import { EINVAL } from '../abi/errno.ts'
import type { ZcrxEventDesc, ZcrxStats } from '../abi/events.ts'
import { ZCRX_EVENT_ALLOC_FAIL, ZCRX_EVENT_COPY } from '../abi/zcrx.ts'

/** Bit n: events of type n are served. */
export const EVENT_TYPES = (1 << ZCRX_EVENT_ALLOC_FAIL) | (1 << ZCRX_EVENT_COPY)

/** The ring that events are told to: see `RingContext.postEvent`. */
export interface EventPort {
  postEvent(userDataLow: number, userDataHigh: number, type: number): void
}

/** What a registration with an event descriptor is told of: each type once, until it is armed again. */
export class ZcrxEvents {
  /** The ring that registered; null once it is closed: nobody is told then (docs/conformance.md, C5). */
  #port: EventPort | null
  readonly #userDataLow: number
  readonly #userDataHigh: number
  readonly #mask: number
  readonly #stats: ZcrxStats | null
  #armed: number

  constructor(port: EventPort, desc: ZcrxEventDesc, stats: ZcrxStats | null) {
    this.#port = port
    this.#userDataLow = desc.userDataLow
    this.#userDataHigh = desc.userDataHigh
    this.#mask = desc.typeMask
    this.#armed = desc.typeMask
    this.#stats = stats
  }

  armed(type: number): boolean {
    return (this.#armed & (1 << type)) !== 0
  }

  /** Something of this type has happened. */
  fire(type: number): void {
    if (this.#port === null || !this.armed(type)) return
    this.#armed &= ~(1 << type)
    this.#port.postEvent(this.#userDataLow, this.#userDataHigh, type)
  }

  /** ZCRX_CTRL_ARM_EVENT: 0, or EINVAL for a type that is armed or was not asked for (docs/conformance.md, C6). */
  arm(type: number): number {
    if (type > ZCRX_EVENT_COPY || (this.#mask & (1 << type)) === 0 || this.armed(type)) return -EINVAL
    this.#armed |= 1 << type
    return 0
  }

  /** A ring is closed. If events go there, none are told any more, and what is armed stays so; the statistics go on. */
  leave(port: EventPort): void {
    if (this.#port === port) this.#port = null
  }

  /** Data was copied; the totals since the registration. Counted whether the event is wanted or not. */
  copied(copyCount: number, copyBytes: number): void {
    this.#stats?.set(copyCount, copyBytes)
    this.fire(ZCRX_EVENT_COPY)
  }
}
