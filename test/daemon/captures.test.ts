import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { LINKTYPE_ETHERNET, MemorySink, PcapngWriter, packets } from '../../pcap/index.ts'
import { samples } from '../../pcap/samples/samples.ts'
import { codeSpans, read, section, tableRows } from '../docs/markdown.ts'
import { capinfos } from '../support/capture-tools.ts'
import {
  COMMANDS,
  type Command,
  inProcess,
  json,
  missingTools,
  placeForFiles,
  sample,
  writeTo,
  zcrxd,
} from '../support/captures.ts'
import { built } from '../support/daemon.ts'
import { withCapture } from '../support/sharkd.ts'
import { tshark, verdict } from '../support/tshark.ts'

const missing = missingTools()
const ENDS = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const directory = placeForFiles()
const write = (name: string, bytes: Uint8Array): string => writeTo(directory, name, bytes)

/** What the manual says of the fields: name and type, by the heading of their table. */
function documented(heading: string, command: Command): Map<string, string> {
  const rows = tableRows(section(read('docs/captures.md'), heading))
  const fields = rows.filter(([, , only]) => only === '' || only === `\`${command}\``)
  return new Map(fields.flatMap(([names, type]) => codeSpans(names!).map((name) => [name, type!] as const)))
}

function expectFields(object: object, fields: Map<string, string>): void {
  expect(Object.keys(object).sort()).toEqual([...fields.keys()].sort())
  for (const [name, type] of fields) {
    const value = object[name as keyof typeof object] as unknown
    const seen = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
    expect(type.split(' or '), `${name}: ${JSON.stringify(value)}`).toContain(seen)
  }
}

describe.skipIf(!built).each(COMMANDS)('zcrxd %s --json', (command) => {
  it.each(['chat.pcap', 'missing.pcap', 'middle.pcap', 'cut-short.pcap'])(
    'has the fields of the manual for %s, the summary last',
    (file) => {
      const { streams, summary } = json(command, [sample(file)])
      expect(streams.length).toBe(2)
      for (const stream of streams) expectFields(stream, documented('### Of a stream', command))
      expectFields(summary, documented('### Of the capture', command))
      expect([summary.file, streams[0]!.file]).toEqual([sample(file), sample(file)])
      expect(streams.map(({ direction }) => direction)).toEqual(['client', 'server'])
    },
  )

  it.each(
    samples
      .filter(({ file }) => /^(bulk|ipv6|loss|half-close|refused|many|snaplen|sll2|packed)\./.test(file))
      .map((one) => [one.file, one] as const),
  )('finds in %s what is in it', async (file, { packets: count, conversations }) => {
    const { status, streams, summary } = await inProcess(command, sample(file))
    expect(status).toBe(0)
    expect([summary.packets, summary.conversations]).toEqual([count, conversations.length])
    expect(summary.error).toBeNull()
    expect(streams.length).toBe(2 * conversations.length)
    for (const [number, wanted] of conversations.entries()) {
      const ends = { stream: number, client: wanted.client, server: wanted.server }
      const [ours, theirs] = [wanted.clientMissing ?? 0, wanted.serverMissing ?? 0]
      expect(streams.slice(2 * number, 2 * number + 2)).toMatchObject([
        {
          ...ends,
          direction: 'client',
          bytes: wanted.clientBytes,
          missingBytes: ours,
          end: wanted.clientEnd,
        },
        {
          ...ends,
          direction: 'server',
          bytes: wanted.serverBytes,
          missingBytes: theirs,
          end: wanted.serverEnd,
        },
      ])
    }
  })

  it('reads standard input, packed or not, and says the same of it', () => {
    const path = sample('loss.pcap')
    const bytes = readFileSync(path)
    const { streams } = json(command, [path])
    const named = streams.map((stream) => ({ ...stream, file: '-' }))
    expect(json(command, ['-'], bytes).streams).toEqual(named)
    expect(json(command, ['-'], gzipSync(bytes)).streams).toEqual(named)
    const packed = write('loss.pcap.gz', gzipSync(bytes))
    expect(json(command, [packed]).streams).toEqual(streams.map((stream) => ({ ...stream, file: packed })))
  })

  it.each(['client', 'server'] as const)('--direction %s leaves the other one out', (direction) => {
    const both = json(command, [sample('chat.pcap')]).streams
    const { streams, summary } = json(command, ['--direction', direction, sample('chat.pcap')])
    expect(streams).toEqual(both.filter((stream) => stream.direction === direction))
    expect(summary.segments).toBe(24)
  })

  it('--conversation leaves the others out', () => {
    const all = json(command, [sample('many.pcap')])
    const one = json(command, ['--conversation', '17', sample('many.pcap')])
    expect(one.streams).toEqual(all.streams.filter(({ stream }) => stream === 17))
    expect(one.streams.length).toBe(2)
    expect(one.summary.conversations).toBe(60)
    const none = json(command, ['--conversation', '60', sample('many.pcap')])
    expect([none.status, none.streams]).toEqual([0, []])
  })
})

