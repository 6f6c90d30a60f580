import { IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER } from '../uapi/abi/io-uring.ts'
import { Ring } from '../uapi/ring/ring.ts'
import type { System } from './system.ts'

const RING_FLAGS = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER
/** How long (ms) nothing may come before it looks again. */
const LOOK_MS = 20

/** Has a stack work that no ring of a server or a client has work any more: what was sent is sent again, acknowledgements come in. */
export class Driving {
  readonly #system: System
  #driven: Promise<void> | null = null

  constructor(system: System) {
    this.#system = system
  }

  /** As long as connections that were closed have something on its way, and so many milliseconds at the most. Keeps the process alive. */
  settle(mostMs: number): Promise<void> {
    // The machine's own stack works by itself.
    if (this.#system.sockets !== undefined || this.#settled) return Promise.resolve()
    this.#driven ??= this.#drive(mostMs).finally(() => {
      this.#driven = null
    })
    return this.#driven
  }

  get #settled(): boolean {
    return this.#system.report().unsettled === 0
  }

  #drive(mostMs: number): Promise<void> {
    const ring = Ring.queueInit(8, this.#system, { flags: RING_FLAGS })
    const until = performance.now() + mostMs
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined
      const step = (): void => {
        clearTimeout(timer)
        if (this.#settled || performance.now() >= until) {
          ring.arm(null)
          ring.queueExit()
          resolve()
          return
        }
        ring.submitAndGetEvents()
        ring.arm(step)
        timer = setTimeout(step, LOOK_MS)
      }
      step()
    })
  }
}
