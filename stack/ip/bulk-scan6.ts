import type { BulkBurst } from './bulk-burst.ts'

/**
 * The loop over bulk data over IPv6: frames whose headers are, but for the fields that count on, those of the segment that their
 * connection's row expects. Each word of a header is read once. Stops, having touched nothing of it, at the first frame that is
 * anything else.
 *
 * Numbers instead of names: each use of an imported constant is a load and two checks in V8 11 (`../tcp/rows.ts` has what they are).
 */
export class BulkScan6 {
  readonly #bulk: BulkBurst

  constructor(bulk: BulkBurst) {
    this.#bulk = bulk
  }

  /** Takes entries from `from` on; returns the first that was not taken. */
  scan(from: number, count: number): number {
    const bulk = this.#bulk
    const { tcp, memory, rowOf, words } = bulk
    const { offset, length, flags } = bulk.burst
    const { rows, index, mask, key0, key1, turn, tcbs, keys6 } = tcp.rows
    if (keys6 === null) return from
    const { smallBytes, thinNiovs } = memory
    const macLow = bulk.macLow | 0
    const macHigh = bulk.macHigh | 0
    const partial = bulk.partial ? 1 : 0
    // RX_SIDE, as it has to be.
    const side = bulk.split ? 8 : 0
    let partials = 0
    let frames = 0
    let row = 0
    let i = from | 0
    while (i < count) {
      const start = offset[i]!
      const len = length[i]! | 0
      const flag = flags[i]!
      if ((start & 3) !== 0 || len < 74 || (flag & 8) !== side) break
      const at = start >>> 2
      const w3 = words[at + 3]!
      const w5 = words[at + 5]!
      if (
        words[at]! !== macLow ||
        (words[at + 1]! & 0xffff) !== macHigh ||
        // Ethernet type and version; TCP behind the fixed header.
        (w3 & 0xf0ffff) !== 0x60dd86 ||
        (w5 & 0xff) !== 6
      )
        break
      const w4 = words[at + 4]!
      const w6 = words[at + 6]!
      const w7 = words[at + 7]!
      const w8 = words[at + 8]!
      const w9 = words[at + 9]!
      const w10 = words[at + 10]!
      const w11 = words[at + 11]!
      const w12 = words[at + 12]!
      const w13 = words[at + 13]!
      const w14 = words[at + 14]!
      // The index knows an IPv6 connection by three words made of its key (`FlowRows`).
      let k = Math.imul((w5 & 0xffff0000) ^ key0, key1)
      k = Math.imul((k ^ (k >>> 15)) + w6, 0x9e3779b1)
      k = Math.imul((k ^ (k >>> 13)) + w7, key1)
      k = Math.imul((k ^ (k >>> 15)) + w8, 0x85ebca6b)
      k ^= k >>> 16
      const k69 = w9 ^ (w14 & 0xffff)
      if (rows[row]! !== k || rows[row + 1]! !== w13 || rows[row + 2]! !== k69) {
        let h = Math.imul(k ^ key0, 0x9e3779b1)
        h = Math.imul((h ^ (h >>> 15)) + w13, key1)
        h = Math.imul((h ^ (h >>> 13)) + k69, 0x85ebca6b)
        h ^= h >>> 16
        let entry = index[h & mask]!
        while (entry !== 0) {
          row = (entry << 4) | 0
          if (rows[row]! === k && rows[row + 1]! === w13 && rows[row + 2]! === k69) break
          h++
          entry = index[h & mask]!
        }
        if (entry === 0) break
      }
      const key = ((row >>> 4) * 10) | 0
      if (
        ((keys6[key]! ^ (w5 & 0xffff0000)) |
          (keys6[key + 1]! ^ w6) |
          (keys6[key + 2]! ^ w7) |
          (keys6[key + 3]! ^ w8) |
          (keys6[key + 4]! ^ w9) |
          (keys6[key + 5]! ^ w10) |
          (keys6[key + 6]! ^ w11) |
          (keys6[key + 7]! ^ w12) |
          (keys6[key + 8]! ^ w13) |
          (keys6[key + 9]! ^ (w14 & 0xffff))) !==
        0
      )
        break
      if (rows[row + 3]! !== turn) tcp.open(row >>> 4)
      const w15 = words[at + 15]!
      const w16 = words[at + 16]!
      const shape = (w16 >>> 16) & 0xf7ff
      let nxt = rows[row + 4]!
      if (
        (shape | 0x10000) !== rows[row + 9]! ||
        (((w14 << 8) & 0xff000000) |
          ((w14 >>> 8) & 0xff0000) |
          ((w15 & 0xff) << 8) |
          ((w15 >>> 8) & 0xff)) !==
          nxt ||
        ((w15 & 0xffff0000) | (w16 & 0xffff)) !== rows[row + 5]!
      )
        break
      const tcpTotal = ((w4 >>> 8) & 0xff00) | (w4 >>> 24) | 0
      const adv = rows[row + 6]!
      const segments = rows[row + 11]!
      let header = 74
      let w19 = 0
      let w20 = 0
      let w21 = 0
      let raw = 0
      let tsVal = 0
      if (shape === 0x1080) {
        if (len < 86) break
        w19 = words[at + 19]!
        w20 = words[at + 20]!
        if (words[at + 18]! >>> 16 !== 0x0101 || (w19 & 0xffff) !== 0x0a08) break
        w21 = words[at + 21]! & 0xffff
        header = 86
        raw = (w19 & 0xffff0000) | (w20 & 0xffff)
        tsVal =
          ((w19 << 8) & 0xff000000) | ((w19 >>> 8) & 0xff0000) | ((w20 & 0xff) << 8) | ((w20 >>> 8) & 0xff)
        // A timestamp that passed does so again.
        if (raw !== rows[row + 13]! && ((tsVal - rows[row + 7]!) | 0) < 0) break
      }
      const payload = (tcpTotal + 54 - header) | 0
      let last = i
      let frameBytes = len
      if ((flag & 1) !== 0) {
        while (last < count - 1 && (flags[last]! & 1) !== 0) last++
        frameBytes = bulk.frameBytes(i, last, header)
      }
      if (
        payload <= 0 ||
        tcpTotal + 54 > frameBytes ||
        payload > ((adv - nxt) | 0) ||
        (side !== 0 && last === i)
      )
        break
      let most = 0x7fffffff
      if (payload <= smallBytes) {
        // With so little in so many niovs it is to be packed.
        most = thinNiovs - tcbs[row >>> 4]!.rcv.niovs - rows[row + 12]!
        if (most <= 0) break
      }
      const w17 = words[at + 17]!
      const sink = rows[row + 15]!
      let same = 0
      if ((sink & 0x4000) !== 0) {
        if (((w17 ^ (sink >>> 16)) & 0xffff) !== 0) break
        same = 0xffff
      }
      let unfinished = 0
      let pseudo = 0
      if ((flag & 4) === 0) {
        const sum = (rows[row + 10]! + tcpTotal) | 0
        pseudo = (sum & 0xffff) + (sum >>> 16)
        if ((flag & 2) !== 0) unfinished = 1
        else if (partial === 1 && (((w17 >>> 8) & 0xff00) | (w17 >>> 24)) === pseudo) {
          unfinished = 1
          same |= 0xffff0000
        } else {
          // Padding behind the packet would be in the driver's sums.
          if (frameBytes !== 54 + tcpTotal || !bulk.checks(i, last, at, addressesSum(words, at), pseudo))
            break
          bulk.verified++
        }
      }
      if (segments === 0) {
        tcp.touch(row >>> 4)
        if ((sink & 0x8000) !== 0) rows[row + 7] = tsVal
      }
      rows[row + 13] = raw
      partials += unfinished
      frames++
      let window = w17
      let seq = nxt
      nxt = (nxt + payload) | 0
      if (last > i) {
        rows[row + 11] = segments + 1
        rows[row + 12]! += bulk.spread(i, last, payload, header, row >>> 4)
        i = last + 1
      } else {
        rowOf[i] = row >>> 4
        offset[i] = start + header
        length[i] = payload
        i++
        // What follows of the same connection differs from this frame in a few fields only: everything else in one comparison.
        let run = 1
        const verifies = (flag & 6) === 0 && same >= 0
        while (i < count && run < most) {
          const at2 = offset[i]!
          const a = at2 >>> 2
          if (length[i]! !== len || flags[i]! !== flag || (at2 & 3) !== 0 || words[a + 13]! !== w13) break
          const v14 = words[a + 14]!
          const v15 = words[a + 15]!
          const v17 = words[a + 17]!
          let other =
            (words[a]! ^ macLow) |
            ((words[a + 1]! & 0xffff) ^ macHigh) |
            (words[a + 3]! ^ w3) |
            (words[a + 4]! ^ w4) |
            ((words[a + 5]! ^ w5) & 0xffff00ff) |
            (words[a + 6]! ^ w6) |
            (words[a + 7]! ^ w7) |
            (words[a + 8]! ^ w8) |
            (words[a + 9]! ^ w9) |
            (words[a + 10]! ^ w10) |
            (words[a + 11]! ^ w11) |
            (words[a + 12]! ^ w12) |
            ((v14 ^ w14) & 0xffff) |
            ((v15 ^ w15) & 0xffff0000) |
            ((words[a + 16]! ^ w16) & 0xf7ffffff) |
            ((v17 ^ w17) & same)
          if (header === 86)
            other |=
              ((words[a + 18]! >>> 16) ^ 0x0101) |
              (words[a + 19]! ^ w19) |
              (words[a + 20]! ^ w20) |
              ((words[a + 21]! & 0xffff) ^ w21)
          const next =
            ((v14 << 8) & 0xff000000) | ((v14 >>> 8) & 0xff0000) | ((v15 & 0xff) << 8) | ((v15 >>> 8) & 0xff)
          if (
            other !== 0 ||
            next !== nxt ||
            payload > ((adv - nxt) | 0) ||
            (verifies &&
              // One that reads like the pseudo-header's is looked at above.
              ((partial === 1 && (((v17 >>> 8) & 0xff00) | (v17 >>> 24)) === pseudo) ||
                !bulk.checks(i, i, a, addressesSum(words, a), pseudo)))
          )
            break
          if (verifies) bulk.verified++
          seq = nxt
          nxt = (nxt + payload) | 0
          window = v17
          run++
          rowOf[i] = row >>> 4
          offset[i] = at2 + header
          length[i] = payload
          i++
        }
        rows[row + 11] = segments + run
        rows[row + 12]! += run
        frames += run - 1
        if (unfinished !== 0) partials += run - 1
      }
      rows[row + 4] = nxt
      rows[row + 8] = seq
      rows[row + 14] =
        (((w20 >>> 16) & 0xff) << 24) | ((w20 >>> 24) << 16) | ((w21 & 0xff) << 8) | (w21 >>> 8)
      rows[row + 15] = (sink & 0xffff) | (window << 16)
    }
    bulk.partials += partials
    bulk.frames += frames
    return i
  }
}

/** Sum of the halves in front of TCP, from word 4 on. */
function addressesSum(words: Int32Array, at: number): number {
  let sum = words[at + 13]! & 0xffff
  for (let i = at + 4; i < at + 13; i++) sum += (words[i]! & 0xffff) + (words[i]! >>> 16)
  return sum
}
