import { type Position, ScriptError } from './errors.ts'

/** The stack did not do what the script expects. */
export class Failure extends ScriptError {
  readonly expected: string
  readonly actual: string

  constructor(event: { readonly at: Position }, expected: string, actual: string) {
    super(event.at, `expected ${expected} got ${actual}`)
    this.name = 'Failure'
    this.expected = expected
    this.actual = actual
  }
}
