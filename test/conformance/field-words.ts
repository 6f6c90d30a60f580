import { PAGE } from './memory.ts'
import type { Registration } from './registration.ts'
import type { Struct } from './structs.ts'

/**
 * Understands what the record says in words about one field, such as `region.size -= 64`, `__resv[0] = 1 on input` or
 * `area.addr = ~0 aligned`. Returns whether anything was understood.
 */
export function changeByWords(registration: Registration, what: string): boolean {
  const structs: Readonly<Record<string, Struct>> = {
    '': registration.reg,
    reg: registration.reg,
    ifq: registration.reg,
    area: registration.area,
    region: registration.region,
    event_desc: registration.event,
    desc: registration.event,
  }
  return changeFields(structs, what)
}

/**
 * @param structs by the word in front of the dot; '' for fields without one
 * @param member of a union that fields without a dot may belong to, as `zc_export`
 */
export function changeFields(structs: Readonly<Record<string, Struct>>, what: string, member = ''): boolean {
  let understood = false
  const pattern = /(?:\b(\w+)\.)?((?:\w+\.)?\w+(?:\[\d+\])?)\s*(=|\+=|-=|\+|-)\s*([~\w|<>()]+)/g
  for (const [, front = '', field, operator, text] of what.matchAll(pattern)) {
    const value = numberOfWords(text!)
    const direct = structs[front]
    const nested = front === '' ? undefined : structs['']
    const [struct, name] =
      direct?.has(field!) === true
        ? [direct, field!]
        : nested?.has(`${front}.${field!}`) === true
          ? [nested, `${front}.${field!}`]
          : structs['']?.has(`${member}.${field!}`) === true
            ? [structs[''], `${member}.${field!}`]
            : [undefined, '']
    if (struct === undefined || value === null) continue
    const before = struct.big(name)
    if (operator === '=') struct.set(name, value)
    else if (operator!.startsWith('+')) struct.set(name, before + value)
    else struct.set(name, before - value)
    understood = true
  }
  return understood
}

/** A number as prose writes it: `64`, `0x10`, `~0`, `1<<48`, `(1<<48)`, `page`. Null for other words. */
export function numberOfWords(text: string): bigint | null {
  let sum = 0n
  for (const part of text.replaceAll(/[()]/g, '').split('|')) {
    const value = partOf(part)
    if (value === null) return null
    sum |= value
  }
  return sum
}

const WORDS: Readonly<Record<string, bigint>> = {
  page: BigInt(PAGE),
  NULL: 0n,
  NODEV: 2n,
  IMPORT: 1n,
  TYPE_USER: 1n,
  DMABUF: 1n,
  MULTISHOT: 2n,
  POLL_FIRST: 1n,
  FIXED_BUF: 4n,
  BUNDLE: 16n,
  SEND_ZC_REPORT_USAGE: 8n,
}

function partOf(part: string): bigint | null {
  const shift = /^(\d+)<<(\d+)$/.exec(part)
  if (shift !== null) return BigInt(shift[1]!) << BigInt(shift[2]!)
  const inverse = /^~(\d+)$/.exec(part)
  if (inverse !== null) return BigInt.asUintN(64, ~BigInt(inverse[1]!))
  if (/^(0x[0-9a-f]+|\d+)$/i.test(part)) return BigInt(part)
  return WORDS[part] ?? null
}
