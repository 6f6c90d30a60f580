import type { Request } from './request.ts'

/**
 * Requests that wait, in the order in which they began. A list through the requests themselves: a hundred thousand are no table that has to
 * be made anew while everybody waits (4 ms for a `Set`). None may leave while it is walked: whoever ends them walks a copy.
 */
export class RequestList {
  #first: Request | null = null
  #last: Request | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  /** @param request on no list */
  add(request: Request): void {
    request.listed = true
    request.before = this.#last
    request.after = null
    if (this.#last === null) this.#first = request
    else this.#last.after = request
    this.#last = request
    this.#size++
  }

  /** Returns whether it was on the list. */
  delete(request: Request): boolean {
    if (!request.listed) return false
    request.listed = false
    const { before, after } = request
    // Whoever still knows one that has left would else hold on to all that came behind it.
    request.before = null
    request.after = null
    if (before === null) this.#first = after
    else before.after = after
    if (after === null) this.#last = before
    else after.before = before
    this.#size--
    return true
  }

  clear(): void {
    while (this.#first !== null) this.delete(this.#first)
  }

  *[Symbol.iterator](): IterableIterator<Request> {
    for (let request = this.#first; request !== null; request = request.after) yield request
  }
}
