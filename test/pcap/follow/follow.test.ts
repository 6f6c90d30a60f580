import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { PcapError } from '../../../errors.ts'
import { merge, packets } from '../../../pcap/build/index.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'
import { follow } from '../../../pcap/follow/follow.ts'
import type { StreamReport } from '../../../pcap/follow/report.ts'
import { captureDirectory } from '../../support/tshark.ts'

const directory = captureDirectory()
afterAll(directory.remove)

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const talk = (port: number, start = 1_700_000_000) =>
  packets({ client: `192.0.2.1:${port}`, server: '192.0.2.2:80', start })
const polite = (port: number, start?: number) =>
  talk(port, start).handshake().client('request').server('response').close()

describe('follow', () => {
  it('reports both directions of every conversation', async () => {
    const { streams, summary } = await follow(merge(polite(1000), polite(1001)).pcapng(), { file: 'name' })
    expect(streams.map(({ stream, direction }) => [stream, direction])).toEqual([
      [0, 'client'],
      [0, 'server'],
      [1, 'client'],
      [1, 'server'],
    ])
    expect(streams[0]).toEqual({
      file: 'name',
      stream: 0,
      client: '192.0.2.1:1000',
      server: '192.0.2.2:80',
      direction: 'client',
      bytes: 7,
      sha256: sha256('request'),
      completions: 0,
      zeroCopiedBytes: 0,
      copiedBytes: 0,
      gaps: 0,
      missingBytes: 0,
      end: 'fin',
      skipped: null,
    })
    expect(streams[1]!.sha256).toBe(sha256('response'))
    expect(summary).toMatchObject({ conversations: 2, evicted: 0, forcedGaps: 0, malformed: 0, error: null })
    expect(summary.packets).toBe(summary.segments)
  })

  it('reads a path, bytes or a reader', async () => {
    const bytes = polite(1).pcap()
    const file = join(directory.path, 'a.pcap')
    writeFileSync(file, bytes)
    const reader = await CaptureReader.from(bytes)
    const [path, memory, open] = await Promise.all([follow(file), follow(bytes), follow(reader)])
    expect(path.streams[0]!.file).toBe(file)
    expect(memory.streams[0]!.file).toBe('-')
    for (const { streams } of [memory, open]) expect(streams[0]!.sha256).toBe(path.streams[0]!.sha256)
    await expect(follow(join(directory.path, 'none'))).rejects.toBeInstanceOf(PcapError)
  })

  it('gives the bytes in order, of what was asked for', async () => {
    const bytes = merge(polite(1), polite(2)).pcap()
    const taken: string[] = []
    const { streams } = await follow(bytes, {
      conversation: 1,
      direction: 'server',
      digests: false,
      onData: ({ stream, direction, client }, data, at, length) =>
        taken.push(`${stream} ${direction} ${client} ${Buffer.from(data.subarray(at, at + length))}`),
    })
    expect(taken).toEqual(['1 server 192.0.2.1:2 response'])
    expect(streams.map(({ sha256: digest, bytes: count }) => [digest, count])).toEqual([[null, 8]])
  })

  it('says how streams end', async () => {
    const ends = async (capture: ReturnType<typeof talk>): Promise<string[]> =>
      (await follow(capture.pcap())).streams.map(({ end }) => end)
    expect(await ends(polite(1))).toEqual(['fin', 'fin'])
    expect(await ends(talk(1).handshake().client('a').rst())).toEqual(['rst', 'rst'])
    expect(await ends(talk(1).handshake().client('a').fin())).toEqual(['fin', 'none'])
    expect(await ends(talk(1).handshake().client('a').fin().rst('server'))).toEqual(['fin', 'rst'])
    // A FIN behind what is missing is not the end of the data that there is.
    expect(await ends(talk(1).handshake().client('a').drop().fin())).toEqual(['none', 'none'])
  })

  it('marks holes as Wireshark does, and counts them', async () => {
    const capture = talk(1)
      .handshake()
      .client('ab')
      .client('cde')
      .drop()
      .client('fg')
      .ack('server')
      .client('h')
    const { streams } = await follow(capture.pcap())
    expect(streams[0]).toMatchObject({
      bytes: 'ab[3 bytes missing in capture file].fgh'.length,
      gaps: 1,
      missingBytes: 3,
      sha256: sha256('ab[3 bytes missing in capture file]\0fgh'),
    })
  })

  it('counts what was cut when it was captured', async () => {
    const capture = talk(1)
      .handshake()
      .client('abcdefgh')
      .truncate(14 + 20 + 20 + 3)
      .client('ij')
    const { streams } = await follow(capture.pcap())
    expect(streams[0]!.gaps).toBe(1)
    expect(streams[0]!.missingBytes + streams[0]!.bytes).toBe(10)
  })

  it('keeps what is in front of a fault, and names the fault', async () => {
    const bytes = polite(1).pcap()
    const { streams, summary } = await follow(bytes.subarray(0, bytes.length - 1))
    expect(streams[0]!.sha256).toBe(sha256('request'))
    expect(summary.error).toMatchObject({ code: 'PCAP_TRUNCATED' })
  })

  it('counts packets that it has no use for', async () => {
    const capture = polite(1)
      .raw(new Uint8Array(60))
      .raw(Uint8Array.of(...new Array(12).fill(0), 8, 0, 0x45))
    const { summary } = await follow(capture.pcap())
    expect(summary).toMatchObject({ notIp: 1, malformed: 1, notTcp: 0, fragments: 0, unknownLink: 0 })
    expect(summary.packets).toBe(summary.segments + 2)
  })

  it('closes conversations when too many are open, and reports in order all the same', async () => {
    const open = (port: number) =>
      talk(port, 1_700_000_000 + port)
        .handshake()
        .client('x'.repeat(port))
    const seen: StreamReport[] = []
    const { streams, summary } = await follow(
      merge(...Array.from({ length: 50 }, (_, i) => open(i + 1))).pcap(),
      {
        openConversations: 5,
        onReport: (report) => seen.push(report),
      },
    )
    expect(streams).toEqual([])
    expect(summary).toMatchObject({ conversations: 50, evicted: 45 })
    expect(seen.map(({ stream }) => stream)).toEqual(Array.from({ length: 100 }, (_, i) => i >> 1))
    for (const { stream, direction, bytes } of seen)
      expect(bytes).toBe(direction === 'client' ? stream + 1 : 0)
  })

  it('holds no more out-of-order data than it may', async () => {
    const capture = talk(1).handshake().client(100).drop()
    for (let i = 0; i < 100; i++) capture.client(1000)
    const { streams, summary } = await follow(capture.pcap(), { heldBytes: 50_000 })
    expect(summary.forcedGaps).toBe(1)
    expect(streams[0]).toMatchObject({ gaps: 1, missingBytes: 100 })
    expect(streams[0]!.bytes).toBe(100_000 + '[100 bytes missing in capture file]\0'.length)
  })

  it('goes on behind a late segment of an earlier connection', async () => {
    // A new SYN, a late segment of the earlier server, then the new SYN,ACK.
    const isn = { client: 5_000_000, server: 9_000_000 }
    const fresh = packets({ client: '192.0.2.1:1', server: '192.0.2.2:80', isn })
    fresh.syn().server({ flags: 'A', seq: 1_000_000, ack: 1 }).synAck().ack().server('response')
    const { streams, summary } = await follow(fresh.pcap())
    expect(summary.conversations).toBe(1)
    expect(streams[1]).toMatchObject({ bytes: 8, sha256: sha256('response') })
  })
})
