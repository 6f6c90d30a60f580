import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVER_RESENT, Flight, LOST, RESENT, SACKED } from '../../../stack/tcp/flight.ts'
import { Rack } from '../../../stack/tcp/rack.ts'

/** The scoreboard as a list of objects, with sums taken anew each time. */
interface Entry {
  seq: number
  end: number
  sentAt: number
  flags: number
}

function entriesOf(flight: Flight): Entry[] {
  return Array.from({ length: flight.count }, (_, i) => {
    const slot = flight.slot(i)
    return {
      seq: flight.seq[slot]!,
      end: flight.end[slot]!,
      sentAt: flight.sentAt[slot]!,
      flags: flight.flags[slot]!,
    }
  })
}

function bytes(entries: Entry[], where: (flags: number) => boolean): number {
  return entries.filter((e) => where(e.flags)).reduce((sum, e) => sum + ((e.end - e.seq) | 0), 0)
}

/** Slots of the time list, oldest first. */
function timeOrder(flight: Flight): number[] {
  const order: number[] = []
  for (let slot = flight.oldest; slot >= 0; slot = flight.later(slot)) order.push(slot)
  return order
}

function check(flight: Flight): void {
  const entries = entriesOf(flight)
  expect(flight.sackedBytes).toBe(bytes(entries, (f) => (f & SACKED) !== 0))
  expect(flight.sackedCount).toBe(entries.filter((e) => (e.flags & SACKED) !== 0).length)
  expect(flight.lostBytes).toBe(bytes(entries, (f) => (f & LOST) !== 0))
  expect(flight.resentBytes).toBe(bytes(entries, (f) => (f & RESENT) !== 0))
  expect(flight.pipe).toBe(
    bytes(entries, (f) => (f & (SACKED | LOST)) === 0) + bytes(entries, (f) => (f & RESENT) !== 0),
  )
  const listed = timeOrder(flight).map((slot) => flight.sentAt[slot]!)
  expect(listed).toEqual([...listed].sort((a, b) => a - b))
  expect(listed.length).toBe(
    entries.filter((e) => (e.flags & SACKED) === 0 && ((e.flags & LOST) === 0 || (e.flags & RESENT) !== 0))
      .length,
  )
  const lost = entries.findIndex((e) => (e.flags & (LOST | RESENT)) === LOST)
  expect(flight.nextLost()).toBe(lost < 0 ? -1 : flight.slot(lost))
}

describe('Flight', () => {
  it('keeps its sums, its order in time and the next lost segment, whatever happens to segments', () => {
    const action = fc.oneof(
      fc.record({ what: fc.constant('push' as const), size: fc.integer({ min: 1, max: 3000 }) }),
      fc.record({ what: fc.constant('ack' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({
        what: fc.constant('sack' as const),
        from: fc.double({ min: 0, max: 1, noNaN: true }),
        to: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      fc.record({ what: fc.constant('lose' as const), part: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
      fc.record({ what: fc.constant('resend' as const) }),
      fc.record({ what: fc.constant('probe' as const) }),
      fc.record({ what: fc.constant('unlose' as const) }),
      fc.record({ what: fc.constant('renege' as const) }),
    )
    fc.assert(
      fc.property(fc.integer(), fc.array(action, { maxLength: 120 }), (start, actions) => {
        const flight = new Flight(4)
        const rack = new Rack()
        let una = start | 0
        let next = una
        let now = 1000
        rack.begin(una, 0, 0)
        for (const step of actions) {
          now += 10
          const at = (part: number): number => (una + Math.floor(((next - una) | 0) * part)) | 0
          if (step.what === 'push') {
            const end = (next + step.size) | 0
            flight.push(next, end, now)
            next = end
          } else if (step.what === 'ack') {
            una = at(step.part)
            flight.acknowledge(una, rack, now)
          } else if (step.what === 'sack') {
            const [a, b] = [at(Math.min(step.from, step.to)), at(Math.max(step.from, step.to))]
            flight.sack(a, b, rack, now)
            flight.know(Int32Array.of(a, b), 1)
          } else if (flight.count > 0) {
            if (step.what === 'lose') flight.lose(flight.slot(Math.floor(flight.count * step.part)))
            else if (step.what === 'unlose') flight.unlose()
            else if (step.what === 'probe') {
              const last = flight.slot(flight.count - 1)
              if ((flight.flags[last]! & SACKED) === 0) flight.resent(last, now)
            } else if (step.what === 'renege') {
              // A reneging peer is met with a timeout, and that loses what was sent long ago.
              flight.renege()
              const rest = timeOrder(flight)
              for (const slot of rest) flight.lose(slot)
            } else {
              const slot = flight.nextLost()
              if (slot >= 0) flight.resent(slot, now)
            }
          }
          check(flight)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('counts what an ACK delivers once, and times only what was never resent (Karn)', () => {
    const flight = new Flight()
    const rack = new Rack()
    rack.begin(0, 0, 0)
    for (let i = 0; i < 4; i++) flight.push(i * 100, (i + 1) * 100, 10 + i)
    flight.begin()
    flight.sack(200, 300, rack, 50)
    expect([flight.delivered, flight.timedAt, flight.ambiguous]).toEqual([100, 12, false])
    flight.lose(flight.slot(0))
    flight.resent(flight.slot(0), 60)
    flight.begin()
    flight.acknowledge(400, rack, 70)
    expect([flight.delivered, flight.timedAt, flight.ambiguous]).toEqual([300, 11, true])
    expect(flight.count).toBe(0)
  })

  it('a block that covers part of a segment says nothing of it', () => {
    const flight = new Flight()
    const rack = new Rack()
    rack.begin(0, 0, 0)
    flight.push(0, 1000, 1)
    flight.push(1000, 2000, 1)
    flight.sack(500, 1500, rack, 2)
    expect(flight.sackedBytes).toBe(0)
  })

  it('EVER_RESENT stays when the segment is sacked', () => {
    const flight = new Flight()
    const rack = new Rack()
    rack.begin(0, 0, 0)
    flight.push(0, 100, 1)
    flight.resent(flight.slot(0), 5)
    flight.sack(0, 100, rack, 6)
    expect(flight.flags[flight.slot(0)]).toBe(SACKED | EVER_RESENT)
  })
})
