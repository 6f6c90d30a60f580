import { ACK, SYN } from '../stack/wire/tcp.ts'

/** Connections whose numbers are remembered; the longest known make room. */
const MOST_CONNECTIONS = 65_536

/** What a segment says of its connection. */
interface Numbers {
  /** Names of both directions, in any form. */
  readonly forth: string
  readonly back: string
  /** Signed or unsigned 32-bit integers. */
  readonly seq: number
  readonly ack: number
  readonly flags: number
}

/**
 * Makes sequence numbers relative to the initial ones, as Wireshark does: a SYN is number 0. Of a connection whose SYN is
 * not in the capture, the first number seen is 1.
 */
export class SequenceTracker {
  /** Initial sequence numbers by direction, in order of first appearance. */
  readonly #initial = new Map<string, number>()

  /** Learns from a segment. Returns the initial numbers of its sender and of the other side; the latter 0 when not known. */
  learn({ forth, back, seq, ack, flags }: Numbers): { sender: number; receiver: number } {
    const known = this.#initial.get(forth)
    if ((flags & SYN) !== 0) {
      // Another SYN is another connection over the same ports, and the other side's number is not known any more.
      if (known !== undefined && known !== seq && (flags & ACK) === 0) this.#initial.delete(back)
      this.#set(forth, seq)
    } else if (known === undefined) this.#set(forth, seq - 1)
    if ((flags & ACK) !== 0 && !this.#initial.has(back)) this.#set(back, ack - 1)
    return { sender: this.#initial.get(forth) ?? seq, receiver: this.#initial.get(back) ?? 0 }
  }

  #set(direction: string, initial: number): void {
    this.#initial.set(direction, initial)
    if (this.#initial.size <= 2 * MOST_CONNECTIONS) return
    for (const oldest of this.#initial.keys()) {
      this.#initial.delete(oldest)
      return
    }
  }
}
