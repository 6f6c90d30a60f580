import { AssertionError } from 'node:assert'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ArgumentError } from '../errors.ts'
import { checkInteger, checkObject, checkOneOf, checkThat } from '../pcap/check.ts'
import { diffLines } from '../pcap/diff.ts'
import { LINKTYPE_ETHERNET } from '../pcap/file/format.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import { packetLine } from '../pcap/line.ts'
import { SequenceTracker } from '../pcap/sequence-tracker.ts'
import { type Kept, type KeptCompletion, streamKey } from './kept.ts'
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

/** Which stream of a replay is meant. */
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
 * differs, and the packets of the stream with a line each; a capture of the run is left in a file that it names.
 * @throws AssertionError
 */
export function expectCompletions(
  run: ReplayResult,
  expected: readonly ExpectedCompletion[],
  options: ExpectOptions = {},
): void {
  const { stream = 0, direction = 'client' } = checkOptions(run, options)
  checkThat('expected', expected, Array.isArray(expected), 'an array of completions')
  const { kept } = run
  if (kept === null || kept.incomplete) {
    throw new ArgumentError(
      'the replay did not keep its completions',
      'replay a smaller capture, with keep: true',
    )
  }
  const name = `completions of stream ${stream}, ${direction}`
  reportOf(run, stream, direction) ??
    missing(
      run,
      name,
      expected.map((one) => describeExpected(one)),
    )
  const actual = kept.completions(streamKey(stream, direction))
  const equal = actual.length === expected.length && actual.every((one, i) => matches(one, expected[i]!))
  if (equal) return
  const wanted = expected.map((one) => describeExpected(one))
  const got = actual.map((one, i) => {
    const wants = expected[i]
    // What is as expected reads as it does there.
    return wants !== undefined && matches(one, wants) ? wanted[i]! : describeCompletion(one)
  })
  fail(run, name, diffLines(wanted, got), expected.length, actual.length, { stream, direction })
}

/** The report of a replayed stream says this. @throws AssertionError, as `expectCompletions` */
export function expectStream(run: ReplayResult, expected: ExpectedStream, options: ExpectOptions = {}): void {
  const { stream = 0, direction = 'client' } = checkOptions(run, options)
  checkObject('expected', expected)
  const wanted = Object.entries(expected).map(([key, value]) => `${key}: ${value}`)
  const name = `stream ${stream}, ${direction}`
  const report = reportOf(run, stream, direction) ?? missing(run, name, wanted)
  for (const key of Object.keys(expected)) {
    checkThat(
      key,
      expected[key as keyof StreamReport],
      key in report,
      `fields of a report: ${Object.keys(report)}`,
    )
  }
  const actual = Object.keys(expected).map((key) => `${key}: ${report[key as keyof StreamReport]}`)
  if (actual.join('\n') === wanted.join('\n')) return
  fail(run, name, diffLines(wanted, actual), wanted, actual, {
    stream,
    direction,
  })
}

/**
 * Our endpoint sent these packets, in this order, and no others: lines as `packetLines` gives them, in which `*` stands for
 * anything. @param options `direction` is the side that was played to it; default `client`: our stack was the server.
 * `stream` leaves the packets of others out; default all @throws AssertionError, as `expectCompletions`
 */
export function expectPackets(
  run: ReplayResult,
  expected: readonly string[],
  options: ExpectOptions = {},
): void {
  const { stream, direction = 'client' } = checkOptions(run, options)
  checkThat('expected', expected, Array.isArray(expected), 'an array of lines')
  for (const [i, line] of expected.entries())
    checkThat(`expected[${i}]`, line, typeof line === 'string', 'a line')
  if (run.kept === null) throw new ArgumentError('the replay kept nothing', 'replay with keep: true')
  const what = 'packets that our endpoint sent'
  const played = run.streams.some(
    (one) => one.direction === direction && (stream === undefined || one.stream === stream),
  )
  if (!played) missing(run, what, expected)
  const actual = linesOf(run.kept, { which: 'sent', direction, stream, timed: false })
  const patterns = expected.map((line) => new RegExp(`^${line.split('*').map(literally).join('.*')}$`))
  if (actual.length === expected.length && actual.every((line, i) => patterns[i]!.test(line))) return
  const got = actual.map((line, i) => {
    if (patterns[i]?.test(line) === true) return expected[i]!
    const at = patterns.findIndex((pattern) => pattern.test(line))
    return at < 0 ? line : expected[at]!
  })
  fail(run, what, diffLines([...expected], got), expected, actual, { stream, direction })
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
  checkOneOf('which', which, ['sent', 'received', 'both'])
  checkOptions(run, direction === undefined ? {} : { direction })
  if (direction === undefined) {
    return [...packetLines(run, which, 'client'), ...packetLines(run, which, 'server')]
  }
  if (run.kept === null) throw new ArgumentError('the replay kept nothing', 'replay with keep: true')
  return linesOf(run.kept, { which, direction, stream: undefined, timed: false })
}