describe.skipIf(!built).each(COMMANDS)('zcrxd %s --out', (command) => {
  it('writes files that hash to the digests', () => {
    const out = join(directory, `${command}-streams`)
    const { streams, status } = json(command, ['--out', out, sample('many.pcap')])
    expect(status).toBe(0)
    const names = new Set(readdirSync(out))
    for (const { stream, direction, bytes, sha256 } of streams) {
      const name = `${String(stream).padStart(6, '0')}-${direction}.bin`
      expect(names.delete(name), name).toBe(bytes > 0)
      if (bytes === 0) continue
      const file = readFileSync(join(out, name))
      expect([file.length, createHash('sha256').update(file).digest('hex')]).toEqual([bytes, sha256])
    }
    expect([...names]).toEqual([])
  })

  it('has the marker of a hole in them, as in the digest', () => {
    const out = join(directory, `${command}-holes`)
    const { streams } = json(command, ['--out', out, sample('missing.pcap')])
    const file = readFileSync(join(out, '000000-client.bin'))
    expect(createHash('sha256').update(file).digest('hex')).toBe(streams[0]!.sha256)
    expect(file.toString('latin1').match(/\[\d+ bytes missing in capture file\]\0/g)).toHaveLength(
      streams[0]!.gaps,
    )
  })

  it('does not overwrite a file', () => {
    const out = join(directory, `${command}-there`)
    mkdirSync(out)
    writeFileSync(join(out, '000000-server.bin'), 'mine')
    const { status, stderr } = zcrxd([command, '--out', out, sample('chat.pcap')])
    expect(status).toBe(1)
    expect(stderr).toBe(
      `zcrxd: can't write ${join(out, '000000-server.bin')} (EEXIST)\n` +
        '  what to do: name an empty directory: nothing is overwritten: --out DIR\n',
    )
    expect(readFileSync(join(out, '000000-server.bin'), 'utf8')).toBe('mine')
  })

  it('does not make more than the last part of the path', () => {
    const out = join(directory, `${command}-not`, 'there')
    const { status, stdout, stderr } = zcrxd([command, '--out', out, sample('chat.pcap')])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^zcrxd: can't write .* \(ENOENT\)\n {2}what to do: .*--out DIR\n$/)
    expect(existsSync(join(directory, `${command}-not`))).toBe(false)
  })
})

