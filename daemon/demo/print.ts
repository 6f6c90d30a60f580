import { formatBytes, formatCount } from '../cli/format.ts'
import { renderTable, wrap } from '../cli/table.ts'
import { workerLines } from '../run/totals.ts'
import { explainDrops } from './drops.ts'
import type { DemoReport, StackReport } from './report.ts'

const WIDTH = 100
/** More digests than these are summed up in a line. */
const MAX_DIGESTS = 8

/** The comparison for people. */
export function renderDemoReport(report: DemoReport): string[] {
  const { peer } = report
  const lines = [
    ...renderTable(['', 'zcrx', 'node:net'], comparison(report, peer)),
    '',
    ...digestLines('zcrx', report),
    ...digestLines('node:net', peer),
    '',
    ...placeLines(report),
    ...workerLines(report.workers),
    ...dropLines('zcrx', report),
    ...dropLines('node:net', peer),
    ...noteLines(report),
    '',
    ...verdictLines(report),
  ]
  return lines
}

function comparison(zcrx: StackReport, peer: StackReport): string[][] {
  const row = (title: string, value: (report: StackReport) => string): string[] => [
    title,
    value(zcrx),
    value(peer),
  ]
  return [
    row('way in', (r) => `${r.driver}, ${r.mode}`),
    row('MTU', (r) => String(r.mtu)),
    row('flows', (r) => String(r.flows)),
    row('congestion control of the sender', (r) => r.congestionControl ?? 'not known'),
    row('verified pass: bytes', (r) => formatBytes(r.verified.bytes)),
    row('verified pass: SHA-256 at both ends', (r) => (r.sha256Ok ? 'match' : 'DIFFER')),
    row('verified pass: Gbit/s', (r) => r.verified.gbps.toFixed(2)),
    row('measured pass: bytes', (r) => formatBytes(r.bytes)),
    row(
      'measured pass: sampled places right',
      (r) => `${r.samplesChecked - r.samplesWrong} of ${r.samplesChecked}`,
    ),
    row('measured pass: seconds', (r) => r.seconds.toFixed(3)),
    row('measured pass: Gbit/s', (r) => r.gbps.toFixed(2)),
    row('measured pass: CPU seconds per GB', (r) => r.cpuSecondsPerGB.toFixed(3)),
    row('in place (zero copy)', (r) => formatBytes(r.zeroCopiedBytes)),
    row('copied', (r) => formatBytes(r.copiedBytes)),
    row('packets', (r) => formatCount(r.frames)),
    row('completions (data events)', (r) => formatCount(r.completions)),
    row('segments the sender sent again', (r) =>
      r.retransmittedSegments === null ? '-' : formatCount(r.retransmittedSegments),
    ),
  ]
}

function digestLines(who: string, report: StackReport): string[] {
  const { digests } = report.verified
  const wrong = digests.filter(({ sender, receiver }) => sender !== receiver)
  if (wrong.length > 0) {
    return wrong.flatMap(({ flow, sender, receiver }) => [
      `${who} flow ${flow}: sent     ${sender || 'no digest'}`,
      `${who} flow ${flow}: received ${receiver || 'no digest'}`,
    ])
  }
  if (digests.length > MAX_DIGESTS) return [`${who}: ${digests.length} digests, each the same at both ends`]
  return digests.map(({ flow, sender }) => `${who} flow ${flow}: sha256 ${sender} at both ends`)
}

function placeLines(report: DemoReport): string[] {
  const { total, free, fill, rx, queued, user, lost } = report.niovs
  return [
    `niovs at the end: ${total} = ${free} free + ${fill} fill ring + ${rx} rx + ${queued} receive queue + ${user} user` +
      ` + ${lost} lost`,
  ]
}

function dropLines(who: string, report: StackReport): string[] {
  const drops = explainDrops(report.drops)
  if (drops.length === 0) return [`${who} drops: none`]
  return [
    `${who} drops (TCP sends again what matters):`,
    ...drops.flatMap(({ cause, count, meaning }) =>
      wrap(`${cause} ${formatCount(count)}${meaning === '' ? '' : `: ${meaning}`}`, WIDTH, '  '),
    ),
  ]
}

function noteLines(report: DemoReport): string[] {
  const notes: string[] = []
  if (report.driver === 'memory') {
    notes.push(
      'Over the memory link sender and receiver are one process: its CPU seconds are those of both ends, and node:net got ' +
        'its stream over 127.0.0.1. The two columns are not a comparison.',
    )
  }
  if (report.fallback !== undefined) {
    const { reason, remedy } = report.fallback
    notes.push(`Not over AF_XDP: ${reason}.${remedy === '' ? '' : ` To have the real one: ${remedy}`}`)
  }
  return notes.flatMap((note) => ['', ...wrap(note, WIDTH)])
}

function verdictLines(report: DemoReport): string[] {
  if (report.ok) {
    const every = formatBytes(report.verified.bytes)
    return wrap(
      `OK: all ${every} arrived with the digest they were sent with, ${formatBytes(report.copiedBytes)} copied, ` +
        `${report.niovs.lost} niovs lost.${report.driver === 'memory' ? '' : ratio(report)}`,
      WIDTH,
    )
  }
  return [
    'FAILED:',
    ...report.problems.flatMap((problem) => wrap(`zcrx: ${problem}`, WIDTH, '  ')),
    ...report.peer.problems.flatMap((problem) => wrap(`node:net: ${problem}`, WIDTH, '  ')),
  ]
}

function ratio({ gbps, cpuSecondsPerGB, peer }: DemoReport): string {
  if (peer.gbps === 0 || peer.cpuSecondsPerGB === 0) return ''
  return (
    ` zcrx received at ${(gbps / peer.gbps).toFixed(2)} times the rate of node:net, with ` +
    `${(cpuSecondsPerGB / peer.cpuSecondsPerGB).toFixed(2)} times its CPU time per byte.`
  )
}
