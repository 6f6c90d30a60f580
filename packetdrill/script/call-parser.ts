import type { Position } from '../errors.ts'
import type { Call, Value } from './ast.ts'
import type { Scanner } from './scanner.ts'

/** Structures in structures: deeper ones are somebody's joke. */
const MAX_DEPTH = 16

/** `name(args) = result [ERRNO] [(text)]` */
export function parseCall(scanner: Scanner, at: Position): Call {
  const name = scanner.word() ?? scanner.fail(`expected an event, found ${scanner.found()}`, at)
  scanner.expect('(', `behind ${name}`)
  const args = parseArguments(scanner, 0)
  scanner.expect('=', `behind ${name}(...)`)
  if (scanner.take('?')) return { kind: 'call', at, name, args, result: null, errno: '' }
  const result = scanner.take('...') ? null : scanner.needInteger('a result')
  let errno = ''
  if (result === -1) errno = scanner.matchHere(/[ \t]*(E[A-Z0-9]+)/y)?.[1] ?? ''
  scanner.matchHere(/[ \t]*\([^)\n]*\)/y)
  return { kind: 'call', at, name, args, result, errno }
}

function parseArguments(scanner: Scanner, depth: number): Value[] {
  const args: Value[] = []
  if (scanner.take(')')) return args
  do args.push(parseValue(scanner, depth))
  while (scanner.take(','))
  scanner.expect(')', 'behind the arguments')
  return args
}

function parseValue(scanner: Scanner, depth: number): Value {
  if (depth > MAX_DEPTH) scanner.fail('structures too deep')
  const at = scanner.here()
  if (scanner.take('...')) return { kind: 'ellipsis', at }
  if (scanner.take('"')) return { kind: 'string', at, value: scanner.until('"', 'string') }
  if (scanner.take('[')) return { kind: 'list', at, items: parseList(scanner, depth) }
  if (scanner.take('{')) return { kind: 'struct', at, fields: parseFields(scanner, depth) }
  return parseNames(scanner, at, depth)
}

function parseNames(scanner: Scanner, at: Position, depth: number): Value {
  const names: string[] = []
  let value = 0
  let numeric = true
  do {
    const number = scanner.integer()
    if (number !== null) {
      names.push(`${number}`)
      value |= number
      if (names.length === 1 && numeric) value = number
      continue
    }
    const name = scanner.word() ?? scanner.fail(`expected an argument, found ${scanner.found()}`, at)
    if (names.length === 0 && scanner.take('(')) {
      return { kind: 'macro', at, name, args: parseArguments(scanner, depth + 1) }
    }
    numeric = false
    names.push(name)
  } while (scanner.take('|'))
  return numeric ? { kind: 'number', at, value } : { kind: 'names', at, names }
}

function parseList(scanner: Scanner, depth: number): Value[] {
  const items: Value[] = []
  if (scanner.take(']')) return items
  do items.push(parseValue(scanner, depth + 1))
  while (scanner.take(','))
  scanner.expect(']', 'behind a list')
  return items
}

function parseFields(scanner: Scanner, depth: number): Map<string, Value> {
  const fields = new Map<string, Value>()
  if (scanner.take('}')) return fields
  do {
    const name = scanner.match(/\.?([A-Za-z_][\w.]*)(?=\s*(?:=|\())/y)?.[1] ?? `${fields.size}`
    // `name(length)=` gives the length of an array beside its name.
    scanner.matchHere(/\((?:\d+|\.\.\.)\)/y)
    scanner.take('=')
    if (fields.has(name)) scanner.fail(`field ${name} twice`)
    fields.set(name, parseValue(scanner, depth + 1))
  } while (scanner.take(','))
  scanner.expect('}', 'behind a structure')
  return fields
}
