import type { Scenario } from './record.ts'

/** What only a kernel can have. `docs/conformance.md` lists the same. */
export interface IntendedDifference {
  readonly name: RegExp
  readonly reason: string
  /** The whole scenario is not played; otherwise only these result keys, or what else they say, are not compared. */
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
    name: /^import\.other_process$/,
    reason: 'that it was another process: a second ring of this one stands for it',
    whole: false,
    keys: ['another process'],
  },
  {
    name: /^dev_reg\.interface_down$/,
    reason: 'what the recorder was answered when it set its interface down and up: no call of ours does that',
    whole: false,
    keys: ['set_down', 'set_up'],
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
