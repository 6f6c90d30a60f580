import { AssertionError } from 'node:assert'
import { readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  CaptureReader,
  expectCompletions,
  expectPackets,
  expectStream,
  merge,
  packetLines,
  packets,
  type ReplayResult,
  replay,
} from '../../replay/index.ts'
import { noCaptureTools } from '../support/capture-tools.ts'
import { faults, tshark } from '../support/tshark.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.warn(`captures of runs are not read with tshark: ${missing}`)

const ENDS = { client: '192.0.2.1:40000', server: '192.0.2.2:80' }

/** A request and its answer. */
function exchange(): Promise<ReplayResult> {
  const capture = packets(ENDS)
    .handshake({ mss: 1460 })
    .client('GET / HTTP/1.1\r\n')
    .client('Host: example\r\n\r\n')
    .server('HTTP/1.1 204 No Content\r\n\r\n')
    .close()
  return replay(capture)
}

const left: string[] = []
afterEach(() => {
  for (const file of left.splice(0)) rmSync(dirname(file), { recursive: true })
})

/** The error of an expectation that fails, and the capture that it left. */
function failure(action: () => void): { error: AssertionError; message: string; file: string } {
  try {
    action()
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    const file = /^a capture of the run: (.*\.pcapng)$/m.exec(error.message)?.[1] ?? ''
    if (file !== '') left.push(file)
    return { error, message: error.message, file }
  }
  throw new Error('the expectation holds')
}

// As README and manual have it.
it('receives two lost segments in order', async () => {
  const run = await replay('pcap/samples/loss-receiver.pcap', { direction: 'client' })
  expectStream(run, { bytes: 40_000, gaps: 0, copiedBytes: 0, end: 'fin' })
  // 27 full segments, and the rest.
  expectCompletions(run, [...Array.from({ length: 27 }, () => 1448), 904])
})

