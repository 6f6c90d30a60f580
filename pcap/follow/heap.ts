/** A binary heap: the first by `before` is at hand, adding and taking cost O(log n). */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  get size(): number {
    return this.#items.length
  }

  /** All, in no certain order. What decides the order may be changed for all of them alike. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items.values()
  }

  /** The first, which stays. The heap is not empty. */
  peek(): T {
    return this.#items[0]!
  }

  push(item: T): void {
    const items = this.#items
    let at = items.length
    items.push(item)
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!this.#before(item, items[parent]!)) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  /** Takes the first. The heap is not empty. */
  pop(): T {
    const items = this.#items
    const first = items[0]!
    const item = items.pop()!
    const { length } = items
    if (length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && this.#before(items[child + 1]!, items[child]!)) child++
      if (!this.#before(items[child]!, item)) break
      items[at] = items[child]!
      at = child
    }
    items[at] = item
    return first
  }
}
