import { createHash } from 'node:crypto'
import { PERIOD } from './peer.ts'

let failed = 0

/** Prints whether something is as it should be, and counts what is not. */
export function check(what: string, ok: boolean, seen: unknown = ''): void {
  if (!ok) failed++
  console.log(`${ok ? 'ok    ' : 'NOT OK'} ${what}${seen === '' ? '' : ` (${String(seen)})`}`)
}

/** A part of the program threw. */
export function threw(part: string, error: unknown): void {
  failed++
  console.log(`NOT OK ${part}: ${(error as Error).stack}`)
}

/** Says how all of it went. Returns the exit status. */
export function verdict(program: string): 0 | 1 {
  console.log(failed === 0 ? `${program}: all as it should be` : `${program}: ${failed} not as it should be`)
  return failed === 0 ? 0 : 1
}

/** SHA-256 of so much of a peer's stream. */
export function digestOf(bytes: number): string {
  const block = Uint8Array.from({ length: PERIOD * 256 }, (_, i) => i % PERIOD)
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= block.length) hash.update(block.subarray(0, left))
  return hash.digest('hex')
}
