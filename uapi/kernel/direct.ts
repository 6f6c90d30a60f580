import { COMPLETIONS, ZERO_COPIED_BYTES } from '../../diagnostics.ts'
import type { SinkTarget } from '../../stack/tcp/sink.ts'
import type { CompletionQueue } from './completion-queue.ts'
import type { ZcrxIfq } from './zcrx.ts'

/** Completions straight from a burst: those that one ring gets of one instance. */
export class DirectTarget implements SinkTarget {
  slot = 0
  turn = 0
  /** Completions may be posted now, and nothing has to be looked at for each. */
  live = false
  readonly #ifq: ZcrxIfq
  readonly #cq: CompletionQueue

  constructor(ifq: ZcrxIfq, cq: CompletionQueue) {
    this.#ifq = ifq
    this.#cq = cq
  }

  /** Before a poll in which the ring may be given completions. */
  begin(): void {
    const ifq = this.#ifq
    const { stack } = ifq
    this.live =
      stack !== null &&
      ifq.areas.length === 1 &&
      ifq.held === null &&
      ifq.holders === null &&
      stack.memory.areas.length === 1 &&
      stack.memory.pool.owner === ifq &&
      this.#cq.uniform
  }

  end(): void {
    this.live = false
  }

  post(
    offset: Uint32Array,
    length: Uint32Array,
    rowOf: Int32Array,
    tags: Int32Array,
    from: number,
    to: number,
  ): number {
    const cq = this.#cq
    const { pool, stats } = this.#ifq
    const end = cq.postRun(offset, length, rowOf, tags, from, to, pool.userRefs, pool.shift)
    pool.userOut += cq.ranPieces
    stats.cells[COMPLETIONS]! += cq.ranPieces
    stats.cells[ZERO_COPIED_BYTES]! += cq.ranBytes
    return end
  }
}

/** What takes payload straight from bursts for a ring, by zcrx id. */
export class DirectTargets {
  readonly #targets: DirectTarget[] = []

  add(ifq: ZcrxIfq, cq: CompletionQueue): void {
    this.#targets.push(new DirectTarget(ifq, cq))
  }

  of(id: number): DirectTarget {
    return this.#targets[id]!
  }

  clear(): void {
    this.#targets.length = 0
  }

  /** Whoever has the ring asks for events: what comes until `end` may be completed at once. */
  begin(): void {
    for (let i = 0; i < this.#targets.length; i++) this.#targets[i]!.begin()
  }

  end(): void {
    for (let i = 0; i < this.#targets.length; i++) this.#targets[i]!.end()
  }

  /** The kernel works meanwhile. */
  during(kernel: { poll(): number }): number {
    this.begin()
    try {
      return kernel.poll()
    } finally {
      this.end()
    }
  }
}
