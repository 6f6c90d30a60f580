import { type Command, InvalidArgumentError } from 'commander'
import type { FollowRequest } from '../captures/follow.ts'
import type { ReplayRequest } from '../captures/replay.ts'
import type { DemoOptions } from '../demo/options.ts'
import type { DoctorRequest } from '../doctor/command.ts'
import type { RunOptions } from '../run/run.ts'
import { parseChoice, parseFileMode, UsageError } from './parse.ts'

/** What the commands do; tests put their own in. */
export interface Actions {
  run(options: RunOptions): Promise<number>
  demo(options: DemoOptions, json: boolean): Promise<number>
  replay(request: ReplayRequest): Promise<number>
  follow(request: FollowRequest): Promise<number>
  doctor(request: DoctorRequest): Promise<number>
}

/** Puts a command into the program. The exit status of the command goes to `done`. */
export type AddCommand = (program: Command, actions: Actions, done: (status: number) => void) => void

export const MODES = ['auto', 'native', 'generic'] as const
export type Mode = (typeof MODES)[number]

/** What `--mode` says: how the XDP program is attached, and of files the permission bits. */
export interface Modes {
  readonly attach?: Mode
  readonly file?: number
}

/** `--mode`, which may be given for both. */
export function checkedModes(): (text: string, previous?: Modes) => Modes {
  const mode = checked((text) =>
    /^\d/.test(text) ? { file: parseFileMode(text) } : { attach: parseChoice(text, 'mode', MODES) },
  )
  return (text, previous = {}) => ({ ...previous, ...mode(text) })
}

/** The same for an option that may be given several times: its values in a list. */
export function checkedList<T>(parse: (text: string) => T): (text: string, previous?: T[]) => T[] {
  const one = checked(parse)
  return (text, previous = []) => [...previous, one(text)]
}

/** Lets commander show a parser's complaint as its own. */
export function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof UsageError ? new InvalidArgumentError(`${error.message}.`) : error
    }
  }
}
