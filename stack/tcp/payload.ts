import { type Nic, RX_SIDE, type RxBurst } from '../../driver/nic.ts'
import type { Counters } from '../counters.ts'
import type { Fragments } from '../memory/fragments.ts'
import type { QueueMemory } from '../memory/queue-memory.ts'
import type { Receiver } from './receiver.ts'
import type { Segment } from './segment.ts'
import type { Tcb } from './tcb.ts'

/** Payload no longer than this part of a niov is packed together with its neighbours when memory is short. */
const PACK_FRACTION = 4

/** Moves payload from the burst into fragment lists: by reference where the NIC put it into the area. */
export class PayloadTaker {
  readonly #burst: RxBurst
  readonly #memory: QueueMemory
  readonly #fragments: Fragments
  readonly #counters: Counters
  readonly #nic: Nic
  /** Last node of the list that `take` returned. */
  tail = -1
  /** Niovs in that list. */
  niovs = 0

  constructor(nic: Nic, burst: RxBurst, memory: QueueMemory, fragments: Fragments, counters: Counters) {
    this.#nic = nic
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

  /** Whether this segment should rather be copied behind earlier payload: memory is short and the payload small. */
  shouldPack(segment: Segment): boolean {
    const memory = this.#memory
    return (
      segment.length * PACK_FRACTION <= memory.pool.niovSize &&
      segment.last - segment.first === 1 &&
      memory.linear === null &&
      memory.available() < memory.packBelow
    )
  }

  /** Whether taking more data would eat into the reserve that keeps control segments flowing. */
  exhausted(): boolean {
    return this.#memory.available() < this.#memory.reserve
  }

  /** Whether there is too little left for data that can't be delivered yet. */
  scarce(): boolean {
    return this.#memory.available() < 2 * this.#memory.reserve
  }

  /**
   * Appends an in-order segment's small payload to the connection's packing niov, or makes the segment's own niov the
   * packing niov. Returns the list to append to the receive queue, -1 when the queue's last fragment simply grew, -2 when there
   * was no memory.
   */
  pack(tcb: Tcb, segment: Segment): number {
    const rcv = tcb.rcv
    const pool = this.#memory.pool
    const fragments = this.#fragments
    const length = segment.length
    const from = this.#burst.offset[segment.first]! + segment.headerBytes
    const side = (this.#burst.flags[segment.first]! & RX_SIDE) !== 0
    const { pack } = rcv
    if (pack === null || pack.pool !== pool.id || pack.at + length > (pack.niov + 1) * pool.niovSize) {
      // What lies below the reserve is for control segments, however small the payload.
      if (this.exhausted()) return -2
      this.unpack(rcv)
      const head = this.take(segment)
      if (head < 0) return -2
      const niov = fragments.offset[this.tail]! >>> pool.shift
      pool.hold(niov)
      rcv.pack = { niov, pool: pool.id, at: fragments.offset[this.tail]! + fragments.length[this.tail]! }
      return head
    }
    if (side) pool.bytes.set(this.#nic.sideMemory!.subarray(from, from + length), pack.at)
    else pool.bytes.copyWithin(pack.at, from, from + length)
    this.#counters.packedBytes += length
    const at = pack.at
    pack.at += length
    this.niovs = 0
    const tail = rcv.tail
    if (
      tail >= 0 &&
      fragments.pool[tail] === pool.id &&
      fragments.offset[tail]! + fragments.length[tail]! === at &&
      fragments.offset[tail]! >>> pool.shift === pack.niov
    ) {
      fragments.length[tail]! += length
      return -1
    }
    pool.hold(pack.niov)
    this.tail = fragments.add(pool.id, at, length)
    return this.tail
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
        beside.bytes.set(this.#nic.sideMemory!.subarray(from, from + length), niov * beside.niovSize)
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
    const side = this.#nic.sideMemory!
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
        pool.bytes.set(side.subarray(from, from + chunk), niov * pool.niovSize + used)
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
