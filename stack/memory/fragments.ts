import type { PagePool } from './page-pool.ts'

/**
 * References to received payload, as singly linked lists in typed arrays: what receive queues and reassembly queues are
 * made of. A fragment lies within one niov and holds one of that niov's `stackRefs`. Index -1 ends a list.
 */
export class Fragments {
  /** Byte offset in the pool's area. */
  offset: Uint32Array
  length: Uint32Array
  /** Id of the pool. */
  pool: Uint16Array
  next: Int32Array
  /** 1 for whoever has its niov for itself, 0 for what was packed behind others. */
  weight: Uint8Array
  /** Nodes in use, and their weights together: about as many niovs. */
  used = 0
  niovs = 0
  readonly pools: readonly PagePool[]
  #freeHead = -1
  #fresh = 0

  /** @param pools table of pools by id, shared with the stack @param capacity nodes to begin with; doubles when needed */
  constructor(pools: readonly PagePool[], capacity = 1024) {
    this.pools = pools
    this.offset = new Uint32Array(capacity)
    this.length = new Uint32Array(capacity)
    this.pool = new Uint16Array(capacity)
    this.next = new Int32Array(capacity)
    this.weight = new Uint8Array(capacity)
  }

  /** A node for bytes whose niov reference the caller hands over. */
  add(pool: number, offset: number, length: number, weight = 1): number {
    let node = this.#freeHead
    if (node >= 0) this.#freeHead = this.next[node]!
    else {
      if (this.#fresh === this.next.length) this.#grow()
      node = this.#fresh++
    }
    this.offset[node] = offset
    this.length[node] = length
    this.pool[node] = pool
    this.next[node] = -1
    this.weight[node] = weight
    this.used++
    this.niovs += weight
    return node
  }

  /** Frees the node only: its niov reference is the caller's again. */
  remove(node: number): void {
    this.next[node] = this.#freeHead
    this.#freeHead = node
    this.used--
    this.niovs -= this.weight[node]!
  }

  /** Frees the node and its niov reference. */
  discard(node: number): void {
    const pool = this.pools[this.pool[node]!]!
    pool.drop(this.offset[node]! >>> pool.shift)
    this.remove(node)
  }

  /** What is there counts for nothing from now on: it lies in memory that nothing is received into any more. */
  writeOff(): void {
    this.weight.fill(0)
    this.niovs = 0
  }

  /** About how many niovs a list holds. */
  weigh(node: number): number {
    let weight = 0
    for (; node >= 0; node = this.next[node]!) weight += this.weight[node]!
    return weight
  }

  /** Makes `after`, the only node of its list, part of `node` when its bytes lie just behind. False when they don't. */
  join(node: number, after: number): boolean {
    const pool = this.pools[this.pool[node]!]!
    const end = this.offset[node]! + this.length[node]!
    if (this.pool[after] !== pool.id || this.offset[after] !== end) return false
    if ((end - 1) >>> pool.shift !== end >>> pool.shift) return false
    this.length[node]! += this.length[after]!
    this.discard(after)
    return true
  }

  /** Frees a whole list. */
  discardList(node: number): void {
    while (node >= 0) {
      const next = this.next[node]!
      this.discard(node)
      node = next
    }
  }

  /** Cuts `node` after `bytes` (0 < bytes < length): returns a new node for the rest, linked behind it. */
  split(node: number, bytes: number): number {
    const pool = this.pools[this.pool[node]!]!
    const offset = this.offset[node]! + bytes
    const rest = this.add(pool.id, offset, this.length[node]! - bytes, 0)
    pool.hold(offset >>> pool.shift)
    this.length[node] = bytes
    this.next[rest] = this.next[node]!
    this.next[node] = rest
    return rest
  }

  /** Keeps the first `bytes` of a list and frees the rest. Returns the head, -1 when nothing is kept. */
  keepFront(head: number, bytes: number): number {
    if (bytes <= 0) {
      this.discardList(head)
      return -1
    }
    let node = head
    while (this.length[node]! < bytes) {
      bytes -= this.length[node]!
      node = this.next[node]!
    }
    if (this.length[node]! > bytes) this.split(node, bytes)
    this.discardList(this.next[node]!)
    this.next[node] = -1
    return head
  }

  /** Frees the first `bytes` of a list; returns the new head, -1 when nothing is left. */
  dropFront(head: number, bytes: number): number {
    let node = head
    while (node >= 0 && bytes > 0) {
      const length = this.length[node]!
      if (length > bytes) {
        this.offset[node]! += bytes
        this.length[node] = length - bytes
        return node
      }
      const next = this.next[node]!
      this.discard(node)
      bytes -= length
      node = next
    }
    return node
  }

  /** The last node of a list. */
  lastOf(head: number): number {
    let node = head
    while (this.next[node]! >= 0) node = this.next[node]!
    return node
  }

  #grow(): void {
    const capacity = this.next.length * 2
    const offset = new Uint32Array(capacity)
    const length = new Uint32Array(capacity)
    const pool = new Uint16Array(capacity)
    const next = new Int32Array(capacity)
    const weight = new Uint8Array(capacity)
    offset.set(this.offset)
    length.set(this.length)
    pool.set(this.pool)
    next.set(this.next)
    weight.set(this.weight)
    this.offset = offset
    this.length = length
    this.pool = pool
    this.next = next
    this.weight = weight
  }
}
