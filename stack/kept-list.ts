/** A list that is filled and emptied in every poll. Its memory stays: an array whose length is set to 0 gets a new one with the next element. */
export class KeptList<T extends object> {
  /** The first `count` are on the list. */
  readonly items: (T | null)[] = []
  count = 0

  /** Returns how many there are now. */
  add(item: T): number {
    if (this.count === this.items.length) this.items.push(item)
    else this.items[this.count] = item
    return ++this.count
  }

  /** Holds on to none of them. */
  clear(): void {
    for (let i = 0; i < this.count; i++) this.items[i] = null
    this.count = 0
  }
}
