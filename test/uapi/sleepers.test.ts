import { describe, expect, it } from 'vitest'
import { Sleepers } from '../../uapi/kernel/sleepers.ts'

describe('who is woken and does not enter', () => {
  /** A host whose polls bring so much, one after another; how often it was polled. */
  function polled(bring: (poll: number) => number, onWake: (poll: () => void) => void = () => {}): number {
    const host = {
      stacks: [],
      now: 0,
      polls: 0,
      nextDeadline: () => Number.POSITIVE_INFINITY,
      poll: () => bring(host.polls++),
    }
    const sleepers = new Sleepers(host)
    sleepers.arm({ wakes: null }, () => onWake(() => host.poll()))
    sleepers.fire()
    return host.polls
  }

  it('has the stacks work until nothing comes: an ACK may wait for the next burst', () => {
    expect(polled((poll) => [256, 256, 3, 0][poll]!)).toBe(4)
  })

  it('keeps nobody else from his turn, however much comes', () => {
    expect(polled(() => 256)).toBe(8)
  })

  it('has them do nothing more when he has polled himself', () => {
    expect(
      polled(
        () => 256,
        (poll) => poll(),
      ),
    ).toBe(1)
  })
})
