import { NicError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import { DeafSockets } from './deaf.ts'
import type { Guard } from './guard.ts'
import { NftablesGuard } from './nftables.ts'

export type { Guard } from './guard.ts'
export { ReservedPorts } from './reserve.ts'

/**
 * `socket`: a deaf socket holds each port. `nftables`: a rule drops the segments; it reserves no port. `both`: the socket,
 * and the rule that keeps the segments away from it, which saves the kernel some of its work where segments come one by one.
 * `auto`: `both` where nftables can be had, else `socket`.
 */
export type GuardKind = 'auto' | 'socket' | 'nftables' | 'both'

/** Several guards as one. */
class Guards implements Guard {
  readonly #guards: readonly Guard[]

  constructor(guards: readonly Guard[]) {
    this.#guards = guards
  }

  hold(address: Uint8Array, port: number): void {
    let held = 0
    try {
      for (; held < this.#guards.length; held++) this.#guards[held]!.hold(address, port)
    } catch (error) {
      while (held > 0) this.#guards[--held]!.release(address, port)
      throw error
    }
  }

  release(address: Uint8Array, port: number): void {
    for (const guard of this.#guards) guard.release(address, port)
  }

  close(): void {
    for (const guard of this.#guards) guard.close()
  }
}

/**
 * @param ifIndex interface of link-local addresses @param netns see `PacketNicOptions`
 * @param shared other queues of this user may hold the same port
 * @throws NicError
 */
export function openGuard(
  kind: GuardKind,
  native: Native,
  device: string,
  ifIndex: number,
  netns: string | undefined,
  shared: boolean,
): Guard {
  const sockets = (): Guard => new DeafSockets(native, device, ifIndex, netns, shared)
  if (kind === 'nftables') return new NftablesGuard(native, device, netns)
  if (kind === 'both') return new Guards([sockets(), new NftablesGuard(native, device, netns)])
  if (kind === 'socket') return sockets()
  try {
    return new Guards([sockets(), new NftablesGuard(native, device, netns)])
  } catch (error) {
    if (!(error instanceof NicError)) throw error
    // No privilege, or no nftables: the sockets alone do.
    return sockets()
  }
}
