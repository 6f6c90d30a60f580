import { ArgumentError } from '../errors.ts'
import type { DialOptions } from './dialer.ts'
import type { OpenHostOptions } from './host.ts'
import type { ServerOptions } from './server-types.ts'

/** What an option may be: undefined, or what is wrong with it. */
type Check = (value: unknown) => string | undefined

const anything: Check = () => undefined
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'is not true or false')
const text: Check = (value) => (typeof value === 'string' ? undefined : 'is not a string')
const texts: Check = (value) =>
  typeof value === 'string' || (Array.isArray(value) && value.every((one) => typeof one === 'string'))
    ? undefined
    : 'is not a string, or an array of strings'
const object: Check = (value) =>
  typeof value === 'object' && value !== null ? undefined : 'is not an object'
const list: Check = (value) => (Array.isArray(value) ? undefined : 'is not an array')
const whole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `is not an integer from ${least} to ${most}`
const oneOf =
  (...choices: readonly unknown[]): Check =>
  (value) =>
    choices.includes(value) ? undefined : `is none of ${choices.join(', ')}`
const either =
  (first: Check, second: Check): Check =>
  (value) =>
    first(value) === undefined || second(value) === undefined
      ? undefined
      : `${first(value)}, nor ${second(value)}`.replace('nor is', 'and')
const microseconds: Check = (value) =>
  typeof value === 'boolean' || (typeof value === 'number' && value >= 0)
    ? undefined
    : 'is neither true or false nor microseconds, 0 or more'
const powerOfTwo: Check = (value) =>
  Number.isInteger(Math.log2(value as number)) && (value as number) >= 1 ? undefined : 'is no power of two'
const signal: Check = (value) => (value instanceof AbortSignal ? undefined : 'is not an AbortSignal')

const MOST = 2 ** 31 - 1
const BYTES = Number.MAX_SAFE_INTEGER

const limits = { sendBufferBytes: whole(0, BYTES), receiveBufferBytes: whole(1, BYTES) }
const ring = { cqEntries: whole(1, MOST), busyPoll: microseconds }

const hostOnly = {
  // What opens a device says what is wrong with its name.
  device: anything,
  address: texts,
  ownAddress: flag,
  dad: flag,
  clock: object,
  prefixLength: whole(0, 128),
  gateway: texts,
  tcp: object,
  ip: object,
  burst: whole(1, MOST),
  takeOver: flag,
  sibling: flag,
  secretFile: text,
  workers: either(whole(1, 255), oneOf('queues')),
  backend: oneOf('zcrx', 'linux'),
  spinUs: microseconds,
  resourceLimits: object,
  areaBytes: whole(1, BYTES),
  bufferBytes: powerOfTwo,
  rqEntries: whole(1, MOST),
  area: object,
  system: anything,
}

const ofHost = { ...hostOnly, ...ring, ...limits, signal } satisfies Record<keyof OpenHostOptions, Check>

const sockets = {
  noDelay: flag,
  keepAlive: either(flag, whole(0, MOST)),
  userTimeoutMs: whole(0, MOST),
}

const ofServer = {
  ...ofHost,
  ...sockets,
  host: object,
  port: whole(0, 65_535),
  listenOn: text,
  listen: list,
  backlog: whole(0, MOST),
  fastOpen: whole(0, MOST),
  idleTimeoutMs: whole(0, MOST),
  handler: object,
} satisfies Record<keyof ServerOptions, Check>

const ofDial = {
  ...sockets,
  signal,
  // The peer, and its port, are looked at where they are used.
  host: anything,
  port: whole(1, 65_535),
  family: oneOf(4, 6),
  localAddress: text,
  localPort: whole(0, 65_535),
  timeout: whole(0, MOST),
  handler: object,
  queue: whole(0, 255),
} satisfies Record<keyof DialOptions, Check>

/** What a host is opened with and can't be told otherwise by whoever joins it. */
export const HOST_OPTIONS = Object.keys({
  ...hostOnly,
  ...ring,
  ...limits,
}) as readonly (keyof OpenHostOptions)[]
/** Those of them that whoever joins has to say alike. */
export const SAME_OPTIONS = Object.keys(hostOnly) as readonly (keyof OpenHostOptions)[]

/** @throws ArgumentError that names the first option that is wrong, or unknown */
function check(of: string, options: unknown, known: Readonly<Record<string, Check>>): void {
  if (typeof options !== 'object' || options === null)
    throw new ArgumentError(`${of} takes an object of options`, `not ${String(options)}`)
  for (const [name, value] of Object.entries(options)) {
    const test = Object.hasOwn(known, name) ? known[name] : undefined
    if (test === undefined)
      throw new ArgumentError(`${of} has no option ${name}`, suggestion(name, Object.keys(known)))
    const wrong = value === undefined ? undefined : test(value)
    if (wrong !== undefined) throw new ArgumentError(`${name} ${shown(value)} ${wrong}`)
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value)
}

/** The option that was meant, as far as can be told. */
function suggestion(name: string, known: readonly string[]): string {
  const near = known
    .map((one) => [distance(name.toLowerCase(), one.toLowerCase()), one] as const)
    .sort(([a], [b]) => a - b)[0]
  return near !== undefined && near[0] <= Math.max(2, name.length / 3) ? `did you mean ${near[1]}?` : ''
}

/** Letters to change, to add or to leave out (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1]))
    row = next
  }
  return row[b.length]!
}

/** @throws ArgumentError */
export function checkHost(options: OpenHostOptions): void {
  check('openHost', options, ofHost)
}

/** @throws ArgumentError */
export function checkServer(options: ServerOptions): void {
  check('createServer', options, ofServer)
  for (const where of options.listen ?? []) check('listen', where, { address: text, port: whole(0, 65_535) })
  const { handler } = options
  if (handler === undefined) return
  for (const name of ['onData', 'onEnd'] as const)
    if (typeof handler[name] !== 'function')
      throw new ArgumentError(
        `the handler has no ${name}`,
        'give it one, or leave the handler out to iterate',
      )
}

/** @throws ArgumentError */
export function checkConnect(options: object): void {
  check('connect', options, { ...ofHost, ...ofDial })
}
