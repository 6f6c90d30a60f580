import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adapt, kernelsOn, workerRings } from '../support/which-backend.ts'

let before = 0
let adaptKernels: typeof import('./machine.ts').adaptKernels

beforeAll(async () => {
  ;({ adaptKernels } = await import('./machine.ts'))
  before = workerRings()
  kernelsOn('worker')
  adaptKernels(adapt)
})
afterAll(() => {
  kernelsOn('inline')
  adaptKernels((kernel) => kernel)
})

// The record once more, its rings served as a worker serves those of other threads.
describe('on the back end of workers', async () => {
  for (const suite of ['record']) await import(`./${suite}.test.ts?elsewhere`)
})

it('was what it ran on', () => {
  expect(workerRings() - before).toBeGreaterThan(500)
})
