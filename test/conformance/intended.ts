import type { Scenario } from './record.ts'

/** What only a kernel can have. `docs/conformance.md` lists the same. */
export interface IntendedDifference {
  readonly name: RegExp
  readonly reason: string
  /** The whole scenario is not played; otherwise only these result keys are not compared. */
  readonly whole: boolean
  readonly keys: readonly string[]
}

export const INTENDED: readonly IntendedDifference[] = [
  {
    name: /^(register|ctrl)\.from_other_task$|_from_(other_task|forked_child)$/,
    reason:
      'another process on a ring: a ring of ours belongs to the thread that made it, and no other has its object',
    whole: true,
    keys: [],
  },
  {
    name: /^import\.ok$/,
    reason: 'what /proc, fcntl, fstat and read say of an exported descriptor: ours has no inode',
    whole: false,
    keys: ['fd_link', 'fd_flags_cloexec', 'fl_accmode', 'st_mode', 'read', 'read_err'],
  },
]

export function intendedDifference({ name }: Scenario): IntendedDifference | null {
  return INTENDED.find((one) => one.name.test(name)) ?? null
}
