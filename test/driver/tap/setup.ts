import { existsSync } from 'node:fs'
import { nativeOrNull } from '../../../driver/native/index.ts'

/** Why TAP devices can't be tested here; empty when they can. Said aloud once per file. */
export const obstacle = ((): string => {
  if (nativeOrNull() === null) return 'the native addon is not built (npm run build:native)'
  if (process.getuid?.() !== 0) return 'not root, so no network namespaces'
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun'
  return ''
})()

if (obstacle !== '') console.warn(`TAP tests are skipped: ${obstacle}`)
