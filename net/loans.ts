import { IORING_CQE_F_MORE, IORING_CQE_F_NOTIF } from '../uapi/abi/io-uring.ts'

/** Bytes from which a copy is lent to the kernel instead of being copied again there: as many as are lent by SEND_ZC here. */
const WORTH_LENDING = 4096

/**
 * Copies that are lent to the kernel by SEND_ZC until what is in them has been acknowledged. They outlive the connections that they were
 * sent on, so each request's `user_data` names the copy, and the copy whose it is.
 */
export class Loans {
  readonly #copies: (Uint8Array | null)[] = []
  readonly #owners: number[] = []
  readonly #free: number[] = []

  /** The number of a loan; -1: so few bytes are not worth it. @param owner a connection's number */
  lend(copy: Uint8Array, owner: number): number {
    if (copy.length < WORTH_LENDING) return -1
    const loan = this.#free.pop() ?? this.#copies.length
    this.#copies[loan] = copy
    this.#owners[loan] = owner
    return loan
  }

  /** Whose a loan is. */
  ownerOf(loan: number): number {
    return this.#owners[loan]!
  }

  /** The copy, if a completion with these flags is the last that names it: it is the engine's again. */
  ended(loan: number, flags: number): Uint8Array | null {
    if ((flags & IORING_CQE_F_MORE) !== 0) return null
    const copy = this.#copies[loan]!
    this.#copies[loan] = null
    this.#free.push(loan)
    return copy
  }
}

/** A completion of a SEND_ZC that only tells that its bytes may change again. */
export function isNotice(flags: number): boolean {
  return (flags & IORING_CQE_F_NOTIF) !== 0
}
