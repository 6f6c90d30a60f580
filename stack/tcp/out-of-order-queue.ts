import type { Fragments } from '../memory/fragments.ts'
import { seqMax, seqMin } from '../wire/seq.ts'

/**
 * Out-of-order data by reference: disjoint runs of sequence space beyond `rcvNxt`, sorted, each a list of fragments that
 * stay where the NIC put them. Bytes that arrive twice keep their first copy.
 */
export class OutOfOrderQueue {
  start: Int32Array
  end: Int32Array
  head: Int32Array
  tail: Int32Array
  /** When the run last grew, in segments: RFC 2018 section 4 wants the latest first. */
  touched: Float64Array
  count = 0
  /** Payload bytes held. */
  bytes = 0
  /** About how many niovs they are. */
  niovs = 0
  /** First range of the last `insert` that was already here, for D-SACK (RFC 2883); empty when equal. */
  duplicateStart = 0
  duplicateEnd = 0
  /** Bytes of the last `insert` that were already here. */
  duplicateBytes = 0

  /** A FIN beyond a hole: its number, and when it came, like `touched`; 0 = there is none. */
  #fin = 0
  #finTouched = 0

  /** RCV.NXT when holes were last looked at, and since when it has been that (microseconds). */
  holesNxt = 0
  holesSince = 0
  readonly #fragments: Fragments
  readonly #maxRuns: number
  /** Nobody's own: stands for no holes, and stays empty. */
  readonly shared: boolean
  #stamp = 0
  #cutTail = -1
  #packed = false

  /** @param maxRuns most holes a peer may make us remember */
  constructor(fragments: Fragments, maxRuns: number, shared = false) {
    this.#fragments = fragments
    this.#maxRuns = maxRuns
    this.shared = shared
    const capacity = shared ? 0 : Math.min(8, maxRuns)
    this.start = new Int32Array(capacity)
    this.end = new Int32Array(capacity)
    this.head = new Int32Array(capacity)
    this.tail = new Int32Array(capacity)
    this.touched = new Float64Array(capacity)
  }

  /** A queue like this one, for one connection. */
  own(): OutOfOrderQueue {
    return new OutOfOrderQueue(this.#fragments, this.#maxRuns)
  }

  /**
   * Takes over the fragment list `head`, which is exactly the bytes `[start, end)`. False, and the list is discarded, when
   * it would open more runs than allowed.
   * @param packed it is one fragment that was copied behind earlier ones
   */
  insert(start: number, end: number, head: number, packed = false): boolean {
    this.#packed = packed
    const others = this.#fragments.niovs - this.#fragments.weigh(head)
    const taken = this.#insert(start, end, head)
    this.niovs += this.#fragments.niovs - others
    return taken
  }

  #insert(start: number, end: number, head: number): boolean {
    this.duplicateStart = this.duplicateEnd = this.duplicateBytes = 0
    // Arrivals cluster at the end, so look from there for the first run that reaches `start`.
    let index = this.count
    while (index > 0 && ((this.end[index - 1]! - start) | 0) >= 0) index--
    const stamp = ++this.#stamp

    if (index === this.count || ((this.start[index]! - end) | 0) > 0) {
      if (this.count >= this.#maxRuns) {
        this.#fragments.discardList(head)
        return false
      }
      this.#open(index, start, end, head)
      this.touched[index] = stamp
      this.bytes += (end - start) | 0
      return true
    }

    const before = (this.start[index]! - start) | 0
    if (before > 0) {
      const rest = this.#cut(head, before)
      this.#fragments.next[this.#cutTail] = this.head[index]!
      this.head[index] = head
      this.start[index] = start
      this.bytes += before
      head = rest
      start = (start + before) | 0
    }
    this.touched[index] = stamp
    while (((end - start) | 0) > 0) {
      const known = Math.min((this.end[index]! - start) | 0, (end - start) | 0)
      if (known > 0) {
        this.#noteDuplicate(start, known)
        head = this.#fragments.dropFront(head, known)
        start = (start + known) | 0
        continue
      }
      const hasNext = index + 1 < this.count && ((this.start[index + 1]! - end) | 0) <= 0
      const room = hasNext ? (this.start[index + 1]! - start) | 0 : (end - start) | 0
      const rest = room < ((end - start) | 0) ? this.#cut(head, room) : this.#wholeList(head)
      if (room > 0) {
        this.bytes += room
        // Small pieces that were packed behind one another are one.
        if (!this.#packed || this.#cutTail !== head || !this.#fragments.join(this.tail[index]!, head)) {
          this.#fragments.next[this.tail[index]!] = head
          this.tail[index] = this.#cutTail
        }
      }
      this.end[index] = (start + room) | 0
      start = this.end[index]!
      head = rest
      if (hasNext) this.#mergeNext(index)
    }
    return true
  }

