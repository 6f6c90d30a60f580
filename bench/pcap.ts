import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseInteger } from '../daemon/cli/parse.ts'
import { SEGMENT_BYTES, writeBulkCapture } from './bulk-capture.ts'
import { machine } from './harness.ts'
import { type CaseJob, OUR_CASES, type OurCase, type Sample } from './pcap-cases.ts'
import { type Spread, spread } from './spread.ts'
import { printed, type Table, table } from './table.ts'

/** CPU time that the kernel counts in `/proc` is in hundredths of a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100
/** Fields of `/proc/self/stat` behind the process' name: user and system time of children that have ended. */
const CHILD_USER_TIME = 13
const CHILD_SYSTEM_TIME = 14
/** Part of the packets that ours see before they are measured. */
const WARM_UP_SHARE = 10

interface Case {
  readonly name: string
  /** The case that it is compared with; null for those of others. */
  readonly peer: string | null
  /** The program it needs; null for ours. */
  readonly tool: string | null
  measure(job: CaseJob): Sample
}

/** One case of the bench. CPU time is user and system time of all threads. */
export interface PcapResult {
  readonly name: string
  readonly wallSeconds: Spread
  readonly cpuSeconds: Spread
  /** Millions, by the wall's clock and of CPU time. */
  readonly packetsPerSecond: Spread
  readonly packetsPerCpuSecond: Spread
  readonly peer: string | null
  /** CPU and wall time of the peer over ours, round by round. */
  readonly cpuRatio: Spread | null
  readonly wallRatio: Spread | null
}

function tool(name: string, command: string, ...args: string[]): Case {
  const measure = ({ file }: CaseJob): Sample => {
    const cpu = childrenCpu()
    const begun = performance.now()
    const { status, error } = spawnSync(
      command,
      args.map((arg) => (arg === 'FILE' ? file : arg)),
      { stdio: 'ignore' },
    )
    if (status !== 0) throw error ?? new Error(`${command} ended with ${status}`)
    return { wall: (performance.now() - begun) / 1000, cpu: childrenCpu() - cpu }
  }
  return { name, peer: null, tool: command, measure }
}

const CHILD = fileURLToPath(new URL('./pcap-child.js', import.meta.url))

function ours({ name, peer }: OurCase): Case {
  const measure = (job: CaseJob): Sample => {
    const args = [CHILD, JSON.stringify({ ...job, name })]
    const out = execFileSync(process.execPath, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    return JSON.parse(out) as Sample
  }
  return { name, peer, tool: null, measure }
}

const CASES: readonly Case[] = [
  tool('capinfos', 'capinfos', 'FILE'),
  tool('capinfos -c', 'capinfos', '-c', 'FILE'),
  tool('tshark', 'tshark', '-r', 'FILE', '-q'),
  tool('tshark -z follow', 'tshark', '-r', 'FILE', '-q', '-z', 'follow,tcp,raw,0'),
  ...OUR_CASES.map(ours),
]

/** Seconds of CPU time that children took which have ended. */
function childrenCpu(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[CHILD_USER_TIME]) + Number(fields[CHILD_SYSTEM_TIME])) / TICKS_PER_SECOND
}

function missing(): string[] {
  return ['capinfos', 'tshark'].filter((name) => spawnSync(name, ['--version']).status !== 0)
}

function summarise(
  cases: readonly Case[],
  samples: ReadonlyMap<string, Sample[]>,
  packets: number,
): PcapResult[] {
  return cases.map(({ name, peer }) => {
    const ours = samples.get(name)!
    const theirs = peer === null ? undefined : samples.get(peer)
    const over = (value: (sample: Sample) => number): Spread | null =>
      theirs === undefined ? null : spread(ours.map((sample, i) => value(theirs[i]!) / value(sample)))
    return {
      name,
      wallSeconds: spread(ours.map(({ wall }) => wall)),
      cpuSeconds: spread(ours.map(({ cpu }) => cpu)),
      packetsPerSecond: spread(ours.map(({ wall }) => packets / wall / 1e6)),
      packetsPerCpuSecond: spread(ours.map(({ cpu }) => packets / cpu / 1e6)),
      peer: theirs === undefined ? null : peer,
      cpuRatio: over(({ cpu }) => cpu),
      wallRatio: over(({ wall }) => wall),
    }
  })
}

export function pcapTable(results: readonly PcapResult[]): Table {
  const range = (value: Spread | null, digits: number): string =>
    value === null
      ? ''
      : `${value.median.toFixed(digits)} (${value.min.toFixed(digits)}–${value.max.toFixed(digits)})`
  return table(
    ['', 'wall s', 'CPU s', 'M packets/s', 'M packets/CPU s', 'compared with', 'x CPU', 'x wall'],
    results.map((each) => [
      each.name,
      range(each.wallSeconds, 2),
      range(each.cpuSeconds, 2),
      range(each.packetsPerSecond, 2),
      range(each.packetsPerCpuSecond, 2),
      each.peer ?? '',
      range(each.cpuRatio, 1),
      range(each.wallRatio, 1),
    ]),
  )
}

/**
 * `npm run bench -- pcap`: reading, following and replaying a capture of a bulk transfer, beside what Wireshark's tools take
 * for it. One runs at a time; every round has each of them once.
 */
export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      packets: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
  })
  const wanted = parseInteger(values.packets, '--packets', 100, 50_000_000)
  const rounds = parseInteger(values.rounds, '--rounds', 1, 1000)
  const absent = missing()
  if (absent.length > 0) console.error(`without ${absent.join(' and ')}, which are not installed`)
  const cases = CASES.filter(
    (each) => each.name.includes(values.only) && (each.tool === null || !absent.includes(each.tool)),
  )
  const directory = mkdtempSync(join(tmpdir(), 'zcrx-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  const small = join(directory, 'small.pcap')
  const file = join(directory, 'bulk.pcap')
  const warmUp = { file: small, capture: writeBulkCapture(small, wanted / WARM_UP_SHARE) }
  const capture = writeBulkCapture(file, wanted)
  const samples = new Map<string, Sample[]>(cases.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) {
      samples.get(each.name)!.push(each.measure({ name: each.name, file, capture, warmUp }))
    }
  }
  const results = summarise(cases, samples, capture.packets)
  const { packets, fileBytes } = capture
  if (!values.json) {
    console.log(
      `pcap: ${packets} packets, ${(fileBytes / 1e6).toFixed(0)} MB, segments of ${SEGMENT_BYTES} bytes, ` +
        `${rounds} rounds; median (min–max)\n`,
    )
    for (const line of printed(pcapTable(results))) console.log(line)
    console.log()
  }
  console.log(
    JSON.stringify({
      bench: 'pcap',
      machine: machine(),
      packets,
      fileBytes,
      rounds,
      results,
    }),
  )
}
