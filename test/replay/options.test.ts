import { describe, expect, it } from 'vitest'
import {
  CaptureReader,
  follow,
  MemorySink,
  merge,
  PcapngWriter,
  PcapWriter,
  packets,
  pattern,
  replay,
} from '../../replay/index.ts'

const ENDS = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const capture = () => packets(ENDS).handshake({ mss: 1460 }).client('hello').ack('server').close()

/** What says that this option is wrong. */
const naming = (name: string) =>
  expect.objectContaining({
    name: 'ArgumentError',
    code: 'ZCRX_ARGUMENT',
    message: expect.stringContaining(`${name} is `),
  })

describe('what captures are read from', () => {
  it('is a path, bytes, what was built, or a reader, for both', async () => {
    const bytes = capture().pcapng()
    for (const read of [follow, replay]) {
      const wanted = (await read(bytes)).streams.map(({ sha256 }) => sha256)
      for (const input of [capture(), { pcapng: () => bytes }, await CaptureReader.from(bytes)]) {
        expect((await read(input)).streams.map(({ sha256 }) => sha256)).toEqual(wanted)
      }
      const path = 'pcap/samples/chat.pcap'
      expect((await read(path)).streams[0]!.file).toBe(path)
    }
  })

  it.each([undefined, null, 5, {}, [], () => {}, Promise.resolve(capture())])(
    'is nothing else: %s',
    async (input) => {
      for (const read of [follow, replay]) {
        await expect(read(input as never)).rejects.toEqual(naming('input'))
      }
      expect(() => CaptureReader.open(input as never)).toThrow(naming('path'))
      expect(() => CaptureReader.from(input as never)).toThrow(naming('bytes'))
    },
  )

  it('is bytes also where a stream brings them', async () => {
    async function* texts(): AsyncGenerator<string> {
      yield 'not bytes'
    }
    await expect(CaptureReader.from(texts() as never)).rejects.toMatchObject({ code: 'PCAP_IO' })
  })
})

describe('options of follow and replay', () => {
  const both = [
    ['direction', 'clinet'],
    ['direction', ''],
    ['conversation', -1],
    ['conversation', 1.5],
    ['conversation', '0'],
    ['file', 5],
    ['digests', 'no'],
    ['signal', {}],
    ['signal', null],
    ['openConversations', 0],
    ['openConversations', Number.NaN],
    ['openConversations', Number.POSITIVE_INFINITY],
    ['onData', 'print'],
    ['onReport', {}],
  ] as const

  it.each(both)('refuse %s: %j', async (name, value) => {
    await expect(follow(capture(), { [name]: value } as never)).rejects.toEqual(naming(name))
    await expect(replay(capture(), { [name]: value } as never)).rejects.toEqual(naming(name))
  })

  it.each([
    ['heldBytes', -1],
    ['heldBytes', '64'],
  ] as const)('of follow refuse %s: %j', async (name, value) => {
    await expect(follow(capture(), { [name]: value } as never)).rejects.toEqual(naming(name))
  })

  it.each([
    ['recomputeChecksums', 1],
    ['areaBytes', 0],
    ['areaBytes', 2 ** 32],
    ['areaBytes', 1e6 + 0.5],
    ['seed', -1],
    ['seed', 'random'],
    ['record', {}],
    ['record', 'run.pcapng'],
    ['keep', 0],
  ] as const)('of replay refuse %s: %j', async (name, value) => {
    await expect(replay(capture(), { [name]: value } as never)).rejects.toEqual(naming(name))
  })

  it('are an object, and undefined is not given', async () => {
    for (const read of [follow, replay]) {
      for (const options of [null, 5, 'client', []]) {
        await expect(read(capture(), options as never)).rejects.toEqual(naming('options'))
      }
      const given = { direction: undefined, conversation: undefined, onData: undefined } as never
      expect((await read(capture(), given)).streams).toHaveLength(2)
    }
  })
})

