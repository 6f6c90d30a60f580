import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { DoctorReport } from '../../daemon/doctor/print.ts'
import { renderExamination } from '../../daemon/doctor/print.ts'
import { parseDevice } from '../../host/devices/index.ts'
import { workersFinding } from '../../host/devices/workers.ts'
import { type Candidate, judge, observe } from '../../host/examine/index.ts'
import { type Changes, factsWith } from '../host/examine/facts.ts'

const CANDIDATES: readonly Candidate[] = [
  {
    name: 'xdp zero-copy',
    driver: 'xdp',
    mode: 'native zero-copy',
    device: 'xdp:eth0/0?mode=zerocopy',
  },
  { name: 'xdp native', driver: 'xdp', mode: 'native copy', device: 'xdp:eth0/0?mode=native&copy=copy' },
  { name: 'xdp generic', driver: 'xdp', mode: 'generic copy', device: 'xdp:eth0/0?mode=generic' },
  { name: 'packet', driver: 'packet', mode: 'tpacket_v3 vnet_hdr copy', device: 'packet:eth0' },
  { name: 'raw', driver: 'raw', mode: 'raw sockets copy', device: 'raw:192.0.2.2' },
]

function report(changes: Changes): DoctorReport {
  const device = 'auto:eth0'
  const facts = factsWith(changes)
  const seen = observe(
    facts,
    CANDIDATES.map(({ name }) => name),
  )
  const judged = judge(CANDIDATES, seen)
  const workers = workersFinding(device, parseDevice(device), judged.chosen, facts)
  const findings = workers === null ? judged.findings : [...judged.findings, workers]
  return { device, ok: judged.chosen !== null, ...judged, findings }
}

it('prints what the manual shows', () => {
  const programs = [{ id: 41, mode: 'native', name: 'filter', holders: ['pid 812 (firewall)'] }] as const
  const text = renderExamination(report({ link: { programs } })).join('\n')
  expect(text).toContain('fix:   kill 812')
  const manual = readFileSync(new URL('../../docs/zcrxd.md', import.meta.url), 'utf8')
  expect(manual).toContain(`\`\`\`\n${text}\n\`\`\``)
})

it('says so when nothing works, and what was tried', () => {
  const lines = renderExamination({
    ...report({ info: { up: false } }),
    tried: [
      { driver: 'xdp', mode: 'generic copy', ok: true, bytes: 65536, frames: 60, ms: 9.5 },
      { driver: 'raw', mode: 'raw sockets', ok: false, bytes: 0, frames: 0, ms: 0, error: 'no package' },
    ],
  })
  expect(lines).toContain('  xdp     generic copy: 65536 bytes sent and received in 9.5 ms')
  expect(lines).toContain('  raw     raw sockets: failed: no package')
  expect(lines.at(-1)).toBe('zcrxd would not start on auto:eth0')
  for (const line of lines) expect(line).toBe(line.trimEnd())
})
