import type { Connection } from './connection.ts'

/** Looks at a connection within the time it may be without traffic. */
const LOOKS = 4
const LEAST_MS = 10

/** Ends connections that have had no traffic for a while: after the time that was said, and a quarter of it more at the most. */
export class IdleWatch {
  readonly #connections: readonly (Connection | null)[]
  readonly #timer: NodeJS.Timeout

  /** @param ms without traffic */
  constructor(connections: readonly (Connection | null)[], ms: number) {
    this.#connections = connections
    this.#timer = setInterval(this.#look, Math.max(LEAST_MS, ms / LOOKS))
    this.#timer.unref()
  }

  readonly #look = (): void => {
    for (const connection of this.#connections) {
      if (connection === null) continue
      if (connection.active) {
        connection.active = false
        connection.idle = 0
      } else if (++connection.idle >= LOOKS) connection.timedOut()
    }
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
