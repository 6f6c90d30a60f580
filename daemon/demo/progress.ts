import { formatBytes, formatShort, gigabits } from '../cli/format.ts'
import type { PassKind, Progress } from './protocol.ts'

/** One line about a pass under way, at most `width` characters. @param rate Gbit/s of late */
export function progressLine(
  who: string,
  pass: PassKind,
  progress: Progress,
  bytes: number,
  rate: number,
  width: number,
): string {
  const { niovs } = progress
  const parts = [
    `${who} ${pass}`,
    `${rate.toFixed(1)} Gbit/s`,
    `${formatBytes(progress.bytes)} of ${formatBytes(bytes)}`,
    `${formatShort(progress.frames)} packets`,
    niovs.total === 0
      ? `${formatShort(progress.completions)} events`
      : `${formatShort(progress.completions)} completions`,
  ]
  if (niovs.total > 0) {
    const { free, fill, rx, queued, user } = niovs
    parts.push(`niovs ${free} free ${fill} fill ${rx} rx ${queued} queued ${user} user`)
  }
  const line = parts.join('  ')
  return line.length > width ? line.slice(0, width) : line
}

/** The terminal, as far as needed. */
export interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

/** Rewrites one line on a terminal; on anything else it stays silent. */
export class ProgressView {
  readonly #terminal: Terminal
  readonly #enabled: boolean
  #shown = false
  #pass = ''
  #bytes = 0
  #seconds = 0

  constructor(terminal: Terminal, enabled: boolean) {
    this.#terminal = terminal
    this.#enabled = enabled && terminal.isTTY === true
  }

  update(who: string, pass: PassKind, progress: Progress, bytes: number): void {
    if (!this.#enabled) return
    const key = `${who} ${pass}`
    if (key !== this.#pass) {
      this.#pass = key
      this.#bytes = 0
      this.#seconds = 0
    }
    const rate = gigabits(progress.bytes - this.#bytes, progress.seconds - this.#seconds)
    this.#bytes = progress.bytes
    this.#seconds = progress.seconds
    const width = (this.#terminal.columns ?? 80) - 1
    this.#terminal.write(`\r\x1b[K${progressLine(who, pass, progress, bytes, rate, width)}`)
    this.#shown = true
  }

  /** Takes the line away, so that something else can be written. */
  clear(): void {
    if (this.#shown) this.#terminal.write('\r\x1b[K')
    this.#shown = false
  }
}