describe('expectCompletions', () => {
  it('holds for lengths, text, bytes, and where they lie', async () => {
    const run = await exchange()
    expectCompletions(run, [16, 'Host: example\r\n\r\n'])
    expectCompletions(run, [new TextEncoder().encode('GET / HTTP/1.1\r\n'), { length: 17 }])
    // Headroom, then headers of 54 bytes in front of the payload.
    expectCompletions(run, [{ offset: 256 + 54, bytes: 'GET / HTTP/1.1\r\n' }, { offset: 256 + 54 }])
    expectCompletions(run, [27], { direction: 'server' })
  })

  it('fails with what differs, the packets, and a capture of the run', async () => {
    const run = await exchange()
    const { error, message, file } = failure(() => expectCompletions(run, [16, 'Host: other', 3]))
    expect(message).toMatch(
      /^completions of stream 0, client differ from what was expected \(-\):\n {2}16 bytes\n- 11 bytes "Host: other"\n- 3 bytes\n\+ 17 bytes [0-9a-f]{34} in niov \d+\+310\n/,
    )
    expect([error.expected, error.actual, error.operator]).toEqual([3, 2, 'replay'])
    expect(message).toContain(
      '\n\nthe packets of stream 0, played from the client:\n' +
        '1 0.000100 192.0.2.1:40000 > 192.0.2.2:80 [SYN] seq=0 win=65535 len=0 <mss 1460>\n',
    )
    expect(message).toContain(
      '\n5 0.000400 192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=17 ack=1 win=65535 len=17\n',
    )
    expect(file).not.toBe('')
    const lines: string[] = []
    for await (const packet of await CaptureReader.open(file)) lines.push(`${packet.direction}`)
    expect(lines.length).toBe(packetLines(run).length)
    if (missing !== undefined) return
    expect(faults(file)).toEqual([])
    // One endpoint received it, the other one sent it.
    expect(tshark(file, '-Y', 'tcp.len == 17').length).toBe(2)
  })

  it.each([
    ['one too few', [16]],
    ['one too many', [16, 17, 1]],
    ['a wrong length', [16, 18]],
    ['a wrong byte', ['GET / HTTP/1.1\r ', 17]],
    ['another buffer', [16, { niov: 1_000_000 }]],
    ['another offset', [16, { offset: 0 }]],
    ['the wrong order', [17, 16]],
    ['nothing', []],
  ] as const)('fails for %s', async (_what, expected) => {
    const run = await exchange()
    expect(failure(() => expectCompletions(run, expected)).message).toMatch(/^[-+] /m)
  })

  it('shows the packets of its own stream, and no others', async () => {
    const other = { client: '192.0.2.1:40001', server: '192.0.2.2:80' }
    const capture = merge(
      packets(ENDS).handshake().client('one').close(),
      packets({ ...other, start: 1_700_000_003 })
        .handshake()
        .client('two')
        .close(),
    )
    const run = await replay(capture)
    const { message } = failure(() => expectCompletions(run, ['too'], { stream: 1 }))
    expect(message).toContain(
      'the packets of stream 1, played from the client:\n1 3.000100 192.0.2.1:40001 > ',
    )
    expect(message).not.toContain(ENDS.client)
    // Only those that our endpoint in the server's place had to do with.
    expect(message.match(/ \[SYN\] /g)).toHaveLength(1)
    const sent = failure(() => expectPackets(run, ['*'], { stream: 1 })).message
    expect(sent).not.toContain(ENDS.client)
    expect(failure(() => expectPackets(run, ['*'])).message).toContain(ENDS.client)
  })

  it.each([
    [{ stream: 7 }, [1]],
    [{ stream: 7 }, []],
    [{ stream: 1, direction: 'server' }, []],
  ] as const)('fails for a stream that is not there: %j', async (options, expected) => {
    const run = await exchange()
    const there = /there is no such stream: the run has 0 client, 0 server/
    expect(failure(() => expectCompletions(run, expected, options)).message).toMatch(there)
    expect(failure(() => expectStream(run, {}, options)).message).toMatch(there)
    expect(failure(() => expectPackets(run, [], options)).message).toMatch(there)
  })

  it('fails for a direction that was not replayed', async () => {
    const run = await replay(packets(ENDS).handshake().client('x').close(), { direction: 'client' })
    const options = { direction: 'server' } as const
    for (const expectation of [
      () => expectCompletions(run, [], options),
      () => expectStream(run, {}, options),
      () => expectPackets(run, [], options),
    ]) {
      expect(failure(expectation).message).toContain('the run has 0 client')
    }
  })

  it('can’t be asked with options that are none, or of reports that somebody else has taken', async () => {
    const run = await exchange()
    const wrong = [
      ['direction', { direction: 'clinet' }],
      ['direction', { direction: 'both' }],
      ['stream', { stream: -1 }],
      ['stream', { stream: '0' }],
      ['options', null],
    ] as const
    for (const [name, options] of wrong) {
      for (const expectation of [
        () => expectCompletions(run, [16, 17], options as never),
        () => expectStream(run, {}, options as never),
        () => expectPackets(run, [], options as never),
      ]) {
        expect(expectation).toThrow(
          expect.objectContaining({ code: 'ZCRX_ARGUMENT', message: expect.stringContaining(`${name} is `) }),
        )
      }
    }
    expect(() => expectStream(run, { byte: 3 } as never)).toThrow(/byte is 3: give fields of a report: file,/)
    expect(() => expectCompletions({} as never, [])).toThrow(/run is an object/)
    expect(() => packetLines(run, 'snet' as never)).toThrow(/which is "snet"/)
    const taken = await replay(packets(ENDS).handshake().client('x').close(), { onReport: () => {} })
    expect(() => expectStream(taken, { bytes: 1 })).toThrow(/onReport has taken the reports/)
  })

  it('can’t be asked of a run that kept nothing', async () => {
    const run = await replay(packets(ENDS).handshake().client('x').close(), { keep: false })
    expect(run.kept).toBeNull()
    expect(() => expectCompletions(run, ['x'])).toThrow(
      expect.objectContaining({ code: 'ZCRX_ARGUMENT', remedy: 'replay a smaller capture, with keep: true' }),
    )
    expect(() => expectPackets(run, [])).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
    expect(() => packetLines(run)).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
    // What needs nothing kept can still be asked, and shows less when it fails.
    expectStream(run, { bytes: 1 })
    expect(failure(() => expectStream(run, { bytes: 2 })).message).toBe(
      'stream 0, client differ from what was expected (-):\n- bytes: 2\n+ bytes: 1',
    )
  })

  it('can’t be asked of a run that was too large to be kept', async () => {
    const capture = packets(ENDS).handshake({ mss: 1460 })
    for (let i = 0; i < 600; i++) capture.client(60_000)
    const run = await replay(capture)
    expect(run.streams[0]!.bytes).toBe(36_000_000)
    expect(() => expectCompletions(run, [])).toThrow('the replay did not keep its completions')
  })
})

