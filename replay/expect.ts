import { AssertionError } from 'node:assert'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ArgumentError } from '../driver/errors.ts'
import { diffLines } from '../pcap/diff.ts'
import { LINKTYPE_ETHERNET } from '../pcap/file/format.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import { packetLine } from '../pcap/line.ts'
import { SequenceTracker } from '../pcap/sequence-tracker.ts'
import { type KeptCompletion, streamKey } from './kept.ts'
import type { ReplayResult } from './result.ts'

/** Bytes of a completion that are shown. */
const SHOWN_BYTES = 32

/** What a completion should be: so many bytes, these bytes (a string is UTF-8), or several things at once. */
export type ExpectedCompletion =
  | number
  | string
  | Uint8Array
  | {
      readonly length?: number
      readonly bytes?: string | Uint8Array
      /** Number of the buffer in the area, and offset in it. */
      readonly niov?: number
      readonly offset?: number
    }

export interface ExpectOptions {
  /** Default 0. */
  readonly stream?: number
  /** Who sent what was received. Default `client`: our stack was the server. */
  readonly direction?: 'client' | 'server'
}

/** What a stream's report should say; fields that are missing don't matter. */
export type ExpectedStream = Partial<StreamReport>

/**
 * The ring's data completions of a replayed stream are these, in this order, and no others. On failure the message shows what
 * differs, and the packets of the run with a line each; a capture of the run is left in a file that it names.
 * @throws AssertionError
 */
export function expectCompletions(
  run: ReplayResult,
  expected: readonly ExpectedCompletion[],
  options: ExpectOptions = {},
): void {
  const { stream = 0, direction = 'client' } = options
  const { kept } = run
  if (kept === null || kept.incomplete) {
    throw new ArgumentError(
      'the replay did not keep its completions',
      'replay a smaller capture, with keep: true',
    )
  }
  const actual = kept.completions(streamKey(stream, direction))
  const equal = actual.length === expected.length && actual.every((one, i) => matches(one, expected[i]!))
  if (equal) return
  const wanted = expected.map((one) => describeExpected(one))
  const got = actual.map((one, i) => {
    const wants = expected[i]
    // What is as expected reads as it does there.
    return wants !== undefined && matches(one, wants) ? wanted[i]! : describeCompletion(one)
  })
  const name = `completions of stream ${stream}, ${direction}`
  fail(run, name, diffLines(wanted, got), expected.length, actual.length)
}

/** The report of a replayed stream says this. @throws AssertionError, as `expectCompletions` */
export function expectStream(run: ReplayResult, expected: ExpectedStream, options: ExpectOptions = {}): void {
  const { stream = 0, direction = 'client' } = options
  const report = run.streams.find((one) => one.stream === stream && one.direction === direction)
  const actual = Object.keys(expected).map((key) => `${key}: ${report?.[key as keyof StreamReport]}`)
  const wanted = Object.entries(expected).map(([key, value]) => `${key}: ${value}`)
  if (actual.join('\n') === wanted.join('\n')) return
  fail(run, `stream ${stream}, ${direction}`, diffLines(wanted, actual), wanted, actual)
}

/**
 * Our endpoint sent these packets, in this order, and no others: lines as `packetLines` gives them, in which `*` stands for
 * anything. @param options `direction` is the side that was played to it; default `client`: our stack was the server
 * @throws AssertionError, as `expectCompletions`
 */
export function expectPackets(
  run: ReplayResult,
  expected: readonly string[],
  { direction = 'client' }: Pick<ExpectOptions, 'direction'> = {},
): void {
  const actual = packetLines(run, 'sent', direction)
  const patterns = expected.map((line) => new RegExp(`^${line.split('*').map(literally).join('.*')}$`))
  if (actual.length === expected.length && actual.every((line, i) => patterns[i]!.test(line))) return
  const got = actual.map((line, i) => {
    if (patterns[i]?.test(line) === true) return expected[i]!
    const at = patterns.findIndex((pattern) => pattern.test(line))
    return at < 0 ? line : expected[at]!
  })
  fail(run, 'packets that our endpoint sent', diffLines([...expected], got), expected, actual)
}

