import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SECRET_BYTES } from '../stack/ip/interface-id.ts'

/**
 * Sixteen bytes that stay the same on this machine and that nobody else knows, for addresses of RFC 7217. machine-id(5) must
 * not leave the machine, so it is hashed; without one they are random, and new with every start.
 */
export function machineSecret(path = '/etc/machine-id'): Uint8Array {
  let id = ''
  try {
    id = readFileSync(path, 'utf8').trim()
  } catch {
    // A container may have none.
  }
  if (!/^[0-9a-f]{32}$/.test(id)) return randomBytes(SECRET_BYTES)
  return createHash('sha256').update(`zcrx address ${id}`).digest().subarray(0, SECRET_BYTES)
}
