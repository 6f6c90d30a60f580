import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { FlowRows, ROW_SHIFT, ROW_TURN } from '../../../stack/tcp/rows.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'

const LOCAL = { 4: IpAddress.parse('192.0.2.2')!, 6: IpAddress.parse('2001:db8::2')! }

/** As much of a connection as a row is made of. */
function connection(number: number, version: 4 | 6 = 4): Tcb {
  const remote =
    version === 4 ? IpAddress.v4(0xc0000200 + (number >>> 8)) : IpAddress.parse(`2001:db8::${number >>> 8}`)!
  return { local: LOCAL[version], localPort: 9000, remote, remotePort: 1000 + (number & 255), row: 0 } as Tcb
}

/** Rows that a walk through the index finds, by the place where it begins. */
function indexed(rows: FlowRows): number[] {
  return [...rows.index].filter((row) => row !== 0).sort((a, b) => a - b)
}

describe('the rows of connections', () => {
  it('are in the index as long as somebody has them, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(400), fc.boolean()), { maxLength: 800 }), (acts) => {
        const rows = new FlowRows(0x1234567, 0x7654321)
        rows.enable()
        const all = new Map<number, Tcb>()
        for (const [number, six] of acts) {
          const tcb = all.get(number)
          if (tcb === undefined) {
            const made = connection(number, six ? 6 : 4)
            rows.want(made)
            all.set(number, made)
          } else {
            rows.remove(tcb)
            all.delete(number)
          }
        }
        const expected = [...all.values()].map(({ row }) => row).sort((a, b) => a - b)
        expect(indexed(rows)).toEqual(expected)
        expect(new Set(expected).size).toBe(all.size)
        for (const tcb of all.values()) expect(rows.tcbs[tcb.row]).toBe(tcb)
      }),
    )
  })

  it('go to others when they were not used for long, and only then', () => {
    const rows = new FlowRows(1, 2)
    rows.enable()
    rows.most = 64
    const all = Array.from({ length: 64 }, (_, i) => connection(i))
    for (const tcb of all) rows.want(tcb)
    rows.turn = 1000
    for (const tcb of all.slice(0, 32)) rows.rows[(tcb.row << ROW_SHIFT) + ROW_TURN] = 990
    const further = Array.from({ length: 200 }, (_, i) => connection(1000 + i))
    for (const tcb of further) {
      rows.want(tcb)
      rows.rows[(tcb.row << ROW_SHIFT) + ROW_TURN] = 1000
    }
    expect(all.slice(0, 32).every(({ row }) => row > 0)).toBe(true)
    expect(all.slice(32).every(({ row }) => row === 0)).toBe(true)
    expect(further.filter(({ row }) => row > 0)).toHaveLength(32)
    expect(indexed(rows)).toHaveLength(64)
  })

  it('are none where nobody takes bursts', () => {
    const rows = new FlowRows(1, 2)
    const tcb = connection(1)
    rows.want(tcb)
    expect(tcb.row).toBe(0)
  })
})
