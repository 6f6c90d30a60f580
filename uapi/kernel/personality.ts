import { EINVAL, ENOSPC } from '../abi/errno.ts'

const MAX_ID = 0xffff

/** Credentials that were registered with a ring. All are the process's own, so a number is all there is to one. */
export class Personalities {
  readonly #ids = new Set<number>()
  #next = 1

  has(id: number): boolean {
    return this.#ids.has(id)
  }

  /** The next number that is free, once around before a number is used again; -1 for none. */
  add(): number {
    for (let tried = 0; tried < MAX_ID; tried++) {
      const id = this.#next
      this.#next = id === MAX_ID ? 1 : id + 1
      if (this.#ids.has(id)) continue
      this.#ids.add(id)
      return id
    }
    return -1
  }

  remove(id: number): boolean {
    return this.#ids.delete(id)
  }
}

/** IORING_REGISTER_PERSONALITY: the number of the process's credentials, or minus errno. */
export function registerPersonality(
  personalities: Personalities,
  arg: Uint8Array | null,
  nrArgs: number,
): number {
  if (arg !== null || nrArgs !== 0) return -EINVAL
  const id = personalities.add()
  return id < 0 ? -ENOSPC : id
}

/** IORING_UNREGISTER_PERSONALITY: `nrArgs` is the number. 0 or minus errno. */
export function unregisterPersonality(
  personalities: Personalities,
  arg: Uint8Array | null,
  nrArgs: number,
): number {
  return arg === null && personalities.remove(nrArgs) ? 0 : -EINVAL
}
