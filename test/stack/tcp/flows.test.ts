import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { FlowTable } from '../../../stack/tcp/flows.ts'
import type { Tcb } from '../../../stack/tcp/tcb.ts'

const LOCAL = { 4: IpAddress.parse('192.0.2.2')!, 6: IpAddress.parse('2001:db8::2')! }
const PORT = 9000

/** How often a table has looked where a connection belongs. */
let looks = 0

/** As much of a connection as a table looks at. */
function connection(number: number, version: 4 | 6 = 4): Tcb {
  const remote =
    version === 4 ? IpAddress.v4(0xc0000200 + (number >>> 8)) : IpAddress.parse(`2001:db8::${number >>> 8}`)!
  return {
    get local() {
      looks++
      return LOCAL[version]
    },
    localPort: PORT,
    remote,
    remotePort: 1000 + (number & 255),
    row: 0,
  } as unknown as Tcb
}

function found(table: FlowTable, tcb: Tcb): boolean {
  return table.get(tcb.local, PORT, tcb.remote, tcb.remotePort) === tcb
}

describe('the table of connections', () => {
  it('finds those that are in it, and no others, whatever comes and goes', () => {
    const act = fc.record({
      first: fc.nat(60_000),
      count: fc.integer({ min: 1, max: 3000 }),
      six: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(fc.tuple(act, fc.boolean()), { maxLength: 12 }), (acts) => {
        const table = new FlowTable(0x1234567, 0x7654321)
        const model = new Map<string, Tcb>()
        const gone = new Map<string, Tcb>()
        for (const [{ first, count, six }, adds] of acts)
          for (let i = first; i < first + count; i++) {
            const key = `${six} ${i}`
            const tcb = model.get(key)
            if (adds && tcb === undefined) {
              const made = connection(i, six ? 6 : 4)
              table.add(made)
              model.set(key, made)
              gone.delete(key)
            } else if (!adds && tcb !== undefined) {
              table.remove(tcb)
              table.remove(tcb)
              model.delete(key)
              gone.set(key, tcb)
            }
          }
        expect(table.count).toBe(model.size)
        expect(new Set(table)).toEqual(new Set(model.values()))
        for (const tcb of model.values()) expect(found(table, tcb)).toBe(true)
        for (const tcb of gone.values())
          expect(table.get(tcb.local, PORT, tcb.remote, tcb.remotePort)).toBe(null)
      }),
      { numRuns: 30 },
    )
  })

  it('never moves more than a few hundred when one more comes', () => {
    const table = new FlowTable(0x1234567, 0x7654321)
    let most = 0
    for (let i = 0; i < 100_000; i++) {
      const before = looks
      table.add(connection(i))
      most = Math.max(most, looks - before)
    }
    expect(most).toBeGreaterThan(64)
    expect(most).toBeLessThan(1024)
  })
})
