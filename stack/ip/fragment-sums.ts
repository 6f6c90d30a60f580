import type { Nic, RxBurst } from '../../driver/nic.ts'
import { addSums, subtractSums, swapSum } from '../wire/checksum.ts'

/** The driver's sums of whole burst entries: asked for once per burst, and only when somebody needs one. */
export class FragmentSums {
  readonly #nic: Nic
  readonly #burst: RxBurst
  #filled = false

  constructor(nic: Nic, burst: RxBurst) {
    this.#nic = nic
    this.#burst = burst
  }

  /** A new burst has come. */
  reset(): void {
    this.#filled = false
  }

  /** Folded sum of a whole frame in entries `[first, last)` less that of its beginning, which has an even length. */
  behind(first: number, last: number, front: number): number {
    const burst = this.#burst
    if (!this.#filled) {
      this.#nic.sumFragments(burst)
      this.#filled = true
    }
    let sum = subtractSums(burst.sum[first]!, front)
    let odd = burst.length[first]! & 1
    for (let i = first + 1; i < last; i++) {
      sum = addSums(sum, odd !== 0 ? swapSum(burst.sum[i]!) : burst.sum[i]!)
      odd ^= burst.length[i]! & 1
    }
    return sum
  }
}