  /** A FIN that can't be taken yet: it has a number, which is acknowledged selectively like a byte. */
  noteFin(seq: number): void {
    this.#fin = seq
    this.#finTouched = ++this.#stamp
  }

  forgetFin(): void {
    this.#finTouched = 0
  }

  /** Ranges to tell the peer of, at most (RFC 2018). */
  get blocks(): number {
    return this.#finTouched > 0 && this.#runAtFin() < 0 ? this.count + 1 : this.count
  }

  /** Behind the last number that is held; only if `blocks` is not 0. */
  rightEdge(): number {
    const last = this.count > 0 ? this.end[this.count - 1]! : this.#fin
    return this.#finTouched > 0 ? seqMax(last, (this.#fin + 1) | 0) : last
  }

  /** The run that the FIN follows, -1 when there is none. */
  #runAtFin(): number {
    for (let i = this.count - 1; i >= 0; i--) if (this.end[i] === this.#fin) return i
    return -1
  }

  /** Whether the first run begins at or before `rcvNxt`. */
  ready(rcvNxt: number): boolean {
    return this.count > 0 && ((this.start[0]! - rcvNxt) | 0) <= 0
  }

  /**
   * Removes the first run, trimmed to what lies beyond `rcvNxt`. Returns its list's head, -1 when nothing is left of it;
   * `takenEnd`, `takenTail` and `takenNiovs` describe it.
   */
  takeFirst(rcvNxt: number): number {
    let head = this.head[0]!
    const known = (rcvNxt - this.start[0]!) | 0
    const size = (this.end[0]! - this.start[0]!) | 0
    this.takenEnd = this.end[0]!
    this.takenTail = this.tail[0]!
    this.bytes -= size
    this.takenNiovs = this.#fragments.weigh(head)
    this.niovs -= this.takenNiovs
    this.#close(0)
    if (known >= size) {
      this.#fragments.discardList(head)
      return -1
    }
    if (known > 0) {
      const before = this.#fragments.niovs
      head = this.#fragments.dropFront(head, known)
      this.takenNiovs -= before - this.#fragments.niovs
    }
    return head
  }
  takenNiovs = 0
  takenEnd = 0
  takenTail = -1

  /** Index of the run that holds `seq`, -1 when none does. */
  find(seq: number): number {
    for (let i = 0; i < this.count; i++) {
      if (((seq - this.start[i]!) | 0) >= 0 && ((this.end[i]! - seq) | 0) > 0) return i
    }
    return -1
  }

  /** Whether some of `[start, end)` is held; the first such range is in `duplicateStart` and `duplicateEnd`. */
  overlap(start: number, end: number): boolean {
    for (let i = 0; i < this.count; i++) {
      const from = seqMax(this.start[i]!, start)
      const to = seqMin(this.end[i]!, end)
      if (((to - from) | 0) <= 0) continue
      this.duplicateStart = from
      this.duplicateEnd = to
      return true
    }
    return false
  }

