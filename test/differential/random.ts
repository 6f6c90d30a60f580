import * as abi from '../../uapi/abi/index.ts'
import type { Comparison } from './compare.ts'
import { type Outcome, play, type Worlds } from './play.ts'
import { type Batch, type Program, SETUPS, type Step, scenarioOf, WIDE_SETUPS } from './programs.ts'

/** Numbers that a seed decides (mulberry32). */
class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0..below-1 */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }

  of<T>(some: readonly T[]): T {
    return some[this.below(some.length)]!
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }
}

const { MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, POLLIN, POLLRDHUP } = abi
const { IORING_ASYNC_CANCEL_ALL: ALL, IORING_ASYNC_CANCEL_ANY: ANY } = abi
const LENGTHS = [1, 2, 3, 7, 8, 9, 16, 20, 33, 64, 200]

/** A program of a seed. */
export function programOf(seed: number): Program {
  const random = new Random(seed)
  const pairs = 1 + random.below(3)
  const buffers = {
    count: random.of([0, 1, 2, 4, 8, 16]),
    length: random.of([1, 4, 8, 16, 64]),
    flags: random.chance(30) ? abi.IOU_PBUF_RING_INC : 0,
  }
  const batches = Array.from({ length: 4 + random.below(20) }, () => batchOf(random, 2 * pairs))
  return { seed, setup: random.of(SETUPS), pairs, buffers, batches }
}

/** A program of a seed with zero-copy receive in it. */
export function zeroCopyProgramOf(seed: number): Program {
  const random = new Random(seed)
  const pairs = 1 + random.below(3)
  const pages = random.of([1, 2, 3, 8, 64])
  const buffers = { count: random.of([0, 2, 8]), length: random.of([4, 16, 64]), flags: 0 }
  const batches = Array.from({ length: 6 + random.below(24) }, () =>
    batchOf(random, 2 * pairs, inwardZeroCopy),
  )
  return { seed, setup: random.of(WIDE_SETUPS), pairs, pages, buffers, batches }
}

/** What reaches the other end is alone in its batch: whoever receives there might see it or not. */
function batchOf(random: Random, ends: number, into = inward): Batch {
  if (random.chance(50)) return { steps: [outward(random, random.below(ends))], linked: false }
  const steps = Array.from({ length: 1 + random.below(4) }, () => into(random, random.below(ends)))
  return { steps, linked: random.chance(20) }
}

function outward(random: Random, end: number): Step {
  const at = random.below(100)
  if (at < 78) return { kind: 'send', end, length: random.of(LENGTHS), flags: 0 }
  if (at < 90) return { kind: 'shutdown', end, how: random.below(3) }
  return { kind: 'close', end, reset: random.chance(30) }
}

function inward(random: Random, end: number): Step {
  const length = random.of(LENGTHS)
  const flags = random.of([0, 0, 0, MSG_WAITALL, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC])
  const at = random.below(100)
  if (at < 26) return { kind: 'recv', end, length, flags }
  if (at < 36) return { kind: 'select', end, length: random.of([0, 0, length]), flags: flags & MSG_DONTWAIT }
  if (at < 50) {
    const limit = random.of([0, 0, length])
    return { kind: 'multishot', end, length: random.of([0, 0, 5]), limit }
  }
  if (at < 60) {
    const events = random.of([POLLIN, POLLRDHUP, POLLIN | POLLRDHUP])
    return { kind: 'poll', end, events, multishot: random.chance(40) }
  }
  if (at < 70) return { kind: 'cancel', back: random.below(6), flags: random.of([0, 0, ALL, ANY | ALL]) }
  // Of several that fit Linux takes any.
  if (at < 76) return { kind: 'cancelFd', end, flags: ALL }
  if (at < 86) return { kind: 'refill', count: 1 + random.below(8) }
  if (at < 90) return { kind: 'timeout', count: 0 }
  return { kind: random.of(['nop', 'inq'] as const), end }
}

function inwardZeroCopy(random: Random, end: number): Step {
  const at = random.below(100)
  if (at < 45) {
    const limit = random.of([0, 0, 0, 1, random.of(LENGTHS)])
    return { kind: 'zeroCopy', end, limit, pollFirst: random.chance(15) }
  }
  if (at < 62) {
    const count = 1 + random.below(6)
    return { kind: 'giveBack', count, latest: random.chance(50), flush: random.chance(80) }
  }
  return inward(random, end)
}

/** A random program that the two kernels have run otherwise, as short as it could be made. */
export interface Found {
  readonly program: Program
  readonly outcome: Outcome & Comparison
}

/** Runs a seed's program on both; null when they agree. */
export function trySeed(seed: number, worlds: Worlds, of: typeof programOf = programOf): Found | null {
  const program = of(seed)
  const outcome = differs(program, worlds)
  return outcome === null ? null : shrink({ program, outcome }, worlds)
}

function differs(program: Program, worlds: Worlds): (Outcome & Comparison) | null {
  const outcome = play(scenarioOf(program), worlds)
  return outcome.verdict === 'DIFFERS' ? (outcome as Outcome & Comparison) : null
}

/** Leaves out batches, then steps, as long as it makes a difference still. */
function shrink(found: Found, worlds: Worlds): Found {
  let best = found
  for (
    let size = Math.ceil(best.program.batches.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < best.program.batches.length; ) {
      const batches = [...best.program.batches]
      batches.splice(at, size)
      const program = { ...best.program, batches }
      const outcome = differs(program, worlds)
      if (outcome !== null) best = { program, outcome }
      else at += size
    }
  }
  for (const [at, batch] of best.program.batches.entries()) {
    for (let i = batch.steps.length - 1; i >= 0 && best.program.batches[at]!.steps.length > 1; i--) {
      const steps = best.program.batches[at]!.steps.filter((_, j) => j !== i)
      const batches = best.program.batches.with(at, { ...best.program.batches[at]!, steps })
      const program = { ...best.program, batches }
      const outcome = differs(program, worlds)
      if (outcome !== null) best = { program, outcome }
    }
  }
  return best
}
