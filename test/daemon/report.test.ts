import { describe, expect, it } from 'vitest'
import { benchRows, benchTable } from '../../bench/e2e.ts'
import type { RunResult } from '../../bench/e2e-run.ts'
import { spread } from '../../bench/spread.ts'
import { printed } from '../../bench/table.ts'
import { explainDrops } from '../../daemon/demo/drops.ts'
import { renderDemoReport } from '../../daemon/demo/print.ts'
import { ProgressView, progressLine } from '../../daemon/demo/progress.ts'
import type { PassResult, Progress } from '../../daemon/demo/protocol.ts'
import { type DemoReport, type Pass, type StackReport, stackReport } from '../../daemon/demo/report.ts'

const niovs = { total: 16, free: 8, fill: 8, rx: 0, queued: 0, user: 0, lost: 0 }

function pass(change: Partial<PassResult> = {}, sha256?: string): Pass {
  const digest = sha256 === undefined ? {} : { sha256 }
  return {
    received: {
      type: 'result',
      flows: [
        { port: 1002, bytes: 500, errno: 0, ...digest },
        { port: 1001, bytes: 500, errno: 0, ...digest },
      ],
      bytes: 1000,
      seconds: 0.5,
      cpuSeconds: 0.000001,
      samplesChecked: 4,
      samplesWrong: 0,
      zeroCopiedBytes: 1000,
      copiedBytes: 0,
      completions: 3,
      frames: 2,
      drops: {},
      niovs,
      ...change,
    },
    sent: {
      type: 'sent',
      flows: [
        { port: 1001, bytes: 500, ...digest },
        { port: 1002, bytes: 500, ...digest },
      ],
      retransmittedSegments: 5,
    },
  }
}

const xdp = { driver: 'xdp', mode: 'generic copy', mtu: 1500 }

function good(): StackReport {
  return stackReport(xdp, [500, 500], pass({}, 'aa'), pass(), 'cubic')
}

describe('stackReport', () => {
  it('is good when all arrived', () => {
    expect(good()).toMatchObject({
      ...xdp,
      flows: 2,
      bytes: 1000,
      seconds: 0.5,
      gbps: 0,
      sha256Ok: true,
      cpuSecondsPerGB: 1,
      congestionControl: 'cubic',
      retransmittedSegments: 5,
      problems: [],
      niovs,
    })
  })

  it.each<[string, Pass, Pass, RegExp]>([
    ['bytes are missing', pass({ bytes: 999 }, 'aa'), pass(), /verified pass: 999 of 1000 bytes/],
    ['a niov is lost', pass({}, 'aa'), pass({ niovs: { ...niovs, lost: 1 } }), /1 niovs are lost/],
    ['a sample is wrong', pass({}, 'aa'), pass({ samplesWrong: 1 }), /1 of 4 sampled places differ/],
    ['a flow broke', pass({}, 'aa'), pass({ flows: [{ port: 1001, bytes: 500, errno: 104 }] }), /errno 104/],
    ['a flow is short', pass({}, 'aa'), pass({ flows: [{ port: 1001, bytes: 4 }] }), /brought 4 of 500/],
  ])('says that %s', (_what, verified, measured, message) => {
    expect(stackReport(xdp, [500, 500], verified, measured, undefined).problems.join('\n')).toMatch(message)
  })

  it('compares the digests of each flow by its port', () => {
    const verified = pass({}, 'aa')
    const flows = verified.received.flows.map((flow) =>
      flow.port === 1002 ? { ...flow, sha256: 'bb' } : flow,
    )
    const report = stackReport(
      xdp,
      [500, 500],
      { ...verified, received: { ...verified.received, flows } },
      pass(),
      undefined,
    )
    expect(report.sha256Ok).toBe(false)
    expect(report.problems).toEqual(['the digests of flow 1 differ'])
  })

  it('is not fooled by flows without a digest', () => {
    expect(stackReport(xdp, [500, 500], pass(), pass(), undefined).sha256Ok).toBe(false)
  })
})

function demo(change: Partial<DemoReport> = {}): DemoReport {
  return {
    ...good(),
    gbps: 20,
    ok: true,
    peer: { ...good(), driver: 'linux tcp', mode: 'node:net', gbps: 10 },
    ...change,
  }
}

