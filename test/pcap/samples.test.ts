import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { makeSample } from '../../pcap/samples/make/main.ts'
import { type SampleConversation, samples } from '../../pcap/samples/samples.ts'

const directory = fileURLToPath(new URL('../../pcap/samples', import.meta.url))
const MARKER = /\[(\d+) bytes missing in capture file\]/g
/** Wireshark ends its words with a NUL. */
const MARKER_END = 1

/** What tshark says of a sample; a file that ends within a record makes it fail behind what it has printed. */
function tshark(file: string, ...args: string[]): string {
  const path = join(directory, file)
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const
  const { stdout, error } = spawnSync('tshark', ['-r', path, ...args], options)
  if (error !== undefined) throw error
  return stdout
}

/** What Wireshark finds in a sample. */
interface Found {
  packets: number
  /** As many as were asked for. */
  conversations: SampleConversation[]
  streams: number
  /** How many packets match each filter. */
  matches: number[]
}

interface StreamEnd {
  fins: Set<string>
  reset: boolean
}

const FIELDS = ['tcp.stream', 'ip.src', 'ipv6.src', 'tcp.srcport', 'tcp.flags.fin', 'tcp.flags.reset']

/** One run of tshark, whose start takes longer than its work. */
function examine(file: string, conversations: number, filters: readonly string[], checksums: boolean): Found {
  const out = tshark(
    file,
    ...['tcp', 'ip'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:${checksums}`]),
    ...['-T', 'fields', ...FIELDS.flatMap((field) => ['-e', field])],
    ...Array.from({ length: conversations }, (_, i) => ['-z', `follow,tcp,raw,${i}`]).flat(),
    ...['-z', ['io,stat,0', ...filters].join(',')],
  )
  const rows = out.split('\n').filter((line) => line.split('\t').length === FIELDS.length)
  const ends = streamEnds(rows)
  const blocks = out.split(/^Follow: /m).slice(1)
  // They are printed in no certain order.
  const byNumber = blocks.map(
    (block) => [Number(/^Filter: tcp\.stream eq (\d+)/m.exec(block)![1]), block] as const,
  )
  const table = out.split('\n').find((line) => /^\|.*<>.*\|$/.test(line) && !line.includes('Interval'))
  const cells = table!.split('|').slice(2, -1).map(Number)
  return {
    packets: rows.length,
    conversations: byNumber.sort(([a], [b]) => a - b).map(([i, block]) => followed(block, ends.get(i))),
    streams: ends.size,
    // Frames and bytes of each.
    matches: filters.map((_, i) => cells[2 * i]!),
  }
}

/** A conversation as Wireshark follows it. */
function followed(block: string, ends: StreamEnd | undefined): SampleConversation {
  const client = /^Node 0: (.*)$/m.exec(block)![1]!
  const server = /^Node 1: (.*)$/m.exec(block)![1]!
  const lines = block.split('\n').filter((line) => /^\t?(?:[0-9a-f]{2})+$/.test(line))
  const ours = measure(lines.filter((line) => !line.startsWith('\t')))
  const theirs = measure(lines.filter((line) => line.startsWith('\t')))
  const end = (endpoint: string) => {
    if (ends?.fins.has(endpoint)) return 'fin' as const
    return ends?.reset ? ('rst' as const) : ('none' as const)
  }
  return {
    client,
    server,
    clientBytes: ours.bytes,
    serverBytes: theirs.bytes,
    clientMissing: ours.missing,
    serverMissing: theirs.missing,
    clientEnd: end(client),
    serverEnd: end(server),
  }
}

function measure(lines: string[]): { bytes: number; missing: number } {
  const bytes = Buffer.from(lines.map((line) => line.trim()).join(''), 'hex')
  const text = bytes.toString('latin1')
  const markers = [...text.matchAll(MARKER)]
  const words = markers.reduce((sum, [whole]) => sum + whole.length + MARKER_END, 0)
  return { bytes: bytes.length - words, missing: markers.reduce((sum, [, n]) => sum + Number(n), 0) }
}

function streamEnds(rows: string[]): Map<number, StreamEnd> {
  const ends = new Map<number, StreamEnd>()
  for (const row of rows) {
    const [stream, four, six, port, fin, reset] = row.split('\t')
    if (stream === '') continue
    const end = ends.get(Number(stream)) ?? { fins: new Set<string>(), reset: false }
    ends.set(Number(stream), end)
    if (fin === '1') end.fins.add(four !== '' ? `${four}:${port}` : `[${six}]:${port}`)
    if (reset === '1') end.reset = true
  }
  return ends
}

const FAULTS = '_ws.malformed || tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"'

describe('the sample captures', () => {
  it('are all described, and small', () => {
    const files = readdirSync(directory).filter((name) => /\.pcap(ng)?(\.gz)?$/.test(name))
    expect(files.sort()).toEqual(samples.map(({ file }) => file).sort())
    const sizes = files.map((file) => statSync(join(directory, file)).size)
    expect(Math.max(...sizes)).toBeLessThan(64 << 10)
    expect(sizes.reduce((a, b) => a + b)).toBeLessThan(1.5 * 2 ** 20)
  })

  it('are all in the README', () => {
    const readme = readFileSync(join(directory, 'README.md'), 'utf8')
    const rows = readme.split('\n').filter((line) => line.startsWith('| `'))
    expect(
      rows.map((row) =>
        row
          .split('|')
          .map((cell) => cell.trim())
          .slice(1, -1),
      ),
    ).toEqual(
      samples.map(({ file, title, shows, made }) => [
        `\`${file}\``,
        title,
        shows,
        made.replace(/of (.*)/, 'of `$1`'),
      ]),
    )
  })

  it.each(samples.map((sample) => [sample.file, sample] as const))('%s', async (file, sample) => {
    const { conversations, properties } = sample
    // A thousand conversations of a flood have no data; a few will do.
    const some = conversations.slice(0, conversations.length > 100 ? 20 : undefined)
    const filters = [...properties.map(([filter]) => filter), FAULTS]
    const found = examine(file, some.length, filters, true)
    const aboutChecksums = properties.some(([filter]) => filter.includes('checksum'))
    // Told to verify checksums, Wireshark leaves out of the stream what has a wrong one.
    const stream = aboutChecksums ? examine(file, some.length, [], false) : found
    expect(found.packets).toBe(sample.packets)
    expect(found.streams).toBe(conversations.length)
    const none = { clientMissing: 0, serverMissing: 0 }
    expect(stream.conversations.map((each) => silent(file, each))).toEqual(
      some.map((each) => silent(file, { ...none, ...each })),
    )
    const matches = properties.map(([filter], i) => [filter, found.matches[i]!] as const)
    for (const [i, [, least]] of properties.entries()) {
      expect.soft(matches[i]![1], matches[i]![0]).toBeGreaterThanOrEqual(least)
    }
    if (sample.made === 'recorded' && !aboutChecksums) expect(found.matches.at(-1)).toBe(0)
    const made = await makeSample(file, directory)
    expect(made === null).toBe(sample.made === 'recorded')
    if (made === null) return
    // How gzip packs differs with its version.
    const unpack = (bytes: Uint8Array) => (file.endsWith('.gz') ? gunzipSync(bytes) : Buffer.from(bytes))
    expect(unpack(made).equals(unpack(readFileSync(join(directory, file))))).toBe(true)
  })

  it('are read by capinfos', () => {
    const read = samples.filter(({ cutShort }) => cutShort !== true).map(({ file }) => join(directory, file))
    const out = execFileSync('capinfos', ['-T', '-r', '-c', ...read], { encoding: 'utf8' })
    const packets = out
      .trim()
      .split('\n')
      .map((line) => Number(line.split('\t')[1]))
    expect(packets).toEqual(
      samples.filter(({ cutShort }) => cutShort !== true).map((sample) => sample.packets),
    )
  })
})

/** Wireshark has no words for what was cut off. */
function silent(file: string, each: SampleConversation): SampleConversation {
  return file === 'snaplen.pcap' ? { ...each, clientMissing: 0 } : each
}
