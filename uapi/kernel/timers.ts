/** A request that goes on by itself at a time. */
export interface Timed {
  /** Microseconds of the stacks' clock; written by `KernelTimers` alone. */
  deadline: number
  /** The time has come. */
  expire(): void
}

/** The requests that wait for a time, earliest first. */
export class KernelTimers {
  readonly #queue: Timed[] = []

  add(request: Timed, deadline: number): void {
    request.deadline = deadline
    this.#queue.splice(this.#after(deadline), 0, request)
  }

  remove(request: Timed): void {
    if (request.deadline === Number.POSITIVE_INFINITY) return
    const end = this.#after(request.deadline)
    const at = this.#queue.lastIndexOf(request, end - 1)
    if (at >= 0) this.#queue.splice(at, 1)
    request.deadline = Number.POSITIVE_INFINITY
  }

  nextDeadline(): number {
    return this.#queue[0]?.deadline ?? Number.POSITIVE_INFINITY
  }

  expireUntil(now: number): void {
    const count = this.#queue.length === 0 ? 0 : this.#after(now)
    if (count === 0) return
    for (const request of this.#queue.splice(0, count)) {
      request.deadline = Number.POSITIVE_INFINITY
      request.expire()
    }
  }

  /** Place behind all that are due at `deadline`. */
  #after(deadline: number): number {
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#queue[middle]!.deadline <= deadline) low = middle + 1
      else high = middle
    }
    return low
  }
}
