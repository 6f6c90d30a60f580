import { isIntact } from '../pcap/decode/intact.ts'
import { SegmentDecoder } from '../pcap/decode/segment.ts'
import { ACK, RST, SYN } from '../stack/wire/tcp.ts'
import type { Direction, Replayed } from './direction.ts'
import { type Handshake, StoredSegment } from './handshake.ts'
import type { Role } from './role.ts'
import type { ReplaySession } from './session.ts'

/** What SYNs that wait for their captured answer may take together, and each besides its bytes. */
const MAX_HELD_BYTES = 64 << 20
const HELD_OVERHEAD = 256

/** How captured connections begin: which answer to a SYN counts, and what waits for one. */
export class Opening {
  readonly #clients: Role | null
  readonly #servers: Role | null
  readonly #recompute: boolean
  readonly #held = new Map<ReplaySession, { readonly role: Role; readonly bytes: number }>()
  #heldBytes = 0

  /** @param clients,servers whoever plays them @param recompute checksums are made right */
  constructor(clients: Role | null, servers: Role | null, recompute: boolean) {
    this.#clients = clients
    this.#servers = servers
    this.#recompute = recompute
  }

  /** Whether our endpoint would. */
  believes(segment: SegmentDecoder): boolean {
    return (this.#recompute && segment.beyond === 0) || isIntact(segment)
  }

  /** Follows how the connection begins. False when the segment is nothing that the captured end took. */
  follow(
    data: Replayed,
    ours: Direction,
    theirs: Direction,
    fromClient: boolean,
    segment: SegmentDecoder,
  ): boolean {
    const { flags, seq, ack } = segment
    const { handshake } = data
    if ((flags & RST) !== 0) return true
    if ((flags & (SYN | ACK)) === (SYN | ACK) && !fromClient) {
      if (!this.believes(segment) || !handshake.answered(segment)) return false
      // Our endpoint has given up waiting for what came late.
      const { played } = ours
      if (played !== null && !played.open && played.endedBadly)
        this.#beginAgain(handshake, ours, theirs, null)
      return true
    }
    if ((flags & SYN) !== 0) {
      if (fromClient && (flags & ACK) === 0) handshake.syn ??= new StoredSegment(segment, true)
      return true
    }
    if (fromClient ? (flags & ACK) === 0 : !handshake.ambiguous) return true
    if (handshake.ambiguous && !this.believes(segment)) return true
    const other = handshake.settle(fromClient ? ack : seq)
    const [client, server] = fromClient ? [ours, theirs] : [theirs, ours]
    if (other !== null && client.position + server.position === 0) {
      this.#beginAgain(handshake, server, client, other)
      server.ordered.begin((other.seq + 1) | 0)
    }
    if (handshake.settled) handshake.syn = null
    return true
  }

  /**
   * The connection was answered otherwise than had been believed: our endpoints begin it again.
   * @param answer the server's, which both of them see; null = the one in the client's place connects again, and waits for it
   */
  #beginAgain({ syn }: Handshake, server: Direction, client: Direction, answer: StoredSegment | null): void {
    if (syn === null) return
    const stored = new SegmentDecoder()
    if (client.played !== null && answer !== null) {
      const session = this.#clients!.again(client.played)
      client.played = server.sender = session
      session.heldSyns.push(syn.bytes)
      answer.decode(stored)
      this.#clients!.mirror(session, stored)
    }
    if (server.played !== null) {
      const session = this.#servers!.again(server.played)
      server.played = client.sender = session
      syn.decode(stored)
      this.#servers!.mirror(session, stored)
      if (answer === null) return
      answer.decode(stored)
      this.#servers!.play(session, stored)
    }
  }

  /** Time is virtual: they wait for their answer as long as there is memory. */
  hold(session: ReplaySession, role: Role): void {
    if (this.#held.has(session)) return
    const bytes = session.heldSyns[0]!.length + HELD_OVERHEAD
    this.#held.set(session, { role, bytes })
    this.#heldBytes += bytes
    for (const [oldest, { role: whose }] of this.#held) {
      if (this.#heldBytes <= MAX_HELD_BYTES) return
      whose.answerSyns(oldest, true)
      this.letGo(oldest)
    }
  }

  letGo(session: ReplaySession): void {
    const held = this.#held.get(session)
    if (held === undefined) return
    this.#held.delete(session)
    this.#heldBytes -= held.bytes
  }
}
