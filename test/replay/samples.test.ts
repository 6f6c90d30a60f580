import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { followCommand } from '../../daemon/captures/follow.ts'
import { replayCommand } from '../../daemon/captures/replay.ts'
import type { StreamReport } from '../../pcap/follow/report.ts'
import { type Sample, type SampleConversation, samples } from '../../pcap/samples/samples.ts'
import type { ReplaySummary } from '../../replay/index.ts'
import * as abi from '../../uapi/abi/index.ts'
import { parseEndpoint, playTo } from '../pcap/play/support.ts'
import { withCapture } from '../support/sharkd.ts'
import { streamKey, type TsharkStream, tsharkDigests } from '../support/tshark-follow.ts'

const DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), '../../pcap/samples')
const NEVER = new AbortController().signal
/** Tags that a server has to know of. */
const VLANS: Readonly<Record<string, readonly number[]>> = { 'vlan.pcap': [42], 'qinq.pcap': [100, 42] }
const { ECONNRESET, ECANCELED: STILL_OPEN } = abi
/** Conversations that tshark is asked about: it needs time for each. */
const MOST_CONVERSATIONS = 60

interface Printed {
  status: number
  streams: StreamReport[]
  summary: ReplaySummary
}

async function printed(command: (print: (line: string) => void) => Promise<number>): Promise<Printed> {
  const lines: string[] = []
  const status = await command((line) => lines.push(line))
  const objects = lines.map((line) => JSON.parse(line))
  return { status, summary: objects.pop(), streams: objects }
}

/** The run of a sample; the tests here share it. */
const replays = new Map<string, Promise<Printed>>()

function replayed(file: string): Promise<Printed> {
  let run = replays.get(file)
  if (run === undefined) {
    run = printed((print) =>
      replayCommand({ file, direction: 'both', json: true, recomputeChecksums: false }, NEVER, print),
    )
    replays.set(file, run)
  }
  return run
}

function fileOf(sample: Sample): string {
  return join(DIRECTORY, sample.file)
}

function sender({ direction, client, server }: StreamReport): string {
  return direction === 'client' ? client : server
}

/** Wireshark has the streams of a conversation as they are, whatever it says of their ends. */
function showsTheSame({ wireshark, named = false }: SampleConversation): boolean {
  return !named && !Object.keys(wireshark ?? {}).some((key) => !key.endsWith('End'))
}

/** The digest is tshark's, of bytes that tshark has. */
function compare(report: StreamReport, theirs: Map<string, TsharkStream>): void {
  const found = theirs.get(streamKey(report.stream, sender(report)))
  expect(found, `stream ${report.stream} of ${sender(report)}`).toBeDefined()
  const seen = { bytes: report.bytes, sha256: report.sha256 }
  expect(seen, `${report.stream} ${report.direction}`).toEqual({ bytes: found!.bytes, sha256: found!.sha256 })
}

