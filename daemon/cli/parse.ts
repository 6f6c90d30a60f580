import { isIP } from 'node:net'
import type { FsyncPolicy } from '../../sinks/operations.ts'

/** A value on the command line that can't be right; the message says what is allowed. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** Bytes: `4096`, `64K`, `64M`, `1.5G`, `64MiB` (powers of 1024). @throws UsageError */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?$/i.exec(text.trim())
  const bytes = match === null ? Number.NaN : Number(match[1]) * UNITS[match[2]!.toUpperCase()]!
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new UsageError(`"${text}" is not a size; write a whole number of bytes, or 64K, 64M, 1G`)
  }
  return bytes
}

/** A whole number in `[min, max]`. @throws UsageError naming `what` and the range */
export function parseInteger(text: string, what: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) {
    throw new UsageError(`"${text}" is not a ${what}; allowed is a whole number from ${min} to ${max}`)
  }
  return value
}

/** Most workers: as many as there are places for in what they share. */
const MAX_WORKERS = 255

/** A number of workers, or `queues`. @throws UsageError */
export function parseWorkers(text: string): number | 'queues' {
  return text === 'queues' ? text : parseInteger(text, "number of workers, or 'queues'", 1, MAX_WORKERS)
}

/** Ten minutes: who wants more never sleeps. */
const MAX_POLL_US = 600_000_000

/** Microseconds, or `always`. @throws UsageError */
export function parseBusyPoll(text: string): number {
  if (text === 'always') return Number.POSITIVE_INFINITY
  return parseInteger(text, "number of microseconds, or 'always'", 0, MAX_POLL_US)
}

export interface ListenAddress {
  /** IPv4 or IPv6; absent: the interface's first. */
  readonly address?: string
  /** 0: any free one. */
  readonly port: number
}

/** `192.0.2.1:9000`, `[2001:db8::1]:9000`, `:9000` or `9000`. @throws UsageError */
export function parseListen(text: string): ListenAddress {
  const colon = text.lastIndexOf(':')
  const address = colon < 0 ? '' : text.slice(0, colon)
  const port = parseInteger(text.slice(colon + 1), 'port', 0, 65535)
  if (address === '' || address === '*') return { port }
  const bracketed = /^\[(.+)\]$/.exec(address)?.[1]
  if (isIP(bracketed ?? address) !== (bracketed === undefined ? 4 : 6) || address.includes('%')) {
    throw new UsageError(`"${text}" is not ADDR:PORT, as in 192.0.2.1:9000 or [2001:db8::1]:9000`)
  }
  return { address: bracketed ?? address, port }
}

export type SinkSpec =
  | { readonly kind: 'discard' }
  | { readonly kind: 'hash' }
  | {
      readonly kind: 'file'
      readonly directory: string
      /** Absent: `close`. */
      readonly fsync?: FsyncPolicy
      /** Permission bits; absent: 0600. */
      readonly mode?: number
    }

/** `discard`, `hash` or `file:DIR`. @throws UsageError */
export function parseSink(text: string): SinkSpec {
  if (text === 'discard' || text === 'hash') return { kind: text }
  if (text.startsWith('file:') && text.length > 5) return { kind: 'file', directory: text.slice(5) }
  throw new UsageError(`"${text}" is not a sink; allowed are discard, hash and file:DIR`)
}

/** How often `interval` is when it isn't said. */
const FSYNC_EVERY_MS = 1000

/** `none`, `close`, `interval` (once a second) or `interval:TIME`. @throws UsageError */
export function parseFsync(text: string): FsyncPolicy {
  if (text === 'none' || text === 'close') return { kind: text }
  if (text === 'interval') return { kind: 'interval', everyMs: FSYNC_EVERY_MS }
  const time = /^interval:(.+)$/.exec(text)?.[1]
  const everyMs = time === undefined ? 0 : parseDuration(time)
  if (everyMs >= 1 && everyMs <= MAX_TIMER_MS) return { kind: 'interval', everyMs }
  throw new UsageError(
    `"${text}" says not when to sync; allowed are none, close, interval, and interval:TIME as in interval:500ms`,
  )
}

/** The longest time that a timer takes. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Permission bits in octal: `600`, `0640`. @throws UsageError */
export function parseFileMode(text: string): number {
  const bits = /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : 0
  // Who can't write it himself could not write it again.
  if ((bits & 0o200) !== 0) return bits
  throw new UsageError(
    `"${text}" are no permission bits of a file that is written; write them in octal, as in 0640`,
  )
}

/** One of `allowed`. @throws UsageError listing them */
export function parseChoice<T extends string>(text: string, what: string, allowed: readonly T[]): T {
  const found = allowed.find((choice) => choice === text)
  if (found === undefined) throw new UsageError(`"${text}" is not a ${what}; allowed: ${allowed.join(', ')}`)
  return found
}

