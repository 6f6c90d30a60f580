import type { IpAddress } from '../../address.ts'
import { swap16 } from '../../bytes.ts'
import { fold, pseudoHeaderSum, pseudoHeaderSum6 } from '../wire/checksum.ts'
import { IPPROTO_TCP } from '../wire/ipv4.ts'
import type { Tcb } from './tcb.ts'

/** log2 of the 32-bit words of a row: one cache line. */
export const ROW_SHIFT = 4
const ROW_WORDS = 1 << ROW_SHIFT

// The words of a row. Hot loops have the numbers themselves: in V8 11 each use of an imported constant is a load and two checks.
/** What the index knows a connection by: header words 7, 8 and parts of 6 and 9, as a little-endian machine reads them. */
export const ROW_KEY0 = 0
export const ROW_KEY1 = 1
export const ROW_KEY2 = 2
/** When the rest was filled in: `FlowRows.turn`, or it has to be. */
export const ROW_TURN = 3
/** RCV.NXT, and the acknowledgment expected as header words 10 (upper half) and 11 (lower half) have it. */
export const ROW_NXT = 4
export const ROW_ACK = 5
/** Right edge of the window. */
export const ROW_ADV = 6
/** The timestamp that none may be older than. */
export const ROW_TS = 7
/** Sequence number of the last segment taken. */
export const ROW_WL1 = 8
/** Data offset and flags as their halfword reads, less PSH; with `ROW_IS_6` for IPv6. -1: nothing is taken. */
export const ROW_SHAPE = 9
export const ROW_IS_6 = 0x10000
/** Folded sum of the pseudo-header, its length aside. */
export const ROW_PSEUDO = 10
/** Segments taken, and pieces of payload. */
export const ROW_SEGMENTS = 11
export const ROW_PIECES = 12
/** The last timestamp that passed, as header words 14 (upper half) and 15 (lower half) have it. */
export const ROW_TS_RAW = 13
/** TSecr of the last segment. */
export const ROW_TS_ECR = 14
/** Who takes what comes, plus 1 (0: it is queued), `ROW_FIRST_TS`, and above `ROW_WINDOW_SHIFT` the window field as it reads. */
export const ROW_SINK = 15
export const ROW_SINK_MASK = 0x3fff
/** In its place: who was to take it has refused some of it in this turn, and the rest is queued behind that. */
export const ROW_REFUSED = 0x3fff
/** The window field has to be what is there: something waits for a larger one. */
export const ROW_SAME_WINDOW = 0x4000
/** The next segment is the one that the next ACK begins at: its timestamp is to be echoed (RFC 7323 4.3). */
export const ROW_FIRST_TS = 0x8000
export const ROW_WINDOW_SHIFT = 16

/** Words, by row as well, of the IPv6 key: header words 5 (upper half) to 13, and 14 (lower half). */
export const KEY6_WORDS = 10

/** Connections that have rows: those that have sent much of late. */
const MOST_ROWS = 8192
/** Rows that are looked at when there is none left, and turns that one has to have been out of use for. */
const LOOKED_AT = 8
const UNUSED_TURNS = 256

/**
 * What bulk data needs of each connection that brings it, a cache line each, found by the words of a header as they lie in memory: an index with
 * open addressing in front, so that no byte is exchanged and no object touched before a segment is known to be the next one.
 */
export class FlowRows {
  rows: Int32Array
  /** By row; made with the first connection over IPv6. */
  keys6: Int32Array | null = null
  readonly tcbs: (Tcb | null)[] = [null]
  /** By row, two words each: what is told with its payload (`PayloadSink.userDataLow`, `userDataHigh`). */
  tags = new Int32Array(128)
  /** By row: bytes and niovs of what the receive queue is said to hold that the application has got already in this poll (`TcpBulk.settle`). */
  handedBytes = new Int32Array(64)
  handedNiovs = new Int32Array(64)
  /** By row: niovs that its connection may still fill with little, when it was filled in. */
  room = new Int32Array(64)
  /** Row number, 0 = none: row 0 is nobody's. */
  index: Int32Array
  mask: number
  /** What is filled in belongs to the latest call of `BulkInput.take`. */
  turn = 0
  /** Most rows; 0 where nobody takes bursts. */
  most = 0
  /** Secret, so that a peer can't choose ports that collide. */
  readonly key0: number
  readonly key1: number
  readonly #free: number[] = []
  #used = 1
  /** The row that is looked at next when there is none left. */
  #hand = 1

  constructor(key0: number, key1: number) {
    this.key0 = key0
    this.key1 = key1 | 1
    this.rows = new Int32Array(64 * ROW_WORDS)
    this.index = new Int32Array(128)
    this.mask = 127
  }

  /** Bursts may be taken from now on. */
  enable(): void {
    this.most = MOST_ROWS
  }

  /** The connection brings data, and has no row: it gets one, if there is one that was not used for some time. */
  want(tcb: Tcb): void {
    if (this.#used > this.most && this.#free.length === 0 && !this.#evict()) return
    this.#add(tcb)
  }

  #evict(): boolean {
    for (let i = 0; i < LOOKED_AT && this.most > 0; i++) {
      const row = this.#hand
      this.#hand = row >= this.most ? 1 : row + 1
      const age = (this.turn - this.rows[(row << ROW_SHIFT) + ROW_TURN]!) | 0
      if ((age >= 0 && age < UNUSED_TURNS) || this.handedBytes[row]! > 0) continue
      this.remove(this.tcbs[row]!)
      return true
    }
    return false
  }

