import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { obstacle as noXdp } from '../driver/xdp/setup.ts'
import { OtherSystem, runOn } from '../support/system.ts'

let before = 0

beforeAll(() => {
  before = OtherSystem.workers
  runOn((options) => OtherSystem.worker(options))
})
afterAll(() => runOn(null))

// Against Linux once more, over two ways in, on rings that are served as a worker serves those of other threads.
describe('on the back end of workers', async () => {
  for (const suite of ['matrix', 'matrix-tap']) await import(`./${suite}.test.ts?elsewhere`)
})

it.skipIf(noXdp !== '')('was what they ran on', () => {
  expect(OtherSystem.workers - before).toBeGreaterThan(20)
})
