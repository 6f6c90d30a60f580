import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type Capture, follow, merge, type PacketBuilder, packets, replay } from '../../replay/index.ts'
import { parseEndpoint, playTo } from '../pcap/play/support.ts'

const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }
const SMALL = { areaBytes: 4 << 20 }
const directory = mkdtempSync(join(tmpdir(), 'zcrx-opening-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const FAMILIES = [
  ['IPv4', '192.0.2.1:40000', '192.0.2.2:80'],
  ['IPv6', '[2001:db8::1]:40000', '[2001:db8::2]:80'],
] as const

/** What each way of reading a capture makes of conversation 0: both sides' text; `pcap:` has the client's only. */
async function everyWay(capture: Pick<Capture, 'pcapng'>, server: string): Promise<Record<string, string[]>> {
  const said: Record<string, string[]> = { replay: ['', ''], follow: ['', ''] }
  for (const [name, read] of [
    ['replay', replay],
    ['follow', follow],
  ] as const) {
    const { streams } = await read(capture as PacketBuilder, {
      ...(name === 'replay' ? SMALL : {}),
      onData: ({ stream, direction }, bytes, at, length) => {
        if (stream !== 0) return
        const side = direction === 'client' ? 0 : 1
        said[name]![side] += Buffer.from(bytes).toString('latin1', at, at + length)
      },
    })
    for (const [side, { end, gaps }] of streams.slice(0, 2).entries()) said[name]![side] += `|${end} ${gaps}`
  }
  const file = join(directory, 'capture.pcapng')
  writeFileSync(file, capture.pcapng())
  const played = await playTo({ file, ...parseEndpoint(server) })
  said['pcap:'] = played.streams.map(({ bytes, errno }) => `${bytes.toString('latin1')}|${errno}`)
  return said
}

const ALL = {
  replay: ['hello|fin 0', 'world|fin 0'],
  follow: ['hello|fin 0', 'world|fin 0'],
  'pcap:': ['hello|0'],
}

const talk = (capture: PacketBuilder): PacketBuilder =>
  capture.client('hello').ack('server').server('world').ack().close()

describe.each(FAMILIES)('a connection over %s', (_family, client, server) => {
  const between = (isn = {}) => packets({ client, server, isn })

  it.each([
    ['nothing', {}],
    ['window scaling alone', { windowScale: 2 }],
    ['SACK alone', { sackPermitted: true }],
    ['timestamps alone', { timestamps: true }],
    ['everything', OFFERS],
  ])('that is answered after minutes, with %s, is whole', async (_what, taken) => {
    const capture = between().syn(OFFERS).lose()
    for (const after of [1e6, 2e6, 4e6, 8e6, 300e6]) capture.syn({ ...OFFERS, seq: 0, after }).lose()
    capture
      .repeat({ after: 1000 })
      .synAck({ timestamps: false, ...taken, after: 90e6 })
      .ack()
    expect(await everyWay(talk(capture), server)).toEqual(ALL)
  })

  it.each([1_400_000_000, 70_000, 5, -5, 2 ** 31])(
    'whose client takes the second answer, %i further, is whole',
    async (further) => {
      const first = between({ server: 3_000_000_000 }).syn(OFFERS).synAck({ mss: 536 })
      const second = between({ server: (3_000_000_000 + further) % 2 ** 32 })
        .syn(OFFERS)
        .drop()
        .synAck({ ...OFFERS, after: 2000 })
        .ack()
      expect(await everyWay(merge(first, talk(second)), server)).toEqual(ALL)
    },
  )

  it.each([1_400_000_000, 70_000])(
    'whose client takes the first answer, with one %i further behind, is whole',
    async (further) => {
      const first = between({ server: 1000 }).syn(OFFERS).synAck({ mss: 536 }).wait(1000)
      const stray = between({ server: 1000 + further })
        .syn()
        .drop()
        .synAck({ ...OFFERS, after: 300 })
      expect(await everyWay(merge(talk(first.ack()), stray), server)).toEqual(ALL)
    },
  )

  it('whose SYN is answered for another one first is whole', async () => {
    const old = between({ client: 77, server: 88 }).syn().drop().synAck({ after: 150 })
    const capture = between().syn(OFFERS).wait(400).synAck(OFFERS).ack()
    expect(await everyWay(merge(talk(capture), old), server)).toMatchObject({
      replay: ALL.replay,
      'pcap:': ALL['pcap:'],
    })
  })

  it('whose answer, and what follows, was captured in front of the SYN is whole', async () => {
    const capture = between()
      .synAck({ ...OFFERS, timestamps: false, ack: 1 })
      .ack('client', { seq: 1, ack: 1 })
      .syn({ ...OFFERS, timestamps: false, seq: 0 })
    expect(await everyWay(talk(capture), server)).toEqual(ALL)
  })

  it('beside which SYNs are challenged is whole', async () => {
    const capture = between().handshake(OFFERS).client('hel').ack('server')
    for (const seq of [90_000, 2_000_000, 900_000_000]) {
      capture.send('client', { flags: 'S', seq, mss: 1460, timestamps: false }).lose().ack('server')
    }
    capture.client('lo').ack('server').server('world').ack().close()
    expect(await everyWay(capture, server)).toEqual(ALL)
  })

  it('that ends by a reset, and is opened anew by the SYN that was challenged, is two', async () => {
    const first = between().handshake(OFFERS).client('hello').ack('server')
    first.send('client', { flags: 'S', seq: 500_000, mss: 1460, timestamps: false }).lose().ack('server')
    first.rst('client', { flags: 'R' })
    const again = between({ client: 1_500_000, server: 9_000_000 })
      .wait(5000)
      .syn({ mss: 1460 })
      .synAck()
      .ack()
    const capture = merge(first, talk(again))
    const { streams } = await replay(capture, SMALL)
    expect(streams.map(({ stream, bytes, end }) => [stream, bytes, end])).toEqual([
      [0, 5, 'rst'],
      [0, 0, 'rst'],
      [1, 5, 'fin'],
      [1, 5, 'fin'],
    ])
    const followed = await follow(capture)
    expect(followed.streams.map(({ sha256, end }) => [sha256, end])).toEqual(
      streams.map(({ sha256, end }) => [sha256, end]),
    )
    const file = join(directory, 'again.pcapng')
    writeFileSync(file, capture.pcapng())
    const played = await playTo({ file, ...parseEndpoint(server) })
    expect(played.streams.map(({ bytes, errno }) => [bytes.toString(), errno])).toEqual([
      ['hello', 104],
      ['hello', 0],
    ])
  })

  it('that was only answered is neither reset nor lost', async () => {
    const { streams, summary } = await replay(between().handshake(OFFERS), SMALL)
    expect(streams.map(({ bytes, end, gaps }) => [bytes, end, gaps])).toEqual(Array(2).fill([0, 'none', 0]))
    expect(summary.drops).toEqual({})
  })
})

describe('what a stream lacks', () => {
  const [, client, server] = FAMILIES[0]
  const between = () => packets({ client, server }).handshake(OFFERS)
  const gapsOf = async (capture: PacketBuilder) => {
    const seen = []
    for (const read of [follow, replay]) {
      const { streams } = await read(capture)
      seen.push(
        streams.map(({ bytes, end, gaps, missingBytes }) => `${bytes} ${end} ${gaps} ${missingBytes}`),
      )
    }
    return seen
  }

  it.each([
    [
      'at the end, of the client',
      () => between().client('a').client(50).drop().ack('server'),
      '1 none 1 50',
      '0 none 0 0',
    ],
    [
      'at the end, of the server',
      () => between().server('a').server(50).drop().ack('client'),
      '0 none 0 0',
      '1 none 1 50',
    ],
    [
      'in front of both FINs',
      () => between().client(9).drop().ack('server').server(8).drop().ack().close(),
      '0 fin 1 9',
      '0 fin 1 8',
    ],
    [
      'that is cut off altogether',
      () => between().client(40).truncate(66).ack('server').close(),
      '0 fin 1 40',
      '0 fin 0 0',
    ],
    [
      'in the middle and at the end',
      () => between().client(5).drop().client('x').client(7).drop().ack('server'),
      '35 none 2 12',
      '0 none 0 0',
    ],
    [
      'that is acknowledged with a wrong checksum: nothing',
      () => between().client('a').ack('server', { ack: 500, checksum: 'bad' }),
      '1 none 0 0',
      '0 none 0 0',
    ],
    [
      'that nobody can have sent: nothing',
      () =>
        between()
          .client('a')
          .ack('server', { ack: 2 ** 30 + 7 }),
      '1 none 0 0',
      '0 none 0 0',
    ],
    [
      'behind a repeated segment: nothing',
      () => between().client('abc').repeat().ack('server').close(),
      '3 fin 0 0',
      '0 fin 0 0',
    ],
  ] as const)('%s', async (_what, build, ours, theirs) => {
    expect(await gapsOf(build())).toEqual(Array(2).fill([ours, theirs]))
  })

  it('because our endpoint refused it, and nobody sent it again', async () => {
    const capture = between()
      .client('ab', { checksum: 'bad' })
      .ack('server', { ack: 3 })
      .client('cd')
      .ack('server')
      .close()
    const { streams, summary } = await replay(capture, SMALL)
    expect(streams[0]).toMatchObject({ bytes: 0, gaps: 1, missingBytes: 4 })
    expect(summary.drops).toEqual({ tcpChecksum: 1 })
  })

  it('does not end by a reset that no host believes, and ends by one that it does', async () => {
    for (const [rst, end] of [
      [{ checksum: 'bad' }, 'none'],
      [{ seq: 4_000_000 }, 'none'],
      [{ seq: 30 }, 'none'],
      [{ ipLength: 1000 }, 'none'],
      [{}, 'rst'],
    ] as const) {
      for (const side of ['client', 'server'] as const) {
        const capture = between().client('a').ack('server').rst(side, rst)
        for (const direction of ['client', 'server', 'both'] as const) {
          const ends = (await replay(capture, { ...SMALL, direction })).streams.map((stream) => stream.end)
          expect(ends, JSON.stringify([rst, side, direction])).toEqual(ends.map(() => end))
        }
        expect((await follow(capture)).streams.map((stream) => stream.end)).toEqual([end, end])
      }
    }
  })
})
