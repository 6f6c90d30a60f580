import type { KernelVersion } from './scenario.ts'

/** A place where this package's stack answers otherwise than Linux, and why that stays so. */
export interface Difference {
  readonly scenario: string
  /** The lines of the account that differ. */
  readonly ours: readonly string[]
  readonly linux: readonly string[]
  readonly reason: string
  /** Of kernels before this one only: the newest does as ours. */
  readonly until?: KernelVersion
  /** Of kernels from this one on. */
  readonly since?: KernelVersion
}

/** All there are. One that is no more is an error, as is one that is not here. */
export const DIFFERENCES: readonly Difference[] = []
