import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, it } from 'vitest'
import { SharedPorts } from '../../stack/siblings/shared-ports.ts'
import { FIRST, refereeMemory, type TakerReport, type TakerTask } from './port-taker.ts'

const THREADS = 3
const ROUNDS = 10_000
const CONTESTED = 4

const workers: Worker[] = []
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()))
})

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

it('no port has two owners, and no answer is lost, however threads take and give back', async () => {
  const ports = SharedPorts.memory()
  const referee = refereeMemory(CONTESTED)
  for (let index = 0; index < THREADS; index++) {
    const task: TakerTask = { ports, index, rounds: ROUNDS, contested: CONTESTED, referee }
    workers.push(
      new Worker(path('../support/child.mjs'), {
        argv: [path('./port-taker.ts')],
        workerData: { task, threads: THREADS },
      }),
    )
  }
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const reports = Promise.all(
    workers.map(async (worker) => (await once(worker, 'message'))[0] as TakerReport),
  )
  for (const worker of workers) worker.postMessage('go')
  const all = await reports
  const sum = (name: keyof TakerReport): number => all.reduce((total, report) => total + report[name], 0)
  expect(all.map(({ shared, left }) => [shared, left])).toEqual(Array(THREADS).fill([0, 0]))
  expect(all.map(({ elsewhere }) => elsewhere)).toEqual(Array(THREADS).fill(ROUNDS))
  expect(sum('noted')).toBe(THREADS * ROUNDS)
  // They did meet.
  expect(sum('refused')).toBeGreaterThan(0)
  const watcher = new SharedPorts(ports, THREADS)
  for (let at = 0; at < CONTESTED; at++) expect(watcher.sibling(FIRST + at)).toBe(-1)
}, 60_000)
