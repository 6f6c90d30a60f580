import type { KernelService } from './service.ts'

/** How long (milliseconds) the event loop waits for its turn while there is work. */
const SLICE_MS = 1
/** Turns with work between looks at the clock. */
const TURNS = 16

export interface LoopOptions {
  /** So long (microseconds) the thread goes on looking after there was nothing to do; Infinity: it never sleeps. Default 50. */
  readonly spinUs?: number
}

/**
 * Drives a service from the event loop: as fast as it can while there is work, and a while longer; then asleep until a frame comes, a
 * timer is due, or a bell rings.
 */
export class ServiceLoop {
  readonly #service: KernelService
  readonly #spinMs: number
  #asleep = false
  #stopped = false
  #idleSince = 0
  /** Called when a turn threw: nothing is known of the state of things any more. */
  onFault: (error: unknown) => void = (error) => {
    throw error
  }
  readonly #wake = (): void => {
    if (!this.#asleep || this.#stopped) return
    this.#asleep = false
    this.#service.kernel.arm(null)
    for (const session of this.#service.sessions) session.showAwake()
    this.#round()
  }
  readonly #round = (): void => {
    if (this.#stopped) return
    try {
      this.#turns()
    } catch (error) {
      this.#stopped = true
      this.onFault(error)
    }
  }

  constructor(service: KernelService, { spinUs = 50 }: LoopOptions = {}) {
    this.#service = service
    this.#spinMs = spinUs / 1000
  }

  start(): void {
    setImmediate(this.#round)
  }

  /** There is something new to look at. */
  wake(): void {
    this.#wake()
  }

  stop(): void {
    this.#stopped = true
    this.#service.kernel.arm(null)
  }

  #turns(): void {
    const service = this.#service
    const end = performance.now() + SLICE_MS
    for (let now = 0; now < end; ) {
      let busy = true
      for (let i = 0; i < TURNS && busy; i++) busy = service.turn()
      // By somebody who was served: the device may be closed.
      if (this.#stopped) return
      now = performance.now()
      if (busy) this.#idleSince = 0
      else if (this.#idleSince === 0) this.#idleSince = now
      else if (now - this.#idleSince >= this.#spinMs && this.#sleep()) return
    }
    setImmediate(this.#round)
  }

  /** False when something came meanwhile. */
  #sleep(): boolean {
    const service = this.#service
    for (const session of service.sessions) session.showAsleep()
    // Whoever did not see the flag has left something to be found now.
    const busy = service.turn()
    if (this.#stopped) return true
    if (busy) {
      for (const session of service.sessions) session.showAwake()
      return false
    }
    this.#idleSince = 0
    this.#asleep = true
    service.kernel.arm(this.#wake)
    for (const session of service.sessions) session.listen(this.#wake)
    return true
  }
}
