import { swap16 } from '../../bytes.ts'
import { type Counters, RX_BYTES } from '../counters.ts'
import { KeptList } from '../kept-list.ts'
import { seqLe } from '../wire/seq.ts'
import type { AckScheduler } from './acks.ts'
import type { TcpContext } from './context.ts'
import {
  doubled,
  type FlowRows,
  ROW_ACK,
  ROW_ADV,
  ROW_FIRST_TS,
  ROW_IS_6,
  ROW_NXT,
  ROW_PIECES,
  ROW_SAME_WINDOW,
  ROW_SEGMENTS,
  ROW_SHAPE,
  ROW_SHIFT,
  ROW_SINK,
  ROW_SINK_MASK,
  ROW_TS,
  ROW_TS_ECR,
  ROW_TS_RAW,
  ROW_TURN,
  ROW_WINDOW_SHIFT,
  ROW_WL1,
} from './rows.ts'
import type { SinkTarget } from './sink.ts'
import { ESTABLISHED, EVENT_READABLE } from './state.ts'
import type { Tcb } from './tcb.ts'

/** Data offset and flags of a segment that is nothing but data, PSH aside, as a little-endian halfword: five or eight words of header, ACK. */
const PLAIN_SHAPE = 0x1050
const TIMESTAMPED_SHAPE = 0x1080

/** What bulk data asks of the TCP module. */
export interface BulkOwner {
  readonly acks: AckScheduler
  raise(tcb: Tcb, event: number): void
}

/** TCP's part of bulk data (`BulkInput`): fills a connection's row before its first segment of a burst, and takes over what it says behind the last. */
export class TcpBulk {
  readonly rows: FlowRows
  /** Rows filled in this turn that have taken something, in order; the first `touchedCount`. */
  touched = new Int32Array(64)
  touchedCount = 0
  /** What takes payload in this turn. */
  readonly targets = new KeptList<SinkTarget>()
  readonly #owner: BulkOwner
  readonly #context: TcpContext
  readonly #counters: Counters
  /** Connections whose payload was handed over in this poll. */
  readonly #handed = new KeptList<Tcb>()

  constructor(owner: BulkOwner, context: TcpContext, rows: FlowRows) {
    this.#owner = owner
    this.#context = context
    this.#counters = context.counters
    this.rows = rows
  }

  /** Whatever rows say is out of date. */
  begin(): void {
    this.rows.turn = (this.rows.turn + 1) | 0
    this.touchedCount = 0
    this.targets.clear()
  }

  /**
   * Fills in a row, on the conditions of `TcpInput.fast`: of those, what can differ from one of its segments to the next is left to be
   * compared with.
   */
  open(row: number): void {
    const { rows } = this.rows
    const at = row << ROW_SHIFT
    const tcb = this.rows.tcbs[row]!
    const { rcv, snd } = tcb
    const { memory } = this.#context
    rows[at + ROW_TURN] = this.rows.turn
    rows[at + ROW_SEGMENTS] = 0
    rows[at + ROW_PIECES] = 0
    if (
      tcb.state !== ESTABLISHED ||
      (snd.buffered !== 0 && !snd.waits()) ||
      rcv.ooo.count !== 0 ||
      rcv.finSeen ||
      rcv.pack !== null ||
      rcv.shut ||
      rcv.lent ||
      rcv.quickAcks > 0 ||
      tcb.ecn !== null ||
      rcv.niovs >= memory.thinNiovs
    ) {
      rows[at + ROW_SHAPE] = -1
      return
    }
    const shape = tcb.timestamps ? TIMESTAMPED_SHAPE : PLAIN_SHAPE
    this.rows.room[row] = memory.thinNiovs - rcv.niovs
    rows[at + ROW_SHAPE] = tcb.local.version === 6 ? shape | ROW_IS_6 : shape
    rows[at + ROW_NXT] = rcv.nxt
    rows[at + ROW_ACK] = (swap16(snd.una >>> 16) << 16) | swap16(snd.una & 0xffff)
    rows[at + ROW_ADV] = rcv.adv
    rows[at + ROW_TS] = rcv.tsRecent
    rows[at + ROW_TS_RAW] = (swap16(rcv.tsRecent >>> 16) << 16) | swap16(rcv.tsRecent & 0xffff)
    const { sink } = tcb
    let slot = 0
    if (sink !== null && rcv.head < 0) {
      const target = sink.ready(tcb.rare)
      if (target !== null) {
        if (target.turn !== this.rows.turn || this.targets.items[target.slot - 1] !== target) {
          target.turn = this.rows.turn
          target.slot = this.targets.add(target)
        }
        slot = target.slot
        this.rows.tags[2 * row] = sink.userDataLow
        this.rows.tags[2 * row + 1] = sink.userDataHigh
      }
    }
    rows[at + ROW_SINK] =
      slot |
      (seqLe(rcv.nxt, rcv.lastAckSent) ? ROW_FIRST_TS : 0) |
      (snd.buffered === 0 ? 0 : ROW_SAME_WINDOW | (swap16(snd.wnd >>> snd.shift) << ROW_WINDOW_SHIFT))
  }

