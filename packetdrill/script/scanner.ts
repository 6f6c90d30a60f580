import { type Position, ScriptError, UnsupportedError } from '../errors.ts'

/** Walks over a script's text. Blanks and comments in front of what is asked for are passed over. */
export class Scanner {
  readonly text: string
  readonly #lineStarts: number[] = [0]
  #at = 0

  constructor(text: string) {
    this.text = text
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#lineStarts.push(i + 1)
  }

  get at(): number {
    return this.#at
  }

  get done(): boolean {
    this.skip()
    return this.#at >= this.text.length
  }

  position(offset: number = this.#at): Position {
    let low = 0
    let high = this.#lineStarts.length
    while (low + 1 < high) {
      const middle = (low + high) >>> 1
      if (this.#lineStarts[middle]! <= offset) low = middle
      else high = middle
    }
    return { line: low + 1, column: offset - this.#lineStarts[low]! + 1 }
  }

  /** Where the next thing begins. */
  here(): Position {
    this.skip()
    return this.position()
  }

  /** Passes over blanks and comments. */
  skip(): void {
    const blanks = /(?:\s+|\/\/[^\n]*)*/y
    for (;;) {
      blanks.lastIndex = this.#at
      blanks.exec(this.text)
      this.#at = blanks.lastIndex
      if (!this.text.startsWith('/*', this.#at)) return
      const end = this.text.indexOf('*/', this.#at + 2)
      if (end < 0) this.fail('comment without end')
      this.#at = end + 2
    }
  }

  /** What a sticky expression matches here, or null. */
  match(pattern: RegExp): RegExpExecArray | null {
    this.skip()
    return this.matchHere(pattern)
  }

  /** As `match`, but blanks in front don't match. */
  matchHere(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.text)
    if (found !== null) this.#at = pattern.lastIndex
    return found
  }

  /** Takes `what` if it comes next. */
  take(what: string): boolean {
    this.skip()
    if (!this.text.startsWith(what, this.#at)) return false
    this.#at += what.length
    return true
  }

  /** Takes a whole word if it comes next. */
  takeWord(word: string): boolean {
    this.skip()
    if (!this.text.startsWith(word, this.#at) || /\w/.test(this.text[this.#at + word.length] ?? ''))
      return false
    this.#at += word.length
    return true
  }

  expect(what: string, where: string): void {
    if (!this.take(what)) this.fail(`expected "${what}" ${where}, found ${this.found()}`)
  }

  /** Everything up to `end`, which is taken too. */
  until(end: string, what: string): string {
    const start = this.#at
    const found = this.text.indexOf(end, start)
    if (found < 0) this.fail(`${what} without ${end}`)
    this.#at = found + end.length
    return this.text.slice(start, found)
  }

  /** A decimal or hexadecimal integer, or null. */
  integer(): number | null {
    const found = this.match(/[+-]?(?:0[xX][0-9a-fA-F]+|\d+)(?![\w])/y)
    if (found === null) return null
    const text = found[0]
    return text.startsWith('-') ? -Number(text.slice(1)) : Number(text)
  }

  needInteger(what: string): number {
    return this.integer() ?? this.fail(`expected ${what}, found ${this.found()}`)
  }

  word(): string | null {
    return this.match(/[A-Za-z_]\w*/y)?.[0] ?? null
  }

  /** What comes next, for messages. */
  found(): string {
    this.skip()
    const rest = /[^\s,()[\]<>{}]+|\S/y
    rest.lastIndex = this.#at
    const next = rest.exec(this.text)
    return next === null ? 'the end' : `"${next[0].slice(0, 40)}"`
  }

  fail(message: string, at: Position = this.#now()): never {
    throw new ScriptError(at, message)
  }

  unsupported(feature: string, at: Position = this.#now()): never {
    throw new UnsupportedError(at, feature)
  }

  #now(): Position {
    return this.position(Math.min(this.#at, this.text.length))
  }
}