describe.skipIf(!built).each(COMMANDS)('zcrxd %s of what it does not look into', (command) => {
  it('names it, and counts its packets', () => {
    const sink = new MemorySink()
    const writer = new PcapngWriter(sink)
    const links = [105, 127, LINKTYPE_ETHERNET, 4711].map((linkType) => writer.addInterface({ linkType }))
    const esp = new Uint8Array(60)
    esp.set([0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 50], 12)
    for (let i = 0; i < 10; i++) writer.packet(links[0]!, i, 0, new Uint8Array(60))
    for (let i = 1; i <= 3; i++) writer.packet(links[i]!, 10 + i, 0, i === 2 ? esp : new Uint8Array(60))
    writer.close()
    const file = write('wifi.pcapng', sink.bytes())
    const { summary } = json(command, [file])
    expect(summary).toMatchObject({
      packets: 13,
      unknownLink: 12,
      notTcp: 1,
      notLookedInto: { '802.11': 10, '802.11 (radiotap)': 1, ESP: 1, 'link type 4711': 1 },
    })
    expect(zcrxd([command, file]).stdout).toContain(
      '10 packets in 802.11 were not looked into\n' +
        '1 packets in 802.11 (radiotap) were not looked into\n' +
        '1 packets in ESP were not looked into\n' +
        '1 packets in link type 4711 were not looked into\n',
    )
  })

  it('names what a file is packed with, and what unpacks it', () => {
    const file = write('trace.pcap.zst', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0x58, 0, 0))
    const { status, stdout, stderr } = zcrxd([command, file])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toContain('this is packed with zstd, and only gzip is unpacked here')
    expect(stderr).toContain('zstd -dc FILE')
  })
})

describe.skipIf(!built)('checksums in zcrxd replay', () => {
  /** Everything behind the handshake has a wrong checksum. */
  const wrong = packets(ENDS)
    .handshake({ mss: 1460, checksum: 'good' })
    .client(5000, { checksum: 'bad' })
    .server(300, { checksum: 'bad', ack: 5001 })
    .fin('client', { checksum: 'bad', ack: 301 })
    .fin('server', { checksum: 'bad', ack: 5002 })

  it('that are wrong: nothing arrives, and the drops are counted by cause', () => {
    const file = write('wrong.pcapng', wrong.pcapng())
    const { status, streams, summary } = json('replay', [file])
    expect(status).toBe(0)
    expect(streams).toMatchObject([
      { bytes: 0, completions: 0, end: 'none' },
      { bytes: 0, completions: 0, end: 'none' },
    ])
    expect(summary.drops).toEqual({ tcpChecksum: 4 })
    expect(zcrxd(['replay', file]).stdout).toContain('dropped by the stack: tcpChecksum 4\n')
    // Without an endpoint nobody checks.
    expect(json('follow', [file]).streams.map(({ bytes }) => bytes)).toEqual([5000, 300])
  })

  it('that are wrong, with --recompute-checksums: everything arrives', () => {
    const file = write('wrong.pcapng', wrong.pcapng())
    const { streams, summary } = json('replay', ['--recompute-checksums', file])
    expect(streams).toMatchObject([
      { bytes: 5000, end: 'fin' },
      { bytes: 300, end: 'fin' },
    ])
    expect(streams.map(({ sha256 }) => sha256)).toEqual(
      json('follow', [file]).streams.map(({ sha256 }) => sha256),
    )
    expect(summary.drops).toEqual({})
  })

  it('that are unfinished need no option', () => {
    const unfinished = packets({ ...ENDS, checksum: 'partial' })
      .handshake({ mss: 1460, timestamps: true })
      .client(20_000)
      .server('done')
      .close()
    const { streams, summary } = json('replay', ['-'], unfinished.pcapng())
    expect(streams).toMatchObject([
      { bytes: 20_000, end: 'fin' },
      { bytes: 4, end: 'fin' },
    ])
    expect(summary.drops).toEqual({})
  })
})

