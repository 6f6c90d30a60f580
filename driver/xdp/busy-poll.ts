import { ArgumentError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import { errnoName } from '../system.ts'

/**
 * The device's frames are taken in our calls, not in interrupts, which wait for as long as calls come: AF_XDP's preferred busy
 * polling (Documentation/networking/af_xdp.rst).
 */
export interface BusyPolling {
  /** Microseconds that a call may wait for frames, 1 to 2^31 - 1. */
  readonly us: number
  /** Frames that a call takes from the device at the most, 1 to 65535. Default 64. */
  readonly budget?: number
}

/** NAPI's own. */
const DEFAULT_BUDGET = 64

/** @throws ArgumentError */
export function checkBusyPolling(said: BusyPolling | undefined): void {
  if (said === undefined) return
  const { us, budget = DEFAULT_BUDGET } = said
  if (!Number.isInteger(us) || us < 1 || us > 0x7fff_ffff)
    throw new ArgumentError(`busy polling of ${us} us`, 'take a whole number of microseconds, 1 or more')
  if (!Number.isInteger(budget) || budget < 1 || budget > 65_535)
    throw new ArgumentError(`busy polling with a budget of ${budget} frames`, 'take 1 to 65535')
}

/** Returns whether it is on. @param note takes why the kernel refuses it, for people */
export function preferBusyPolling(
  native: Native,
  fd: number,
  said: BusyPolling | undefined,
  note: (text: string) => void,
): boolean {
  if (said === undefined) return false
  const { us, budget = DEFAULT_BUDGET } = said
  const status = native.xskSetBusyPoll(fd, us, budget)
  if (status < 0)
    note(
      `no busy polling of ${us} us: the kernel refuses it (${errnoName(-status)}); Linux 5.11 has it, for CAP_NET_ADMIN`,
    )
  return status >= 0
}
