import { afterEach, describe, expect, it, vi } from 'vitest'
import { ArgumentError } from '../../errors.ts'
import { BusyPoll, microseconds } from '../../net/busy-poll.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { both, collector, turn, until } from '../support/server-pair.ts'

describe('busy polling', () => {
  it('goes on for a while since there was nothing to do for the first time, and anew after work', () => {
    let now = 0
    const poll = new BusyPoll(50, () => now)
    const at = (ms: number): boolean => {
      now = ms
      return poll.goesOn()
    }
    expect([at(0), at(0.049), at(0.05)]).toEqual([true, true, false])
    // Who has slept begins anew.
    expect([at(7), at(7.02)]).toEqual([true, true])
    poll.worked()
    expect([at(7.06), at(7.109), at(7.12)]).toEqual([true, true, false])
  })

  it('is for ever or not at all without a look at the clock', () => {
    const now = vi.fn(() => 0)
    expect(new BusyPoll(0, now).goesOn()).toBe(false)
    expect(new BusyPoll(Number.POSITIVE_INFINITY, now).goesOn()).toBe(true)
    expect(now).not.toHaveBeenCalled()
  })

  it('is said in microseconds, or true and false', () => {
    expect([true, false, 0, 12.5, Number.POSITIVE_INFINITY].map((said) => microseconds(said, 'x'))).toEqual([
      Number.POSITIVE_INFINITY,
      0,
      0,
      12.5,
      Number.POSITIVE_INFINITY,
    ])
    for (const said of [-1, Number.NaN, '5' as unknown as number, null as unknown as number])
      expect(() => microseconds(said, 'busyPoll')).toThrow(ArgumentError)
  })
})

describe('a server', () => {
  afterEach(() => vi.restoreAllMocks())

  it('refuses what is no time', async () => {
    await expect(both({ busyPoll: -1 })).rejects.toThrow('busyPoll -1 is')
  })

  it('sleeps when nothing has come for so long, not before, and is woken', async () => {
    const got = collector(1)
    const looks = vi.spyOn(BusyPoll.prototype, 'goesOn')
    const results = (): unknown[] => looks.mock.results.map(({ value }) => value)
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
    const { server, open, close } = await both({ busyPoll: 100, handler: got.handler })
    got.use(server)
    // As long as the clock stands still it looks, and looks again.
    await until(() => looks.mock.calls.length > 200)
    expect(new Set(results())).toEqual(new Set([true]))
    looks.mockClear()
    now.mockReturnValue(1000.2)
    await until(() => results().includes(false))
    for (let i = 0; i < 50; i++) await turn()
    expect(results()).toEqual([false])
    now.mockRestore()
    const client = await open()
    const data = bytesOf(100_000)
    await client.send(0, data)
    await client.end(0)
    await got.done
    expect(Buffer.compare(got.bytes(1), data)).toBe(0)
    await close()
  })
})
