import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeldBytes, OrderedStream } from '../../../pcap/follow/ordered.ts'

/** Sequence numbers of the tests are relative to this one: they wrap soon. */
const ISN = -20

class Rig {
  /** What was taken: text, `[hole]` and `<cut>`. */
  text = ''
  readonly budget: HeldBytes
  readonly stream: OrderedStream

  constructor(limit = 1 << 20) {
    this.budget = new HeldBytes(limit)
    this.stream = new OrderedStream(
      {
        data: (bytes, at, length) => {
          this.text += Buffer.from(bytes.subarray(at, at + length)).toString('latin1')
        },
        missing: (length) => {
          this.text += `[${length}]`
        },
        cut: (length) => {
          this.text += `<${length}>`
        },
      },
      this.budget,
    )
    this.stream.begin(ISN)
  }

  /** @param length on the wire */
  put(at: number, text: string, length = text.length): this {
    const bytes = new TextEncoder().encode(`..${text}..`)
    this.stream.segment((ISN + at) | 0, bytes, 2, text.length, length)
    // The caller's again.
    bytes.fill(0x21)
    return this
  }

  ack(at: number): this {
    this.stream.acknowledged((ISN + at) | 0)
    return this
  }
}

describe('OrderedStream', () => {
  it('hands on what comes in order', () => {
    expect(new Rig().put(0, 'abc').put(3, 'def').put(6, '').put(6, 'g').text).toBe('abcdefg')
  })

  it('leaves out what comes again', () => {
    expect(new Rig().put(0, 'abcdef').put(0, 'ABCDEF').put(2, 'CD').text).toBe('abcdef')
    expect(new Rig().put(0, 'abc').put(1, 'BCde').put(-2, '--ABCDEf').text).toBe('abcdef')
  })

  it('lets wait what comes early, across the wrap', () => {
    const rig = new Rig().put(30, 'fgh').put(25, 'abcde')
    expect(rig.text).toBe('')
    expect(rig.stream.waiting).toBe(2)
    rig.put(0, 'x'.repeat(25))
    expect(rig.text).toBe(`${'x'.repeat(25)}abcdefgh`)
    expect([rig.stream.waiting, rig.budget.held]).toEqual([0, 0])
    expect(rig.stream.next).toBe((ISN + 33) | 0)
  })

  it('prefers what arrived first where pieces that wait overlap', () => {
    expect(new Rig().put(2, 'cdef').put(1, 'BCD').put(0, 'a').text).toBe('aBCDef')
    expect(new Rig().put(1, 'bcd').put(1, 'BCDEF').put(0, 'a').text).toBe('abcdEF')
    expect(new Rig().put(3, 'DEF').put(1, 'bcdef').put(0, 'a').text).toBe('abcdef')
    expect(new Rig().put(5, 'fg').put(5, 'FGH').put(0, 'abcde').text).toBe('abcdefgH')
  })

  it('marks a hole when bytes behind it are acknowledged, no earlier', () => {
    const rig = new Rig().put(0, 'ab').put(5, 'fg').put(9, 'j')
    rig.ack(2).ack(4).ack(5)
    expect(rig.text).toBe('ab')
    rig.ack(6)
    expect(rig.text).toBe('ab[3]fg')
    rig.ack(10)
    expect(rig.text).toBe('ab[3]fg[2]j')
    expect(rig.put(2, 'cde').text).toBe('ab[3]fg[2]j')
  })

  it('marks several holes at once', () => {
    expect(new Rig().put(2, 'c').put(4, 'e').put(6, 'g').ack(7).text).toBe('[2]c[1]e[1]g')
  })

  it('says what was cut when it was captured', () => {
    expect(new Rig().put(0, 'ab', 5).put(5, 'f').text).toBe('ab<3>f')
    expect(new Rig().put(0, 'abc').put(1, 'bcd', 6).put(7, 'h').text).toBe('abcd<3>h')
    // Nothing of what is new was captured: another copy may have it.
    expect(new Rig().put(0, 'abc').put(0, 'abc', 6).put(3, 'def').text).toBe('abcdef')
    expect(new Rig().put(0, '', 6).put(0, 'abc').text).toBe('abc')
  })

  it('gives up at the end what lies behind holes', () => {
    const rig = new Rig().put(0, 'a').put(3, 'def').put(10, 'k')
    expect(rig.stream.end()).toBe(4)
    expect([rig.text, rig.stream.waiting, rig.budget.held]).toEqual(['a', 0, 0])
    expect(rig.stream.end()).toBe(0)
  })

  it('moves what it knows when the numbers begin elsewhere', () => {
    const rig = new Rig().put(0, 'ab').put(3, 'd')
    rig.stream.shift(1000)
    expect(rig.put(1002, 'c').put(1004, 'e').text).toBe('abcde')
  })

  it('holds no more than it may: the oldest hole is let through', () => {
    const rig = new Rig(3 * (128 + 10))
    for (let i = 0; i < 3; i++) rig.put(10 + i * 20, 'x'.repeat(10))
    expect([rig.text, rig.stream.forced]).toEqual(['', 0])
    rig.put(70, 'y'.repeat(10))
    expect([rig.text, rig.stream.forced]).toEqual([`[10]${'x'.repeat(10)}`, 1])
    expect(rig.budget.held).toBeLessThanOrEqual(rig.budget.limit)
    // A piece that is larger than all that may be held is let through at once.
    rig.put(1000, 'z'.repeat(500))
    expect(rig.budget.held).toBe(0)
    expect(rig.text.endsWith('z')).toBe(true)
  })

  it('shares what may be held with others', () => {
    const a = new Rig(400)
    const b = new OrderedStream({ data() {}, missing() {}, cut() {} }, a.budget)
    b.begin(0)
    b.segment(1, new Uint8Array(200), 0, 200, 200)
    expect(a.put(5, 'x'.repeat(60)).stream.forced).toBe(1)
    expect(b.waiting).toBe(1)
  })

  it('makes the stream whole from any order of overlapping segments', () => {
    const whole = Buffer.from(Array.from({ length: 120 }, (_, i) => 33 + (i % 90))).toString('latin1')
    const segment = fc.tuple(fc.nat(119), fc.integer({ min: 1, max: 30 }))
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 60 }), (extra) => {
        const rig = new Rig()
        const cover = [90, 60, 30, 0].map((at) => [at, 30] as const)
        for (const [at, length] of [...extra, ...cover]) rig.put(at, whole.slice(at, at + length))
        expect(rig.text).toBe(whole)
        expect(rig.budget.held).toBe(0)
      }),
    )
  })

  it('accounts for every byte, whatever comes', () => {
    const step = fc.oneof(
      fc.tuple(fc.constant('put' as const), fc.integer({ min: -50, max: 300 }), fc.nat(60), fc.nat(20)),
      fc.tuple(fc.constant('ack' as const), fc.integer({ min: -50, max: 300 }), fc.nat(0), fc.nat(0)),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 200, max: 5000 }), (steps, limit) => {
        const rig = new Rig(limit)
        for (const [what, at, length, more] of steps) {
          if (what === 'ack') rig.ack(at)
          else rig.put(at, 'x'.repeat(length), length + more)
          expect(rig.budget.held).toBeLessThanOrEqual(limit)
        }
        const gone = [...rig.text.matchAll(/[[<](\d+)[\]>]/g)].reduce(
          (sum, [, count]) => sum + Number(count),
          0,
        )
        const bytes = rig.text.replaceAll(/[[<]\d+[\]>]/g, '').length
        expect(gone + bytes).toBe((rig.stream.next - ISN) | 0)
        rig.stream.end()
        expect(rig.budget.held).toBe(0)
      }),
    )
  })
})
