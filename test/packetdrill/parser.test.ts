import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ScriptError, UnsupportedError } from '../../packetdrill/errors.ts'
import type { Call, IcmpPacket, Packet, ScriptEvent } from '../../packetdrill/script/ast.ts'
import { parseScript } from '../../packetdrill/script/parser.ts'

function event(text: string): ScriptEvent {
  const { events } = parseScript(text)
  expect(events.length).toBe(1)
  return events[0]!
}

function packet(text: string): Packet {
  return event(`0 ${text}`).body as Packet
}

function call(text: string): Call {
  return event(`0 ${text}`).body as Call
}

function error(text: string): string {
  try {
    parseScript(text)
  } catch (thrown) {
    if (!(thrown instanceof ScriptError)) throw thrown
    const { line, column } = thrown.position
    return `${thrown instanceof UnsupportedError ? 'unsupported ' : ''}${line}:${column} ${thrown.message}`
  }
  return ''
}

describe('times', () => {
  it.each([
    ['0', 'absolute', 0, null, null],
    ['.1', 'absolute', 100_000, null, null],
    ['1.25', 'absolute', 1_250_000, null, null],
    ['+0.000001', 'relative', 1, null, null],
    ['+.1~+.2', 'relative', 100_000, 200_000, null],
    ['1~2.5', 'absolute', 1_000_000, 2_500_000, null],
    ['*', 'any', 0, null, null],
  ])('%s', (text, kind, from, to, until) => {
    expect(event(`${text} > . 1:1(0) ack 1`).time).toEqual({ kind, from, to, until })
  })

  it.each(['+0...0.2', '+0...+0.2', '0...0.2', '+ 0...0.2'])('%s of a call that blocks', (text) => {
    expect(event(`${text} accept(3, ..., ...) = 4`).time.until).toBe(200_000)
  })

  it.each([
    ['0~+1 > . 1:1(0) ack 1', 'both ends of a range are relative, or none'],
    ['2~1 > . 1:1(0) ack 1', 'the range ends before it begins'],
    ['2...1 close(3) = 0', 'the call returns before it begins'],
    ['* < . 1:1(0) ack 1 win 1', 'only outbound packets may come at any time or within a range'],
    ['0~1 close(3) = 0', 'a call needs an exact time'],
    ['0...1 > . 1:1(0) ack 1', 'only calls block'],
    ['99999999999 close(3) = 0', 'a time of more than a year'],
    ['close(3) = 0', 'expected a time, found "close"'],
  ])('%s is refused', (text, message) => expect(error(text)).toBe(`1:1 ${message}`))
})

describe('packets', () => {
  it('with everything', () => {
    const text =
      '< [ect0, ttl 9] 40 > 80 SEWA 0:10(10) ack 7 win 100 urg 3 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>'
    expect(packet(text)).toMatchObject({
      direction: 'in',
      ip: { ecn: 2, ttl: 9, tos: null },
      ports: { source: 40, destination: 80 },
      seq: 0,
      length: 10,
      ack: 7,
      window: 100,
      urgent: 3,
    })
    const { flags, options } = packet(text)
    expect(flags).toMatchObject({ syn: true, ece: true, cwr: true, ae: true, ack: false })
    expect(options!.map((option) => option.kind)).toEqual(['mss', 'sackOK', 'TS', 'nop', 'wscale'])
  })

  it('with what need not be there', () => {
    expect(packet('> . 1:1(0) ack 1')).toMatchObject({ window: null, urgent: null, options: [] })
    expect(packet('> R 1:1(0)').ack).toBeNull()
    expect(packet('> - 1:1(0)').flags).toMatchObject({ ack: false, syn: false })
    expect(packet('> S. 0:0(0) ack 1 <...>').options).toBeNull()
    expect(packet('> P. ...(100) ack 1')).toMatchObject({ seq: null, length: 100 })
    expect(packet('> (ce) . 1:1(0) ack 1').ip.ecn).toBe(3)
    expect(packet('> [tos 0x10] . 1:1(0) ack 1').ip.tos).toBe(16)
    expect(packet('> 5. 1:1(0) ack 1').flags).toMatchObject({ ece: true, cwr: false, ae: true, ack: true })
  })

  it('wrap around', () => {
    expect(packet('> P. 4294967290:4(10) ack 1')).toMatchObject({ seq: 4_294_967_290, length: 10 })
  })

  it('SACK blocks, cookies, bare timestamps', () => {
    const { options } = packet(
      '> . 1:1(0) ack 1 < nop, nop, sack 1:2 5:9, FO 0a0b, FOEXP, TS val ... ecr 5 , eol>',
    )
    expect(options).toEqual([
      { kind: 'nop' },
      { kind: 'nop' },
      {
        kind: 'sack',
        blocks: [
          [1, 2],
          [5, 9],
        ],
      },
      { kind: 'FO', bytes: [10, 11] },
      { kind: 'FOEXP', bytes: [] },
      { kind: 'TS', value: null, echo: 5 },
      { kind: 'eol' },
    ])
  })

  it.each([
    ['icmp unreachable frag_needed mtu 1200 [1:1461(1460)]', 'unreachable', 'frag_needed', 1200, 1],
    ['icmp unreachable host_unreachable [10:20(10)]', 'unreachable', 'host_unreachable', null, 10],
    ['icmp packet_too_big mtu 1280 5:6(1)', 'packet_too_big', null, 1280, 5],
    ['[1:3(2)] icmp unreachable frag_needed mtu 1500', 'unreachable', 'frag_needed', 1500, 1],
    ['icmp source_quench', 'source_quench', null, null, null],
  ])('< %s', (text, type, code, mtu, seq) => {
    const body = event(`0 < ${text}`).body as IcmpPacket
    expect(body).toMatchObject({ kind: 'icmp', type, code, mtu })
    expect(body.quoted?.seq ?? null).toBe(seq)
  })

  it.each([
    ['< . 1:1(0) ack 1', '1:3 an injected packet needs win'],
    ['< . 1:1(0) ack 1 win 70000', '1:3 win is not a 16-bit number'],
    ['> . 1:5(3) ack 1', '1:7 1:5 is not 3 bytes'],
    ['> X. 1:1(0)', '1:5 expected TCP flags, found "X."'],
    ['> . 1:1(0) ack 1 <mss>', '1:24 expected a value for mss, found ">"'],
    ['> . 1:1(0) ack 1 <mss 5', '1:26 expected ">" behind the options, found the end'],
    ['< . 1:99999(99998) ack 1 win 5', "1:21 a packet of 99998 bytes can't be"],
    ['> udp (100)', 'unsupported 1:3 udp packet'],
    ['> . 1:1(0) ack 1 <mp_capable v1>', 'unsupported 1:21 TCP option mp_capable'],
    ['> ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0)', 'unsupported 1:3 ipv4 packet'],
  ])('%s: %s', (text, message) => expect(error(`0 ${text}`)).toBe(message))
})

