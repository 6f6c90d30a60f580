import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Native, nativeOrNull } from '../../../driver/native/index.ts'
import {
  insertRule,
  listRules,
  RXNFC_BYTES,
  readRule,
  removeRule,
  ruleCommand,
  writeRule,
} from '../../../driver/setup/rules.ts'

const native = nativeOrNull()
if (native === null) console.warn('asking the kernel for rules is skipped: the native addon is not built')

const EOPNOTSUPP = -95
const ENOSPC = -28
const ENOENT = -2

/** The part of a driver that keeps rules. @param chooses it says where a new one goes */
class Table {
  readonly rules = new Map<number, Uint8Array>()
  readonly #size: number
  readonly #chooses: boolean
  /** Says of more rules than there are. */
  lie = 0

  constructor(size: number, chooses: boolean) {
    this.#size = size
    this.#chooses = chooses
  }

  get native(): Native {
    return { ethtool: (_name: string, bytes: Uint8Array) => this.#ask(bytes) } as unknown as Native
  }

  #ask(bytes: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const location = view.getUint32(16 + 160, true)
    switch (view.getUint32(0, true)) {
      case 0x2e:
        view.setUint32(184, this.rules.size + this.lie, true)
        view.setUint32(8, this.#size + (this.#chooses ? 0x8000_0000 : 0), true)
        return 0
      case 0x2f: {
        const rule = this.rules.get(location)
        if (rule === undefined) return ENOENT
        bytes.set(rule)
        return 0
      }
      case 0x30:
        ;[...this.rules.keys()].forEach((at, i) => {
          view.setUint32(188 + 4 * i, at, true)
        })
        view.setUint32(184, this.rules.size + 2 * this.lie, true)
        view.setUint32(8, this.#size, true)
        return 0
      case 0x31:
        return this.rules.delete(location) ? 0 : ENOENT
      default: {
        const at = location === 0xffff_ffff ? 7 : location
        this.rules.set(at, bytes.slice())
        view.setUint32(16 + 160, at, true)
        return 0
      }
    }
  }
}

describe('a rule for a port', () => {
  it('is what ethtool makes of the command', () => {
    const rule = { flow: 'tcp4', port: 9000, queue: 5 } as const
    expect(ruleCommand('eth0', rule)).toBe('ethtool -N eth0 flow-type tcp4 dst-port 9000 action 5')
    const bytes = writeRule(rule, 3)
    expect(bytes).toHaveLength(RXNFC_BYTES)
    // cmd, flow type, port and its mask, ring, location: everything else is zero.
    const set = [...bytes.entries()].filter(([, byte]) => byte !== 0)
    expect(set).toEqual([
      [0, 0x32],
      [16, 1],
      [20 + 10, 9000 >> 8],
      [20 + 11, 9000 & 0xff],
      [16 + 76 + 10, 0xff],
      [16 + 76 + 11, 0xff],
      [16 + 152, 5],
      [16 + 160, 3],
    ])
  })

  it('is read as it was written, over both versions', () => {
    for (const flow of ['tcp4', 'tcp6'] as const) {
      const read = readRule(writeRule({ flow, port: 80, queue: 2 }, 9))
      expect(read).toEqual({ location: 9, flow, port: 80, narrower: false, queue: 2 })
    }
  })

  it('says so when it looks at more, or goes to no queue', () => {
    const narrow = writeRule({ flow: 'tcp4', port: 80, queue: 2 }, 9)
    narrow[16 + 76] = 0xff
    expect(readRule(narrow)).toMatchObject({ port: 80, narrower: true })
    const dropping = writeRule({ flow: 'tcp6', port: 80, queue: 2 }, 9)
    dropping.fill(0xff, 16 + 152, 16 + 160)
    expect(readRule(dropping)).toMatchObject({ port: 80, queue: null })
  })

  it('is read from whatever comes', () => {
    expect(readRule(new Uint8Array(RXNFC_BYTES - 1))).toBeNull()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: RXNFC_BYTES, maxLength: RXNFC_BYTES + 8 }), (bytes) => {
        const rule = readRule(bytes)!
        expect(rule.flow).not.toBe('')
        if (rule.queue !== null) expect(rule.queue).toBeLessThan(2 ** 32)
      }),
      { seed: 4 },
    )
  })
})

describe('the table of rules', () => {
  const rule = { flow: 'tcp4', port: 80, queue: 1 } as const

  it('lets the driver choose the place where it does', () => {
    const table = new Table(16, true)
    expect(insertRule(table.native, 'eth0', rule)).toBe(7)
    expect(listRules(table.native, 'eth0')).toEqual([
      { location: 7, flow: 'tcp4', port: 80, narrower: false, queue: 1 },
    ])
    expect(removeRule(table.native, 'eth0', 7)).toBe(0)
    expect(removeRule(table.native, 'eth0', 7)).toBe(ENOENT)
  })

  it('takes the last free place else, until it is full', () => {
    const table = new Table(2, false)
    expect(insertRule(table.native, 'eth0', rule)).toBe(1)
    expect(insertRule(table.native, 'eth0', rule)).toBe(0)
    expect(insertRule(table.native, 'eth0', rule)).toBe(ENOSPC)
  })

  it('believes no number of rules', () => {
    const table = new Table(16, false)
    insertRule(table.native, 'eth0', rule)
    table.lie = 0x7fff_0000
    const rules = listRules(table.native, 'eth0')
    expect(Array.isArray(rules) && rules.length <= 4096).toBe(true)
  })

  it.skipIf(native === null)('the loopback has none', () => {
    expect(listRules(native!, 'lo')).toBe(EOPNOTSUPP)
    expect(insertRule(native!, 'lo', rule)).toBe(EOPNOTSUPP)
    expect(removeRule(native!, 'lo', 0)).toBe(EOPNOTSUPP)
  })

  it.skipIf(native === null)('no request of another kind or too few bytes comes to the kernel', () => {
    const request = (command: number, bytes: number, count = 0, at = 184): Uint8Array => {
      const made = new Uint8Array(bytes)
      const view = new DataView(made.buffer)
      view.setUint32(0, command, true)
      if (count > 0) view.setUint32(at, count, true)
      return made
    }
    for (const wrong of [
      new Uint8Array(0),
      request(0x03, 192),
      request(0x32, 191),
      request(0x30, 192, 2),
      request(0x30, 192, 0xffff_ffff),
      request(0x39, 4),
      request(0x39, 12, 2, 4),
    ])
      expect(() => native!.ethtool('lo', wrong)).toThrow(RangeError)
  })
})
