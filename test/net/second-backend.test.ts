import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RecordingBackend } from '../support/recording-backend.ts'
import { OtherSystem, runOn } from '../support/system.ts'

let before = 0

beforeAll(() => {
  before = RecordingBackend.crossed
  runOn((options) => OtherSystem.recording(options))
})
afterAll(() => runOn(null))

// The suites of servers once more. Each is a module of its own here, whatever else this process has loaded.
describe('on a back end that passes nothing but numbers and one memory', async () => {
  for (const suite of ['server', 'server-life', 'listen']) await import(`./${suite}.test.ts?second`)
})

it('was what they ran on', () => {
  expect(RecordingBackend.crossed - before).toBeGreaterThan(1000)
})
