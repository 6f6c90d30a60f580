import { V4_MAPPED } from '../../address.ts'
import { get32 } from '../../bytes.ts'

/** The addresses that the stack listens at: those that frames are steered by. */
export class SteeredAddresses {
  /** Four words of each, and how often it is listened at. */
  readonly #entries: { words: Int32Array; count: number }[] = []

  get none(): boolean {
    return this.#entries.length === 0
  }

  /** @param address 4 or 16 bytes, network byte order */
  add(address: Uint8Array): void {
    const words = wordsOfAddress(address)
    const known = this.#entries.find((entry) => entry.words.every((word, i) => word === words[i]))
    if (known === undefined) this.#entries.push({ words, count: 1 })
    else known.count++
  }

  /** Undoes one `add`. */
  remove(address: Uint8Array): void {
    const words = wordsOfAddress(address)
    const at = this.#entries.findIndex((entry) => entry.words.every((word, i) => word === words[i]))
    if (at >= 0 && --this.#entries[at]!.count === 0) this.#entries.splice(at, 1)
  }

  /** Whether the stack listens at the address of these words. */
  has(w0: number, w1: number, w2: number, w3: number): boolean {
    const entries = this.#entries
    for (let i = 0; i < entries.length; i++) {
      const { words } = entries[i]!
      if (words[3] === w3 && words[2] === w2 && words[1] === w1 && words[0] === w0) return true
    }
    return false
  }
}

function wordsOfAddress(bytes: Uint8Array): Int32Array {
  if (bytes.length === 4) return Int32Array.of(0, 0, V4_MAPPED, get32(bytes, 0))
  return Int32Array.of(get32(bytes, 0), get32(bytes, 4), get32(bytes, 8), get32(bytes, 12))
}
