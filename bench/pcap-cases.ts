import { CapturedPacket } from '../pcap/file/packet.ts'
import { CaptureReader } from '../pcap/file/reader.ts'
import { type FollowOptions, follow } from '../pcap/follow/follow.ts'
import type { StreamReport } from '../pcap/follow/report.ts'
import { type ReplayOptions, replay } from '../replay/index.ts'
import type { BulkCapture } from './bulk-capture.ts'

/** What of ours is measured. */
export interface OurCase {
  readonly name: string
  /** The tool it is compared with. */
  readonly peer: string
  run(file: string, capture: BulkCapture): Promise<void>
}

/** One measurement, in seconds; CPU time is user and system time of all threads. */
export interface Sample {
  readonly wall: number
  readonly cpu: number
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

function following(name: string, options: FollowOptions): OurCase {
  const run = async (file: string, capture: BulkCapture): Promise<void> => {
    const { streams } = await follow(file, options)
    check(streams, capture, options.digests !== false)
  }
  return { name, peer: 'tshark -z follow', run }
}

function replaying(name: string, options: ReplayOptions): OurCase {
  const run = async (file: string, capture: BulkCapture): Promise<void> => {
    const { streams } = await replay(file, { ...options, keep: false })
    check(streams, capture, options.digests !== false)
  }
  return { name, peer: 'tshark -z follow', run }
}

export const OUR_CASES: readonly OurCase[] = [
  { name: 'read', peer: 'capinfos -c', run: readPackets },
  following('follow', { digests: false }),
  following('follow, digests', {}),
  replaying('replay client', { direction: 'client', digests: false }),
  replaying('replay client, digests', { direction: 'client' }),
  replaying('replay both, digests', { direction: 'both' }),
]

/** The argument of the process that a case runs in. */
export interface CaseJob {
  readonly name: string
  readonly file: string
  readonly capture: BulkCapture
  /** A smaller one: what is compiled at run time is by then. */
  readonly warmUp: { readonly file: string; readonly capture: BulkCapture }
}

/** Runs one case and measures it. */
export async function runCase({ name, file, capture, warmUp }: CaseJob): Promise<Sample> {
  const each = OUR_CASES.find((one) => one.name === name)!
  await each.run(warmUp.file, warmUp.capture)
  const cpu = process.cpuUsage()
  const begun = performance.now()
  await each.run(file, capture)
  const wall = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return { wall, cpu: (user + system) / 1e6 }
}
