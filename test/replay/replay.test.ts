import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CaptureReader,
  expectCompletions,
  expectPackets,
  expectStream,
  follow,
  merge,
  type PacketBuilder,
  packetLines,
  packets,
  pattern,
  replay,
} from '../../replay/index.ts'
import { runs } from '../support/long.ts'

const OFFERS = { mss: 1460, sackPermitted: true, windowScale: 7, timestamps: true }
const ENDS = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }
const SMALL = { areaBytes: 4 << 20 }

function between(client = ENDS.client, server = ENDS.server): PacketBuilder {
  return packets({ client, server })
}

describe('replay', () => {
  it('plays the client to our server, and the server to our client', async () => {
    const run = await replay(
      between().handshake(OFFERS).client('question').ack('server').server('answer').ack('client').close(),
    )
    expectCompletions(run, ['question'])
    expectCompletions(run, ['answer'], { direction: 'server' })
    expectStream(run, { bytes: 8, end: 'fin', gaps: 0, zeroCopiedBytes: 8, copiedBytes: 0, skipped: null })
    expectPackets(run, [
      '192.0.2.2:80 > 192.0.2.1:40000 [SYN, ACK] seq=0 ack=1 *',
      '* [ACK] seq=1 ack=9 *',
      '* [PSH, ACK] seq=1 ack=9 * len=6 *',
      '* [ACK] seq=7 ack=10 *',
      '* [FIN, ACK] seq=7 ack=10 *',
    ])
  })

  it('takes the capture’s times', async () => {
    const run = await replay(
      between().handshake(OFFERS).client('a').wait(3_000_000).client('b').close(),
      SMALL,
    )
    const times: number[] = []
    for await (const packet of await CaptureReader.from(run.kept!.capture())) {
      if (packet.length > 0) times.push(packet.seconds + packet.nanoseconds / 1e9)
    }
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(3)
    expectCompletions(run, ['a', 'b'])
  })

  it.each([
    ['loopback', '127.0.0.1:40000', '127.0.0.1:80'],
    ['the same address and port', '192.0.2.1:80', '192.0.2.1:81'],
    ['link-local', '[fe80::1]:40000', '[fe80::2]:80'],
    ['multicast', '192.0.2.1:40000', '224.0.0.1:80'],
    ['broadcast', '255.255.255.255:40000', '192.0.2.2:80'],
    ['unspecified', '[::]:40000', '[::1]:80'],
  ])('plays %s addresses', async (_what, client, server) => {
    const run = await replay(
      between(client, server).handshake(OFFERS).client('hello').ack('server').close(),
      SMALL,
    )
    expectCompletions(run, ['hello'])
    expectStream(run, { end: 'fin', client, server })
  })

  it.each([
    ['nothing', {}],
    ['timestamps', { timestamps: true }],
    ['SACK', { sackPermitted: true }],
    ['window scaling', { windowScale: 3 }],
    ['everything', OFFERS],
  ])('agrees on what the captured ends agreed on: %s', async (_what, taken) => {
    const capture = between()
      .syn(OFFERS)
      .synAck({ timestamps: false, ...taken })
      .ack()
      .client(3000, {})
      .ack('server')
      .server(3000)
      .ack('client')
      .close()
    const run = await replay(capture, SMALL)
    for (const direction of ['client', 'server'] as const) {
      expectStream(run, { bytes: 3000, end: 'fin' }, { direction })
    }
    expect(run.summary.drops).toEqual({})
  })

  it.each(['client', 'server'] as const)('plays what was captured of the %s alone', async (side) => {
    const other = side === 'client' ? 'server' : 'client'
    const capture = between().handshake(OFFERS).client(2000).ack('server').server(1000).ack('client').close()
    const one = { pcapng: () => merge({ list: capture.list.filter(({ from }) => from === side) }).pcapng() }
    const run = await replay(one, SMALL)
    if (side === 'client') {
      expectStream(run, { bytes: 2000, end: 'fin' })
      expectStream(run, { bytes: 0 }, { direction: other })
    } else
      expect(run.streams.map(({ skipped }) => skipped)).toEqual(Array(2).fill('began before the capture'))
  })

  it('plays data of a SYN behind the handshake', async () => {
    const run = await replay(
      between()
        .send('client', { ...OFFERS, flags: 'S', seq: 0, data: 'early' })
        .synAck({ ack: 6 })
        .ack()
        .client('late')
        .close(),
      SMALL,
    )
    expect(
      run
        .kept!.completions('0 client')
        .map(({ bytes }) => Buffer.from(bytes).toString())
        .join(''),
    ).toBe('earlylate')
    expectStream(run, { bytes: 9, end: 'fin' })
  })

  it('fills holes that were acknowledged, and marks them as Wireshark does', async () => {
    const capture = between()
      .handshake(OFFERS)
      .client('before')
      .client('hole')
      .drop()
      .client('behind')
      .ack('server')
      .close()
    const run = await replay(capture, SMALL)
    const marked = 'before[4 bytes missing in capture file]\0behind'
    expectStream(run, { bytes: marked.length, gaps: 1, missingBytes: 4, zeroCopiedBytes: 12, end: 'fin' })
    const chunks: string[] = []
    await replay(capture, {
      ...SMALL,
      direction: 'client',
      onData: (_stream, bytes, at, length) =>
        void chunks.push(Buffer.from(bytes).toString('latin1', at, at + length)),
    })
    expect(chunks.join('')).toBe(marked)
  })

  it('gives up a conversation whose hole can’t be filled within reason', async () => {
    const far = 1 + (17 << 20)
    const capture = between()
      .handshake(OFFERS)
      .client('a')
      .client({ seq: far, data: 'b' })
      .ack('server', { ack: far + 1 })
    const run = await replay(capture, SMALL)
    expect(run.streams[0]!.skipped).toMatch(/^a hole of \d+ bytes in the capture$/)
    expect(run.summary.skipped).toEqual({ [run.streams[0]!.skipped!]: 1 })
  })

  it('plays segments that no packet can hold', async () => {
    const big = pattern('client', 0, 150_000)
    const capture = between().handshake(OFFERS).client(big.subarray(0, 1000)).close()
    const [frame] = capture.list.filter(({ bytes }) => bytes.length > 1000)
    const bytes = new Uint8Array(frame!.bytes.length - 1000 + big.length)
    bytes.set(frame!.bytes.subarray(0, frame!.bytes.length - 1000))
    bytes.set(big, bytes.length - big.length)
    // As captured above a device that makes segments of it: the length does not fit its field, and the checksum is not made.
    bytes.fill(0, 16, 18)
    const list = capture.list
      .slice(0, 4)
      .map((one) => (one.bytes === frame!.bytes ? { ...frame!, bytes, originalLength: bytes.length } : one))
    const run = await replay({ pcapng: () => merge({ list }).pcapng() }, { ...SMALL, direction: 'client' })
    const followed = await follow(merge({ list }).pcapng(), { direction: 'client' })
    expect(run.streams[0]).toMatchObject({ bytes: big.length, sha256: followed.streams[0]!.sha256 })
  })

  it('leaves wrong checksums wrong, unless it is to make them right', async () => {
    const capture = between().handshake(OFFERS).client('wrong', { checksum: 'bad' }).client('right').close()
    const asIs = await replay(capture, SMALL)
    expectStream(asIs, { bytes: 0 })
    expect(asIs.summary.drops).toMatchObject({ tcpChecksum: 1 })
    expect(packetLines(asIs, 'received', 'client').join('\n')).toContain('dropped: tcpChecksum')
    const mended = await replay(capture, { ...SMALL, recomputeChecksums: true })
    expectStream(mended, { bytes: 10, end: 'fin' })
    expect(mended.summary.drops).toEqual({})
  })

  it.each(['192.0.2.2:80', '[2001:db8::2]:80'])(
    'takes unfinished checksums as they are (%s)',
    async (server) => {
      const client = server.startsWith('[') ? '[2001:db8::1]:40000' : '192.0.2.1:40000'
      const capture = packets({ client, server, checksum: 'partial' })
        .handshake(OFFERS)
        .client(5000)
        .ack('server')
        .close()
      const run = await replay(capture, SMALL)
      expectStream(run, { bytes: 5000, end: 'fin' })
      expect(run.summary.drops).toEqual({})
    },
  )

  it('does not repeat a reset of the end that our endpoint is in the place of', async () => {
    const capture = between().handshake(OFFERS).client('a').rst('server').client('under way')
    const run = await replay(capture, { ...SMALL, direction: 'client' })
    expectStream(run, { bytes: 10, end: 'rst' })
  })

  it('leaves out what began before the capture, and ports that don’t exist', async () => {
    const capture = merge(
      between().client('middle'),
      between('192.0.2.1:1', '192.0.2.2:80').handshake().client('x'),
      between('192.0.2.1:0', '192.0.2.2:80').handshake().client('y'),
    )
    const run = await replay(capture, SMALL)
    const reasons = run.streams.map(({ skipped }) => skipped)
    expect(reasons.filter((reason) => reason === 'began before the capture')).toHaveLength(2)
    expect(reasons.filter((reason) => reason === 'port 0')).toHaveLength(2)
    expect(reasons.filter((reason) => reason === null)).toHaveLength(2)
    expect(run.summary.skipped).toEqual({ 'began before the capture': 2, 'port 0': 2 })
  })

  it('plays only what is asked for', async () => {
    const capture = merge(
      between('192.0.2.1:1', '192.0.2.2:80').handshake().client('one').server('eins'),
      between('192.0.2.1:2', '192.0.2.2:80').handshake().client('two').server('zwei'),
    )
    const run = await replay(capture, { ...SMALL, conversation: 1, direction: 'server' })
    expect(run.streams).toHaveLength(1)
    expectCompletions(run, ['zwei'], { stream: 1, direction: 'server' })
    await expect(replay(capture, { conversation: -1 })).rejects.toMatchObject({ code: 'ZCRX_ARGUMENT' })
    await expect(replay(capture, { direction: 'up' as 'both' })).rejects.toMatchObject({
      code: 'ZCRX_ARGUMENT',
    })
  })

  it('closes quiet and ended conversations when too many are open, and reports all of them in order', async () => {
    const many = merge(
      ...Array.from({ length: 40 }, (_, i) =>
        packets({ client: `192.0.2.1:${1000 + i}`, server: '192.0.2.2:80', start: 1_700_000_000 + i })
          .handshake(OFFERS)
          .client(`number ${i}`)
          .ack('server')
          .close(),
      ),
    )
    const run = await replay(many, { ...SMALL, openConversations: 4 })
    expect(run.summary).toMatchObject({ conversations: 40, evicted: 36 })
    expect(run.streams.map(({ stream }) => stream)).toEqual(Array.from({ length: 80 }, (_, i) => i >>> 1))
    for (let i = 0; i < 40; i++) expectCompletions(run, [`number ${i}`], { stream: i })
    expect(run.summary.niovs.lost).toBe(0)
  })

  it('shortens pauses that no timer lasts', async () => {
    const capture = between()
      .handshake(OFFERS)
      .client('a')
      .wait(86_400_000_000 * 365)
      .client('b')
      .close()
    const before = performance.now()
    const run = await replay(capture, SMALL)
    expect(performance.now() - before).toBeLessThan(5000)
    expect(run.streams[0]!.bytes).toBe(2)
  })

  it('gives back every buffer when the area is small', async () => {
    let capture = between().handshake(OFFERS)
    for (let i = 0; i < 300; i++) capture = capture.client(1400)
    const run = await replay(capture.ack('server').close(), { areaBytes: 64 << 10 })
    expectStream(run, { bytes: 300 * 1400, end: 'fin' })
    expect(run.summary.niovs).toMatchObject({ lost: 0, user: 0, queued: 0 })
  })

  it('receives the same bytes however they are cut, ordered and repeated', async () => {
    const whole = pattern('client', 0, 4000)
    const piece = fc.tuple(fc.nat(3999), fc.integer({ min: 1, max: 900 }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { minLength: 1, maxLength: 40 }),
        fc.boolean(),
        async (pieces, close) => {
          let capture = between().handshake(OFFERS)
          const covered = new Uint8Array(4001)
          for (const [from, length] of pieces) {
            const to = Math.min(4000, from + length)
            covered.fill(1, from, to)
            capture = capture.client({ seq: 1 + from, data: whole.subarray(from, to) })
          }
          const reached = covered.indexOf(0)
          if (close) capture = capture.send('client', { seq: 1 + reached, flags: 'FA' })
          const run = await replay(capture, { ...SMALL, direction: 'client' })
          const bytes = Buffer.concat(run.kept!.completions('0 client').map((one) => one.bytes))
          expect(bytes.equals(whole.subarray(0, bytes.length))).toBe(true)
          expect(bytes.length).toBe(reached)
          expect(run.summary.niovs.lost).toBe(0)
        },
      ),
      { numRuns: runs(60) },
    )
  }, 60_000)
})
