import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { IpAddress } from '../../../address.ts'
import { Defragmenter } from '../../../pcap/decode/defragment.ts'
import { FRAGMENT, SEGMENT, SegmentDecoder } from '../../../pcap/decode/segment.ts'
import { CapturedPacket } from '../../../pcap/file/packet.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { ConversationTable } from '../../../pcap/follow/conversations.ts'
import { follow } from '../../../pcap/follow/follow.ts'
import { noCaptureTools } from '../../support/capture-tools.ts'
import { runs } from '../../support/long.ts'
import { randomCapture } from '../../support/random-capture.ts'
import { hasSharkd } from '../../support/sharkd.ts'
import { captureDirectory } from '../../support/tshark.ts'
import { streamKey, tsharkDigests, tsharkFollow, tsharkFollowAlone } from '../../support/tshark-follow.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: following beside tshark (${missing})`)
if (!hasSharkd) console.log('skipped: sharkd beside tshark (there is no sharkd)')
const directory = captureDirectory()
afterAll(directory.remove)

const CAPTURES = runs(50)
/** Captures that are examined at a time. */
const AT_A_TIME = 3

function written(seed: number): { file: string; about: string; bytes: Uint8Array } {
  const { bytes, about } = randomCapture(seed)
  const file = join(directory.path, `${seed}.pcap`)
  writeFileSync(file, bytes)
  return { file, about: `seed ${seed}, ${about}`, bytes }
}

async function sameStreams(seed: number): Promise<number> {
  const { file, about, bytes } = written(seed)
  const { streams, summary } = await follow(bytes)
  expect(summary.error, about).toBeNull()
  // One more than we have found: there must be no such stream.
  const theirs = await tsharkDigests(file, summary.conversations + 1)
  expect(theirs.has(streamKey(summary.conversations, ':0')), `${about}: too few streams`).toBe(true)
  expect(streams.length).toBe(2 * summary.conversations)
  for (const { stream, direction, client, server, sha256, bytes: count } of streams) {
    const key = streamKey(stream, direction === 'client' ? client : server)
    const their = theirs.get(key)
    expect([key, count, sha256], about).toEqual([key, their?.bytes, their?.sha256])
  }
  return streams.filter(({ bytes: count }) => count > 0).length
}

const FIELDS = ['tcp.stream', 'tcp.len', 'tcp.seq_raw', 'ip.src', 'ipv6.src', 'tcp.srcport', 'tcp.flags']

/** A line for each packet that is a segment, or completes one, as tshark's fields would be. */
async function segmentsOf(bytes: Uint8Array): Promise<string[]> {
  const reader = await CaptureReader.from(bytes)
  const packet = new CapturedPacket()
  const segment = new SegmentDecoder()
  const defragmenter = new Defragmenter()
  const table = new ConversationTable(
    () => null,
    () => {},
  )
  const lines: string[] = []
  const read = (): string => {
    let found = segment.decode(packet)
    if (found === FRAGMENT)
      found = defragmenter.add(segment, packet.seconds) ? defragmenter.decode(segment) : 0
    if (found !== SEGMENT) return ''
    const { number } = table.find(segment, packet.seconds)
    const { source0, source1, source2, source3, version, payloadBytes, seq, sourcePort, flags } = segment
    const source = new IpAddress(source0, source1, source2, source3).toString()
    const addresses = version === 4 ? [source, ''] : ['', source]
    const hex = `0x${flags.toString(16).padStart(4, '0')}`
    return [number, payloadBytes, seq >>> 0, ...addresses, sourcePort, hex].join('\t')
  }
  do while (reader.next(packet)) lines.push(read())
  while (await reader.fill())
  reader.close()
  return lines
}

describe.skipIf(missing !== undefined)('beside tshark', () => {
  it(`follows ${CAPTURES} random captures as it does`, { timeout: 60_000 }, async () => {
    let seed = 1
    let compared = 0
    const some = async (): Promise<void> => {
      while (seed <= CAPTURES) {
        const streams = await sameStreams(seed++)
        compared += streams
      }
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, some))
    expect(compared).toBeGreaterThan(2 * CAPTURES)
  })

  it.skipIf(!hasSharkd)('which follows as the sharkd that stands in for it elsewhere', async () => {
    const numbers = Array.from({ length: 12 }, (_, i) => i)
    // Cut short, with streams that are not there, without the middle, and with wrong checksums.
    for (const name of ['cut-short.pcap', 'missing.pcap', 'bad-checksums.pcapng', 'interfaces.pcapng']) {
      const file = fileURLToPath(new URL(`../../../pcap/samples/${name}`, import.meta.url))
      expect(await tsharkFollow(file, numbers), name).toEqual(await tsharkFollowAlone(file, numbers))
    }
  })

  it('decodes segments and numbers conversations as it does', () =>
    Promise.all(
      Array.from({ length: runs(12, 4) }, async (_, i) => {
        const { file, about, bytes } = written(1001 + i)
        const names = FIELDS.flatMap((name) => ['-e', name])
        const text = execFileSync('tshark', ['-r', file, '-T', 'fields', ...names], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        })
        // A fragment that completes nothing has an address only, and one that was cut has no length.
        const theirs = text
          .split('\n')
          .slice(0, -1)
          .map((line) => (/^\d+\t\d/.test(line) ? line : ''))
        expect(await segmentsOf(bytes), about).toEqual(theirs)
      }),
    ).then(() => {}))
})