describe('options of packets', () => {
  it.each([
    ['client', 5],
    ['server', undefined],
    ['start', -1],
    ['start', Number.NaN],
    ['step', '100'],
    ['step', -1],
    ['isn', 5],
    ['isn.client', 2 ** 32],
    ['clock.server', -1],
    ['window', 65_536],
    ['link', 'wifi'],
    ['vlan', 5],
    ['vlan[0]', 5000],
    ['vlan[1]', '7'],
    ['pppoe', 65_536],
    ['checksum', 'wrong'],
    ['ip', null],
    ['ip.ttl', 256],
    ['ip.ipOptions', Uint8Array.of(1)],
  ] as const)('refuse %s: %s', (name, value) => {
    const [option, part] = name.split(/[.[\]]/)
    const index = Number(part)
    let given: unknown = value
    if (name.includes('[')) given = Object.assign([1, 2], { [index]: value })
    else if (part !== undefined) given = { [part]: value }
    expect(() => packets({ ...ENDS, [option!]: given } as never)).toThrow(naming(name))
  })

  it('are an object', () => {
    for (const options of [undefined, null, 'x'])
      expect(() => packets(options as never)).toThrow(naming('options'))
  })

  it.each([
    ['data', -1],
    ['data', 1.5],
    ['data', {}],
    ['seq', 2 ** 32],
    ['ack', '1'],
    ['flags', 5],
    ['window', -1],
    ['urgent', 65_536],
    ['mss', 65_536],
    ['sackPermitted', 'yes'],
    ['windowScale', 300],
    ['timestamps', [1]],
    ['timestamps[1]', [1, 'x']],
    ['timestamps', 5],
    ['sack[0]', [[1]]],
    ['sack[0][1]', [[1, 2.5]]],
    [
      'sack',
      [
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
        [9, 10],
      ],
    ],
    ['options', [1, 2]],
    ['dataOffset', 64],
    ['checksum', 'right'],
    ['after', -1],
    ['comment', 5],
    ['ttl', 300],
    ['trafficClass', 256],
    ['flowLabel', 2 ** 20],
    ['identification', -1],
    ['dontFragment', 1],
    ['ipLength', 65_536],
    ['ipOptions', Uint8Array.of(1, 1)],
    ['extensions', 5],
    ['extensions[0]', [5]],
    ['extensions[0][0]', [[256, Uint8Array.of(0)]]],
    ['extensions[0][1]', [[60, 'x']]],
  ] as const)('of a segment refuse %s: %j', (name, value) => {
    const [option] = name.split('[')
    expect(() => packets(ENDS).client({ [option!]: value } as never)).toThrow(naming(name))
  })

  it.each([
    ['side', () => packets(ENDS).ack('sever' as never)],
    ['side', () => packets(ENDS).send(undefined as never, {})],
    ['first', () => packets(ENDS).close('both' as never)],
    ['us', () => packets(ENDS).wait(-5)],
    ['us', () => packets(ENDS).wait('5' as never)],
    ['us', () => packets(ENDS).wait(undefined as never)],
    [
      'name',
      () =>
        packets(ENDS)
          .syn()
          .hold(5 as never),
    ],
    ['after', () => packets(ENDS).syn().repeat({ after: -1 })],
    ['bytes', () => packets(ENDS).raw('x' as never)],
    ['from', () => packets(ENDS).raw(new Uint8Array(20), { from: 'x' as never })],
    ['bytes', () => packets(ENDS).syn().truncate(-1)],
    [
      'bytes',
      () =>
        packets(ENDS)
          .client(100)
          .fragment('8' as never),
    ],
    [
      'order[1]',
      () =>
        packets(ENDS)
          .client(100)
          .fragment(8, { order: [0, -1] }),
    ],
    [
      'change',
      () =>
        packets(ENDS)
          .syn()
          .mutate(undefined as never),
    ],
    [
      'what change returns',
      () =>
        packets(ENDS)
          .syn()
          .mutate((() => 5) as never),
    ],
    ['the segment', () => packets(ENDS).client(null as never)],
    ['captures[1]', () => merge(capture(), {} as never)],
    ['options', () => capture().pcap(null as never)],
    ['nanoseconds', () => capture().pcap({ nanoseconds: 1 as never })],
    ['bigEndian', () => capture().pcapng({ bigEndian: 'x' as never })],
    ['comment', () => capture().pcapng({ comment: 5 as never })],
    ['side', () => pattern('x' as never, 0, 5)],
    ['length', () => pattern('client', 0, -5)],
    ['from', () => pattern('client', 0.5, 5)],
  ] as const)('of methods are checked: %s', (name, build) => {
    expect(build).toThrow(naming(name))
  })
})

describe('options of writers', () => {
  const sink = () => new MemorySink()
  const writer = () => {
    const made = new PcapngWriter(sink())
    made.addInterface({ linkType: 1 })
    return made
  }

  it.each([
    ['sink', () => new PcapWriter(undefined as never, { linkType: 1 })],
    ['sink', () => new PcapngWriter({} as never)],
    ['options', () => new PcapWriter(sink(), undefined as never)],
    ['linkType', () => new PcapWriter(sink(), {} as never)],
    ['linkType', () => new PcapWriter(sink(), { linkType: -1 })],
    ['snapLength', () => new PcapWriter(sink(), { linkType: 1, snapLength: 1.5 })],
    ['bufferBytes', () => new PcapWriter(sink(), { linkType: 1, bufferBytes: 5 })],
    ['bigEndian', () => new PcapngWriter(sink(), { bigEndian: 'yes' as never })],
    ['comment', () => new PcapngWriter(sink(), { comment: 5 as never })],
    ['linkType', () => writer().addInterface({ linkType: 65_536 })],
    ['mac', () => writer().addInterface({ linkType: 1, mac: new Uint8Array(5) })],
    ['name', () => writer().addInterface({ linkType: 1, name: 5 as never })],
    ['originalLength', () => writer().packet(0, 1, 0, new Uint8Array(5), { originalLength: -1 })],
    ['direction', () => writer().packet(0, 1, 0, new Uint8Array(5), { direction: 7 })],
    ['originalLength', () => new PcapWriter(sink(), { linkType: 1 }).begin(0, 0, Number.NaN)],
  ] as const)('are checked: %s', (name, write) => {
    expect(write).toThrow(naming(name))
  })
})
