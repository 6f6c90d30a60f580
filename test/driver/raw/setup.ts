import { createRequire } from 'node:module'
import { obstacle as noQueues } from '../xdp/setup.ts'

/** Why raw sockets can't be tested here; empty when they can. Said aloud once per file. */
export const obstacle = ((): string => {
  if (noQueues !== '') return noQueues
  try {
    createRequire(import.meta.url)('raw-socket')
    return ''
  } catch {
    return 'the package raw-socket is not installed (npm install raw-socket)'
  }
})()

if (obstacle !== '') console.warn(`tests of raw sockets are skipped: ${obstacle}`)
