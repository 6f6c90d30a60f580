import { type Account, Run } from './run.ts'
import type { Need, World } from './world.ts'

/** Major and minor number of a kernel's release. */
export type KernelVersion = readonly [major: number, minor: number]

/** A program, and what it needs. */
export interface Scenario {
  readonly name: string
  /** The first kernel that has what it uses; absent: any. */
  readonly since?: KernelVersion
  /** What earlier kernels lack. */
  readonly why?: string
  readonly needs?: Need
  readonly run: (x: Run) => void
}

type Program = Scenario['run'] | Omit<Scenario, 'name'>

/** Scenarios of one theme. @param needs of all of them */
export function scenarios(
  theme: string,
  programs: Readonly<Record<string, Program>>,
  needs?: Need,
): Scenario[] {
  return Object.entries(programs).map(([name, program]) => ({
    name: `${theme}.${name}`,
    ...(needs === undefined ? {} : { needs }),
    ...(typeof program === 'function' ? { run: program } : program),
  }))
}

/** Begins the line of a program that could not go on. */
export const BROKEN = 'throws'

/** Runs a program on a world that nothing else has been done on. @param hoped waits of the other world's account */
export function account(program: Scenario['run'], world: World, hoped: readonly number[] = []): Account {
  const run = new Run(world, hoped)
  try {
    program(run)
  } catch (error) {
    run.say(BROKEN, (error as Error).message)
  } finally {
    run.end()
  }
  return run
}

/** `6.18.44-generic` is 6.18. */
export function kernelVersion(release: string): KernelVersion {
  const [major, minor] = release.split(/[.-]/).map(Number)
  return [major ?? 0, minor ?? 0]
}

export function before([major, minor]: KernelVersion, [otherMajor, otherMinor]: KernelVersion): boolean {
  return major < otherMajor || (major === otherMajor && minor < otherMinor)
}
