import { seqDiff } from '../../stack/wire/seq.ts'
import { ACK, FIN, RST, SYN } from '../../stack/wire/tcp.ts'
import { CapturedOptions } from '../decode/options.ts'
import { SEGMENT, SegmentDecoder } from '../decode/segment.ts'
import { LINKTYPE_ETHERNET } from '../file/format.ts'
import type { Player } from './player.ts'

/** Looks at what the stack sends, and notes it in the connections. */
export class Observer {
  readonly #player: Player
  readonly #sent = new SegmentDecoder()
  readonly #options = new CapturedOptions()

  constructor(player: Player) {
    this.#player = player
  }

  /** What the stack sends tells its numbers, and how far its window reaches: `memory[at, at + length)` is a frame. */
  observe(memory: Uint8Array, at: number, length: number): void {
    const end = at + length
    const sent = this.#sent
    if (sent.decodeFrame(memory, at, end, end, LINKTYPE_ETHERNET) !== SEGMENT) return
    const connection = this.#player.table.find(sent, false)
    if (connection === null || connection.over || !connection.begun) return
    const { flags, seq, ack } = sent
    if ((flags & RST) !== 0) {
      this.#player.abandon(connection, false)
      return
    }
    this.#options.read(sent)
    const { hasTimestamps, tsVal, windowScale } = this.#options
    if (hasTimestamps) connection.tsValOurs = tsVal
    const syn = (flags & SYN) !== 0
    if (syn && !connection.open) {
      if ((flags & ACK) === 0) return
      connection.open = true
      connection.ourIss = connection.ourMax = connection.ackPlayed = seq
      connection.timestamps = hasTimestamps
      connection.shift = windowScale
      if (connection.synPayload !== null) this.#player.holdSynPayload(connection, connection.synPayload)
    }
    if (!connection.open) return
    const after = (seq + sent.payloadBytes + (syn ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) | 0
    if (seqDiff(after, connection.ourMax) > 0) connection.ourMax = after
    if ((flags & ACK) !== 0 && seqDiff(ack, connection.acked) >= 0) {
      // RFC 7323 2.2: the window of a SYN is not scaled.
      const edge = (ack + sent.window * 2 ** (syn ? 0 : Math.max(0, connection.shift))) | 0
      if (ack !== connection.acked || edge !== connection.edge) connection.movedAt = performance.now()
      if (ack !== connection.acked) connection.quiet = false
      connection.acked = ack
      if (seqDiff(edge, connection.edge) > 0) connection.edge = edge
      if (connection.unsettled && seqDiff(ack, connection.playedMax) >= 0) this.#player.settle(connection)
    }
    if ((flags & FIN) !== 0) connection.finSent = true
    if (connection.held.length > 0 || this.#player.stop === 'waiting') this.#player.mark(connection)
    if (this.#player.fileEnded && connection.held.length === 0) this.#player.owes(connection)
  }
}