describe('calls', () => {
  it.each([
    ['socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3', 3, ''],
    ['connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)', -1, 'EINPROGRESS'],
    ['fcntl(3, F_GETFL) = 0x02 (flags O_RDWR)', 2, ''],
    ['read(4, ..., 10) = ?', null, ''],
  ])('%s', (text, result, errno) => expect(call(text)).toMatchObject({ result, errno }))

  it('take values of every form', () => {
    const { args } = call(
      'f(3, 0x10, "a b", [1, 2], {sa_family = AF_INET, sin_port=htons(8080), msg_iov(1)=[{..., 100}]}, A | 4) = 0',
    )
    expect(args.map((arg) => arg.kind)).toEqual(['number', 'number', 'string', 'list', 'struct', 'names'])
    const struct = args[4]!
    expect(struct.kind === 'struct' && [...struct.fields.keys()]).toEqual([
      'sa_family',
      'sin_port',
      'msg_iov',
    ])
    expect(args[5]).toMatchObject({ names: ['A', '4'] })
  })

  it('may go over several lines', () => {
    const text = '0 poll([{fd=3, events=POLLIN,\n  revents=0}], // comment\n 1, 0) = 0\n+0 close(3) = 0'
    expect(parseScript(text).events.map((each) => each.text)).toEqual([
      'poll([{fd=3, events=POLLIN, revents=0}], 1, 0) = 0',
      'close(3) = 0',
    ])
  })

  it.each([
    ['close(3)', '1:11 expected "=" behind close(...), found the end'],
    ['close(3 = 0', '1:11 expected ")" behind the arguments, found "="'],
    ['close("3) = 0', '1:10 string without "'],
    [`f(${'['.repeat(100)}`, '1:22 structures too deep'],
  ])('%s is refused', (text, message) => expect(error(`0 ${text}`)).toBe(message))
})

describe('files', () => {
  it('have options, blocks, comments and conditions', () => {
    const script = parseScript(`#!/usr/bin/env packetdrill
// comment --not=an_option
--ip_version=ipv4,ipv6
--tolerance_usecs=75000 // more
--flag
\`./defaults.sh // no comment here
sysctl -w net.ipv4.tcp_sack=0\`
/* over
   lines */
0 \`true\`
#ifdef STANDARD
+0 close(3) = 0
#else
this is nothing
#endif
+.1 %{
assert tcpi_state == TCP_CLOSE
}%
\`restore\`
`)
    expect(script.options.map(({ name, value }) => [name, value])).toEqual([
      ['ip_version', 'ipv4,ipv6'],
      ['tolerance_usecs', '75000'],
      ['flag', ''],
    ])
    expect(script.blocks.map((block) => block.at.line)).toEqual([6, 19])
    expect(script.blocks[0]!.text).toContain('// no comment')
    expect(script.events.map((each) => `${each.at.line} ${each.body.kind}`)).toEqual([
      '10 shell',
      '12 call',
      '16 code',
    ])
  })

  it.each([
    ['`never ended', '1:2 shell block without `'],
    ['0 %{ never', '1:5 code block without }%'],
    ['/* never', '1:1 comment without end'],
    ['#ifdef A\n', '1:1 #ifdef without #endif'],
    ['#else\n', '1:1 #else without #ifdef'],
    ['0', '1:2 expected an event, found the end'],
    ['--', '1:3 -- without the name of an option'],
  ])('%s', (text, message) => expect(error(text)).toContain(message.slice(message.indexOf(' ') + 1)))

  it('of any bytes are read or refused, nothing else', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.constantFrom(
        '0 ',
        '+.1 ',
        '< ',
        '> ',
        'S. ',
        '1:1(0) ',
        'ack 1 ',
        'win 5 ',
        '<mss 5>',
        '\n',
        '`',
        '%{',
        '}%',
      ),
      fc.constantFrom(
        'f(',
        ') = ',
        '[',
        ']',
        '{',
        '}',
        '...',
        '~',
        '*',
        '"',
        '--a=b\n',
        '/*',
        '*/',
        'icmp ',
        'sack 1:2',
      ),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => void error(pieces.join(''))),
      { numRuns: 3000 },
    )
  })
})
