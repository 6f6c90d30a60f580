import { MemoryLink } from '../driver/memory/index.ts'
import type { NicMemory } from '../driver/nic.ts'
import { VirtualClock } from '../stack/clock.ts'
import { seededEntropy } from '../stack/entropy.ts'
import { Stack } from '../stack/stack.ts'
import type { TcpConfig } from '../stack/tcp/options.ts'
import { EAFNOSUPPORT } from '../uapi/abi/errno.ts'
import type { Sqe } from '../uapi/abi/sqe.ts'
import { InlineKernel } from '../uapi/backend/inline.ts'
import { Ring } from '../uapi/ring/ring.ts'
import { ethernet, type Family } from './family.ts'
import { get16 } from './wire/bytes.ts'

const NIOVS = 4096
const PAGE = 4096
const START_US = 1_000_000
/** Turns without new frames or completions after which nothing more happens at this instant. */
const QUIET_TURNS = 2
/** A stack that has not come to rest by then never will. */
const MAX_TURNS = 100_000
/** Steps of virtual time a script may take. */
const MAX_STEPS = 2_000_000

/** The stack does not come to rest, or a script takes too long. */
export class EndlessError extends Error {}

/** An IP packet of the stack's and when it left. */
export interface Departure {
  readonly at: number
  readonly bytes: Uint8Array
}

/** The stack under test with one ring on it, on a link whose other end is the script. Time moves only when told to. */
export class StackUnderTest {
  readonly clock = new VirtualClock(START_US)
  readonly startUs = START_US
  readonly family: Family
  readonly kernel: InlineKernel
  readonly stack: Stack
  /** What left and was not looked at yet. */
  readonly departures: Departure[] = []
  /** Largest IP packet that can be injected. */
  readonly mtu: number
  readonly #link: MemoryLink
  readonly #ring: Ring
  readonly #waiting = new Map<number, (res: number) => void>()
  #nextTicket = 1
  #steps = 0

  constructor(family: Family, mtu: number, frameBytes: number, tcp: Partial<TcpConfig>) {
    this.family = family
    this.mtu = mtu
    this.#link = new MemoryLink({ seed: 1, mtu, frameBytes, now: () => this.clock.now() })
    const memory = (): NicMemory => ({
      buffer: new ArrayBuffer(NIOVS * PAGE),
      areaOffset: 0,
      areaLength: NIOVS * PAGE,
      chunkSize: PAGE,
    })
    this.stack = new Stack({
      nic: this.#link.b,
      memory: memory(),
      clock: this.clock,
      entropy: seededEntropy(7),
      tcp,
    })
    family.attach(this.stack)
    this.kernel = new InlineKernel({ memoryFor: memory, idle: () => false })
    // getsockopt(2) reads everything.
    this.kernel.readsEveryLevel = true
    this.kernel.addStack(this.stack)
    this.#ring = Ring.queueInit(64, this.kernel, { cqEntries: 1024 })
  }

  /** Whether the stack has sockets of the family, and answers for its address. */
  servesFamily(): boolean {
    let result = -EAFNOSUPPORT
    this.submit(
      (sqe) => sqe.prepSocket(this.family.domain, 1, 0),
      (res) => {
        result = res
      },
    )
    if (result === -EAFNOSUPPORT) return false
    this.submit(
      (sqe) => sqe.prepClose(result),
      () => {},
    )
    const { a, b } = this.#link
    const before = this.stack.counters.txFrames
    a.inject(this.family.probe(b.info.mac, a.info.mac))
    this.settle()
    this.departures.length = 0
    return this.stack.counters.txFrames > before
  }

  /** Submits one request; `done` gets its result, at once or when time has passed. Returns a ticket for `cancel`. */
  submit(prepare: (sqe: Sqe) => Sqe, done: (res: number) => void): number {
    const ticket = this.#nextTicket++
    this.#waiting.set(ticket, done)
    prepare(this.#ring.getSqe()!).setData(ticket)
    this.settle()
    return ticket
  }

  /** Gives a request up: its result is not reported. */
  cancel(ticket: number): void {
    this.#waiting.delete(ticket)
    this.submit(
      (sqe) => sqe.prepCancel(ticket),
      () => {},
    )
  }

  /** Puts an IP packet on the wire and lets the stack see it. */
  inject(packet: Uint8Array): void {
    const { a, b } = this.#link
    a.inject(ethernet(b.info.mac, a.info.mac, this.family.etherType, packet))
    this.settle()
  }

  /** Everything that happens without time passing. */
  settle(): void {
    for (let quiet = 0, turns = 0; quiet < QUIET_TURNS; turns++) {
      if (turns > MAX_TURNS) throw new EndlessError('the stack does not come to rest')
      this.#ring.submitAndGetEvents()
      const moved = this.#reap() + this.#collect()
      quiet = moved === 0 ? quiet + 1 : 0
    }
  }

  /** Lets time pass until `untilUs` or until `stop` says so. */
  runTo(untilUs: number, stop: () => boolean = () => false): void {
    this.settle()
    while (this.clock.now() < untilUs && !stop()) {
      if (++this.#steps > MAX_STEPS) throw new EndlessError('the script takes too long')
      this.clock.advanceTo(Math.max(this.clock.now() + 1, Math.min(this.kernel.nextDeadline(), untilUs)))
      this.settle()
    }
  }

  close(): void {
    this.#ring.queueExit()
  }

  #reap(): number {
    const completions: [number, number][] = []
    this.#ring.forEachCqe((cqe) => completions.push([cqe.userData, cqe.res]))
    this.#ring.cqAdvance(completions.length)
    for (const [ticket, res] of completions) {
      const done = this.#waiting.get(ticket)
      this.#waiting.delete(ticket)
      done?.(res)
    }
    return completions.length
  }

  #collect(): number {
    const direction = this.#link.bToA
    let count = 0
    for (let length = direction.peek(); length >= 0; length = direction.peek()) {
      const frame = direction.frame().slice(0, length)
      direction.drop()
      count++
      const answer = this.family.answer(frame, this.#link.a.info.mac)
      if (answer !== null) this.#link.a.inject(answer)
      else if (get16(frame, 12) === this.family.etherType) {
        this.departures.push({ at: this.clock.now(), bytes: frame.subarray(14) })
      }
    }
    return count
  }
}
