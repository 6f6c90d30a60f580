import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const child = fileURLToPath(new URL('../../dist/bench/steady.js', import.meta.url))
const PACKETS = 10_000_000

/** What V8 says while a child receives, once everything is compiled. */
function meanwhile(flows: number): string[] {
  const args = ['--expose-gc', '--trace-deopt', '--trace-gc', child, String(flows), String(PACKETS)]
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
  const bytes = Number(/^done, (\d+) bytes$/m.exec(stdout)?.[1])
  expect(bytes).toBeGreaterThan(2 ** 33)
  const [, after = ''] = stdout.split(/^warm$/m)
  const [lines = ''] = after.split(/^done, .*$/m)
  return lines.split('\n').filter((line) => line !== '')
}

describe('ten million packets', () => {
  it.each([1, 64])('of %i connections make no garbage, and nothing is compiled anew', (flows) => {
    expect(meanwhile(flows)).toEqual([])
  })
})
