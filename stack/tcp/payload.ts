import { copyBytes } from '../../copies.ts'
import { type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { Counters } from '../counters.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { Receiver } from './receiver.ts'
import type { Segment } from './segment.ts'

/** Niovs that a hole is left at the least. */
const HOLE_NIOVS = 2

/** Moves payload from the burst into fragment lists: by reference where the NIC put it into the area. */
export class PayloadTaker {
  readonly #burst: RxBurst
  readonly #memory: QueueMemory
  readonly #fragments: Fragments
  readonly #counters: Counters
  /** Memory beside the area, of a NIC that shows payload there. */
  readonly #side: Uint8Array | null
  /** Last node of the list that `take` returned. */
  tail = -1
  /** Niovs that the last call took, and whether it packed. */
  niovs = 0
  packed = false

  constructor(nic: Nic, burst: RxBurst, memory: QueueMemory, fragments: Fragments, counters: Counters) {
    this.#side = nic.roles.sideMemory
    this.#burst = burst
    this.#memory = memory
    this.#fragments = fragments
    this.#counters = counters
  }

  /**
   * The segment's payload as a list of fragments, which is the caller's; niovs that hold none of it are freed. -1 when there
   * was no memory to copy into; the segment is then untouched.
   */
  take(segment: Segment): number {
    this.packed = false
    if (segment.list >= 0) return this.#assembled(segment)
    if ((this.#burst.flags[segment.first]! & RX_SIDE) !== 0) {
      const apart = (this.#burst.flags[segment.last - 1]! & RX_SIDE) === 0
      return apart ? this.#apart(segment) : this.#copy(segment)
    }
    const burst = this.#burst
    const fragments = this.#fragments
    const pool = this.#memory.pool
    const shift = pool.shift
    let left = segment.length
    let skip = segment.headerBytes
    let head = -1
    let tail = -1
    let niovs = 0
    for (let i = segment.first; i < segment.last; i++) {
      const offset = burst.offset[i]!
      const length = Math.min(left, burst.length[i]! - skip)
      if (length <= 0) {
        pool.put(offset >>> shift)
        skip = 0
        continue
      }
      pool.stackRefs[offset >>> shift]!++
      const node = fragments.add(pool.id, offset + skip, length)
      if (tail < 0) head = node
      else fragments.next[tail] = node
      tail = node
      niovs++
      left -= length
      skip = 0
    }
    segment.taken = true
    this.tail = tail
    this.niovs = niovs
    return head
  }

  /**
   * Whether this segment should rather be copied behind earlier payload: it is small, and memory is short or the connection
   * holds more than its bytes are worth.
   */
  shouldPack(rcv: Receiver, segment: Segment): boolean {
    const memory = this.#memory
    if (segment.length > memory.smallBytes || segment.length === 0) return false
    if (memory.available() < memory.packBelow) return true
    const held = rcv.niovs + rcv.ooo.niovs
    return held >= memory.thinNiovs && rcv.queuedBytes + rcv.ooo.bytes < held * memory.smallBytes
  }

  /** Whether packing it takes no further niov. */
  fits(rcv: Receiver, segment: Segment): boolean {
    const pool = this.#memory.pool
    const { pack } = rcv
    return (
      pack !== null && pack.pool === pool.id && pack.at + segment.length <= (pack.niov + 1) * pool.niovSize
    )
  }

  /** Whether taking more data would eat into the reserve that keeps control segments flowing. */
  exhausted(): boolean {
    return this.#memory.available() < this.#memory.reserve
  }

  /**
   * Whether data that can't be delivered yet would take what the bytes in front of it need: those were promised a place too, and
   * what is given up again to make room has to be sent again.
   */
  scarce(): boolean {
    const { reserve } = this.#memory
    return this.#memory.available() < reserve + HOLE_NIOVS + (reserve >>> 4)
  }

  /**
   * Copies a small payload into the connection's packing niov, or makes the segment's own niov the packing niov. Returns it as
   * a list of one fragment, -1 when there was no memory.
   */
  pack(rcv: Receiver, segment: Segment): number {
    const pool = this.#memory.pool
    const fragments = this.#fragments
    let fresh = 0
    if (!this.fits(rcv, segment)) {
      // What lies below the reserve is for control segments, however small the payload.
      if (this.exhausted()) return -1
      this.unpack(rcv)
      if (this.#memory.linear === null && segment.list < 0 && segment.last - segment.first === 1) {
        const head = this.take(segment)
        if (head < 0) return -1
        const niov = fragments.offset[head]! >>> pool.shift
        pool.hold(niov)
        rcv.pack = { niov, pool: pool.id, at: fragments.offset[head]! + fragments.length[head]! }
        this.packed = true
        return head
      }
      const niov = pool.take()
      if (niov < 0) return -1
      pool.hold(niov)
      rcv.pack = { niov, pool: pool.id, at: niov * pool.niovSize }
      fresh = 1
    }
    const pack = rcv.pack!
    if (segment.list >= 0) this.#gatherList(segment, pool.bytes, pack.at)
    else this.#gather(segment, pool.bytes, pack.at)
    this.#counters.packedBytes += segment.length
    pool.hold(pack.niov)
    this.tail = fragments.add(pool.id, pack.at, segment.length, fresh)
    this.niovs = fresh
    this.packed = true
    pack.at += segment.length
    return this.tail
  }

  /** Copies the payload out of the burst. */
  #gather(segment: Segment, into: Uint8Array, at: number): void {
    const burst = this.#burst
    const { areas } = this.#memory
    let left = segment.length
    let skip = segment.headerBytes
    for (let i = segment.first; i < segment.last && left > 0; i++) {
      const from = burst.offset[i]! + skip
      const length = Math.min(left, burst.length[i]! - skip)
      skip = Math.max(0, skip - burst.length[i]!)
      if (length <= 0) continue
      const side = (burst.flags[i]! & RX_SIDE) !== 0
      const memory = side ? this.#side! : areas[burst.area[i]!]!.bytes
      copyBytes(into, at, memory, from, length)
      at += length
      left -= length
    }
  }

  /** Copies the payload of a packet that was put together from fragments. */
  #gatherList(segment: Segment, into: Uint8Array, at: number): void {
    const fragments = this.#fragments
    let left = segment.length
    let skip = segment.headerBytes
    for (let node = segment.list; node >= 0 && left > 0; node = fragments.next[node]!) {
      const from = fragments.offset[node]! + skip
      const length = Math.min(left, fragments.length[node]! - skip)
      skip = Math.max(0, skip - fragments.length[node]!)
      if (length <= 0) continue
      copyBytes(into, at, fragments.pools[fragments.pool[node]!]!.bytes, from, length)
      at += length
      left -= length
    }
  }

  /** Lets go of the packing niov. */
  unpack(rcv: Receiver): void {
    if (rcv.pack === null) return
    this.#memory.pools[rcv.pack.pool]!.drop(rcv.pack.niov)
    rcv.pack = null
  }

  /** A packet put together from fragments: its list without the transport header. */
  #assembled(segment: Segment): number {
    const fragments = this.#fragments
    const list = fragments.dropFront(segment.list, segment.headerBytes)
    segment.list = -1
    segment.taken = true
    const head = list < 0 ? -1 : fragments.keepFront(list, segment.length)
    this.niovs = 0
    for (let node = head; node >= 0; node = fragments.next[node]!) {
      this.tail = node
      this.niovs++
    }
    return head
  }

  /**
   * Headers beside the area, payload in it: the payload is taken where it lies. Whoever walks the burst holds its niovs, which
   * other packets may share. What the NIC left behind the headers is copied.
   */
  #apart(segment: Segment): number {
    const burst = this.#burst
    const fragments = this.#fragments
    const { areas } = this.#memory
    const beside = this.#memory.linear ?? this.#memory.pool
    let left = segment.length
    let skip = segment.headerBytes
    let head = -1
    let tail = -1
    this.niovs = 0
    for (let i = segment.first; i < segment.last && left > 0; i++) {
      const from = burst.offset[i]! + skip
      const length = Math.min(left, burst.length[i]! - skip)
      skip = Math.max(0, skip - burst.length[i]!)
      if (length <= 0) continue
      let node: number
      if ((burst.flags[i]! & RX_SIDE) === 0) {
        const pool = areas[burst.area[i]!]!
        pool.hold(from >>> pool.shift)
        node = fragments.add(pool.id, from, length)
      } else {
        const niov = beside.take()
        if (niov < 0) {
          fragments.discardList(head)
          return -1
        }
        beside.hold(niov)
        copyBytes(beside.bytes, niov * beside.niovSize, this.#side!, from, length)
        this.#counters.copiedBytes += length
        node = fragments.add(beside.id, niov * beside.niovSize, length)
      }
      if (tail < 0) head = node
      else fragments.next[tail] = node
      tail = node
      this.niovs++
      left -= length
    }
    segment.taken = true
    this.tail = tail
    return head
  }

  /** Copy fallback: the driver could not place the payload in the area. */
  #copy(segment: Segment): number {
    const pool = this.#memory.linear ?? this.#memory.pool
    const needed = Math.ceil(segment.length / pool.niovSize)
    if (pool.freeCount < needed) return -1
    const burst = this.#burst
    const fragments = this.#fragments
    const side = this.#side!
    let left = segment.length
    let skip = segment.headerBytes
    let head = -1
    let tail = -1
    let niov = -1
    let used = pool.niovSize
    for (let i = segment.first; i < segment.last && left > 0; i++) {
      let from = burst.offset[i]! + skip
      let count = Math.min(left, burst.length[i]! - skip)
      left -= Math.max(0, count)
      skip = 0
      while (count > 0) {
        if (used === pool.niovSize) {
          niov = pool.take()
          pool.hold(niov)
          const node = fragments.add(pool.id, niov * pool.niovSize, 0)
          if (tail < 0) head = node
          else fragments.next[tail] = node
          tail = node
          used = 0
        }
        const chunk = Math.min(count, pool.niovSize - used)
        copyBytes(pool.bytes, niov * pool.niovSize + used, side, from, chunk)
        fragments.length[tail]! += chunk
        used += chunk
        from += chunk
        count -= chunk
      }
    }
    this.#counters.copiedBytes += segment.length
    segment.taken = true
    this.tail = tail
    this.niovs = needed
    return head
  }
}
