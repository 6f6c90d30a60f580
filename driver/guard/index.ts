import type { Native } from '../native/index.ts'
import { DeafSockets } from './deaf.ts'
import type { Guard } from './guard.ts'

export type { Guard } from './guard.ts'

/** `socket`: a deaf socket holds each port. `auto`: what is best. */
export type GuardKind = 'auto' | 'socket'

/** @throws NicError */
export function openGuard(
  _kind: GuardKind,
  native: Native,
  device: string,
  ifIndex: number,
  netns: string | undefined,
  shared: boolean,
): Guard {
  return new DeafSockets(native, device, ifIndex, netns, shared)
}
