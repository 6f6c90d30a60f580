import { expect } from 'vitest'

/** Where files share a process this is loaded for each. */
const DONE = Symbol.for('zcrx.test.same-bytes')

/** Bytes that are the same are found to be so in one call, not one by one; of others the usual comparison tells. */
function sameBytes(one: unknown, other: unknown): true | undefined {
  if (!(one instanceof Uint8Array) || !(other instanceof Uint8Array)) return undefined
  return one.constructor === other.constructor && Buffer.compare(one, other) === 0 ? true : undefined
}

const place = globalThis as { [DONE]?: boolean }
if (place[DONE] !== true) expect.addEqualityTesters([sameBytes])
place[DONE] = true
