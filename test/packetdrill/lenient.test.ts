import { describe, expect, it } from 'vitest'
import { SWITCHES, switchesOf } from '../../packetdrill/lenient.ts'
import { accepted, line } from './support.ts'

const SYN = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000,nop,nop,sackOK,nop,wscale 3>
`
const SACKED = `${SYN}+0 > S. 0:0(0) ack 1 <...>
+0 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
+0 < . 1:501(500) ack 1 win 20000
+0 > . 1:1(0) ack 501
+0 < . 1:501(500) ack 1 win 20000
`

/** Fails without the switch, passes with it, says so, and passes with all. */
function forgives(name: string, script: string): void {
  expect(line(script)).toMatch(/^(?:FAIL|SKIP) /)
  expect(line(script, name)).toBe(`PASS-LENIENT s ${name}`)
  expect(line(script, 'all')).toContain('PASS-LENIENT')
}

describe('switches', () => {
  it('syn-options-semantic: order and padding, any scale, but not another MSS or a missing option', () => {
    forgives('syn-options-semantic', `${SYN}+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale 2,sackOK,eol,eol>`)
    for (const options of ['mss 1400,sackOK,nop,nop,nop,wscale 1', 'mss 1460,nop,wscale 7']) {
      expect(line(`${SYN}+0 > S. 0:0(0) ack 1 <${options}>`, 'syn-options-semantic')).toContain('(options)')
    }
  })
  it('win-ignored: another window, but not a closed one', () => {
    const opening = SYN.replace('< S 0:0(0)', '< S 0:0(0)')
    forgives('win-ignored', `${opening}+0 > S. 0:0(0) ack 1 win 1 <...>`)
  })
  it('psh-ignored', () => {
    const write = '+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1'
    expect(accepted(write)).toContain('(PSH)')
    expect(accepted(write, 'psh-ignored')).toBe('PASS-LENIENT s psh-ignored')
  })
  it('coalesce-out: segments of unequal length', () => {
    const events = `+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0
+0 write(4, ..., 300) = 300
+0 write(4, ..., 10) = 10
+0 write(4, ..., 300) = 300
+0 > P. 1:611(610) ack 1`
    expect(accepted(events)).toMatch(/^FAIL/)
    expect(accepted(events, 'coalesce-out,psh-ignored')).toContain('PASS-LENIENT s coalesce-out')
  })
  it('oversize-in: a segment beyond the MTU goes in whole', () => {
    const events = '+0 < . 1:9001(9000) ack 1 win 20000\n+0 > . 1:1(0) ack 9001'
    expect(accepted(events)).toContain('SKIP')
    expect(accepted(events, 'oversize-in')).toBe('PASS-LENIENT s oversize-in')
  })
  it('ack-timing: late, early, or one that is not mentioned', () => {
    const early = '+0 < . 1:101(100) ack 1 win 20000\n+.1 > . 1:1(0) ack 101'
    expect(accepted(early)).toContain('early')
    expect(accepted(early, 'quick-ack')).toBe('PASS-LENIENT s ack-timing')
    const extra = `+0 < . 1:101(100) ack 1 win 20000