describe('renderDemoReport', () => {
  it('ends with the verdict and the comparison', () => {
    const text = renderDemoReport(demo()).join('\n')
    expect(text).toContain('zcrx flow 0: sha256 aa at both ends')
    expect(text).toContain(
      'niovs at the end: 16 = 8 free + 8 fill ring + 0 rx + 0 receive queue + 0 user + 0 lost',
    )
    expect(text).toMatch(/OK: all 1000 B arrived[\s\S]*2\.00 times the rate/)
  })

  it('fits a terminal of 100 columns', () => {
    for (const line of renderDemoReport(demo({ drops: { nicRingFull: 1234567 } })))
      expect(line.length).toBeLessThanOrEqual(100)
  })

  it('explains a fallback and does not compare then', () => {
    const text = renderDemoReport(
      demo({ driver: 'memory', fallback: { reason: 'this is uid 1000', remedy: 'sudo npx zcrxd demo' } }),
    ).join('\n')
    expect(text).toContain('Not over AF_XDP: this is uid 1000.')
    expect(text).toContain('sudo npx zcrxd demo')
    expect(text).not.toContain('times the rate')
  })

  it('says what failed', () => {
    const text = renderDemoReport(demo({ ok: false, problems: ['the digests of flow 0 differ'] })).join('\n')
    expect(text).toMatch(/FAILED:\n {2}zcrx: the digests of flow 0 differ$/)
  })

  it('puts every drop in words', () => {
    expect(explainDrops({ duplicate: 2, nicRingFull: 5, paws: 0, unheardOf: 1 })).toEqual([
      { cause: 'nicRingFull', count: 5, meaning: expect.stringContaining('receive ring') },
      { cause: 'duplicate', count: 2, meaning: expect.stringContaining('received before') },
      { cause: 'unheardOf', count: 1, meaning: '' },
    ])
  })
})

describe('progress', () => {
  const state: Progress = {
    type: 'progress',
    bytes: 2 ** 29,
    frames: 12_345,
    completions: 67_890,
    niovs,
    seconds: 0.5,
  }

  it('is one line that fits', () => {
    expect(progressLine('zcrx', 'measured', state, 2 ** 30, 12.34, 200)).toBe(
      'zcrx measured  12.3 Gbit/s  512 MiB of 1.00 GiB  12.3k packets  67.9k completions  ' +
        'niovs 8 free 8 fill 0 rx 0 queued 0 user',
    )
    expect(progressLine('zcrx', 'measured', state, 2 ** 30, 12.34, 40).length).toBe(40)
  })

  it('is rewritten in place on a terminal, and is silent elsewhere', () => {
    for (const [isTTY, writes] of [
      [true, 2],
      [false, 0],
    ] as const) {
      const written: string[] = []
      const view = new ProgressView({ isTTY, columns: 80, write: (text) => written.push(text) }, true)
      view.update('zcrx', 'measured', state, 2 ** 30)
      view.clear()
      expect(written.length).toBe(writes)
      for (const text of written) expect(text).not.toContain('\n')
    }
  })
})

describe('bench', () => {
  it('spreads', () => {
    expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 })
    expect(spread([4, 1, 2, 3])).toEqual({ min: 1, median: 2.5, max: 4 })
    expect(() => spread([])).toThrow(RangeError)
  })

  it('takes the ratio of neighbouring runs', () => {
    const run = (receiver: RunResult['receiver'], gbps: number): RunResult => ({
      receiver,
      workers: 0,
      mode: 'mode',
      bytes: 1e9,
      gbps,
      cpuSecondsPerGB: 0.1,
      machineCpuSecondsPerGB: gbps / 100,
      retransmittedSegments: 0,
      copiedBytes: 0,
      drops: {},
    })
    const rounds = [10, 40, 20].map((gbps) => [run('tap', gbps), run('node:net', 10), run('c-recv', 20)])
    const rows = benchRows({ mtu: 1500, flows: 1 }, rounds)
    expect(rows.map(({ receiver, toNode, toRecv }) => [receiver, toNode, toRecv])).toEqual([
      ['tap', { min: 1, median: 2, max: 4 }, { min: 0.5, median: 1, max: 2 }],
      ['node:net', undefined, { min: 0.5, median: 0.5, max: 0.5 }],
      ['c-recv', { min: 2, median: 2, max: 2 }, undefined],
    ])
    expect(rows[0]!.machineCpuToRecv).toEqual({ min: 0.5, median: 1, max: 2 })
    expect(printed(benchTable(rows))[2]).toMatch(/^1500\s+1\s+tap\s+mode\s+20\.0 \(10\.0-40\.0\)\s+2\.00/)
  })
})
