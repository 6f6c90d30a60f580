import { describe, expect, it } from 'vitest'
import { PagePool } from '../../../stack/memory/page-pool.ts'
import { Holders } from '../../../uapi/kernel/holders.ts'

const NIOVS = 64

class Receiver {
  ring = 0
  woken = 0
  readonly context: object
  constructor(context: object) {
    this.context = context
  }
  wake(): void {
    this.woken++
  }
}

function pool(): PagePool {
  const memory = {
    buffer: new ArrayBuffer(NIOVS * 4096),
    areaOffset: 0,
    areaLength: NIOVS * 4096,
    chunkSize: 4096,
  }
  return new PagePool(0, memory, {} as never, 0)
}

/** Hands buffers to a request until its ring has its share. Returns them. */
function all(holders: Holders, from: PagePool, request: Receiver): number[] {
  const got: number[] = []
  while (!holders.exhausted(request)) {
    const niov = from.take()
    from.shareWithUser(niov)
    holders.handed(from, niov, request)
    got.push(niov)
  }
  return got
}

describe('rings of a shared instance', () => {
  it('have half of the buffers each, are woken when they may have more, and leave nothing behind', () => {
    const one = pool()
    const [a, b] = [new Receiver({}), new Receiver({})]
    const holders = new Holders([one], {})
    const got = all(holders, one, a)
    expect([got.length, all(holders, one, b).length]).toEqual([NIOVS / 2, NIOVS / 2])
    expect([holders.exhausted(a), a.woken]).toEqual([true, 0])
    one.returnFromUser(got[0]!)
    holders.returned(one, got[0]!)
    expect([a.woken, b.woken, holders.exhausted(a)]).toEqual([1, 0, false])
    expect(holders.left(a.context)).toBe(NIOVS / 2 - 1)
    expect([one.userOut, holders.left(a.context), holders.left({})]).toEqual([NIOVS / 2, 0, 0])
  })

  it('count no longer among those that share when they are closed, and keep what they have', () => {
    const one = pool()
    const holders = new Holders([one], {})
    const rings = Array.from({ length: 4 }, () => new Receiver({}))
    for (const ring of rings) expect(holders.exhausted(ring)).toBe(false)
    const [a, b, c, d] = rings as [Receiver, Receiver, Receiver, Receiver]
    const got = all(holders, one, a)
    expect(got.length).toBe(NIOVS / 4)
    for (const ring of [b, c]) holders.closed(ring.context)
    expect(holders.exhausted(a)).toBe(false)
    holders.closed(a.context)
    expect(holders.with(a.context)).toBe(NIOVS / 4)
    for (const niov of got) {
      one.returnFromUser(niov)
      holders.returned(one, niov)
    }
    expect([holders.with(a.context), one.userOut]).toEqual([0, 0])
    expect(all(holders, one, d).length).toBe(NIOVS / 2)
  })

  it('what two were given a part of is nobody’s alone', () => {
    const one = pool()
    const [a, b] = [new Receiver({}), new Receiver({})]
    const holders = new Holders([one], {})
    expect([holders.exhausted(a), holders.exhausted(b)]).toEqual([false, false])
    const niov = one.take()
    for (const request of [a, b]) {
      one.shareWithUser(niov)
      holders.handed(one, niov, request)
    }
    expect([holders.left(a.context), one.userRefs[niov]]).toEqual([0, 2])
    for (let i = 0; i < 2; i++) {
      one.returnFromUser(niov)
      holders.returned(one, niov)
    }
    expect([one.userOut, holders.left(b.context)]).toEqual([0, 0])
  })

  it('what was out before belongs to who had it first', () => {
    const one = pool()
    const first = {}
    for (let i = 0; i < 3; i++) one.shareWithUser(one.take())
    expect(new Holders([one], first).left(first)).toBe(3)
    expect(one.userOut).toBe(0)
  })

  it('may come and go more often than there are numbers', () => {
    const one = pool()
    const holders = new Holders([one], {})
    const stays = new Receiver({})
    const niov = one.take()
    expect(holders.exhausted(stays)).toBe(false)
    one.shareWithUser(niov)
    holders.handed(one, niov, stays)
    for (let i = 0; i < 70_000; i++) {
      const comes = new Receiver({})
      expect(holders.exhausted(comes)).toBe(false)
      const other = one.take()
      one.shareWithUser(other)
      holders.handed(one, other, comes)
      if (holders.left(comes.context) !== 1) throw new Error(`ring ${i} left its buffer behind`)
    }
    expect(one.userOut).toBe(1)
    expect(holders.left(stays.context)).toBe(1)
  })
})
