import { IORING_CQE_F_MORE, IORING_CQE_F_NOTIF } from '../uapi/abi/io-uring.ts'

/** Bytes from which a copy is lent to the kernel instead of being copied again there: as many as are lent by SEND_ZC here. */
const WORTH_LENDING = 4096

/** Something that the kernel looks at. */
export interface Loan {
  /** A connection's number. */
  readonly owner: number
  /** A copy of the engine's; null: the program's own bytes. */
  readonly copy: Uint8Array | null
  /** Tells the program that its bytes are its own again. */
  readonly returned: (() => void) | null
}

/**
 * What is lent to the kernel by SEND_ZC until what is in it has been acknowledged: copies of the engine's, and bytes of the program's. They
 * outlive the connections that they were sent on, so each request's `user_data` names the loan, and the loan whose it is.
 */
export class Loans {
  readonly #loans: (Loan | null)[] = []
  readonly #free: number[] = []

  /** The number of a loan. */
  lend(loan: Loan): number {
    const number = this.#free.pop() ?? this.#loans.length
    this.#loans[number] = loan
    return number
  }

  /** Whose a loan is. */
  ownerOf(loan: number): number {
    return this.#loans[loan]!.owner
  }

  /** What was lent, if a completion with these flags is the last that names it: it is back. */
  ended(loan: number, flags: number): Loan | null {
    if ((flags & IORING_CQE_F_MORE) !== 0) return null
    const ended = this.#loans[loan]!
    this.#loans[loan] = null
    this.#free.push(loan)
    return ended
  }
}

/** Whether a copy is worth being lent. */
export function worthLending(copy: Uint8Array): boolean {
  return copy.length >= WORTH_LENDING
}

/** A completion of a SEND_ZC that only tells that its bytes may change again. */
export function isNotice(flags: number): boolean {
  return (flags & IORING_CQE_F_NOTIF) !== 0
}
