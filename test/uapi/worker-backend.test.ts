import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kernelsOn, workerRings } from '../support/which-backend.ts'

/** All but those that look at the kernel between two calls, or are told at once: a worker polls in between, and tells later. */
const SUITES = [
  ...[
    'programs',
    'recv-zc',
    'recv-zc-entry',
    'links',
    'accept-address',
    'areas',
    'bind',
    'buffers',
    'cancel',
  ],
  ...['device-areas', 'events', 'fixed-files', 'instances', 'ipv6', 'mixed', 'poll', 'probe', 'register'],
  ...['ring-fd', 'setup', 'sharing', 'socket-options', 'timeout'],
]

let before = 0

beforeAll(() => {
  before = workerRings()
  kernelsOn('worker')
})
afterAll(() => kernelsOn('inline'))

// What applications do with rings once more, served as a worker serves those of other threads.
describe('on the back end of workers', async () => {
  for (const suite of SUITES) await import(`./${suite}.test.ts?elsewhere`)
})

it('was what they ran on', () => {
  expect(workerRings() - before).toBeGreaterThan(100)
})
