import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { seededRandom } from '../../../driver/impairments.ts'
import { noCaptureTools } from '../../support/capture-tools.ts'
import { captureDirectory } from '../../support/tshark.ts'
import { Blocks, frameOf, join, pcapFile, readOutcome } from './blocks.ts'

/** Files that Wireshark's own tools have written, read by us and by tshark. */

const missing =
  noCaptureTools() ??
  ['editcap', 'mergecap', 'dumpcap'].find((tool) => spawnSync(tool, ['--version']).status !== 0)
if (missing !== undefined) console.log(`skipped: files of Wireshark's tools (${missing})`)
const directory = captureDirectory()
afterAll(directory.remove)
const at = (name: string): string => joinPath(directory.path, name)
const run = (tool: string, ...args: string[]): void => {
  execFileSync(tool, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

const random = seededRandom(11)
const frame = (length: number): Uint8Array => {
  const bytes = Uint8Array.from({ length }, () => random() * 256)
  // An EtherType of local experiments.
  bytes.set([0x88, 0xb5], 12)
  return bytes
}
const lengths = [14, 15, 60, 61, 62, 63, 1514, 9000, 65_549, 64]
const source = pcapFile(
  { magic: 0xa1b23c4d },
  lengths.map((length, i) => [
    1_700_000_000 + i * 7,
    (i * 123_456_789) % 1e9,
    frame(length),
    length + (i % 3) * 40,
  ]),
)

const FIELDS = ['frame.time_epoch', 'frame.cap_len', 'frame.len', 'frame.interface_id', 'frame.number']

/** What tshark says about a file, and what we say, both in tshark's words. */
async function compare(file: string): Promise<string[]> {
  const theirs = execFileSync(
    'tshark',
    ['-r', file, '-T', 'fields', ...FIELDS.flatMap((name) => ['-e', name])],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  )
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      // Of pcap's only interface tshark says nothing.
      const [time, captured, length, id, number] = line.split('\t')
      return [time, captured, length, id === '' ? '0' : id, number].join('\t')
    })
  const { packets, error } = await readOutcome(file)
  expect(error).toBeNull()
  const ours = packets.map(({ timed, seconds, nanoseconds, length, wireLength, number, interface: id }) =>
    [timed ? `${seconds}.${String(nanoseconds).padStart(9, '0')}` : '', length, wireLength, id, number].join(
      '\t',
    ),
  )
  expect(ours).toEqual(theirs)
  return ours
}

describe.skipIf(missing !== undefined)("files of Wireshark's tools", () => {
  writeFileSync(at('source.pcap'), source)

  it.each(['pcap', 'nsecpcap', 'pcapng', 'modpcap'])('editcap -F %s', async (format) => {
    const file = at(`edited.${format}`)
    run('editcap', '-F', format, at('source.pcap'), file)
    expect((await compare(file)).length).toBe(lengths.length)
    const { packets } = await readOutcome(file)
    const before = await readOutcome(source)
    for (const [i, packet] of packets.entries()) expect(frameOf(packet)).toEqual(frameOf(before.packets[i]!))
  })

  it('editcap -s, -t and -a: cut, shifted, with comments', async () => {
    run('editcap', '-F', 'pcapng', '-s', '40', '-t', '0.000000001', at('source.pcap'), at('cut.pcapng'))
    await compare(at('cut.pcapng'))
    run('editcap', '-a', '3:a comment', '-a', '4:é', at('source.pcap'), at('comments.pcapng'))
    const { packets } = await readOutcome(at('comments.pcapng'))
    expect(packets.map(({ comments }) => comments).slice(1, 5)).toEqual([[], ['a comment'], ['é'], []])
  })

  it('mergecap: several interfaces', async () => {
    run('editcap', '-F', 'pcap', '-t', '3', at('source.pcap'), at('later.pcap'))
    writeFileSync(
      at('raw.pcap'),
      pcapFile({ linkType: 101 }, [[1_700_000_010, 5, Uint8Array.of(0x45, 0, 0, 20)]]),
    )
    run(
      'mergecap',
      '-I',
      'none',
      '-w',
      at('merged.pcapng'),
      at('source.pcap'),
      at('later.pcap'),
      at('raw.pcap'),
    )
    const ours = await compare(at('merged.pcapng'))
    expect(ours.length).toBe(2 * lengths.length + 1)
    expect(new Set(ours.map((line) => line.split('\t')[3]))).toEqual(new Set(['0', '1', '2']))
    const { packets } = await readOutcome(at('merged.pcapng'))
    expect(new Set(packets.map(({ linkType }) => linkType))).toEqual(new Set([1, 101]))
  })

  it('tshark -w, packed', async () => {
    run('tshark', '-r', at('source.pcap'), '-w', at('plain.pcapng'))
    writeFileSync(at('packed.pcapng.gz'), gzipSync(readFileSync(at('plain.pcapng'))))
    expect(await compare(at('packed.pcapng.gz'))).toEqual(await compare(at('plain.pcapng')))
  })

  it('dumpcap: from a pipe', async () => {
    execFileSync('dumpcap', ['-q', '-i', '-', '-w', at('dumped.pcapng')], {
      input: source,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    expect((await compare(at('dumped.pcapng'))).length).toBe(lengths.length)
  })

  it.each([true, false])('pcapng of unusual times and blocks, little-endian: %s', async (little) => {
    const b = new Blocks(little)
    const bytes = frame(60)
    const resolution = (value: number): Uint8Array => b.option(9, Uint8Array.of(value))
    const file = at(`unusual-${little}.pcapng`)
    writeFileSync(
      file,
      join(
        b.section(),
        b.device(1, 0, resolution(3)),
        b.device(1, 0, resolution(6), b.option(14, b.u64(1000n))),
        b.device(1, 0, resolution(9), b.option(14, b.u64(-1000n))),
        b.device(1, 0, resolution(0x8a)),
        b.device(1, 0, resolution(0x80 | 30)),
        b.device(1, 0),
        b.block(10, b.u32(0x544c_534b, 4, 0)),
        b.enhanced(0, 1_700_000_000_123n, bytes),
        b.enhanced(1, 1_700_000_000_123_456n, bytes, 80),
        b.enhanced(2, 1_700_000_000_123_456_789n, bytes),
        b.enhanced(3, (1_700_000_000n << 10n) + 777n, bytes),
        b.enhanced(4, (1_700_000_000n << 30n) + 1n, bytes),
        b.obsolete(5, 3, 1_700_000_001_000_000n, bytes),
      ),
    )
    await compare(file)
  })
})