/**
 * The packets of a run with a line each, without numbers and times: what our endpoint sent, received, or both.
 * @param direction the side that was played to it; both when it is not said, one after the other
 */
export function packetLines(
  run: ReplayResult,
  which: 'sent' | 'received' | 'both' = 'both',
  direction?: 'client' | 'server',
): string[] {
  if (direction === undefined) {
    return [...packetLines(run, which, 'client'), ...packetLines(run, which, 'server')]
  }
  if (run.kept === null) throw new ArgumentError('the replay kept nothing', 'replay with keep: true')
  const lines: string[] = []
  const tracker = new SequenceTracker()
  for (const { received, bytes, comment, plays } of run.kept.frames) {
    if (plays !== direction) continue
    const line = packetLine(bytes, LINKTYPE_ETHERNET, { tracker })
    if (which === 'both' || (which === 'received') === received) {
      lines.push(comment === '' ? line : `${line}; ${comment}`)
    }
  }
  return lines
}

function fail(
  run: ReplayResult,
  what: string,
  difference: string,
  expected: unknown,
  actual: unknown,
): never {
  const parts = [`${what} differ from what was expected (-):`, difference]
  if (run.kept !== null) {
    const lines = packetLines(run)
    const rest = lines.length - 50
    const shown = rest > 0 ? [...lines.slice(0, 50), `… ${rest} more`] : lines
    const file = join(mkdtempSync(join(tmpdir(), 'zcrx-replay-')), 'run.pcapng')
    writeFileSync(file, run.kept.capture())
    parts.push('', 'the packets of the run:', ...shown, '', `a capture of the run: ${file}`)
  }
  throw new AssertionError({ message: parts.join('\n'), expected, actual, operator: 'replay' })
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? new TextEncoder().encode(value) : value
}

function matches(actual: KeptCompletion, expected: ExpectedCompletion): boolean {
  if (typeof expected === 'number') return actual.bytes.length === expected
  if (typeof expected === 'string' || expected instanceof Uint8Array)
    return same(actual.bytes, bytesOf(expected))
  const { length, bytes, niov, offset } = expected
  return (
    (length === undefined || actual.bytes.length === length) &&
    (bytes === undefined || same(actual.bytes, bytesOf(bytes))) &&
    (niov === undefined || actual.offset >>> 12 === niov) &&
    (offset === undefined || (actual.offset & 4095) === offset)
  )
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function describeCompletion({ bytes, offset }: KeptCompletion): string {
  return `${bytes.length} bytes ${show(bytes)} in niov ${offset >>> 12}+${offset & 4095}`
}

function describeExpected(expected: ExpectedCompletion): string {
  if (typeof expected === 'number') return `${expected} bytes`
  if (typeof expected === 'string' || expected instanceof Uint8Array) {
    const bytes = bytesOf(expected)
    return `${bytes.length} bytes ${show(bytes)}`
  }
  const { length, bytes, niov, offset } = expected
  const parts: string[] = []
  if (bytes !== undefined) parts.push(describeExpected(bytes))
  else parts.push(length === undefined ? 'any bytes' : `${length} bytes`)
  if (niov !== undefined || offset !== undefined) parts.push(`in niov ${niov ?? '*'}+${offset ?? '*'}`)
  return parts.join(' ')
}

function show(bytes: Uint8Array): string {
  const part = bytes.subarray(0, SHOWN_BYTES)
  const more = bytes.length > SHOWN_BYTES ? '…' : ''
  const printable = part.every((byte) => byte >= 32 && byte < 127)
  return printable
    ? `"${Buffer.from(part).toString('latin1')}${more}"`
    : `${Buffer.from(part).toString('hex')}${more}`
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
