import { randomBytes } from 'node:crypto'
import type { SegmentDecoder } from '../decode/segment.ts'
import type { PlayedConnection } from './connection.ts'

const SLOTS = 4096
/** Connections that are known at a time; the oldest make room. */
const MOST = 65_536

/** Connections by their endpoints. */
export class PlayTable {
  readonly #heads: (PlayedConnection | null)[] = new Array(SLOTS).fill(null)
  /** In order of their beginning. */
  readonly #order = new Set<PlayedConnection>()
  // A capture can't choose endpoints that collide.
  readonly #key = randomBytes(4).readInt32LE() | 1

  /** @param fromPeer the segment is the peer's, not ours */
  find(s: SegmentDecoder, fromPeer: boolean): PlayedConnection | null {
    const ports = portsOf(s, fromPeer)
    let found: PlayedConnection | null = this.#heads[this.#slot(wordOf(s, fromPeer), ports)] ?? null
    while (found !== null && !(found.ports === ports && sameEnds(found.words, s, fromPeer)))
      found = found.next
    return found
  }

  /** Returns the connection that had to make room, if any. */
  add(connection: PlayedConnection): PlayedConnection | null {
    const slot = this.#slot(connection.words[3]!, connection.ports)
    connection.next = this.#heads[slot]!
    this.#heads[slot] = connection
    this.#order.add(connection)
    if (this.#order.size <= MOST) return null
    const oldest: PlayedConnection = this.#order.values().next().value!
    this.remove(oldest)
    return oldest
  }

  remove(connection: PlayedConnection): void {
    if (!this.#order.delete(connection)) return
    const slot = this.#slot(connection.words[3]!, connection.ports)
    if (this.#heads[slot] === connection) {
      this.#heads[slot] = connection.next
      return
    }
    let before = this.#heads[slot]!
    while (before.next !== connection) before = before.next!
    before.next = connection.next
  }

  all(): Iterable<PlayedConnection> {
    return this.#order
  }

  #slot(word: number, ports: number): number {
    let h = Math.imul(word ^ this.#key, 0x9e37_79b1)
    h = Math.imul((h ^ (h >>> 15)) + ports, this.#key)
    return (h ^ (h >>> 16)) & (SLOTS - 1)
  }
}

/** The peer's port and ours. */
export function portsOf(s: SegmentDecoder, fromPeer: boolean): number {
  return fromPeer ? (s.sourcePort << 16) | s.destinationPort : (s.destinationPort << 16) | s.sourcePort
}

/** The peer's address and ours. */
export function wordsOf(s: SegmentDecoder): Int32Array {
  return Int32Array.of(
    s.source0,
    s.source1,
    s.source2,
    s.source3,
    s.destination0,
    s.destination1,
    s.destination2,
    s.destination3,
  )
}

function wordOf(s: SegmentDecoder, fromPeer: boolean): number {
  return fromPeer ? s.source3 : s.destination3
}

function sameEnds(w: Int32Array, s: SegmentDecoder, fromPeer: boolean): boolean {
  const peer = fromPeer ? 0 : 4
  const ours = 4 - peer
  return (
    w[peer + 3] === s.source3 &&
    w[ours + 3] === s.destination3 &&
    w[peer + 2] === s.source2 &&
    w[ours + 2] === s.destination2 &&
    w[peer + 1] === s.source1 &&
    w[ours + 1] === s.destination1 &&
    w[peer] === s.source0 &&
    w[ours] === s.destination0
  )
}
