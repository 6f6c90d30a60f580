import type { ReadEnd } from './read-end.ts'

/** Bytes of views that are joined at the most: as much as one write is worth. */
const MOST_JOINED = 1 << 20

/** Everything that waits, in hand: a view for each stretch of the area that pieces fill without a gap. */
export function allViews(end: ReadEnd): Uint8Array[] {
  const { received } = end
  const views: Uint8Array[] = []
  let start = received.take()
  let length = received.taken
  for (let left = received.count; left > 0; left--) {
    const offset = received.take()
    if (offset === start + length && length < MOST_JOINED) length += received.taken
    else {
      views.push(end.view(start, length))
      start = offset
      length = received.taken
    }
  }
  views.push(end.view(start, length))
  return views
}
