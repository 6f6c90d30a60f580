import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OtherSystem, runOn } from '../support/system.ts'

let before = 0

beforeAll(() => {
  before = OtherSystem.workers
  runOn((options) => OtherSystem.worker(options))
})
afterAll(() => runOn(null))

// The suites of servers once more. Each is a module of its own here, whatever else this process has loaded.
describe('on the back end of workers', async () => {
  for (const suite of ['server', 'server-life', 'listen', 'direct'])
    await import(`./${suite}.test.ts?elsewhere`)
})

it('was what they ran on', () => {
  expect(OtherSystem.workers - before).toBeGreaterThan(50)
})
