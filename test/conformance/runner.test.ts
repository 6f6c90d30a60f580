import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from './cli.ts'
import { consecutiveRuns, isUndetermined, runLengths } from './compare.ts'
import { INTENDED } from './intended.ts'
import { FormatError, type JsonObject, loadRecord, ownRecord, parseRecord, type Scenario } from './record.ts'
import { runScenario } from './run.ts'

const scenarios = new Map(loadRecord(ownRecord()).map((scenario) => [scenario.name, scenario]))

function named(name: string): Scenario {
  const scenario = scenarios.get(name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return scenario
}

/** The scenario with something else in the first step that has this key, or in the first completion. */
function changed(name: string, key: string, value: JsonObject[string]): Scenario {
  const scenario = named(name)
  const steps = structuredClone(scenario.steps) as Record<string, JsonObject[string]>[]
  for (const step of steps) {
    const cqe = step.cqe as Record<string, JsonObject[string]> | undefined
    if (cqe !== undefined && key in cqe) {
      cqe[key] = value
      return { ...scenario, steps }
    }
    if (key in step) {
      step[key] = value
      return { ...scenario, steps }
    }
  }
  throw new Error(`${name} has no ${key}`)
}

describe('the runner of the record', () => {
  it.each<[string, string, JsonObject[string]]>([
    ['exhaust.area_4_before', 'niov', 2],
    ['exhaust.area_4_before', 'fionread', 114_687],
    ['refill.control_all', 'rq_head_after', 2],
    ['refill.control_all', 'niovs_obtained', [6, 5, 7, 4, 3, 2, 1, 0]],
    ['cq_overflow.cq8_after_9_pages', 'sq_flag_CQ_OVERFLOW', false],
    ['event.copy_only', 'copy_bytes', 101],
    ['import.data_both_rings', 'zcrx_id', 1],
    ['dev.payload_offset_100', 'in', 99],
    ['dev.one_send_after_5000', 'packets_with_netmem', 3],
    ['cancel.by_fd_all_two', 'res', 1],
    ['data.one_send_before_1048576', 'flags', ['MORE', 'SOCK_NONEMPTY']],
    ['data.one_send_before_1048576', 'niov', 1],
  ])('sees another value: %s, %s', (name, key, value) => {
    expect(runScenario(named(name)).differences).toEqual([])
    const report = runScenario(changed(name, key, value))
    expect(report.outcome).toBe('fail')
    expect(report.differences.join()).toContain(JSON.stringify(value))
  })

  it.each<[string, JsonObject]>([
    ['register.rq_entries_3', { reg: { rq_entries: 3 } }],
    ['register.dev_veth', { ret: -19 }],
    ['ctrl.id_1', { err: 'EINVAL' }],
    ['add_area.limit_of_areas', { added: 1024 }],
    ['dev.steady_refill_no_flush', { niov_runs: [[0, 15]] }],
  ])('sees another result: %s', (name, change) => {
    const scenario = named(name)
    const report = runScenario({ ...scenario, result: { ...scenario.result, ...change } })
    expect(report.outcome).toBe('fail')
  })

  it('reports what nothing translates as skipped, never as passed', () => {
    const base = named('register.ok_basic')
    expect(runScenario({ ...base, name: 'register.something_else', what: 'prose' })).toMatchObject({
      outcome: 'skip',
      reason: 'no translation: something_else',
    })
    expect(runScenario({ ...base, result: { ...base.result, brightness: 3 } })).toMatchObject({
      outcome: 'skip',
      reason: 'no translation of result.brightness',
    })
    const step = { ...named('data.poll_first'), steps: [{ do: 'sing' }] }
    expect(runScenario(step).reason).toBe('no translation: step {"do":"sing"}')
  })

  it('understands fields that only words name', () => {
    const base = named('register.flags_4')
    const play = (name: string, what: string, ret: number): string =>
      runScenario({ ...base, name, what, setup: {}, result: { ret } }).outcome
    expect(play('register.some_word', 'region.__resv[2] = 1', -22)).toBe('pass')
    expect(play('register.some_length', 'area.len = 1<<20', -14)).toBe('pass')
    expect(play('register.some_sum', 'area.addr += 100', -22)).toBe('pass')
    const request = named('recvzc_bad.addr_set')
    const both = { ...request, name: 'recvzc_bad.both', what: 'fd = -1 and sqe.addr3 = 1: which error' }
    expect(runScenario(both).outcome).toBe('pass')
  })

  it.each<[string, string, boolean]>([
    ['second_area', '4-page area, second area of 2 pages; 6 sends of 1000', true],
    ['add_area', 'areas of 4 and 2 pages; 6 sends of 1000', false],
    ['two_areas', '4 pages, and 2 pages; 6 sends of 1000', false],
  ])('plays further areas of a device queue: %s', (name, what, told) => {
    const base = named('dev.cq_full')
    const data = (area: number, niov: number): JsonObject => ({
      cqe: {
        ud: 1,
        res: 1000,
        flags: ['MORE'],
        area,
        off: niov * 4096,
        niov,
        in: 0,
        pad: '0x0',
        data_ok: true,
      },
    })
    const places = [
      [1, 0],
      [1, 1],
      [0, 0],
      [0, 1],
      [0, 2],
      [0, 3],
    ] as const
    const steps = [
      ...(told ? [{ do: 'ADD_AREA', ret: 0, token: '0x1000000000000' }] : []),
      { do: 'submit RECV_ZC', ud: 1, len: 0, ret: 1 },
      ...places.map(([area, niov]) => data(area, niov)),
      { do: 'drain, quiet time 120 ms', cqes: 6 },
    ]
    const setup = { rq_entries: 64, area_pages: 4, nic_mode: 0 }
    const scenario = {
      ...base,
      name: `dev.${name}`,
      what,
      setup,
      steps,
      result: { data_cqes: 6, bytes: 6000 },
    }
    expect(runScenario(scenario)).toMatchObject({ outcome: 'pass', differences: [] })
    expect(runScenario({ ...scenario, what: what.replace(/;.*/, '') })).toMatchObject({
      outcome: 'skip',
      reason: expect.stringContaining('no translation: what is sent: '),
    })
    const other = { ...scenario, steps: [...steps.slice(0, -2), data(1, 2), steps.at(-1)!] }
    expect(runScenario(other).outcome).toBe('fail')
  })

  it('takes no pages of a further area from what is expected', () => {
    const base = named('add_area.use_fresh')
    const scenario = { ...base, what: 'area 0 of 2 pages; area 1 is added; 8 pages arrive' }
    expect(runScenario(scenario)).toMatchObject({
      outcome: 'skip',
      reason: expect.stringContaining('no translation: pages of the area that is added'),
    })
  })

  it('goes on in an area that is added when there is nothing left', () => {
    const base = named('dev.exhaust_then_refill_no_flush')
    const steps = [
      { do: 'submit RECV_ZC', ud: 1, len: 0, ret: 1 },
      ...Array.from({ length: 8 }, (_, niov) => ({
        cqe: { ud: 1, res: 1000, flags: ['MORE'], area: 0, niov, data_ok: true },
      })),
      { cqe: { ud: 1000, res: 0, flags: [] } },
      { do: 'drain, quiet time 400 ms', cqes: 9 },
      { do: 'ADD_AREA', ret: 0, token: '0x1000000000000' },
      ...Array.from({ length: 12 }, (_, niov) => ({
        cqe: { ud: 1, res: 1000, flags: ['MORE'], area: 1, niov, data_ok: true },
      })),
      { do: 'drain, quiet time 2500 ms', cqes: 12 },
    ] as JsonObject[]
    const what = '8-page area, mask 3 with stats, 20 sends of 1000 bytes; then an area of 16 pages is added'
    const scenario = { ...base, name: 'dev.areas_exhaust', what, steps, result: { bytes: 20_000 } }
    expect(runScenario(scenario)).toMatchObject({ outcome: 'pass', differences: [] })
  })

  it('knows where the cut is TCP’s', () => {
    const undetermined = [...scenarios.values()].filter(isUndetermined).map(({ name }) => name)
    expect(
      undetermined.every((name) =>
        /^(data\.(one|many)_send|end\.limit_64k|refill\.(bad_at|many))/.test(name),
      ),
    ).toBe(true)
    expect(undetermined).toContain('data.one_send_before_32768')
    expect(undetermined).not.toContain('data.one_send_before_16384')
    expect(undetermined).not.toContain('dev.one_send_after_65536')
  })

  it('sums up as the record does', () => {
    expect(runLengths([4096, 4096, 1])).toEqual([
      [4096, 2],
      [1, 1],
    ])
    expect(consecutiveRuns([3, 2, 2, 3, 7, 5, 4])).toEqual([
      [3, 2],
      [2, 3],
      [7, 7],
      [5, 4],
    ])
  })

  it('skips only what only a kernel can have', () => {
    const skipped = INTENDED.filter(({ whole }) => whole)
    const names = [...scenarios.keys()].filter((name) => skipped.some((one) => one.name.test(name)))
    expect(names).toEqual(['register.from_other_task', 'ctrl.from_other_task'])
  })

  it.each([
    ['no JSON', '{', 'Expected property name'],
    ['no scenarios', '{}', 'no list of scenarios'],
    ['another format', '{"format":"pcap","scenarios":[]}', 'format "pcap" is not known'],
    ['a scenario without a name', '[{}]', 'scenario 0 has no name'],
    ['steps of another kind', '[{"name":"a.b","steps":[1]}]', 'steps is no list of objects'],
  ])('refuses %s', (_what, text, message) => {
    expect(() => parseRecord(text, 'file')).toThrow(FormatError)
    expect(() => parseRecord(text, 'file')).toThrow(message)
  })
})

describe('npm run conformance', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'zcrx-record-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function run(...args: string[]): { status: number; out: string; err: string } {
    const texts = { out: '', err: '' }
    const status = main(args, {
      out: (text) => {
        texts.out += text
      },
      err: (text) => {
        texts.err += text
      },
    })
    return { status, ...texts }
  }

  it('plays the checked-in record, or a file of the same format, and ends with a line that counts', () => {
    expect(run('--only', 'ctrl.')).toMatchObject({
      status: 0,
      out: expect.stringMatching(/20 passed, 0 failed, 1 skipped\n$/),
    })
    const file = join(folder, 'further.json')
    const wrong = changed('data.poll_first', 'res', 999)
    const { name, what, setup, steps, result } = wrong
    writeFileSync(
      file,
      JSON.stringify({ format: 'zcrx-kernel-record-1', scenarios: [{ name, what, setup, steps, result }] }),
    )
    const { status, out } = run(file)
    expect(status).toBe(1)
    expect(out).toContain('FAIL data.poll_first\n')
    expect(out).toContain('"res":999')
    expect(out).toMatch(/0 passed, 1 failed, 0 skipped\n$/)
  })

  it('says how it is used', () => {
    expect(run('--help')).toMatchObject({ status: 0, out: expect.stringContaining('usage:') })
    expect(run('--nonsense')).toMatchObject({
      status: 2,
      err: expect.stringContaining('--nonsense is not known'),
    })
    expect(run(join(folder, 'none.json'))).toMatchObject({
      status: 2,
      err: expect.stringContaining('ENOENT'),
    })
  })
})
