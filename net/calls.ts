import { ECANCELED } from '../uapi/abi/errno.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import { CALL, CANCEL, dataOf } from './connection-requests.ts'
import type { Engine } from './engine.ts'

/** Requests of a ring whose completion somebody waits for. */
export class Calls {
  readonly #engine: Engine
  readonly #waiters: (((res: number) => void) | null)[] = []
  readonly #free: number[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Issues one. Resolves with its result. @param number told by which it can be cancelled */
  call(prepare: (sqe: Sqe) => Sqe, number?: (call: number) => void): Promise<number> {
    if (this.#engine.closed) return Promise.resolve(-ECANCELED)
    const id = this.#free.pop() ?? this.#waiters.length
    number?.(id)
    return new Promise((resolve) => {
      this.#waiters[id] = resolve
      prepare(this.#engine.sqe()).setData(dataOf(CALL, id))
      this.#engine.wake()
    })
  }

  /** Asks for the end of one that is under way. */
  cancel(call: number): void {
    if (this.#engine.closed || this.#waiters[call] == null) return
    this.#engine.sqe().prepCancel(dataOf(CALL, call)).setData(dataOf(CANCEL))
    this.#engine.wake()
  }

  /** One has completed. */
  completed(id: number, res: number): void {
    const waiter = this.#waiters[id]
    this.#waiters[id] = null
    this.#free.push(id)
    waiter?.(res)
  }

  /** The ring has ended: none completes any more. */
  abandon(): void {
    for (const [id, waiter] of this.#waiters.entries()) if (waiter != null) this.completed(id, -ECANCELED)
  }
}
