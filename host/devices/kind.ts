import type { Nic } from '../../driver/nic.ts'
import type { Candidate, Facts, Observation, Wanted } from '../examine/index.ts'
import type { DeviceText } from './text.ts'

export interface OpenOptions {
  /** Bytes of the area that is to be received into, for `auto:` to see whether they may be locked; default 64 MiB. */
  readonly areaBytes?: number
}

/** A kind of device: what its strings mean, how it is opened, and what an examination says of it. */
export interface DeviceKind<S extends { readonly driver: string }> {
  /** What stands in front of the colon. */
  readonly scheme: S['driver']
  /** The whole string as a reader is shown it. */
  readonly form: string
  /** @throws DeviceError that shows where the string is wrong */
  parse(text: DeviceText): S
  /** Opens a NIC for each queue that is named. @throws NicError */
  open(spec: S, options: OpenOptions): Nic[]
  /** How many queues are named, where several can be. */
  queues?(spec: S): number
  /** What is asked of the interface that it is about; absent of what has nothing to do with any. */
  wanted?(spec: S): Partial<Wanted>
  /** What is said when `wanted` names no interface. */
  missing?(spec: S): string
  /** The ways in, best first. */
  candidates(spec: S, facts: Facts): Candidate[]
  /** What holds for this kind only, beside the checks of its ways. */
  observe?(spec: S, facts: Facts): Observation[]
}