describe.each(samples)('$file', (sample) => {
  const file = fileOf(sample)
  const most = Math.min(MOST_CONVERSATIONS, sample.conversations.length)

  it('is followed and replayed to the digests that tshark finds', async () => {
    const theirs = await tsharkDigests(file, most)
    const request = { file, direction: 'both', json: true } as const
    const followed = await printed((print) => followCommand(request, NEVER, print))
    const { status, streams, summary } = await replayed(file)
    const expected = sample.cutShort === true ? 1 : 0
    expect([followed.status, status]).toEqual([expected, expected])
    expect(summary.niovs.lost).toBe(0)
    expect(followed.streams.map(({ stream, direction }) => [stream, direction])).toEqual(
      streams.map(({ stream, direction }) => [stream, direction]),
    )
    for (const [i, follows] of followed.streams.entries()) {
      const replays = streams[i]!
      const conversation = sample.conversations[follows.stream]!
      const alike = follows.stream < most && showsTheSame(conversation)
      if (alike) compare(follows, theirs)
      if (replays.skipped !== null) {
        expect(replays.skipped).toBe(
          conversation.named === true ? 'has no segment of its own' : 'began before the capture',
        )
        continue
      }
      if (alike) compare(replays, theirs)
      expect(replays.sha256).toBe(follows.sha256)
      expect(replays.end, 'end').toBe(follows.end)
      expect([replays.gaps, replays.missingBytes]).toEqual([follows.gaps, follows.missingBytes])
      // Every byte of the capture was received in place or copied, and is counted once.
      const markers = replays.gaps === 0 ? replays.bytes : replays.zeroCopiedBytes + replays.copiedBytes
      expect(replays.zeroCopiedBytes + replays.copiedBytes).toBe(markers)
      if (replays.bytes > 0) expect(replays.completions).toBeGreaterThan(0)
    }
  })

  it('gives what is expected of it', async () => {
    const { streams, summary } = await replayed(file)
    // Wireshark's numbers, of everything it has a number for.
    expect(summary.conversations).toBe(sample.conversations.length)
    for (const [number, wanted] of sample.conversations.entries()) {
      for (const direction of ['client', 'server'] as const) {
        const report = streams.find((one) => one.stream === number && one.direction === direction)!
        expect([report.client, report.server].sort()).toEqual([wanted.client, wanted.server].sort())
        if (report.skipped !== null) continue
        const client = direction === 'client'
        const bytes = client ? wanted.clientBytes : wanted.serverBytes
        const end = client ? wanted.clientEnd : wanted.serverEnd
        const missing = client ? wanted.clientMissing : wanted.serverMissing
        const tail = client ? wanted.clientTail : wanted.serverTail
        expect(report.missingBytes, `${number} ${direction}`).toBe((missing ?? 0) + (tail ?? 0))
        if (report.missingBytes > 0) expect(report.gaps).toBeGreaterThan(0)
        expect(report.zeroCopiedBytes + report.copiedBytes, `${number} ${direction}`).toBe(bytes)
        expect(report.end, `${number} ${direction}`).toBe(end)
      }
    }
  })
})

/** What `pcap:` has to do with: a server at port 80 of these addresses. */
function servedAt(streams: readonly StreamReport[]): string[] {
  const served = streams.filter(({ server, skipped }) => skipped === null && server.endsWith(':80'))
  return [...new Set(served.map(({ server }) => parseEndpoint(server).address))]
}

describe.each(samples)('$file', (sample) => {
  it('is delivered by pcap: as a replay receives it', async () => {
    const { streams } = await replayed(fileOf(sample))
    const clients = streams.filter(
      ({ direction, server }) => direction === 'client' && server.endsWith(':80'),
    )
    const address = servedAt(clients)
    if (address.length === 0) return
    const vlan = VLANS[sample.file]
    const more = vlan === undefined ? {} : { ip: { vlan } }
    const played = await playTo({ file: fileOf(sample), address, port: 80, ...more })
    expect(played.lost).toBe(0)
    for (const report of clients) {
      if (report.skipped !== null || report.bytes === 0) continue
      const name = `${report.stream} of ${report.client}`
      const theirs = played.streams.filter(({ remote }) => remote === report.client)
      if (report.gaps > 0) {
        // Who reads it is told: it ends with an error, or does not end.
        expect(
          theirs.map(({ errno }) => errno),
          name,
        ).not.toContain(0)
        continue
      }
      const found = theirs.find(
        ({ bytes }) => createHash('sha256').update(bytes).digest('hex') === report.sha256,
      )
      expect(found, name).toBeDefined()
      // A reset of the captured server's own is not repeated to the one that is in its place.
      const wanted = { fin: [0], rst: [ECONNRESET, STILL_OPEN], none: [STILL_OPEN] }[report.end]
      expect(wanted, name).toContain(found!.errno)
    }
  })
})

describe('conversations that can’t be played', () => {
  it('are those that begin before the capture did, and no others', async () => {
    for (const sample of samples) {
      const file = fileOf(sample)
      const { streams } = await replayed(file)
      const left = new Set(streams.filter(({ skipped }) => skipped !== null).map(({ stream }) => stream))
      if (left.size === 0) continue
      const opened = await withCapture(file, true, (capture) =>
        capture.frames('tcp.flags.syn==1 && tcp.flags.ack==0', 'tcp.stream'),
      )
      const begun = new Set(opened.map(([stream]) => Number(stream)))
      for (const stream of left) expect(begun.has(stream), `${sample.file} ${stream}`).toBe(false)
    }
  })
})
