import { seqDiff } from '../../stack/wire/seq.ts'
import type { SegmentDecoder } from '../decode/segment.ts'
import type { Refused } from './numbers.ts'

/** Different answers to one SYN that are remembered. */
export const MOST_ANSWERS = 8
/** Answers that came in front of their SYN. */
const MOST_EARLY = 1024
/** Numbers further apart are not of one connection. */
const BELIEVABLE = 2 ** 30

/** A captured SYN,ACK. */
export interface Answer {
  readonly seq: number
  readonly ack: number
  readonly refused: Refused
}

/** A SYN: its sequence number, and the data that it had. */
export interface Opening {
  readonly iss: number
  readonly synPayload: Uint8Array | null
}

/** Whether it answers this connection's SYN, with or without its data (RFC 7413). */
export function isAnswerTo({ iss, synPayload }: Opening, { ack }: Answer): boolean {
  const taken = seqDiff(ack, (iss + 1) | 0)
  return taken >= 0 && taken <= (synPayload?.length ?? 0)
}

/** The one that the client has taken, which acknowledges this; the latest where it does not say. Null = it was not captured. */
export function answerTaken(answers: readonly Answer[], ack: number | null): Answer | null {
  return ack === null ? (answers.at(-1) ?? null) : nearestAnswer(answers, ack)
}

/** The answer that a connection which is at `number` of its server's began with; null = it is none of these. */
export function nearestAnswer<A extends { readonly seq: number }>(
  answers: readonly A[],
  number: number,
): A | null {
  let nearest: A | null = null
  let least = BELIEVABLE
  for (const answer of answers) {
    const ahead = seqDiff(number, (answer.seq + 1) | 0)
    if (ahead < 0 || ahead >= least) continue
    nearest = answer
    least = ahead
  }
  return nearest
}

/** SYN,ACKs that were captured in front of the SYN that they answer. */
export class EarlyAnswers {
  readonly #answers = new Map<string, Answer>()

  put(segment: SegmentDecoder, answer: Answer): void {
    this.#answers.set(endsOf(segment, false), answer)
    if (this.#answers.size <= MOST_EARLY) return
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest)
      return
    }
  }

  /** The one that waits for this SYN's ends, if any. */
  take(segment: SegmentDecoder, fromPeer: boolean): Answer | null {
    if (this.#answers.size === 0) return null
    const ends = endsOf(segment, fromPeer)
    const answer = this.#answers.get(ends) ?? null
    this.#answers.delete(ends)
    return answer
  }
}

function endsOf(s: SegmentDecoder, fromPeer: boolean): string {
  const source = `${s.source0},${s.source1},${s.source2},${s.source3},${s.sourcePort}`
  const destination = `${s.destination0},${s.destination1},${s.destination2},${s.destination3},${s.destinationPort}`
  return fromPeer ? `${source} ${destination}` : `${destination} ${source}`
}