+0 < . 101:201(100) ack 1 win 20000
+0 > . 1:1(0) ack 201`
    expect(accepted(extra)).toMatch(/^FAIL/)
    expect(accepted(extra, 'ack-timing')).toBe('PASS-LENIENT s ack-timing')
    expect(accepted('+0 < . 1:101(100) ack 1 win 20000\n+0 > . 1:1(0) ack 999', 'ack-timing')).toContain(
      'got nothing until 2.004000, after > . 1:1(0) ack 101',
    )
  })
  it('delayed-fin-ack-40ms: the ACK of a FIN', () => {
    const fin = '+0 < F. 1:1(0) ack 1 win 20000\n+.04 > . 1:1(0) ack 2'
    expect(accepted(fin)).toContain('early')
    expect(accepted(fin, 'delayed-fin-ack-40ms')).toBe('PASS-LENIENT s delayed-fin-ack-40ms')
  })
  it('dsack-optional: the block may be missing', () => {
    const none = `${SACKED.replace(',nop,nop,sackOK', '')}+0 > . 1:1(0) ack 501 <nop,nop,sack 1:501>`
    forgives('dsack-optional', none)
  })
  it('window-edge: numbers at the right edge follow the real one', () => {
    const edge = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 win 30000 <...>
+0 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
+0 < R 30000:30000(0) win 0
+0 > . 1:1(0) ack 1`
    expect(line(edge, 'win-ignored')).toContain('FAIL')
    expect(line(edge, 'win-ignored,window-edge')).toBe('PASS-LENIENT s win-ignored,window-edge')
  })
  it('window-edge: not those of what comes in order, where the script does not say that the window is closed', () => {
    const small = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 win 1000 <...>
+0 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
`
    const inOrder = `+0 < P. 1:1001(1000) ack 1 win 20000
+0 > . 1:1(0) ack 1001
+0 < P. 1001:2001(1000) ack 1 win 20000
+0 > . 1:1(0) ack 2001`
    expect(line(small + inOrder, 'win-ignored')).toBe('PASS-LENIENT s win-ignored')
    expect(line(small + inOrder, 'all')).toBe('PASS-LENIENT s win-ignored')
    const hole = inOrder.replace('P. 1001:2001', 'P. 1002:2002').replace('ack 2001', 'ack 1001')
    expect(line(small + hole, 'all')).toBe('PASS-LENIENT s win-ignored')
    const tiny = small.replace('win 1000', 'win 2')
    expect(line(tiny + inOrder, 'all')).toBe('PASS-LENIENT s win-ignored')
  })
  it('window-edge: an ACK is not forgiven for naming the real edge', () => {
    const events = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [2000], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 win 30000 <...>
+0 < . 1:1(0) ack 1 win 20000
+0 accept(3, ..., ...) = 4
`
    const full = `+0 < P. 1:1001(1000) ack 1 win 20000
+0 > . 1:1(0) ack 1001 win 29000
+0 < P. 1001:2001(1000) ack 1 win 20000
`
    expect(line(`${events}${full}+0 > . 1:1(0) ack 30001`, 'all')).toContain('(ack number)')
  })
  it('skip-getsockopt-rcvbuf', () => {
    const events = '+0 getsockopt(4, SOL_SOCKET, SO_RCVBUF, [12345], [4]) = 0'
    expect(accepted(events)).toContain('FAIL')
    expect(accepted(events, 'skip-getsockopt-rcvbuf')).toBe('PASS-LENIENT s skip-getsockopt-rcvbuf')
  })
  it('retransmitted-syn-gets-synack: a pure ACK does as well', () => {
    const events = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < S 0:0(0) win 20000 <mss 1000>
+0 > . 1:1(0) ack 1 <...>`
    expect(line(events)).toContain('FAIL')
    expect(line(events, 'retransmitted-syn-gets-synack')).toBe('PASS-LENIENT s retransmitted-syn-gets-synack')
  })
  it('no-timestamps, no-window-scaling, challenge-ack-ratelimit-off change the stack', () => {
    const connect = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <mss 1460,nop,nop,sackOK>`
    const switches = 'challenge-ack-ratelimit-off,no-timestamps,no-window-scaling'
    expect(line(connect, switches)).toBe(`PASS-LENIENT s ${switches}`)
  })
  it('can stand in the script', () => {
    expect(line(`--lenient=win-ignored\n${SYN}+0 > S. 0:0(0) ack 1 win 1 <...>`)).toBe(
      'PASS-LENIENT s win-ignored',
    )
    expect(line('--lenient=nonsense\n')).toBe('FAIL s 2:1: lenient: nonsense is not a switch')
  })
  it('that were not needed are not reported', () => {
    expect(accepted('', 'all')).toBe('PASS s')
  })
  it('have one spelling, and all means those of comparison', () => {
    expect(switchesOf('quick-ack, ack-timing')).toEqual(['ack-timing'])
    expect(switchesOf('all')).toEqual(SWITCHES.slice(0, SWITCHES.indexOf('no-timestamps')))
    expect(switchesOf('toString')).toBe('toString')
  })
})
