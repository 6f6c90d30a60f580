import { Timer, TimerWheel } from '../stack/timers.ts'
import { type Spread, spread } from './spread.ts'

/** Cost of arming a timer and cancelling it while others are armed. */
export interface TimerResult {
  armed: number
  nsPerArmAndCancel: Spread
}

class IdleTimer extends Timer {
  override fire(): void {}
}

export function measureTimers(armed: number, rounds: number): TimerResult {
  const wheel = new TimerWheel(0)
  let state = 12_345
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state
  }
  for (let i = 0; i < armed; i++) wheel.arm(new IdleTimer(), 1_000_000 + (random() % 7_200_000_000))
  const mine = Array.from({ length: 256 }, () => new IdleTimer())
  const deadlines = Float64Array.from({ length: 4096 }, () => 1000 + (random() % 200_000_000))
  const values: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const start = process.hrtime.bigint()
    const count = 200_000
    for (let i = 0; i < count; i++) {
      const timer = mine[i & 255]!
      wheel.arm(timer, deadlines[i & 4095]!)
      wheel.cancel(timer)
    }
    if (round > 0) values.push(Number(process.hrtime.bigint() - start) / count)
  }
  return { armed, nsPerArmAndCancel: spread(values) }
}