/** Which packets of a run. */
interface Lines {
  readonly which: 'sent' | 'received' | 'both'
  readonly direction: 'client' | 'server'
  /** Undefined: of all. */
  readonly stream: number | undefined
  /** With numbers, and times since the first packet of the run. */
  readonly timed: boolean
}

function linesOf({ frames }: Kept, { which, direction, stream, timed }: Lines): string[] {
  const lines: string[] = []
  const tracker = new SequenceTracker()
  const first = frames[0]
  let number = 0
  for (const frame of frames) {
    const { received, bytes, comment, plays } = frame
    if (plays !== direction || (stream !== undefined && frame.stream !== stream)) continue
    const time = frame.seconds - first!.seconds + (frame.nanoseconds - first!.nanoseconds) / 1e9
    const line = packetLine(bytes, LINKTYPE_ETHERNET, {
      tracker,
      ...(timed ? { number: ++number, time } : {}),
    })
    if (which === 'both' || (which === 'received') === received) {
      lines.push(comment === '' ? line : `${line}; ${comment}`)
    }
  }
  return lines
}

/** @throws ArgumentError */
function checkOptions(run: ReplayResult, options: ExpectOptions): ExpectOptions {
  const result = typeof run === 'object' && run !== null && Array.isArray(run.streams)
  checkThat('run', run, result, 'what replay() returned')
  checkObject('options', options)
  checkInteger('stream', options.stream, 0, Number.MAX_SAFE_INTEGER)
  checkOneOf('direction', options.direction, ['client', 'server'])
  return options
}

/** @throws ArgumentError when somebody else has taken the reports */
function reportOf(
  run: ReplayResult,
  stream: number,
  direction: 'client' | 'server',
): StreamReport | undefined {
  if (run.streams.length === 0 && run.summary.conversations > 0 && run.reportsTaken)
    throw new ArgumentError('onReport has taken the reports of this run', 'replay without onReport')
  return run.streams.find((one) => one.stream === stream && one.direction === direction)
}

/** Of a stream that is not there nothing can be expected, not even that it has nothing. @throws AssertionError */
function missing(run: ReplayResult, what: string, wanted: readonly string[]): never {
  const names = run.streams.slice(0, 20).map(({ stream, direction }) => `${stream} ${direction}`)
  const more = run.streams.length > names.length ? ', …' : ''
  const there = names.length === 0 ? 'none' : `${names.join(', ')}${more}`
  const actual = [`there is no such stream: the run has ${there}`]
  const message = `${what} differ from what was expected (-):\n${diffLines([...wanted], actual)}`
  throw new AssertionError({ message, expected: wanted, actual, operator: 'replay' })
}

function fail(
  run: ReplayResult,
  what: string,
  difference: string,
  expected: unknown,
  actual: unknown,
  whose: { readonly stream: number | undefined; readonly direction: 'client' | 'server' },
): never {
  const parts = [`${what} differ from what was expected (-):`, difference]
  if (run.kept !== null) {
    const lines = linesOf(run.kept, { which: 'both', ...whose, timed: true })
    const rest = lines.length - 50
    const shown = rest > 0 ? [...lines.slice(0, 50), `… ${rest} more`] : lines
    const file = join(mkdtempSync(join(tmpdir(), 'zcrx-replay-')), 'run.pcapng')
    writeFileSync(file, run.kept.capture())
    const of = whose.stream === undefined ? 'the run' : `stream ${whose.stream}`
    parts.push('', `the packets of ${of}, played from the ${whose.direction}:`, ...shown)
    parts.push('', `a capture of the run: ${file}`)
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
