import type { Native } from './native/index.ts'
import { type LinkListener, LinkWatch } from './netlink/index.ts'
import type { MacChanges } from './nic.ts'

/** Calls of `receive` between two looks at what becomes of the interface, for who polls without sleeping or an event loop. */
const RECEIVES_PER_LOOK = 1024
/** A thread that sleeps looks this often, milliseconds. */
const NAP_MS = 1000

/** What a queue knows of its interface beyond its descriptor: that it is gone, and its hardware address. */
export class FollowedLink implements LinkListener, MacChanges {
  /** The interface is there no more. */
  gone = false
  onMacChange: (() => void) | null = null
  readonly #mac: Uint8Array
  readonly #watch: LinkWatch | null
  readonly #onGone: () => void
  #receives = 0

  /**
   * In the network namespace the thread is in.
   * @param mac six bytes, overwritten when the address changes @param onGone called when the interface is noticed to be gone
   */
  constructor(native: Native, ifIndex: number, mac: Uint8Array, onGone: () => void) {
    this.#mac = mac
    this.#onGone = onGone
    this.#watch = LinkWatch.open(native, ifIndex, this)
    this.#watch?.ask()
  }

  /** To be called in every `receive`. */
  count(): void {
    this.#receives = (this.#receives + 1) & (RECEIVES_PER_LOOK - 1)
    if (this.#receives === 0) this.look()
  }

  look(): void {
    this.#watch?.look()
  }

  /** How long to sleep until the next look, when `timeoutMs` are left. */
  nap(timeoutMs: number): number {
    return Math.min(timeoutMs, this.#watch === null ? timeoutMs : NAP_MS)
  }

  /** A descriptor of the queue says that the interface is gone. */
  linkGone(): void {
    if (this.gone) return
    this.gone = true
    this.#onGone()
  }

  linkAddress(mac: Uint8Array): void {
    if (this.#mac.every((byte, i) => byte === mac[i])) return
    this.#mac.set(mac)
    this.onMacChange?.()
  }

  /** Idempotent. */
  close(): void {
    this.#watch?.close()
  }
}
