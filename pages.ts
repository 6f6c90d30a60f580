/** Pages, and sizes of memory that every room agrees on. */

/** Bytes of a page. */
export const PAGE = 4096
/** Bytes of a huge page. */
export const HUGE_PAGE = 2 << 20
/** Bytes of an area whose size nobody said. */
export const DEFAULT_AREA_BYTES = 64 << 20
/** Memory of a queue that has no area yet: enough for handshakes. */
export const OWN_AREA_BYTES = 2 << 20
/** Most bytes of an area: offsets fit 32 bits (`NicMemory.areaLength`). */
export const MAX_AREA = 2 ** 32 - PAGE
/** Behind every area, for the frames a driver sends: what AF_XDP asks for. */
export const AREA_TAIL_BYTES = 1 << 20

/** Zeroed memory that threads can share, from a page's boundary on: `bytes` of whole pages. */
export function sharedPages(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(Math.ceil(bytes / PAGE) * PAGE), 0, bytes)
}
