import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { makeSample } from '../../pcap/samples/make/main.ts'
import { type SampleConversation, samples } from '../../pcap/samples/samples.ts'
import { type Followed, followedEnds, withCapture } from '../support/sharkd.ts'

const directory = fileURLToPath(new URL('../../pcap/samples', import.meta.url))
const MARKER = /\[(\d+) bytes missing in capture file\]/g
/** Wireshark ends its words with a NUL. */
const MARKER_END = 1

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

function examine(
  file: string,
  conversations: number,
  filters: readonly string[],
  checksums: boolean,
): Promise<Found> {
  return withCapture(join(directory, file), checksums, async (capture) => {
    const rows = await capture.frames('tcp.stream', 'tcp.stream')
    // Of a fragment the filter knows the whole, and the column nothing.
    const streams = new Set(rows.flatMap(([stream]) => stream!.split(',')).filter((stream) => stream !== ''))
    const ends = streamEnds(
      await capture.frames('tcp.flags.fin == 1', ...END_FIELDS),
      await capture.frames('tcp.flags.reset == 1', ...END_FIELDS),
    )
    const found: Found = {
      packets: await capture.packets(),
      conversations: [],
      streams: streams.size,
      matches: [],
    }
    for (let i = 0; i < conversations; i++) {
      found.conversations.push(followed(await capture.follow(i), ends.get(i)))
    }
    for (const filter of filters) found.matches.push((await capture.frames(filter, 'frame.number')).length)
    return found
  })
}

/** A conversation as Wireshark follows it. */
function followed(stream: Followed, ends: StreamEnd | undefined): SampleConversation {
  const { client, server } = followedEnds(stream)
  const payloads = stream.payloads ?? []
  const ours = measure(payloads.filter(({ s }) => s !== 1))
  const theirs = measure(payloads.filter(({ s }) => s === 1))
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

function measure(payloads: readonly { d: string }[]): { bytes: number; missing: number } {
  const bytes = Buffer.concat(payloads.map(({ d }) => Buffer.from(d, 'base64')))
  const text = bytes.toString('latin1')
  const markers = [...text.matchAll(MARKER)]
  const words = markers.reduce((sum, [whole]) => sum + whole.length + MARKER_END, 0)
  return { bytes: bytes.length - words, missing: markers.reduce((sum, [, n]) => sum + Number(n), 0) }
}

const END_FIELDS = ['tcp.stream', 'ip.src', 'ipv6.src', 'tcp.srcport']

function streamEnds(fins: string[][], resets: string[][]): Map<number, StreamEnd> {
  const ends = new Map<number, StreamEnd>()
  const of = (stream: string): StreamEnd => {
    const end = ends.get(Number(stream)) ?? { fins: new Set<string>(), reset: false }
    ends.set(Number(stream), end)
    return end
  }
  // Of a tunnelled segment there are the tunnel's addresses, too, in front of its own.
  const last = (values: string | undefined) => values!.split(',').at(-1)
  for (const [stream, four, six, port] of fins) {
    of(stream!).fins.add(`${last(four)}:${port}`)
    of(stream!).fins.add(`[${last(six)}]:${port}`)
  }
  for (const [stream] of resets) of(stream!).reset = true
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
    const found = await examine(file, some.length, filters, true)
    const aboutChecksums = properties.some(([filter]) => filter.includes('checksum'))
    // Told to verify checksums, Wireshark leaves out of the stream what has a wrong one.
    const stream = aboutChecksums ? await examine(file, some.length, [], false) : found
    expect(found.packets).toBe(sample.packets)
    expect(found.streams).toBe(conversations.length)
    const none = { clientMissing: 0, serverMissing: 0 }
    expect(stream.conversations.map((each) => silent(file, each))).toEqual(
      some.map((each) => silent(file, { ...none, ...shown(each) })),
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

/** A conversation as Wireshark shows it. */
function shown(each: SampleConversation): SampleConversation {
  const { wireshark = {}, clientTail: _client, serverTail: _server, named = false, ...rest } = each
  const nobody = named ? { client: ':0', server: ':0' } : {}
  return { ...rest, ...wireshark, ...nobody }
}

/** Wireshark has no words for what was cut off. */
function silent(file: string, each: SampleConversation): SampleConversation {
  return file === 'snaplen.pcap' ? { ...each, clientMissing: 0 } : each
}