describe.skipIf(!built)('zcrxd replay --capture', () => {
  it
    .skipIf(missing !== undefined)
    .each(['bulk.pcap', 'ipv6.pcap', 'sack.pcap', 'missing.pcap', 'reset.pcap'])(
    'writes a file of the run of %s in which tshark finds no fault',
    async (file) => {
      const path = join(directory, `run-${file}ng`)
      const { status, summary } = json('replay', ['--capture', path, sample(file)])
      expect(status).toBe(0)
      const whole = await verdict(path, [
        'frame',
        'frame.packet_flags_direction == 1',
        'frame.packet_flags_direction == 2',
      ])
      expect(whole.faults).toEqual([])
      const count = Number(capinfos(path)['Number of packets'])
      const [frames, inbound, outbound] = whole.matches
      expect(frames).toBe(count)
      expect(inbound).toBe(summary.framesPlayed)
      expect(outbound).toBe(count - summary.framesPlayed)
      // Addresses are those of the capture, whatever the endpoints were called.
      const ends = (of: string) =>
        withCapture(of, true, (capture) => capture.frames('tcp', 'ip.src', 'ipv6.src', 'tcp.srcport'))
      const [ours, theirs] = [await ends(path), await ends(sample(file))]
      expect(new Set(ours.map(String))).toEqual(new Set(theirs.map(String)))
      expect(ours.length).toBeGreaterThan(0)
    },
  )

  it.skipIf(missing !== undefined)('says beside a frame why the stack dropped it', () => {
    const path = join(directory, 'drops.pcapng')
    const { summary } = json('replay', ['--capture', path, sample('bad-checksums.pcapng')])
    const comments = tshark(path, '-Y', 'frame.comment', '-T', 'fields', '-e', 'frame.comment')
    const causes = Object.entries(summary.drops).flatMap(([cause, count]) =>
      Array(count).fill(`dropped: ${cause}`),
    )
    expect(causes.length).toBeGreaterThan(0)
    expect(comments.sort()).toEqual(causes.sort())
  })

  it('does not empty the capture that it replays', () => {
    const bytes = readFileSync(sample('bulk.pcap'))
    const path = write('itself.pcap', bytes)
    const { status, stderr } = zcrxd(['replay', '--capture', path, path])
    expect(status).toBe(1)
    expect(stderr).toBe(
      `zcrxd: can't write ${path} (it is the capture that is read)\n` +
        '  what to do: name another file: --capture FILE\n',
    )
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  it('makes no file when there is nothing to replay, and names one that can’t be written', () => {
    const path = join(directory, 'of-nothing.pcapng')
    expect(zcrxd(['replay', '--capture', path, join(directory, 'nothing')]).status).toBe(1)
    expect(existsSync(path)).toBe(false)
    const nowhere = zcrxd(['replay', '--capture', join(directory, 'no', 'x'), sample('bulk.pcap')])
    expect([nowhere.status, nowhere.stdout]).toEqual([1, ''])
    expect(nowhere.stderr).toMatch(/can't write .* \(ENOENT\)\n {2}what to do: .*--capture FILE/)
    const full = zcrxd(['replay', '--capture', '/dev/full', sample('bulk.pcap')])
    expect([full.status, full.stderr]).toEqual([
      1,
      "zcrxd: can't write /dev/full (ENOSPC)\n  what to do: name a file that can be: --capture FILE\n",
    ])
  })
})

describe.skipIf(!built).each(COMMANDS)('zcrxd %s of a file that is not whole', (command) => {
  it('that ends early: what is in front is printed, then what is wrong', () => {
    const { status, streams, summary, stderr } = json(command, [sample('cut-short.pcap')])
    expect([status, stderr]).toEqual([1, ''])
    expect(streams.map(({ bytes, end }) => [bytes, end])).toEqual([
      [356, 'fin'],
      [2900, 'fin'],
    ])
    expect(summary.packets).toBe(23)
    expect(summary.error).toMatchObject({ code: 'PCAP_TRUNCATED', offset: 5182 })
    const people = zcrxd([command, sample('cut-short.pcap')])
    expect(people.status).toBe(1)
    expect(people.stdout).toMatch(
      /23 packets[\s\S]*the rest of the capture can't be read: .* \(at byte 5182\)/,
    )
  })

  it('that is corrupt: the same', () => {
    const bytes = new Uint8Array(readFileSync(sample('little.pcapng')))
    const view = new DataView(bytes.buffer)
    let at = 0
    for (let block = 0; block < 12; block++) at += view.getUint32(at + 4, true)
    view.setUint32(at + 4, 13, true)
    const { status, streams, summary } = json(command, [write('corrupt.pcapng', bytes)])
    expect(status).toBe(1)
    // A section, an interface, and a packet in each block that follows.
    expect(summary.packets).toBe(10)
    expect(streams.length).toBe(2)
    expect(streams[0]!.bytes).toBeGreaterThan(0)
    expect(summary.error).toMatchObject({ code: 'PCAP_CORRUPT', offset: at })
  })

  it('that is packed and damaged: the same', () => {
    const packed = gzipSync(readFileSync(sample('bulk.pcap')))
    const { status, summary } = json(command, [
      write('short.pcap.gz', packed.subarray(0, packed.length - 100)),
    ])
    expect([status, summary.error?.code]).toEqual([1, 'PCAP_TRUNCATED'])
  })

  it.each([
    ['text', 'PCAP_FORMAT', /neither pcap nor pcapng/],
    ['', 'PCAP_FORMAT', /the file is empty/],
  ])('that is %j: an error and what to do', (text, _code, message) => {
    const { status, stdout, stderr } = zcrxd([command, write('other', new TextEncoder().encode(text))])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/\n {2}what to do: \S/)
    expect(stderr).not.toContain('    at ')
  })

  it('that is missing, or a directory', () => {
    const path = join(directory, 'missing.pcap')
    expect(zcrxd([command, path])).toEqual({
      status: 1,
      stdout: '',
      stderr: `zcrxd: ${path} can't be opened (ENOENT)\n  what to do: check the path\n`,
    })
    expect(zcrxd([command, directory]).stderr).toBe(
      `zcrxd: ${directory} is a directory\n  what to do: name a capture in it\n`,
    )
  })

  it.each([
    ['--direction', 'up'],
    ['--conversation', '-1'],
    ['--conversation', 'x'],
  ])('called with %s %s: status 2', (...args) => {
    const { status, stdout, stderr } = zcrxd([command, ...args, sample('chat.pcap')])
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(`(zcrxd ${command} --help)`)
  })
})

describe.skipIf(!built)('zcrxd replay --area', () => {
  it('of four buffers is enough for one stream after the other', () => {
    const { status, streams, summary } = json('replay', ['--area', '16K', sample('bulk.pcap')])
    expect([status, streams[0]!.bytes, streams[0]!.end]).toEqual([0, 40_000, 'fin'])
    expect([summary.unplayable, summary.drops, summary.niovs.total]).toEqual([0, {}, 8])
  })

  it('of too few buffers says what had no room, and loses none of them', () => {
    const { status, streams, summary } = json('replay', ['--area', '4096', sample('jumbo.pcap')])
    expect(status).toBe(0)
    expect(streams[0]!.bytes).toBeLessThan(50_000)
    expect(streams[0]!.end).toBe('none')
    expect(summary.unplayable).toBeGreaterThan(0)
    expect(summary.drops.nicFillEmpty).toBe(summary.unplayable)
    expect([summary.niovs.total, summary.niovs.lost]).toEqual([2, 0])
    const people = zcrxd(['replay', '--area', '4096', sample('jumbo.pcap')])
    expect(people.stdout).toContain(`${summary.unplayable} segments could not be played`)
  })

  it('of less than one is refused', () => {
    const { status, stderr } = zcrxd(['replay', '--area', '100', sample('bulk.pcap')])
    expect([status, stderr.split('\n').length]).toEqual([1, 3])
    expect(stderr).toContain('zcrxd: areaBytes is 100\n  what to do: give a whole number from 4096')
  })
})
