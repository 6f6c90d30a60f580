import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../packetdrill/cli.ts'
import { ACCEPTED } from './support.ts'

let folder = ''
const file = (name: string): string => join(folder, name)

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'zcrx-packetdrill-'))
  mkdirSync(file('sub'))
  writeFileSync(file('good.pkt'), `--ip_version=ipv4\n${ACCEPTED}`)
  writeFileSync(file('sub/bad.pkt'), `--ip_version=ipv4\n${ACCEPTED}+0 > . 1:1(0) ack 2 // never\n`)
  writeFileSync(file('sub/udp.pkt'), '--ip_version=ipv4\n0 > udp (5)\n')
  writeFileSync(file('window.pkt'), `--ip_version=ipv4\n${ACCEPTED.replace('ack 1 <', 'ack 1 win 7 <')}`)
  writeFileSync(file('sub/other.txt'), 'no script')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function command(...args: string[]): { status: number; out: string; err: string } {
  let out = ''
  let err = ''
  const status = main(args, {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { status, out: out.replaceAll(folder, 'F'), err: err.replaceAll(folder, 'F') }
}

describe('the command', () => {
  it('runs files and folders, one line each', () => {
    expect(command(file('good.pkt'), file('sub'))).toEqual({
      status: 1,
      out: `PASS F/good.pkt
FAIL F/sub/bad.pkt 9:1: expected > . 1:1(0) ack 2 got nothing until 2.004000
SKIP F/sub/udp.pkt udp packet (2:3)
1 passed, 1 failed, 1 skipped
`,
      err: '',
    })
  })
  it('ends with 0 when nothing failed', () => {
    expect(command(file('good.pkt'), file('sub/udp.pkt')).status).toBe(0)
  })
  it('forgives what it is told to', () => {
    expect(command('--lenient', 'win-ignored', file('window.pkt'))).toMatchObject({
      status: 0,
      out: 'PASS-LENIENT F/window.pkt win-ignored\n0 strictly, 1 leniently:\n1 passed, 0 failed, 0 skipped\n',
    })
    expect(command(file('window.pkt')).status).toBe(1)
  })
  it('takes options of scripts', () => {
    expect(command('--nonsense=1', '--verbose', file('good.pkt')).out).toContain(
      'note: 1: option --nonsense is not known',
    )
  })
  it('shows events', () => {
    expect(command('--verbose', file('good.pkt')).out).toContain('  0.000000 8:1 accept(3, ..., ...) = 4\n')
  })
  it('speaks JSON', () => {
    const { out, status } = command('--json', file('sub'), file('window.pkt'), '--lenient=all')
    expect(status).toBe(1)
    const { results, ...totals } = JSON.parse(out) as { results: Record<string, unknown>[] }
    expect(totals).toEqual({ passed: 1, passedStrictly: 0, passedLeniently: 1, failed: 1, skipped: 1 })
    expect(results[0]).toEqual({
      name: 'F/sub/bad.pkt',
      family: null,
      outcome: 'fail',
      line: 9,
      column: 1,
      message: 'expected > . 1:1(0) ack 2 got nothing until 2.004000',
      expected: '> . 1:1(0) ack 2',
      actual: 'nothing until 2.004000',
      switches: [],
      notes: [],
    })
    expect(results[2]).toMatchObject({ outcome: 'pass-lenient', switches: ['win-ignored'] })
  })
  it.each([
    [[], 'no scripts given'],
    [['--nonsense', 'a'], 'unknown option --nonsense'],
    [['--lenient'], '--lenient needs switches'],
    [['--lenient=x', 'a'], 'x is not a lenient switch'],
    [['/does/not/exist.pkt'], "/does/not/exist.pkt can't be read"],
  ])('%j is wrong', (args, message) => {
    const { status, err, out } = command(...args)
    expect([status, out]).toEqual([2, ''])
    expect(err).toContain(`packetdrill: ${message}\nusage: `)
  })
  it('--help', () => expect(command('--help')).toMatchObject({ status: 0, err: '' }))
})
