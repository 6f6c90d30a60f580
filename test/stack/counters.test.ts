import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { IfqStats } from '../../diagnostics.ts'
import { NicStats } from '../../driver/nic.ts'
import { Counters } from '../../stack/counters.ts'

const child = fileURLToPath(new URL('../../dist/bench/past-counts.js', import.meta.url))

describe('counts', () => {
  it.each([Counters, NicStats, IfqStats])('are enumerable numbers beyond 31 bits, each its own', (Class) => {
    const counts = new Class() as unknown as Record<string, number>
    const names = Object.keys(counts)
    expect(Object.values(counts)).toEqual(names.map(() => 0))
    for (const [i, name] of names.entries()) counts[name] = 2 ** 40 + i
    expect({ ...counts }).toEqual(Object.fromEntries(names.map((name, i) => [name, 2 ** 40 + i])))
    expect(Object.values(new Class())[0]).toBe(0)
  })

  it('pass 2 and 4 GiB without a function of the receive path being compiled anew', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--trace-deopt', child], {
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/done, 42950\d+ frames, 42950\d+ completions/)
    const meanwhile = stdout.slice(stdout.indexOf('\nwarm\n'), stdout.indexOf('\ndone, '))
    expect(meanwhile.split('\n').filter((line) => line.includes('[bailout'))).toEqual([])
  })
})