  #add(tcb: Tcb): void {
    const row = this.#free.pop() ?? this.#used++
    if (row * ROW_WORDS === this.rows.length) this.#grow()
    tcb.row = row
    this.tcbs[row] = tcb
    const at = row << ROW_SHIFT
    const { local, remote } = tcb
    this.rows.fill(0, at, at + ROW_WORDS)
    if (local.version === 4) this.#key4(at, tcb)
    else this.#key6(row, tcb)
    this.rows[at + ROW_PSEUDO] = fold(
      local.version === 4
        ? pseudoHeaderSum(remote.w3, local.w3, IPPROTO_TCP, 0)
        : pseudoHeaderSum6(remote, local, IPPROTO_TCP, 0),
    )
    if (this.#used * 2 > this.index.length) this.#rehash(this.index.length * 2)
    else this.#place(row)
  }

  remove(tcb: Tcb): void {
    const { row } = tcb
    if (row === 0) return
    this.settle(tcb)
    tcb.row = 0
    let hole = this.#home(row)
    while (this.index[hole] !== row) hole = (hole + 1) & this.mask
    this.tcbs[row] = null
    for (let at = hole; ; ) {
      at = (at + 1) & this.mask
      const next = this.index[at]!
      if (next === 0) break
      // An entry may move into the hole unless its home lies behind it.
      if (((at - this.#home(next)) & this.mask) >= ((at - hole) & this.mask)) {
        this.index[hole] = next
        hole = at
      }
    }
    this.index[hole] = 0
    this.#free.push(row)
  }

  /** The end of a poll: what was handed over is no longer the stack's. */
  settle(tcb: Tcb): void {
    const { rcv, row } = tcb
    const bytes = this.handedBytes[row]!
    if (bytes === 0) return
    rcv.queuedBytes -= bytes
    rcv.niovs -= this.handedNiovs[row]!
    this.forget(tcb)
  }

  /** Nothing that its queue is said to hold is the application's: it was dropped. */
  forget({ row }: Tcb): void {
    this.handedBytes[row] = 0
    this.handedNiovs[row] = 0
  }

  #key4(at: number, { local, remote, localPort, remotePort }: Tcb): void {
    const { rows } = this
    rows[at + ROW_KEY0] = swap16(remote.w3 & 0xffff) | (swap16(local.w3 >>> 16) << 16)
    rows[at + ROW_KEY1] = swap16(local.w3 & 0xffff) | (swap16(remotePort) << 16)
    rows[at + ROW_KEY2] = (swap16(remote.w3 >>> 16) << 16) | swap16(localPort)
  }

  #key6(row: number, { local, remote, localPort, remotePort }: Tcb): void {
    this.keys6 ??= new Int32Array((this.rows.length / ROW_WORDS) * KEY6_WORDS)
    const keys = this.keys6
    const from = row * KEY6_WORDS
    const words = addressWords(remote, local)
    for (let i = 0; i < 8; i++) keys[from + i] = words[i]!
    keys[from + 8] = (words[8]! & 0xffff) | (swap16(remotePort) << 16)
    keys[from + 9] = swap16(localPort)
    const { rows } = this
    const at = row << ROW_SHIFT
    // As `BulkScan6` makes them of a header: keyed at every step, as a peer chooses many of their bits.
    let h = Math.imul(keys[from]! ^ this.key0, this.key1)
    h = Math.imul((h ^ (h >>> 15)) + keys[from + 1]!, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 13)) + keys[from + 2]!, this.key1)
    h = Math.imul((h ^ (h >>> 15)) + keys[from + 3]!, 0x85ebca6b)
    rows[at + ROW_KEY0] = h ^ (h >>> 16)
    rows[at + ROW_KEY1] = keys[from + 8]!
    rows[at + ROW_KEY2] = keys[from + 4]! ^ keys[from + 9]!
  }

  /** Where in the index the search for a row begins. */
  #home(row: number): number {
    const { rows } = this
    const at = row << ROW_SHIFT
    let h = Math.imul(rows[at + ROW_KEY0]! ^ this.key0, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 15)) + rows[at + ROW_KEY1]!, this.key1)
    h = Math.imul((h ^ (h >>> 13)) + rows[at + ROW_KEY2]!, 0x85ebca6b)
    return (h ^ (h >>> 16)) & this.mask
  }

  #place(row: number): void {
    let at = this.#home(row)
    while (this.index[at] !== 0) at = (at + 1) & this.mask
    this.index[at] = row
  }

  #rehash(size: number): void {
    this.index = new Int32Array(size)
    this.mask = size - 1
    for (let row = 1; row < this.tcbs.length; row++) if (this.tcbs[row] != null) this.#place(row)
  }

  #grow(): void {
    this.rows = doubled(this.rows)
    this.handedBytes = doubled(this.handedBytes)
    this.handedNiovs = doubled(this.handedNiovs)
    this.room = doubled(this.room)
    this.tags = doubled(this.tags)
    if (this.keys6 !== null) this.keys6 = doubled(this.keys6)
  }
}

/** A copy with as much room again. */
export function doubled(words: Int32Array): Int32Array<ArrayBuffer> {
  const more = new Int32Array(words.length * 2)
  more.set(words)
  return more
}

/** Header words 5 (upper half) to 13 (lower half) of an IPv6 packet behind an Ethernet header. */
function addressWords(source: IpAddress, destination: IpAddress): Int32Array {
  const bytes = new Uint8Array(36)
  source.put(bytes, 2)
  destination.put(bytes, 18)
  return new Int32Array(bytes.buffer)
}
