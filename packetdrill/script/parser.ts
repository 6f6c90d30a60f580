import type { Position } from '../errors.ts'
import type { EventTime, Script, ScriptEvent, ScriptOption, ShellBlock } from './ast.ts'
import { parseCall } from './call-parser.ts'
import { parsePacket } from './packet-parser.ts'
import { preprocess } from './preprocess.ts'
import { Scanner } from './scanner.ts'

const DEFINED: ReadonlySet<string> = new Set(['STANDARD'])
const SECOND_US = 1_000_000
/** Latest time in a script: a year. */
const MAX_TIME_S = 31_536_000

/** Reads a script. @throws ScriptError, UnsupportedError */
export function parseScript(text: string): Script {
  const scanner = new Scanner(preprocess(text.replaceAll('\r\n', '\n'), DEFINED))
  const options: ScriptOption[] = []
  const blocks: ShellBlock[] = []
  const events: ScriptEvent[] = []
  while (!scanner.done) {
    const at = scanner.here()
    if (events.length === 0 && scanner.take('--')) options.push(parseOption(scanner, at))
    else if (scanner.take('`')) blocks.push({ kind: 'shell', at, text: scanner.until('`', 'shell block') })
    else events.push(parseEvent(scanner, at))
  }
  return { options, blocks, events }
}

function parseOption(scanner: Scanner, at: Position): ScriptOption {
  const found = scanner.matchHere(/([A-Za-z_][\w-]*)(?:=(?:"([^"\n]*)"|(\S*)))?/y)
  if (found === null) scanner.fail('-- without the name of an option', at)
  return { at, name: found[1]!, value: found[2] ?? found[3] ?? '' }
}

function parseEvent(scanner: Scanner, at: Position): ScriptEvent {
  const time = parseTime(scanner, at)
  const bodyAt = scanner.here()
  const start = scanner.at
  const body = parseBody(scanner, at, bodyAt, time)
  const text = scanner.text.slice(start, scanner.at)
  return {
    at,
    time,
    body,
    text: text
      .replaceAll(/\/\/[^\n]*/g, '')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  }
}

function parseBody(scanner: Scanner, at: Position, bodyAt: Position, time: EventTime): ScriptEvent['body'] {
  if (scanner.take('`')) {
    needExact(scanner, time, at)
    return { kind: 'shell', at: bodyAt, text: scanner.until('`', 'shell block') }
  }
  if (scanner.take('%{')) {
    needExact(scanner, time, at)
    return { kind: 'code', at: bodyAt, text: scanner.until('}%', 'code block') }
  }
  const direction = scanner.match(/[<>]/y)?.[0]
  if (direction === undefined) {
    const call = parseCall(scanner, bodyAt)
    if (time.kind === 'any' || time.to !== null) scanner.fail('a call needs an exact time', at)
    return call
  }
  if (time.until !== null) scanner.fail('only calls block', at)
  if (direction === '<') needExact(scanner, time, at)
  return parsePacket(scanner, direction === '<' ? 'in' : 'out', bodyAt)
}

function needExact(scanner: Scanner, time: EventTime, at: Position): void {
  if (time.kind === 'any' || time.to !== null || time.until !== null) {
    scanner.fail('only outbound packets may come at any time or within a range', at)
  }
}

function parseTime(scanner: Scanner, at: Position): EventTime {
  if (scanner.take('*')) return { kind: 'any', from: 0, to: null, until: null }
  const relative = scanner.take('+')
  const from = parseSeconds(scanner, at)
  let to: number | null = null
  let until: number | null = null
  if (scanner.take('~')) {
    if (scanner.take('+') !== relative) scanner.fail('both ends of a range are relative, or none', at)
    to = parseSeconds(scanner, at)
    if (to < from) scanner.fail('the range ends before it begins', at)
  } else if (scanner.take('...')) {
    scanner.take('+')
    until = parseSeconds(scanner, at)
    if (until < from) scanner.fail('the call returns before it begins', at)
  }
  return { kind: relative ? 'relative' : 'absolute', from, to, until }
}

function parseSeconds(scanner: Scanner, at: Position): number {
  const found = scanner.match(/(?:\d+(?:\.\d+)?|\.\d+)(?![\w])/y)
  if (found === null) scanner.fail(`expected a time, found ${scanner.found()}`, at)
  const seconds = Number(found[0])
  if (seconds > MAX_TIME_S) scanner.fail('a time of more than a year', at)
  return Math.round(seconds * SECOND_US)
}
