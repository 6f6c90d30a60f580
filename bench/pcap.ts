import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseInteger } from '../daemon/cli/parse.ts'
import { renderTable } from '../daemon/cli/table.ts'
import { CapturedPacket } from '../pcap/file/packet.ts'
import { CaptureReader } from '../pcap/file/reader.ts'
import { type FollowOptions, follow } from '../pcap/follow/follow.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import { type ReplayOptions, replay } from '../replay/replay.ts'
import { type BulkCapture, SEGMENT_BYTES, writeBulkCapture } from './bulk-capture.ts'
import { type Spread, spread } from './spread.ts'

/** CPU time that the kernel counts in `/proc` is in hundredths of a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100
/** Fields of `/proc/self/stat` behind the process' name: user and system time of children that have ended. */
const CHILD_USER_TIME = 13
const CHILD_SYSTEM_TIME = 14
/** A smaller capture warms up what is compiled at run time. */
const WARM_UP_SHARE = 10

interface Case {
  readonly name: string
  /** The case that it is compared with; null for those of others, and where there is none. */
  readonly peer: string | null
  /** Ours run in this process, the others' in their own. */
  readonly ours: boolean
  run(file: string, capture: BulkCapture): Promise<void> | void
}

/** One measurement, in seconds. */
interface Sample {
  readonly wall: number
  readonly cpu: number
}

/** One case of the bench. CPU time is user and system time of all threads: of ours on what amounts to one core. */
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

function tool(name: string, peer: string, ...args: string[]): Case {
  const run = (file: string): void => {
    const { status, error } = spawnSync(
      peer,
      args.flatMap((arg) => (arg === 'FILE' ? [file] : [arg])),
      {
        stdio: 'ignore',
      },
    )
    if (status !== 0) throw error ?? new Error(`${peer} ended with ${status}`)
  }
  return { name, peer: null, ours: false, run }
}

async function readPackets(file: string, capture: BulkCapture): Promise<void> {
  const reader = await CaptureReader.open(file)
  const packet = new CapturedPacket()
  let bytes = 0
  do while (reader.next(packet)) bytes += packet.length
  while (await reader.fill())
  reader.close()
  if (reader.count !== capture.packets || bytes >= capture.fileBytes) throw new Error('packets are missing')
}

function check(streams: readonly StreamReport[], capture: BulkCapture, digests: boolean): void {
  const client = streams.find(({ direction }) => direction === 'client')
  const sha256 = digests ? capture.sha256 : null
  const good = client?.bytes === capture.bytes && client.sha256 === sha256 && client.end === 'fin'
  if (!good) throw new Error(`the stream is not what was written: ${JSON.stringify(client)}`)
}

function following(name: string, options: FollowOptions): Case {
  const run = async (file: string, capture: BulkCapture): Promise<void> => {
    const { streams } = await follow(file, options)
    check(streams, capture, options.digests !== false)
  }
  return { name, peer: 'tshark -z follow', ours: true, run }
}

function replaying(name: string, options: ReplayOptions): Case {
  const run = async (file: string, capture: BulkCapture): Promise<void> => {
    const { streams } = await replay(file, options)
    check(streams, capture, options.digests !== false)
  }
  return { name, peer: 'tshark -z follow', ours: true, run }
}

const CASES: readonly Case[] = [
  tool('capinfos', 'capinfos', 'FILE'),
  tool('capinfos -c', 'capinfos', '-c', 'FILE'),
  tool('tshark', 'tshark', '-r', 'FILE', '-q'),
  { name: 'read', peer: 'capinfos -c', ours: true, run: readPackets },
  tool('tshark -z follow', 'tshark', '-r', 'FILE', '-q', '-z', 'follow,tcp,raw,0'),
  following('follow', { digests: false }),
  following('follow, digests', {}),
  replaying('replay client', { direction: 'client', digests: false }),
  replaying('replay client, digests', { direction: 'client' }),
  replaying('replay both, digests', { direction: 'both' }),
]

/** Seconds of CPU time that children took which have ended. */
function childrenCpu(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[CHILD_USER_TIME]) + Number(fields[CHILD_SYSTEM_TIME])) / TICKS_PER_SECOND
}

function ourCpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function measure(each: Case, file: string, capture: BulkCapture): Promise<Sample> {
  const cpu = each.ours ? ourCpu : childrenCpu
  const cpuBefore = cpu()
  const before = performance.now()
  await each.run(file, capture)
  return { wall: (performance.now() - before) / 1000, cpu: cpu() - cpuBefore }
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

function render(results: readonly PcapResult[]): string[] {
  const range = (value: Spread | null, digits: number): string =>
    value === null
      ? ''
      : `${value.median.toFixed(digits)} (${value.min.toFixed(digits)}–${value.max.toFixed(digits)})`
  return renderTable(
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
    ({ name, ours }) => name.includes(values.only) && (ours || !absent.includes(name.split(' ')[0]!)),
  )
  const directory = mkdtempSync(join(tmpdir(), 'zcrx-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  const small = join(directory, 'small.pcap')
  const file = join(directory, 'bulk.pcap')
  const warmUp = writeBulkCapture(small, wanted / WARM_UP_SHARE)
  const capture = writeBulkCapture(file, wanted)
  for (const each of cases) await each.run(small, warmUp)
  const samples = new Map<string, Sample[]>(cases.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const each of cases) samples.get(each.name)!.push(await measure(each, file, capture))
  }
  const results = summarise(cases, samples, capture.packets)
  const { packets, fileBytes } = capture
  if (!values.json) {
    console.log(
      `pcap: ${packets} packets, ${(fileBytes / 1e6).toFixed(0)} MB, segments of ${SEGMENT_BYTES} bytes, ` +
        `${rounds} rounds; median (min–max)\n`,
    )
    for (const line of render(results)) console.log(line)
    console.log()
  }
  console.log(
    JSON.stringify({
      bench: 'pcap',
      node: process.version,
      kernel: release(),
      cpu: cpus()[0]?.model ?? '',
      cores: availableParallelism(),
      packets,
      fileBytes,
      rounds,
      results,
    }),
  )
}
