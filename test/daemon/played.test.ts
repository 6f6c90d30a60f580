import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type RunOptions, run, SYSTEM } from '../../daemon/run/run.ts'
import type { RunReport } from '../../daemon/run/totals.ts'
import { tsharkDigests } from '../support/tshark-follow.ts'

const DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), '../../pcap/samples')

async function played(
  options: Partial<RunOptions>,
): Promise<{ status: number; report: RunReport; logs: string }> {
  const output: string[] = []
  const logs: string[] = []
  const status = await run(
    {
      device: `pcap:${join(DIRECTORY, 'many.pcap')}`,
      listen: { address: '192.0.2.2', port: 80 },
      sink: { kind: 'hash' },
      ownAddress: true,
      dad: false,
      once: false,
      json: true,
      verbose: false,
      statsEvery: 0,
      ...options,
    },
    new AbortController().signal,
    {
      ...SYSTEM,
      createLogger: () => pino({ base: null }, { write: (line: string) => void logs.push(line) }),
      print: (text) => output.push(text),
    },
  )
  return { status, report: JSON.parse(output.join('')), logs: logs.join('') }
}

describe('zcrxd run on a capture', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'zcrx-played-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('ends by itself with the digests of every connection', async () => {
    const { status, report } = await played({})
    expect(status).toBe(0)
    const theirs = await tsharkDigests(join(DIRECTORY, 'many.pcap'))
    const wanted = [...theirs.values()]
      .filter(({ node }) => node.startsWith('192.0.2.1:'))
      .map(({ node, sha256 }) => `${node} ${sha256}`)
    expect(report.connectionList.map(({ remote, sha256 }) => `${remote} ${sha256}`).sort()).toEqual(
      wanted.sort(),
    )
    expect(report.driver).toBe('pcap')
    expect(report.niovs.lost).toBe(0)
  })

  it('goes through the wrappers', async () => {
    const capture = join(folder, 'again.pcapng')
    const { status, report } = await played({ rateLimit: 1e9, capture: { file: capture } })
    expect([status, report.capture?.error]).toEqual([0, undefined])
    expect(readFileSync(capture).length).toBeGreaterThan(10_000)
  })

  it('fails when the file is cut short, and keeps what was in front', async () => {
    const file = join(folder, 'short.pcap')
    const bytes = readFileSync(join(DIRECTORY, 'bulk.pcap'))
    writeFileSync(file, bytes.subarray(0, bytes.length - 20_000))
    const { status, report, logs } = await played({ device: `pcap:${file}` })
    expect(status).toBe(1)
    expect(logs).toContain('PCAP_TRUNCATED')
    const [connection] = report.connectionList
    expect(connection!.sinkBytes).toBeGreaterThan(0)
    expect(connection!.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(createHash('sha256').digest('hex')).not.toBe(connection!.sha256)
  })
})
