import * as abi from '../../../uapi/abi/index.ts'
import type { BufRing } from '../../../uapi/ring/buf-ring.ts'
import type { Run } from '../run.ts'

/** A ring of buffers of group 7, filled with some of the given length. */
export function group(
  x: Run,
  entries: number,
  length: number,
  filled = entries,
  flags = 0,
): [BufRing, Uint8Array[]] {
  const ring = x.r.setupBufRing(entries, 7, flags)
  if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
  const buffers = Array.from({ length: filled }, () => x.bytes(length, 46))
  for (const [i, buffer] of buffers.entries()) ring.bufRingAdd(buffer, i)
  ring.bufRingAdvance()
  return [ring, buffers]
}
