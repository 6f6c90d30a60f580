import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { BenchRow } from '../../bench/e2e.ts'
import { FIGURES } from '../../bench/figures/index.ts'
import type { Result } from '../../bench/figures/types.ts'
import type { PpsRow } from '../../bench/pps.ts'
import type { AcceptRow } from '../../bench/scale-accept.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { obstacle as notBuilt } from '../support/daemon.ts'

const run = promisify(execFile)
const MAIN = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url))
/** A machine that has much else to do. */
const PATIENCE_MS = 180_000

async function bench<Form>(...args: string[]): Promise<Result & Form> {
  const { stdout } = await run(process.execPath, [MAIN, ...args])
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result & Form
}

/** What is said of a machine is so or not; that a figure is there at all is what can be held to. */
const measured = (value: number): boolean => Number.isFinite(value) && value > 0

describe.skipIf(obstacle !== '' || notBuilt !== '')('benches over a link', () => {
  it(
    'pps takes every segment, and the loop in C takes frames',
    async () => {
      const result = await bench<{ rows: PpsRow[] }>(
        'pps',
        '--rounds',
        '1',
        '--seconds',
        '1',
        '--mode',
        'generic',
      )
      expect(result.rows.map(({ mode, receiver }) => `${mode} ${receiver}`)).toEqual([
        'generic zcrx',
        'generic xdp-drop',
      ])
      expect(result.rows.every((row) => measured(row.packetsPerSecond.median))).toBe(true)
      expect(FIGURES.pps.plots([result])[0]!.groups).toHaveLength(1)
    },
    PATIENCE_MS,
  )

  it(
    'e2e sends several flows to workers and to peers in C',
    async () => {
      const receivers = ['xdp', 'c-uring'].flatMap((name) => ['--receiver', name])
      const times = ['--runs', '1', '--seconds', '1', '--warm-up', '1']
      const options = ['--mtu', '1500', '--flows', '3', '--workers', '2']
      const result = await bench<{ rows: BenchRow[] }>('e2e', ...options, ...receivers, ...times)
      expect(result.rows.map(({ flows, receiver, workers }) => [flows, receiver, workers])).toEqual([
        [3, 'xdp', 2],
        [3, 'c-uring', 0],
      ])
      expect(result.rows.every((row) => measured(row.gbps.median))).toBe(true)
    },
    PATIENCE_MS,
  )

  it(
    'scale accepts on every server',
    async () => {
      const options = ['--only', 'accept', '--accepts', '200', '--runs', '1']
      const { accept } = await bench<{ accept: AcceptRow[] }>('scale', ...options)
      expect(accept.map(({ server }) => server)).toEqual(['xdp', 'tap', 'linux', 'node:net'])
      expect(accept.every((row) => measured(row.acceptsPerSecond.median))).toBe(true)
      expect(accept[0]!.rateToNode).toBeDefined()
    },
    PATIENCE_MS,
  )
})
