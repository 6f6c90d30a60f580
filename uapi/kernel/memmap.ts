import { PAGE } from '../../pages.ts'
import { EFAULT, EINVAL } from '../abi/errno.ts'
import { IORING_OFF_PBUF_RING, IORING_OFF_PBUF_SHIFT } from '../abi/io-uring.ts'
import type { RingPort } from './port.ts'

/** Refill regions, by zcrx id, 64 KiB apart, where Linux has them (docs/conformance.md, R9). */
const OFF_ZCRX_REGION = 0x3000_0000
const ZCRX_SHIFT = 16
/** Bits of an offset that say what kind of memory it is; those below them number it. */
const OFF_MASK = 0xf800_0000

/** The offset that the region of this zcrx id is mapped at. Beyond id 2047 it runs into the bits of the kind, as on Linux. */
export function zcrxRegionOffset(id: number): number {
  return OFF_ZCRX_REGION + id * 2 ** ZCRX_SHIFT
}

/**
 * mmap(2) of a ring's descriptor. The mapping begins with the first byte of the region and is all of it: EFAULT when less is
 * asked for, as Linux has it. More may be asked for; what lies behind the region is not there (on Linux touching it is SIGBUS).
 * EINVAL for an offset that names nothing of the kernel's, one inside a page, and no length.
 */
export function mapRegion(context: RingPort, offset: number, length: number): Uint8Array | number {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset % PAGE !== 0 || !(length > 0)) return -EINVAL
  const region = regionAt(context, offset)
  if (region === null) return -EINVAL
  return Math.ceil(length / PAGE) * PAGE < region.length ? -EFAULT : region
}

function regionAt(context: RingPort, offset: number): Uint8Array | null {
  const kind = (offset & OFF_MASK) >>> 0
  const rest = offset - kind
  if (kind === OFF_ZCRX_REGION) return context.ifqs[Math.floor(rest / 2 ** ZCRX_SHIFT)]?.provided ?? null
  if (kind !== IORING_OFF_PBUF_RING) return null
  return context.buffers.region(Math.floor(rest / 2 ** IORING_OFF_PBUF_SHIFT))
}