  /** A row takes its first segment of this turn. */
  touch(row: number): void {
    if (this.touchedCount === this.touched.length) this.touched = doubled(this.touched)
    this.touched[this.touchedCount++] = row
  }

  /** Tells the connection what its row has taken. */
  commit(row: number, now: number): void {
    const at = row << ROW_SHIFT
    const { rows } = this.rows
    const tcb = this.rows.tcbs[row]!
    const { rcv, snd } = tcb
    const nxt = rows[at + ROW_NXT]!
    const segments = rows[at + ROW_SEGMENTS]!
    const pieces = rows[at + ROW_PIECES]!
    const sink = rows[at + ROW_SINK]!
    const bytes = (nxt - rcv.nxt) | 0
    rcv.nxt = nxt
    rcv.queuedBytes += bytes
    rcv.niovs += pieces
    rcv.sinceBytes += bytes
    rcv.sinceNiovs += pieces
    if (tcb.timestamps) {
      if ((sink & ROW_FIRST_TS) !== 0) {
        rcv.tsRecent = rows[at + ROW_TS]!
        rcv.tsRecentAt = now
      }
      rcv.tsEcr = rows[at + ROW_TS_ECR]!
    }
    snd.wnd = swap16(sink >>> ROW_WINDOW_SHIFT) << snd.shift
    snd.wl1 = rows[at + ROW_WL1]!
    snd.wl2 = snd.una
    this.#counters.cells[RX_BYTES]! += bytes
    // `owe` weighs each segment; more than two is as good as two.
    this.#owner.acks.oweSeveral(tcb, bytes >= 2 * snd.mss ? Math.max(2, segments) : segments)
    if ((sink & ROW_SINK_MASK) === 0) return
    const { handedBytes, handedNiovs } = this.rows
    if (handedBytes[row] === 0) this.#handed.add(tcb)
    handedBytes[row]! += bytes
    handedNiovs[row]! += pieces
    this.#context.memory.handed += pieces
  }

  /** Appends pieces to receive queues. @param refused by whoever was to take them */
  queue(from: number, to: number, rowOf: Int32Array, refused: boolean): void {
    const { fragments, memory, burst } = this.#context
    const { areas } = memory
    const { offset, length, area } = burst
    for (let i = from; i < to; i++) {
      const row = rowOf[i]!
      if (row < 0) continue
      const tcb = this.rows.tcbs[row]!
      const { rcv } = tcb
      const pool = areas.length === 1 ? memory.pool : areas[area[i]!]!
      const at = offset[i]!
      pool.stackRefs[at >>> pool.shift]!++
      const node = fragments.add(pool.id, at, length[i]!)
      if (rcv.tail < 0) rcv.head = node
      else fragments.next[rcv.tail] = node
      rcv.tail = node
      if (refused) {
        this.rows.handedBytes[row]! -= length[i]!
        this.rows.handedNiovs[row]!--
        memory.handed--
      }
      if ((tcb.events & EVENT_READABLE) === 0) this.#owner.raise(tcb, EVENT_READABLE)
    }
  }

  /** The end of a poll: what was handed over is no longer the stack's. */
  settle(): void {
    const handed = this.#handed
    if (handed.count === 0) return
    for (let i = 0; i < handed.count; i++) this.rows.settle(handed.items[i]!)
    handed.clear()
    this.#context.memory.handed = 0
  }
}
