import { randomInt } from 'node:crypto'
import { ImpairedNic, type Nic, RateLimitNic } from '../api.ts'
import type { ImpairSpec } from '../cli/parse.ts'

/** What is to happen to the frames of a NIC. */
export interface WrapRequest {
  readonly impair?: ImpairSpec
  /** Bits a second in each direction. */
  readonly rateLimit?: number
}

/** The NIC with what is to happen to its frames; closed when that fails. @param tell is told what spoils them */
export function wrapNic(
  nic: Nic,
  { impair, rateLimit }: WrapRequest,
  tell: (spoils: ImpairSpec) => void,
): Nic {
  try {
    if (rateLimit !== undefined) {
      nic = new RateLimitNic(nic, {
        receive: { bitsPerSecond: rateLimit },
        transmit: { bitsPerSecond: rateLimit },
      })
    }
    if (impair !== undefined) {
      const { seed = randomInt(2 ** 32), ...both } = impair
      tell({ ...both, seed })
      nic = new ImpairedNic(nic, { seed, receive: both, transmit: both })
    }
    return nic
  } catch (error) {
    nic.close()
    throw error
  }
}
