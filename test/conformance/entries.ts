import type { Play } from './play.ts'

type Run = (play: Play) => void

/** The buffers of an area, highest first: the order in which a fresh area is handed out. */
export function buffer(play: Play, nth: number): number {
  const { instance } = play.handle()
  return instance.areas[0]!.length / instance.bufferBytes - 1 - nth
}

export const refill =
  (nth: number): Run =>
  (play) =>
    play.refill(buffer(play, nth))
export const push =
  (entry: (play: Play) => { off: number; area?: number; len?: number; pad?: number }): Run =>
  (play) =>
    play.handle().instance.push(entry(play))
const areaBytes = (play: Play): number => play.handle().instance.areas[0]!.length
export const beyond = push((play) => ({ off: areaBytes(play) }))
export const otherArea = push((play) => ({ off: buffer(play, 0) * 4096, area: 1 }))
export const setTail =
  (tail: number): Run =>
  (play) => {
    const { instance } = play.handle()
    instance.tail = tail
    instance.sharedTail = tail
  }
/** One entry that is flushed, of the `refill` group. */
export const ENTRIES: Readonly<Record<string, Run>> = {
  never_issued: (play) => play.refill(0),
  never_issued_fresh: (play) => play.refill(0),
  off_end: beyond,
  off_far: push(() => ({ off: 2 ** 48 - 1 })),
  off_past_end: beyond,
  wrong_area: otherArea,
  wrong_area_max: push((play) => ({ off: buffer(play, 0) * 4096, area: 0xffff })),
  len_max: push((play) => ({ off: buffer(play, 0) * 4096, len: 0xffff_ffff })),
  len_two_buffers: push((play) => ({ off: buffer(play, 1) * 4096, len: 8192 })),
  len_spans_two: push((play) => ({ off: buffer(play, 1) * 4096, len: 8192 })),
  len_8192: push((play) => ({ off: buffer(play, 1) * 4096, len: 8192 })),
  off_unaligned: push((play) => ({ off: buffer(play, 0) * 4096 + 100 })),
  off_last_byte: push((play) => ({ off: buffer(play, 0) * 4096 + 4095 })),
  pad_nonzero: push((play) => ({ off: buffer(play, 0) * 4096, pad: 1 })),
  pad_max: push((play) => ({ off: buffer(play, 0) * 4096, pad: 0xffff_ffff })),
}

/** So many entries in the order of arrival, one of them beyond the area. */
export function entries(count: number, bad: number): Run {
  return (play) => {
    for (let i = 0; i < count; i++) {
      if (i === bad) beyond(play)
      else play.refill(buffer(play, i))
    }
  }
}
