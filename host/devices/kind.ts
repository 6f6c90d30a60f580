import type { LinkInfo } from '../../driver/native/index.ts'
import type { Nic } from '../../driver/nic.ts'
import type { XdpHookHandle } from '../../driver/xdp/index.ts'
import { ArgumentError } from '../../errors.ts'
import type { Candidate, Facts, Observation, Wanted } from '../examine/index.ts'
import type { DeviceText } from './text.ts'

/** What a device is opened for. */
export interface OpenOptions {
  /** Bytes of the area that is to be received into, for `auto:` to see whether they may be locked; default 64 MiB. */
  readonly areaBytes?: number
}

/**
 * What the NIC of a device's first queue hands to those that open the others, in whatever thread of the process: plain data. The
 * descriptors in it are the first NIC's.
 */
export type QueueShare = XdpHookHandle

/** One queue of a device, as plain data: it can be sent to the thread that opens it. */
export interface QueueRequest {
  /** Device string of that one queue, for people and for `openQueue`. */
  readonly device: string
  /** From 0; the first is opened first. */
  readonly index: number
  /** How many queues are opened beside one another, with this one. */
  readonly count: number
}

/** A queue that was opened. */
export interface OpenedQueue {
  /** The queue. */
  readonly nic: Nic
  /** Of the first of several, what the others need; null when they need nothing. */
  readonly share: QueueShare | null
}

/** What the number of queues depends on. */
export interface QueueGround {
  /** The interface; null when it is not there (yet). */
  readonly link: LinkInfo | null
  /** Cores that the process may use. */
  readonly cores: number
}

/** How the queues of a device are opened, each with a NIC of its own in a thread of its own. */
export interface SeveralQueues<S> {
  /** How many are taken when all are asked for. */
  all(spec: S, ground: QueueGround): number
  /** A device string for each of `count` queues. @throws ArgumentError when there are not so many */
  split(text: string, spec: S, count: number, ground: QueueGround): string[]
  /** Opens one of several. @param share what the first one has given; null for the first itself @throws NicError */
  open(spec: S, place: QueueRequest, share: QueueShare | null): OpenedQueue
  /** What is opened then, after its number: `of the receive queues of eth0`; and who says which connection comes to which. For people. */
  words(spec: S, ground: QueueGround): { readonly what: string; readonly spread: string }
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
  /** How several queues are opened one by one; a text says why there is one only. Absent of what stands for another kind. */
  readonly several?: SeveralQueues<S> | string
  /** What is asked of the interface that it is about; absent of what has nothing to do with any. */
  wanted?(spec: S): Partial<Wanted>
  /** What is said when `wanted` names no interface. */
  missing?(spec: S): string
  /** The ways in, best first. */
  candidates(spec: S, facts: Facts): Candidate[]
  /** What holds for this kind only, beside the checks of its ways. */
  observe?(spec: S, facts: Facts): Observation[]
}

/** More threads than that find too little to do each, where a device has as many queues as one likes. */
const MOST_UNASKED = 8

/** How many queues are taken where there can be any number: one for each core, eight at the most. */
export function workersFor(cores: number): number {
  return Math.min(cores, MOST_UNASKED)
}

/** @throws ArgumentError */
export function checkCount(text: string, count: number, most: number, what: string): void {
  if (count <= most) return
  throw new ArgumentError(`there are no ${count} ${what} for "${text}"`, `take ${most} or fewer`)
}
