import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TICK_US, Timer, TimerWheel } from '../../stack/timers.ts'

class Probe extends Timer {
  deadline = 0
  readonly id: number
  readonly fired: { id: number; now: number; deadline: number }[]
  onFire: (now: number) => void = () => {}

  constructor(id: number, fired: Probe['fired']) {
    super()
    this.id = id
    this.fired = fired
  }

  override fire(now: number): void {
    this.fired.push({ id: this.id, now, deadline: this.deadline })
    this.onFire(now)
  }
}

const DAY = 86_400_000_000

/** Delays over all four levels of the wheel: 256 ms, 65 s, 4.6 h, 49 d. */
const delay = fc.oneof(
  fc.integer({ min: -1000, max: 300_000 }),
  fc.integer({ min: 0, max: 70_000_000 }),
  fc.integer({ min: 0, max: DAY }),
)

describe('TimerWheel', () => {
  it('fires as a naive list of deadlines does: each once, never early, in the order of ticks', () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant('arm' as const), timer: fc.nat({ max: 7 }), delay }),
      fc.record({ kind: fc.constant('cancel' as const), timer: fc.nat({ max: 7 }) }),
      fc.record({
        kind: fc.constant('advance' as const),
        us: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 600_000_000 })),
      }),
    )
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 }), fc.array(command, { maxLength: 60 }), (start, commands) => {
        let now = start
        const wheel = new TimerWheel(now)
        const fired: Probe['fired'] = []
        const timers = Array.from({ length: 8 }, (_, id) => new Probe(id, fired))
        const model = new Map<number, number>()
        for (const step of commands) {
          if (step.kind === 'arm') {
            const timer = timers[step.timer]!
            timer.deadline = now + step.delay
            wheel.arm(timer, timer.deadline)
            // The tick it fires at: the first one not before the deadline that has not begun yet.
            const tick = Math.max(Math.floor(now / TICK_US) + 1, Math.ceil(timer.deadline / TICK_US))
            model.set(step.timer, tick)
          } else if (step.kind === 'cancel') {
            wheel.cancel(timers[step.timer]!)
            model.delete(step.timer)
          } else {
            now += step.us
            const due = [...model].filter(([, tick]) => tick <= Math.floor(now / TICK_US))
            expect(wheel.nextDeadline()).toBeLessThanOrEqual(
              Math.min(Number.POSITIVE_INFINITY, ...[...model.values()].map((tick) => tick * TICK_US)),
            )
            fired.length = 0
            wheel.advance(now)
            expect(fired.map((f) => f.id).sort()).toEqual(due.map(([id]) => id).sort())
            const ticks = fired.map((f) => model.get(f.id)!)
            expect(ticks).toEqual([...ticks].sort((a, b) => a - b))
            for (const f of fired) expect(f.now).toBeGreaterThanOrEqual(f.deadline)
            for (const [id] of due) model.delete(id)
          }
          expect(wheel.armed).toBe(model.size)
          for (const [id, timer] of timers.entries()) expect(timer.armed).toBe(model.has(id))
        }
      }),
      { numRuns: 200 },
    )
  })

  it('fires within one tick after the deadline when advanced at every deadline it names', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 40 }),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 1, max: 70_000_000 })), {
          minLength: 1,
          maxLength: 20,
        }),
        (start, delays) => {
          const wheel = new TimerWheel(start)
          const fired: Probe['fired'] = []
          for (const [id, us] of delays.entries()) {
            const timer = new Probe(id, fired)
            timer.deadline = start + us
            wheel.arm(timer, timer.deadline)
          }
          for (let now = wheel.nextDeadline(); now !== Number.POSITIVE_INFINITY; now = wheel.nextDeadline()) {
            wheel.advance(now)
          }
          expect(fired.length).toBe(delays.length)
          for (const f of fired) {
            expect(f.now).toBeGreaterThanOrEqual(f.deadline)
            expect(f.now - f.deadline).toBeLessThan(TICK_US)
          }
        },
      ),
      { numRuns: 100 },
    )
  })

  it.each([
    255_000,
    256_000,
    257_000,
    65_535_000,
    65_536_000,
    65_537_000,
    16_777_215_000,
    16_777_216_000,
    30 * DAY,
  ])('carries a deadline %i us away through the levels', (us) => {
    const start = 255_500
    const wheel = new TimerWheel(start)
    const fired: Probe['fired'] = []
    const timer = new Probe(1, fired)
    wheel.arm(timer, start + us)
    wheel.advance(start + us - 1000)
    expect(fired).toEqual([])
    wheel.advance(start + us + 1000)
    expect(fired.length).toBe(1)
    expect(wheel.nextDeadline()).toBe(Number.POSITIVE_INFINITY)
  })

  it('cuts a deadline beyond its reach instead of losing it', () => {
    const wheel = new TimerWheel(0)
    const timer = new Probe(1, [])
    for (const deadline of [Number.POSITIVE_INFINITY, 100 * 365 * DAY]) {
      wheel.arm(timer, deadline)
      expect(timer.armed).toBe(true)
      expect(wheel.armed).toBe(1)
    }
    wheel.cancel(timer)
    expect(wheel.armed).toBe(0)
  })

  it('can be armed again, and others cancelled, from inside fire', () => {
    const fired: Probe['fired'] = []
    const wheel = new TimerWheel(0)
    const again = new Probe(1, fired)
    const victim = new Probe(2, fired)
    let left = 3
    again.onFire = (now) => {
      wheel.cancel(victim)
      if (left-- > 0) wheel.arm(again, now + 5000)
    }
    wheel.arm(again, 10_000)
    wheel.arm(victim, 10_500)
    for (let now = 0; now <= 60_000; now += 500) wheel.advance(now)
    expect(fired.map((f) => [f.id, f.now])).toEqual([
      [1, 10_000],
      [1, 15_000],
      [1, 20_000],
      [1, 25_000],
    ])
    expect(wheel.armed).toBe(0)
  })

  it('fires a timer that rearms itself for the past once per call, however far the clock jumps', () => {
    const fired: Probe['fired'] = []
    const wheel = new TimerWheel(0)
    const timer = new Probe(1, fired)
    timer.onFire = () => wheel.arm(timer, 0)
    wheel.arm(timer, 0)
    wheel.advance(10_000)
    expect(fired.length).toBe(1)
    expect(wheel.nextDeadline()).toBe(11_000)
    wheel.advance(30 * DAY)
    expect(fired.length).toBe(2)
  })

  it('names the earliest deadline exactly, whatever its level, while none is cancelled', () => {
    const start = fc.oneof(
      fc.nat({ max: 2 ** 31 }),
      fc.nat({ max: 400 }).map((days) => days * DAY),
    )
    const days = fc.oneof(
      delay,
      fc.integer({ min: 0, max: 40 }).map((n) => n * DAY),
    )
    fc.assert(
      fc.property(start, fc.array(days, { minLength: 1, maxLength: 12 }), (from, delays) => {
        const wheel = new TimerWheel(from)
        const fired: Probe['fired'] = []
        const first = Math.floor(from / TICK_US) + 1
        const ticks = delays.map((us) => Math.max(first, Math.ceil((from + us) / TICK_US)))
        for (const [id, us] of delays.entries()) wheel.arm(new Probe(id, fired), from + us)
        let wakes = 0
        for (const tick of [...new Set(ticks)].sort((a, b) => a - b)) {
          expect(wheel.nextDeadline()).toBe(tick * TICK_US)
          wheel.advance(tick * TICK_US)
          expect(fired.length).toBe(ticks.filter((other) => other <= tick).length)
          wakes++
        }
        expect(wheel.nextDeadline()).toBe(Number.POSITIVE_INFINITY)
        expect(wakes).toBeLessThanOrEqual(delays.length)
      }),
      { numRuns: 300 },
    )
  })

  it('wakes at most once for each timer that was cancelled, and comes to an end', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 40 }),
        fc.array(fc.tuple(delay, fc.boolean()), { maxLength: 20 }),
        (start, all) => {
          const wheel = new TimerWheel(start)
          const fired: Probe['fired'] = []
          const timers = all.map(([us], id) => {
            const timer = new Probe(id, fired)
            wheel.arm(timer, start + us)
            return timer
          })
          for (const [id, [, kept]] of all.entries()) if (!kept) wheel.cancel(timers[id]!)
          const left = all.filter(([, kept]) => kept).length
          let wakes = 0
          for (let now = wheel.nextDeadline(); now !== Number.POSITIVE_INFINITY; now = wheel.nextDeadline()) {
            wheel.advance(now)
            expect(++wakes).toBeLessThanOrEqual(all.length)
            expect(wheel.nextDeadline()).toBeGreaterThan(now)
          }
          expect(fired.length).toBe(left)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('jumps over empty time at once', () => {
    const wheel = new TimerWheel(0)
    const fired: Probe['fired'] = []
    const timer = new Probe(1, fired)
    let now = 0
    // Slot by slot it would take minutes.
    for (let i = 0; i < 5000; i++) {
      wheel.arm(timer, now + 31 * DAY)
      now += 30 * DAY
      wheel.advance(now)
    }
    expect(fired.length).toBe(0)
    wheel.advance(now + DAY)
    expect(fired.length).toBe(1)
  })

  it('replaces the deadline of a timer that is armed already', () => {
    const fired: Probe['fired'] = []
    const wheel = new TimerWheel(0)
    const timer = new Probe(1, fired)
    wheel.arm(timer, 5000)
    wheel.arm(timer, 500_000)
    expect(wheel.armed).toBe(1)
    wheel.advance(400_000)
    expect(fired).toEqual([])
    wheel.advance(500_000)
    expect(fired.length).toBe(1)
  })

  it('stands still when the clock does, and forgets nothing over an idle time', () => {
    const fired: Probe['fired'] = []
    const wheel = new TimerWheel(0)
    wheel.advance(10 * DAY)
    const timer = new Probe(1, fired)
    wheel.arm(timer, 10 * DAY + 2000)
    wheel.advance(10 * DAY)
    wheel.advance(10 * DAY - 5000)
    expect(fired).toEqual([])
    wheel.advance(10 * DAY + 2000)
    expect(fired.length).toBe(1)
  })
})