/** `192.0.2.5`, `192.0.2.5/24`, `2001:db8::5/64`, or `auto` (also `slaac`): IPv6 from routers. @throws UsageError */
export function parseAddress(text: string): string {
  if (text === 'auto' || text === 'slaac') return 'auto'
  const [address = '', bits, ...more] = text.split('/')
  const version = address.includes('%') ? 0 : isIP(address)
  const most = version === 4 ? 32 : 128
  const fits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most)
  if (version !== 0 && fits && more.length === 0) return text
  throw new UsageError(`"${text}" is not an address; write 192.0.2.5/24, 2001:db8::5/64, or auto`)
}

/** An address of a gateway. @throws UsageError */
export function parseGateway(text: string): string {
  if (isIP(text) !== 0 && !text.includes('%')) return text
  throw new UsageError(`"${text}" is not a gateway; write its address, as in 192.0.2.254 or fe80::1`)
}

/** VLAN ids, outer first: `7`, `100.7`. @throws UsageError */
export function parseVlan(text: string): number[] {
  const ids = text.split('.')
  if (ids.length > 2) throw new UsageError(`"${text}" is more than two VLAN ids; write 7, or 100.7`)
  return ids.map((id) => parseInteger(id, 'VLAN id', 1, 4094))
}

/** Bits a second: `10M`, `1G`, `2.5G`, `100000` (powers of 1000). @throws UsageError */
export function parseRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:bit(?:\/s|ps)?|bps)?$/i.exec(text.trim())
  const power = match === null ? 0 : ['', 'K', 'M', 'G', 'T'].indexOf(match[2]!.toUpperCase())
  const rate = match === null ? 0 : Number(match[1]) * 1000 ** power
  if (rate >= 1) return rate
  throw new UsageError(`"${text}" is not a rate; write bits a second, as in 10M, 1G or 2.5G`)
}

/** What `--impair` says: probabilities, a delay, the seed of every decision. */
export interface ImpairSpec {
  readonly loss?: number
  readonly reorder?: number
  readonly duplicate?: number
  readonly corrupt?: number
  readonly delayUs?: number
  /** Absent: a fresh one. */
  readonly seed?: number
}

/** `loss=1%,reorder=0.02,delay=10ms,seed=7`. @throws UsageError */
export function parseImpair(text: string): ImpairSpec {
  const spec: { -readonly [name in keyof ImpairSpec]: number } = {}
  for (const part of text.split(',')) {
    const [name, value = '', ...more] = part.split('=')
    if (more.length > 0) throw new UsageError(`"${part}" is not NAME=VALUE`)
    if (name === 'loss' || name === 'reorder' || name === 'duplicate' || name === 'corrupt') {
      spec[name] = parseProbability(value)
    } else if (name === 'delay') spec.delayUs = parseDelay(value)
    else if (name === 'seed') spec.seed = parseInteger(value, 'seed', 0, 2 ** 32 - 1)
    else {
      throw new UsageError(
        `"${part}" is no impairment; allowed are loss, reorder, duplicate, corrupt (1%), delay (10ms) and seed`,
      )
    }
  }
  return spec
}

function parseProbability(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text)
  const value = match === null ? -1 : Number(match[1]) / (match[2] === '%' ? 100 : 1)
  if (value >= 0 && value <= 1) return value
  throw new UsageError(`"${text}" is not a probability; write 1% or 0.01`)
}

function parseDelay(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s)$/.exec(text)
  const us =
    match === null ? -1 : Number(match[1]) * { us: 1, ms: 1000, s: 1e6 }[match[2] as 'us' | 'ms' | 's']
  if (us >= 0 && us <= 60e6) return us
  throw new UsageError(`"${text}" is not a delay of at most a minute; write 10ms, 500us or 1s`)
}

/** A whole number of milliseconds from `2s`, `500ms` or `0` (off). @throws UsageError */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text)
  if (match === null) throw new UsageError(`"${text}" is not a duration; write 500ms, 2s or 1m (0: off)`)
  const unit = match[2] === 'ms' ? 1 : match[2] === 'm' ? 60_000 : 1000
  return Math.round(Number(match[1]) * unit)
}

/**
 * The library's device string for an interface and a queue. What already names a driver (`xdp:eth0?mode=native`) is
 * taken as it stands. @throws UsageError
 */
export function deviceString(device: string, queue: number | undefined, mode: string | undefined): string {
  if (device.includes(':')) {
    if (queue !== undefined || mode !== undefined) {
      throw new UsageError(
        `"${device}" names the driver itself; put queue and mode into it: xdp:eth0/1?mode=native`,
      )
    }
    return device
  }
  // IFNAMSIZ is 16 with the final NUL; the kernel refuses slashes and white space.
  if (!/^[^\s/?:]{1,15}$/.test(device)) throw new UsageError(`"${device}" is not an interface name`)
  return `xdp:${device}/${queue ?? 0}${mode === undefined || mode === 'auto' ? '' : `?mode=${mode}`}`
}
