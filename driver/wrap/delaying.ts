import type { Nic } from '../nic.ts'
import { ForwardingNic } from './forward.ts'

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** A wrapper that keeps frames back for a while: who waits for frames waits for those too. */
export abstract class DelayingNic extends ForwardingNic {
  /** Microseconds, monotonic. */
  protected readonly now: () => number
  #timer: NodeJS.Timeout | null = null
  #soon: NodeJS.Immediate | null = null

  constructor(inner: Nic, now: (() => number) | undefined) {
    super(inner)
    this.now = now ?? (() => performance.now() * 1000)
  }

  /** When something kept back is due, microseconds of `now`; Infinity for nothing. */
  protected abstract nextDue(): number

  /** Whether what the inner NIC receives would be taken now. */
  protected takes(): boolean {
    return true
  }

  override wait(timeoutMs: number): boolean {
    const due = (this.nextDue() - this.now()) / 1000
    if (due <= 0) return true
    const most = Math.min(timeoutMs, due)
    if (this.takes()) return this.inner.wait(most) || due <= timeoutMs
    if (most > 0) Atomics.wait(sleeper, 0, 0, most)
    return due <= timeoutMs
  }

  override arm(callback: (() => void) | null): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#soon !== null) clearImmediate(this.#soon)
    this.#timer = null
    this.#soon = null
    if (callback === null) {
      this.inner.arm(null)
      return
    }
    const due = this.nextDue()
    if (due === Number.POSITIVE_INFINITY) {
      this.inner.arm(callback)
      return
    }
    const fire = (): void => {
      this.arm(null)
      callback()
    }
    const ms = Math.ceil((due - this.now()) / 1000)
    if (ms > 0) this.#timer = setTimeout(fire, ms)
    else this.#soon = setImmediate(fire)
    this.inner.arm(this.takes() ? fire : null)
  }

  override close(): void {
    this.arm(null)
    super.close()
  }
}
