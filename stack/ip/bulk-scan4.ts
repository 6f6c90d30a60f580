import type { BulkBurst } from './bulk-burst.ts'

/**
 * The loop over bulk data over IPv4: frames whose headers are, but for the fields that count on, those of the segment that their
 * connection's row expects. Each word of a header is read once. Stops, having touched nothing of it, at the first frame that is
 * anything else.
 *
 * Numbers instead of names: each use of an imported constant is a load and two checks in V8 11 (`../tcp/rows.ts` has what they are).
 */
export class BulkScan4 {
  readonly #bulk: BulkBurst

  constructor(bulk: BulkBurst) {
    this.#bulk = bulk
  }

  /** Takes entries from `from` on; returns the first that was not taken. */
  scan(from: number, count: number): number {
    const bulk = this.#bulk
    const { tcp, memory, rowOf, words } = bulk
    const { offset, length, flags } = bulk.burst
    const { rows, index, mask, key0, key1, turn, tcbs } = tcp.rows
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
      if ((start & 3) !== 0 || len < 54 || (flag & 8) !== side) break
      const at = start >>> 2
      const w3 = words[at + 3]!
      const w5 = words[at + 5]!
      if (
        words[at]! !== macLow ||
        (words[at + 1]! & 0xffff) !== macHigh ||
        // Ethernet type, version and header length; no fragment, TCP.
        (w3 & 0xffffff) !== 0x450008 ||
        (w5 & 0xff00ffbf) !== 0x06000000
      )
        break
      const w4 = words[at + 4]!
      const w6 = words[at + 6]!
      const w7 = words[at + 7]!
      const w8 = words[at + 8]!
      const w9 = words[at + 9]!
      // Little-endian halves: the sum of all must be 0xffff whichever way round their bytes are (RFC 1071 section 2 (B)). What differs
      // within a run is added last.
      const fixed =
        (w3 >>> 16) +
        (w4 & 0xffff) +
        (w5 & 0xffff) +
        (w5 >>> 16) +
        (w6 >>> 16) +
        (w7 & 0xffff) +
        (w7 >>> 16) +
        (w8 & 0xffff)
      const ipSum = fixed + (w4 >>> 16) + (w6 & 0xffff)
      // Of a few halves: a multiple of 0xffff exactly when its own halves add up to it.
      if ((ipSum & 0xffff) + (ipSum >>> 16) !== 0xffff) break
      const w69 = (w6 & 0xffff0000) | (w9 & 0xffff)
      if (rows[row]! !== w7 || rows[row + 1]! !== w8 || rows[row + 2]! !== w69) {
        let h = Math.imul(w7 ^ key0, 0x9e3779b1)
        h = Math.imul((h ^ (h >>> 15)) + w8, key1)
        h = Math.imul((h ^ (h >>> 13)) + w69, 0x85ebca6b)
        h ^= h >>> 16
        let entry = index[h & mask]!
        while (entry !== 0) {
          row = (entry << 4) | 0
          if (rows[row]! === w7 && rows[row + 1]! === w8 && rows[row + 2]! === w69) break
          h++
          entry = index[h & mask]!
        }
        if (entry === 0) break
      }
      if (rows[row + 3]! !== turn) tcp.open(row >>> 4)
      const w10 = words[at + 10]!
      const w11 = words[at + 11]!
      const shape = (w11 >>> 16) & 0xf7ff
      let nxt = rows[row + 4]!
      if (
        shape !== rows[row + 9]! ||
        (((w9 << 8) & 0xff000000) | ((w9 >>> 8) & 0xff0000) | ((w10 & 0xff) << 8) | ((w10 >>> 8) & 0xff)) !==
          nxt ||
        ((w10 & 0xffff0000) | (w11 & 0xffff)) !== rows[row + 5]!
      )
        break
      const tcpTotal = (((w4 & 0xff) << 8) | ((w4 >>> 8) & 0xff)) - 20
      const adv = rows[row + 6]!
      const segments = rows[row + 11]!
      let header = 54
      let w14 = 0
      let w15 = 0
      let w16 = 0
      let raw = 0
      let tsVal = 0
      if (shape === 0x1080) {
        if (len < 66) break
        w14 = words[at + 14]!
        w15 = words[at + 15]!
        if (words[at + 13]! >>> 16 !== 0x0101 || (w14 & 0xffff) !== 0x0a08) break
        w16 = words[at + 16]! & 0xffff
        header = 66
        raw = (w14 & 0xffff0000) | (w15 & 0xffff)
        tsVal =
          ((w14 << 8) & 0xff000000) | ((w14 >>> 8) & 0xff0000) | ((w15 & 0xff) << 8) | ((w15 >>> 8) & 0xff)
        // A timestamp that passed does so again.
        if (raw !== rows[row + 13]! && ((tsVal - rows[row + 7]!) | 0) < 0) break
      }
      const payload = (tcpTotal + 34 - header) | 0
      let last = i
      let frameBytes = len
      if ((flag & 1) !== 0) {
        while (last < count - 1 && (flags[last]! & 1) !== 0) last++
        frameBytes = bulk.frameBytes(i, last, header)
      }
      if (
        payload <= 0 ||
        tcpTotal + 34 > frameBytes ||
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
      const w12 = words[at + 12]!
      const sink = rows[row + 15]!
      let same = 0
      if ((sink & 0x4000) !== 0) {
        if (((w12 ^ (sink >>> 16)) & 0xffff) !== 0) break
        same = 0xffff
      }
      let unfinished = 0
      let pseudo = 0
      if ((flag & 4) === 0) {
        const sum = (rows[row + 10]! + tcpTotal) | 0
        pseudo = (sum & 0xffff) + (sum >>> 16)
        if ((flag & 2) !== 0) unfinished = 1
        else if (partial === 1 && (((w12 >>> 8) & 0xff00) | (w12 >>> 24)) === pseudo) {
          unfinished = 1
          same |= 0xffff0000
        } else {
          // Padding behind the packet would be in the driver's sums.
          if (frameBytes !== 34 + tcpTotal || !bulk.checks(i, last, at, ipSum - (w3 >>> 16), pseudo)) break
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
      let window = w12
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
          if (length[i]! !== len || flags[i]! !== flag || (at2 & 3) !== 0 || words[a + 8]! !== w8) break
          const v4 = words[a + 4]!
          const v6 = words[a + 6]!
          const v9 = words[a + 9]!
          const v10 = words[a + 10]!
          const v12 = words[a + 12]!
          let other =
            (words[a]! ^ macLow) |
            ((words[a + 1]! & 0xffff) ^ macHigh) |
            (words[a + 3]! ^ w3) |
            ((v4 ^ w4) & 0xffff) |
            (words[a + 5]! ^ w5) |
            ((v6 ^ w69) & 0xffff0000) |
            (words[a + 7]! ^ w7) |
            ((v9 ^ w69) & 0xffff) |
            ((v10 ^ w10) & 0xffff0000) |
            ((words[a + 11]! ^ w11) & 0xf7ffffff) |
            ((v12 ^ w12) & same)
          if (header === 66)
            other |=
              ((words[a + 13]! >>> 16) ^ 0x0101) |
              (words[a + 14]! ^ w14) |
              (words[a + 15]! ^ w15) |
              ((words[a + 16]! & 0xffff) ^ w16)
          const sum = fixed + (v4 >>> 16) + (v6 & 0xffff)
          const next =
            ((v9 << 8) & 0xff000000) | ((v9 >>> 8) & 0xff0000) | ((v10 & 0xff) << 8) | ((v10 >>> 8) & 0xff)
          if (
            other !== 0 ||
            next !== nxt ||
            (sum & 0xffff) + (sum >>> 16) !== 0xffff ||
            payload > ((adv - nxt) | 0) ||
            (verifies &&
              // One that reads like the pseudo-header's is looked at above.
              ((partial === 1 && (((v12 >>> 8) & 0xff00) | (v12 >>> 24)) === pseudo) ||
                !bulk.checks(i, i, a, sum - (w3 >>> 16), pseudo)))
          )
            break
          if (verifies) bulk.verified++
          seq = nxt
          nxt = (nxt + payload) | 0
          window = v12
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
        (((w15 >>> 16) & 0xff) << 24) | ((w15 >>> 24) << 16) | ((w16 & 0xff) << 8) | (w16 >>> 8)
      rows[row + 15] = (sink & 0xffff) | (window << 16)
    }
    bulk.partials += partials
    bulk.frames += frames
    return i
  }
}
