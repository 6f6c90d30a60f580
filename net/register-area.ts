import type { NicInfo } from '../driver/nic.ts'
import { ArgumentError, ZcrxError } from '../errors.ts'
import { PAGE } from '../pages.ts'
import { errnoName } from '../uapi/abi/errno.ts'
import { IO_URING_QUERY_ZCRX_EVENT, QueryZcrxEvent } from '../uapi/abi/query.ts'
import type { Ifq } from '../uapi/ring/ifq.ts'
import type { Ring } from '../uapi/ring/ring.ts'
import { BufferSource } from './source.ts'

/** How memory is registered. */
export interface AreaOptions {
  /**
   * Bytes of a buffer (`rx_buf_len`), a power of two; default what suits the NIC: 4096, or 32768 where payload is copied and, in
   * areas of 8 MiB and more, over TAP with offload. Larger ones make fewer completions where frames are large; they need a NIC that takes any memory: TAP, packet or raw sockets.
   */
  readonly bufferBytes?: number
  /** Refill queue entries; default one per buffer of the area, at most 32768. */
  readonly rqEntries?: number
}

/** Group of the buffers that an area is cut into. */
const GROUP = 1
/** Of an area that is copied to, where nobody said: as much as one receive takes at the most, and 64 of them at least. */
const COPY_BUFFER_BYTES = 65_536
const LEAST_BUFFERS = 64
const MOST_BUFFERS = 32_768
/** Where each frame takes buffers of its own, larger ones pay from so many on: of fewer a window is too few frames. */
const LEAST_OWN_BUFFERS = 256

/** Cuts an area into buffers that received data is copied to. @throws ZcrxError, ArgumentError */
export function provideBuffers(ring: Ring, options: AreaOptions, area: Uint8Array): BufferSource {
  const fitting = 2 ** Math.floor(Math.log2(Math.max(PAGE, area.length / LEAST_BUFFERS)))
  const bytes = options.bufferBytes ?? Math.min(COPY_BUFFER_BYTES, fitting)
  if (!Number.isInteger(bytes) || !Number.isInteger(Math.log2(bytes)) || bytes > area.length)
    throw new ArgumentError(
      `buffers of ${bytes} bytes are not possible`,
      'take a power of two within the area',
    )
  const count = Math.min(MOST_BUFFERS, Math.floor(area.length / bytes))
  const bufRing = ring.setupBufRing(2 ** Math.ceil(Math.log2(count)), GROUP)
  if (typeof bufRing === 'number')
    throw new ZcrxError('ZCRX_REGISTER', `buffers can't be provided: ${errnoName(bufRing)}`, 'Linux 5.19 can')
  return new BufferSource(bufRing, ring.arena.addressOf(area), bytes, count)
}

/** Whether the other side keeps count of what it copies (`struct zcrx_stats`). */
function tellsCopies(ring: Ring): boolean {
  const answer = new QueryZcrxEvent(new Uint8Array(QueryZcrxEvent.SIZE))
  return ring.query(IO_URING_QUERY_ZCRX_EVENT, answer.bytes) > 0 && answer.statsSize > 0
}

/** Bytes of a buffer that suits the NIC in an area of so many bytes. */
function fittingBuffer({ chunkBytes = PAGE, placement }: NicInfo, areaBytes: number): number {
  const least = placement === 'side' ? 1 : LEAST_OWN_BUFFERS
  return areaBytes % chunkBytes === 0 && areaBytes >= least * chunkBytes ? chunkBytes : PAGE
}

/** Registers a NIC's queue over an area. @throws ZcrxError, NicError with why it was refused */
export function registerArea(ring: Ring, info: NicInfo, options: AreaOptions, area: Uint8Array): Ifq {
  const { ifIndex, queue } = info
  const rxBufLen = options.bufferBytes ?? fittingBuffer(info, area.length)
  const ifq = ring.registerIfq({
    ifIdx: ifIndex,
    ifRxq: queue,
    rqEntries: options.rqEntries ?? Math.min(32_768, Math.max(1, area.byteLength / rxBufLen)),
    rxBufLen,
    area,
    // Who tells nothing else tells at least that.
    ...(info.driver === 'linux' && tellsCopies(ring) ? { events: { userData: 0, typeMask: 0 } } : {}),
  })
  return registered(ring, ifq)
}

/** @throws ZcrxError, NicError for minus errno */
export function registered(ring: Ring, ifq: Ifq | number): Ifq {
  if (typeof ifq !== 'number') return ifq
  const what = `the interface queue can't be registered: ${errnoName(ifq)}`
  throw ring.refusal() ?? new ZcrxError('ZCRX_REGISTER', what)
}