describe('expectStream', () => {
  it('compares the fields that are named', async () => {
    const run = await exchange()
    expectStream(run, {})
    expectStream(run, { bytes: 33, end: 'fin', gaps: 0, skipped: null, client: ENDS.client })
    expectStream(run, { bytes: 27, completions: 1 }, { direction: 'server' })
  })

  it('fails with the fields that differ', async () => {
    const run = await exchange()
    const { message, file } = failure(() => expectStream(run, { bytes: 33, end: 'rst', gaps: 1 }))
    expect(message).toMatch(
      /^stream 0, client differ from what was expected \(-\):\n {2}bytes: 33\n- end: rst\n- gaps: 1\n\+ end: fin\n\+ gaps: 0\n/,
    )
    expect(readFileSync(file).length).toBeGreaterThan(500)
  })

  it('fails for a stream that is not there', async () => {
    const run = await exchange()
    expect(failure(() => expectStream(run, { bytes: 0 }, { stream: 1 })).message).toContain(
      '- bytes: 0\n+ there is no such stream: the run has 0 client, 0 server',
    )
  })
})

describe('expectPackets', () => {
  const SENT = [
    '192.0.2.2:80 > 192.0.2.1:40000 [SYN, ACK] seq=0 ack=1 win=* len=0 <mss *>',
    '192.0.2.2:80 > 192.0.2.1:40000 [ACK] seq=1 ack=34 win=* len=0',
    '*[PSH, ACK] seq=1 ack=34 * len=27',
    '*ack=35*',
    '*[FIN, ACK]*',
  ]

  it('takes * for anything, and everything else as it is', async () => {
    const run = await exchange()
    const lines = packetLines(run, 'sent', 'client')
    expectPackets(run, lines)
    expectPackets(run, SENT)
    // A point is a point.
    const points = lines.map((line) => line.replace('192.0', '192x0'))
    expect(failure(() => expectPackets(run, points)).message).toContain('- 192x0.2.2:80')
  })

  it('fails for packets that are missing, too many or different', async () => {
    const run = await exchange()
    const lines = packetLines(run, 'sent', 'client')
    const { message, file } = failure(() => expectPackets(run, [...SENT, '*[FIN, ACK]*']))
    expect(message).toMatch(/^packets that our endpoint sent differ from what was expected \(-\):\n/)
    expect(message).toContain('\n- *[FIN, ACK]*\n')
    expect(file).not.toBe('')
    expect(failure(() => expectPackets(run, SENT.slice(1))).message).toContain(`\n+ ${lines[0]}\n`)
    expect(failure(() => expectPackets(run, ['*[RST]*', ...SENT.slice(1)])).message).toContain('- *[RST]*')
  })

  it('is asked of the other endpoint with direction: server', async () => {
    const run = await exchange()
    const lines = packetLines(run, 'sent', 'server')
    expect(lines[0]).toMatch(/^192\.0\.2\.1:40000 > 192\.0\.2\.2:80 \[SYN\] /)
    expectPackets(run, lines, { direction: 'server' })
    failure(() => expectPackets(run, lines))
  })
})

describe('packetLines', () => {
  it('has what was received, with the cause of a drop', async () => {
    const capture = packets(ENDS)
      .handshake({ mss: 1460 })
      .client('lost', { checksum: 'bad' })
      .lose()
      .client('lost')
    const run = await replay(capture)
    expect(packetLines(run, 'received', 'client')).toEqual([
      '192.0.2.1:40000 > 192.0.2.2:80 [SYN] seq=0 win=65535 len=0 <mss 1460>',
      '192.0.2.1:40000 > 192.0.2.2:80 [ACK] seq=1 ack=1 win=65535 len=0',
      '192.0.2.1:40000 > 192.0.2.2:80 [PSH, ACK] seq=1 ack=1 win=65535 len=4 checksum=bad; dropped: tcpChecksum',
      expect.stringMatching(/\[PSH, ACK\] seq=\d+ ack=1 win=65535 len=4$/),
    ])
  })

  it('has both sides of both runs when nothing is said', async () => {
    const run = await exchange()
    const parts = (['client', 'server'] as const).map((direction) => packetLines(run, 'both', direction))
    expect(packetLines(run)).toEqual(parts.flat())
    for (const [i, direction] of (['client', 'server'] as const).entries()) {
      const halves =
        packetLines(run, 'sent', direction).length + packetLines(run, 'received', direction).length
      expect(parts[i]!.length).toBe(halves)
    }
  })
})
