import type { Watcher } from './native/index.ts'

type Watching = Pick<Watcher, 'start' | 'stop' | 'close'> & Partial<Pick<Watcher, 'ref' | 'unref'>>

/** `Nic.arm` over something that is readable when frames wait. */
export class ReadWatch {
  readonly #make: () => Watching
  #watcher: Watching | null = null
  #watching = false
  #keepsAlive = true
  #armed: ((failed: boolean) => void) | null = null
  readonly #readable = (failed: boolean): void => {
    const callback = this.#armed
    this.#armed = null
    callback?.(failed)
    if (this.#armed === null) this.#unwatch()
  }

  /** @param make watches it; called when it is first needed */
  constructor(make: () => Watching) {
    this.#make = make
  }

  /**
   * See `Nic.arm`. The descriptor stays watched from one arming to the next when that happens in the callback, as in a bulk
   * stream: watching anew would cost two system calls each time.
   * @param callback is told whether the descriptor has an error to tell, which it has to take away
   */
  arm(callback: ((failed: boolean) => void) | null): void {
    this.#armed = callback
    if (callback === null) this.#unwatch()
    else if (!this.#watching) {
      if (this.#watcher === null) {
        this.#watcher = this.#make()
        if (!this.#keepsAlive) this.#watcher.unref?.()
      }
      this.#watcher.start(this.#readable, true)
      this.#watching = true
    }
  }

  /** See `Nic.keepAlive`. */
  keepAlive(on: boolean): void {
    if (this.#keepsAlive === on) return
    this.#keepsAlive = on
    if (on) this.#watcher?.ref?.()
    else this.#watcher?.unref?.()
  }

  /** Before the descriptor is closed. Idempotent. */
  close(): void {
    this.#watcher?.close()
    this.#watcher = null
    this.#watching = false
    this.#armed = null
  }

  #unwatch(): void {
    if (!this.#watching) return
    this.#watching = false
    this.#watcher?.stop()
  }
}
