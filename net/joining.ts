import { copyBytes } from '../copies.ts'
import type { ReadEnd } from './read-end.ts'

/** What waits, up to so many bytes, joined to one array of the caller's own. Its buffers are given back. */
export function joined(end: ReadEnd, most: number): Buffer {
  const chunk = Buffer.allocUnsafeSlow(Math.min(end.received.bytes, most))
  joinInto(end, chunk)
  return chunk
}

/** The same into memory of the caller's. Returns the bytes. */
export function joinInto(end: ReadEnd, into: Uint8Array): number {
  const { received, area } = end
  let used = 0
  while (received.count > 0 && used < into.length) {
    const offset = received.takeUpTo(into.length - used)
    copyBytes(into, used, area, offset, received.taken)
    used += received.taken
  }
  received.giveBack()
  end.drained()
  return used
}
