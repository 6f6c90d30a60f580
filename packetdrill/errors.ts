/** Where in a script: both from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** A script that can't be read or makes no sense; the run fails. */
export class ScriptError extends Error {
  readonly position: Position

  constructor(position: Position, message: string) {
    super(message)
    this.name = 'ScriptError'
    this.position = position
  }
}

/** A script that asks for what this runner or the stack does not serve; the run is skipped. */
export class UnsupportedError extends ScriptError {
  constructor(position: Position, message: string) {
    super(position, message)
    this.name = 'UnsupportedError'
  }
}
