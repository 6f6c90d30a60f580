import type { NicInfo } from '../driver/nic.ts'
import { ZcrxError } from '../errors.ts'
import { PAGE } from '../pages.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import type { Ring } from '../uapi/ring/ring.ts'

/** How memory is registered. */
export interface AreaOptions {
  /**
   * Bytes of a buffer (`rx_buf_len`), a power of two; default what suits the NIC: 4096, or 32768 where payload is copied. Larger
   * ones make fewer completions where frames are large; they need a NIC that takes any memory: TAP, packet or raw sockets.
   */
  readonly bufferBytes?: number
  /** Refill queue entries; default one per buffer of the area, at most 32768. */
  readonly rqEntries?: number
}

/** Registers a NIC's queue over an area. @throws ZcrxError, NicError with why it was refused */
export function registerArea(ring: Ring, info: NicInfo, options: AreaOptions, area: Uint8Array): Ifq {
  const { ifIndex, queue, chunkBytes = PAGE } = info
  const rxBufLen = options.bufferBytes ?? (area.length % chunkBytes === 0 ? chunkBytes : PAGE)
  const ifq = ring.registerIfq({
    ifIdx: ifIndex,
    ifRxq: queue,
    rqEntries: options.rqEntries ?? Math.min(32_768, Math.max(1, area.byteLength / rxBufLen)),
    rxBufLen,
    area,
  })
  return registered(ring, ifq)
}

/** @throws ZcrxError, NicError for minus errno */
export function registered(ring: Ring, ifq: Ifq | number): Ifq {
  if (typeof ifq !== 'number') return ifq
  const what = `the interface queue can't be registered: ${errnoName(ifq)}`
  throw ring.refusal() ?? new ZcrxError('ZCRX_REGISTER', what)
}