  /**
   * Writes up to `room` blocks to `edges` from block `from` on, the most recently changed run first (RFC 2018 section 4).
   * Returns the blocks written in all.
   */
  sackBlocks(edges: Int32Array, from: number, room: number): number {
    const { count } = this
    const withFin = this.#finTouched > 0 ? this.#runAtFin() : -2
    let written = from
    let newest = Number.POSITIVE_INFINITY
    while (written < room) {
      let best = -1
      // One behind the runs: a FIN with a hole in front of it.
      let stamp = withFin === -1 && this.#finTouched < newest ? this.#finTouched : 0
      if (stamp > 0) best = count
      for (let i = 0; i < count; i++) {
        const touched = i === withFin ? Math.max(this.touched[i]!, this.#finTouched) : this.touched[i]!
        if (touched < newest && touched > stamp) {
          stamp = touched
          best = i
        }
      }
      if (best < 0) break
      edges[written * 2] = best === count ? this.#fin : this.start[best]!
      edges[written * 2 + 1] = best === count || best === withFin ? (this.#fin + 1) | 0 : this.end[best]!
      newest = stamp
      written++
    }
    return written
  }

  /** Gives up the run furthest ahead. Returns its bytes. */
  dropLast(): number {
    const last = this.count - 1
    const size = (this.end[last]! - this.start[last]!) | 0
    const before = this.#fragments.niovs
    this.#fragments.discardList(this.head[last]!)
    this.niovs -= before - this.#fragments.niovs
    this.#close(last)
    this.bytes -= size
    return size
  }

  /** Gives every fragment back. */
  clear(): void {
    for (let i = 0; i < this.count; i++) this.#fragments.discardList(this.head[i]!)
    this.#finTouched = 0
    this.count = 0
    this.bytes = 0
    this.niovs = 0
  }

  #noteDuplicate(start: number, bytes: number): void {
    if (this.duplicateBytes === 0) {
      this.duplicateStart = start
      this.duplicateEnd = (start + bytes) | 0
    }
    this.duplicateBytes += bytes
  }

  #mergeNext(index: number): void {
    const next = index + 1
    this.#fragments.next[this.tail[index]!] = this.head[next]!
    this.tail[index] = this.tail[next]!
    this.end[index] = this.end[next]!
    this.#close(next)
  }

  /** Cuts the list after `bytes`; returns the head of the rest, `#cutTail` is the last node of the front. */
  #cut(head: number, bytes: number): number {
    const fragments = this.#fragments
    let node = head
    while (fragments.length[node]! < bytes) {
      bytes -= fragments.length[node]!
      node = fragments.next[node]!
    }
    const rest = fragments.length[node]! > bytes ? fragments.split(node, bytes) : fragments.next[node]!
    fragments.next[node] = -1
    this.#cutTail = node
    return rest
  }

  #wholeList(head: number): number {
    this.#cutTail = this.#fragments.lastOf(head)
    return -1
  }

  #open(index: number, start: number, end: number, head: number): void {
    if (this.count === this.start.length) this.#grow()
    for (let i = this.count; i > index; i--) this.#move(i - 1, i)
    this.count++
    this.#wholeList(head)
    this.start[index] = start
    this.end[index] = end
    this.head[index] = head
    this.tail[index] = this.#cutTail
  }

  #close(index: number): void {
    this.count--
    for (let i = index; i < this.count; i++) this.#move(i + 1, i)
  }

  #move(from: number, to: number): void {
    this.start[to] = this.start[from]!
    this.end[to] = this.end[from]!
    this.head[to] = this.head[from]!
    this.tail[to] = this.tail[from]!
    this.touched[to] = this.touched[from]!
  }

  #grow(): void {
    const capacity = Math.min(this.#maxRuns, this.start.length * 2)
    const grow = <T extends Int32Array | Float64Array>(old: T, fresh: T): T => {
      fresh.set(old)
      return fresh
    }
    this.start = grow(this.start, new Int32Array(capacity))
    this.end = grow(this.end, new Int32Array(capacity))
    this.head = grow(this.head, new Int32Array(capacity))
    this.tail = grow(this.tail, new Int32Array(capacity))
    this.touched = grow(this.touched, new Float64Array(capacity))
  }
}
