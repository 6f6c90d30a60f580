import { littleEndian } from '../../bytes.ts'
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_VERIFIED,
  type Counters,
  RX_FRAGMENTS,
  RX_FRAMES,
  RX_SEGMENTS,
} from '../counters.ts'
import { ROW_REFUSED, ROW_SHIFT, ROW_SINK, ROW_SINK_MASK } from '../tcp/rows.ts'
import { wordsOfMac } from '../wire/ethernet.ts'
import { BulkBurst } from './bulk-burst.ts'
import { BulkNative } from './bulk-native.ts'
import { BulkScan4 } from './bulk-scan4.ts'
import { BulkScan6 } from './bulk-scan6.ts'
import type { IpContext } from './context.ts'
import type { FragmentSums } from './fragment-sums.ts'
import type { Link } from './link.ts'

/** Frames in a row that are refused before some are not looked at, and the most of those. */
const REFUSED_IN_ROW = 3
const MOST_UNSEEN = 16

/**
 * Bulk data, a burst at a time: loops that only compare header words with the row of the connection, and count on there. The
 * connection itself is looked at before the first of its segments and behind the last, and payload goes from the burst to whoever waits
 * for it. Whatever is not the next segment of its connection ends the loop, untouched, and is for `PlainInput` and what follows
 * it: what they make of each segment is what is made of all here (`npm run fuzz -- bulk` compares).
 */
export class BulkInput {
  readonly #bulk: BulkBurst
  readonly #counters: Counters
  readonly #link: Link
  readonly #scan4: BulkScan4
  readonly #scan6: BulkScan6
  /** Null where there is nothing but JavaScript, or frames are not for it. */
  readonly #native: BulkNative | null
  /** The connections' payload may come in this way: frames have no tags, and nobody wants to know of each. */
  readonly enabled: boolean

  constructor(ip: IpContext, sums: FragmentSums) {
    const { nic, link } = ip
    this.#counters = ip.counters
    this.#link = link
    this.#bulk = new BulkBurst(ip, sums, ip.tcp.bulk)
    this.#scan4 = new BulkScan4(this.#bulk)
    this.#scan6 = new BulkScan6(this.#bulk)
    this.enabled =
      littleEndian &&
      ip.config.bulk &&
      link.frames.vlan.length === 0 &&
      nic.info.placement !== 'side' &&
      nic.roles.observer === null
    this.#native = this.enabled ? BulkNative.for(this.#bulk, ip.config.bulkLoopsFrom) : null
    if (this.enabled) ip.tcp.bulk.rows.enable()
    this.readMac()
  }

  /** The interface's hardware address is another one. */
  readMac(): void {
    const [low, high] = wordsOfMac(this.#link.mac)
    this.#bulk.macLow = low
    this.#bulk.macHigh = high
  }

  /** Frames refused in a row; those not to be looked at, and how many it was last time. */
  #refused = 0
  #unseen = 0
  #unseenAgain = 1

  /** Another burst has come. */
  begin(): void {
    this.#native?.begin()
    this.#refused = 0
    this.#unseen = 0
    this.#unseenAgain = 1
  }

  /** Takes what it can of the burst from entry `from` on; returns the first entry not taken. */
  take(from: number, count: number, now: number): number {
    const bulk = this.#bulk
    if (!bulk.memory.roomy) return from
    // Behind some that were for others the next are likely to be: reading their headers twice would be for nothing.
    if (this.#unseen > 0) {
      this.#unseen--
      return from
    }
    bulk.tcp.begin()
    // One version of IP is the rule: the loop for the other one looks only where a burst, or what another frame has cut off, begins.
    let end = from
    if (this.#native !== null) end = this.#native.scan(end, count)
    if (end < count) end = this.#scan4.scan(end, count)
    if (end < count) end = this.#scan6.scan(end, count)
    if (end > from) {
      this.#refused = 0
      this.#unseenAgain = 1
      this.#settle(from, end, now)
    } else if (++this.#refused >= REFUSED_IN_ROW) {
      this.#unseen = this.#unseenAgain
      this.#unseenAgain = Math.min(MOST_UNSEEN, 2 * this.#unseenAgain)
    }
    return end
  }

  #settle(from: number, to: number, now: number): void {
    const bulk = this.#bulk
    const { tcp, memory } = bulk
    const { cells } = this.#counters
    cells[RX_FRAMES]! += bulk.frames
    cells[RX_FRAGMENTS]! += to - from
    cells[RX_SEGMENTS]! += bulk.frames
    cells[CHECKSUM_PARTIAL]! += bulk.partials
    cells[CHECKSUM_VERIFIED]! += bulk.verified
    bulk.frames = 0
    bulk.partials = 0
    bulk.verified = 0
    if (memory.arriving > 0) memory.arriving -= to - from
    const { rows } = tcp.rows
    const { touched, touchedCount, targets } = tcp
    let queued = false
    for (let i = 0; i < touchedCount; i++) {
      const row = touched[i]!
      tcp.commit(row, now)
      if ((rows[(row << ROW_SHIFT) + ROW_SINK]! & ROW_SINK_MASK) === 0) queued = true
    }
    const { rowOf } = bulk
    if (targets.count === 0) tcp.queue(from, to, rowOf, false)
    else if (!queued && targets.count === 1) this.#post(1, from, to)
    else {
      for (let i = from; i < to; ) {
        const row = rowOf[i]!
        const slot = row < 0 ? 0 : rows[(row << ROW_SHIFT) + ROW_SINK]! & ROW_SINK_MASK
        let end = i + 1
        while (
          end < to &&
          rowOf[end]! >= 0 &&
          (rows[(rowOf[end]! << ROW_SHIFT) + ROW_SINK]! & ROW_SINK_MASK) === slot
        )
          end++
        if (slot === 0 || slot === ROW_REFUSED) tcp.queue(i, end, rowOf, slot !== 0)
        else this.#post(slot, i, end)
        i = end
      }
    }
  }

  #post(slot: number, from: number, to: number): void {
    const { tcp, rowOf, burst } = this.#bulk
    const done = tcp.targets.items[slot - 1]!.post(burst.offset, burst.length, rowOf, tcp.rows.tags, from, to)
    if (done === to) return
    // No room: what follows waits in the receive queues, and nothing of this turn may overtake it.
    const { rows } = tcp.rows
    for (let i = done; i < to; i++) {
      const row = rowOf[i]!
      if (row >= 0) rows[(row << ROW_SHIFT) + ROW_SINK]! |= ROW_REFUSED
    }
    tcp.queue(done, to, rowOf, true)
  }
}
