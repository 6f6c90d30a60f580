import { describe, expect, it } from 'vitest'
import { reno } from '../../../../stack/tcp/congestion/control.ts'
import { cubic } from '../../../../stack/tcp/congestion/cubic.ts'
import { Sender } from '../../../../stack/tcp/sender.ts'

const MSS = 1000
const RTT_US = 100_000

function sender(segments: number): Sender {
  const snd = new Sender(1 << 20)
  snd.mss = MSS
  snd.cwnd = segments * MSS
  snd.measure(RTT_US)
  return snd
}

/** One round trip in which the whole window is acknowledged, segment by segment. */
function round(control: typeof cubic, snd: Sender, start: number): void {
  const segments = Math.floor(snd.cwnd / MSS)
  for (let i = 0; i < segments; i++) control.grow(snd, MSS, start + (i * RTT_US) / segments)
}

describe.each([reno, cubic])('$name', (control) => {
  it('doubles the window every round trip in slow start, up to the threshold (RFC 5681 section 3.1)', () => {
    const snd = sender(10)
    snd.ssthresh = 35 * MSS
    round(control, snd, 0)
    expect(snd.cwnd).toBe(20 * MSS)
    round(control, snd, RTT_US)
    expect(snd.cwnd).toBeGreaterThanOrEqual(35 * MSS)
    expect(snd.cwnd).toBeLessThan(37 * MSS)
  })

  it('never reduces below two segments', () => {
    expect(control.reduce(sender(2), MSS)).toBe(2 * MSS)
  })
})

describe('reno', () => {
  it('grows by one segment a round trip beyond the threshold, and halves what is in flight', () => {
    const snd = sender(20)
    snd.ssthresh = 10 * MSS
    for (let i = 0; i < 5; i++) round(reno, snd, i * RTT_US)
    expect(snd.cwnd).toBe(25 * MSS)
    expect(reno.reduce(snd, 18 * MSS)).toBe(9 * MSS)
  })

  it('takes an ACK of many segments for what it is', () => {
    const one = sender(20)
    const many = sender(20)
    one.ssthresh = many.ssthresh = 10 * MSS
    for (let i = 0; i < 100; i++) reno.grow(one, MSS, 0)
    for (let i = 0; i < 10; i++) reno.grow(many, 10 * MSS, 0)
    expect(Math.abs(one.cwnd - many.cwnd)).toBeLessThanOrEqual(MSS)
  })
})

describe('cubic (RFC 9438)', () => {
  /** A connection reduced at a window, and when it is back there: 4.2, K = cbrt(W_max (1 - beta) / C). */
  function recovered(segments: number, rtt: number): { seconds: number; k: number } {
    const snd = sender(segments)
    snd.measure(rtt)
    snd.ssthresh = cubic.reduce(snd, snd.cwnd)
    snd.cwnd = snd.ssthresh
    expect(snd.cwnd).toBe(Math.floor(segments * 0.7) * MSS)
    let now = 0
    while (snd.cwnd < segments * MSS && now < 60_000_000) {
      const count = Math.floor(snd.cwnd / MSS)
      for (let i = 0; i < count; i++) cubic.grow(snd, MSS, now + (i * rtt) / count)
      now += rtt
    }
    return { seconds: now / 1e6, k: Math.cbrt((segments * 0.3) / 0.4) }
  }

  it.each([
    [100, 100_000],
    [1000, 100_000],
    [1000, 20_000],
  ])(
    'is back at a window of %i segments after K seconds, whatever the round trip (%i us)',
    (segments, rtt) => {
      const { seconds, k } = recovered(segments, rtt)
      expect(seconds).toBeGreaterThan(k * 0.8)
      expect(seconds).toBeLessThan(k * 1.15 + 0.3)
    },
  )

  it('grows at least as Reno would where that is faster (4.3)', () => {
    const rtt = 1000
    const snd = sender(10)
    snd.srtt = rtt
    snd.ssthresh = cubic.reduce(snd, snd.cwnd)
    snd.cwnd = snd.ssthresh
    const began = snd.cwnd
    for (let i = 0; i < 100; i++) {
      const count = Math.floor(snd.cwnd / MSS)
      for (let j = 0; j < count; j++) cubic.grow(snd, MSS, i * rtt + (j * rtt) / count)
    }
    // Alone the cubic curve would have moved by less than a segment in 100 ms.
    expect(snd.cwnd - began).toBeGreaterThan(30 * MSS)
  })

  it('leaves room for others when it is reduced below its last maximum (4.7)', () => {
    const snd = sender(100)
    snd.ssthresh = cubic.reduce(snd, snd.cwnd)
    snd.cwnd = 80 * MSS
    cubic.reduce(snd, snd.cwnd)
    expect(snd.cubic!.wMax).toBeCloseTo(80 * 0.85)
    snd.cwnd = 90 * MSS
    cubic.reduce(snd, snd.cwnd)
    expect(snd.cubic!.wMax).toBe(90)
  })
})
