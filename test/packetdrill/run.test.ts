import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runText } from '../../packetdrill/cli.ts'
import { ACCEPTED, accepted, FIRST, line, run } from './support.ts'

describe('what passes', () => {
  it('a connection that is opened', () => expect(line(ACCEPTED)).toBe('PASS s'))
  it('several segments that meet one', () => {
    expect(accepted('+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1')).toBe('PASS s')
  })
  it('a time that does not matter, and a range', () => {
    expect(accepted(`+0 write(4, ..., 10) = 10\n* > P. 1:11(10) ack 1\n`)).toBe('PASS s')
    expect(accepted(`+0 write(4, ..., 10) = 10\n+0~+.1 > P. 1:11(10) ack 1`)).toBe('PASS s')
  })
  it('what is left over at the end, which is noted', () => {
    const result = run(`${ACCEPTED}+0 write(4, ..., 10) = 10`)
    expect(result.outcome).toBe('pass')
    expect(result.notes).toEqual(['left over: 0.000000 > P. 1:11(10) ack 1 win 65535'])
  })
})

describe('a time that does not matter', () => {
  const lost = '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n'
  // Repetitions come at 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s.
  const again = (count: number): string => lost + '* > P. 1:11(10) ack 1\n'.repeat(count)
  it('is waited for as long as it takes, when what follows counts from it', () => {
    expect(accepted(`${again(6)}+0 < . 1:1(0) ack 11 win 20000`)).toBe('PASS s')
    expect(accepted(again(6))).toBe('PASS s')
  })
  it('is waited for until the next time of the script, and no longer', () => {
    const until = (time: string): string => accepted(`${again(5)}${time} < . 1:1(0) ack 11 win 20000`)
    expect(until('6.5')).toBe('PASS s')
    expect(until('4')).toContain('expected > P. 1:11(10) ack 1 got nothing until 4.')
    expect(accepted(`${again(1)}.1 close(4) = 0`)).toContain('got nothing until 0.1')
  })
})

describe('several connections to a listener', () => {
  const LISTENER = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 8) = 0\n`
  const OPENED = `+0 < S 0:0(0) win 20000 <mss 1000>
    +0 > S. 0:0(0) ack 1 <mss 1460>
    +0 < . 1:1(0) ack 1 win 20000\n`

  it('have a port each, where the script names none', () => {
    const two = `${LISTENER}${OPENED}${OPENED}+0 accept(3, ..., ...) = 4
      +0 accept(3, ..., ...) = 5
      +0 write(4, ..., 10) = 10
      +0 > P. 1:11(10) ack 1
      +0 write(5, ..., 20) = 20
      +0 > P. 1:21(20) ack 1
      +0 < . 1:1(0) ack 21 win 20000\n`
    expect(line(two)).toBe('PASS s')
    expect(line(two.replace('P. 1:11(10)', 'P. 1:12(11)'))).toContain('got > 8080 > 40001 P. 1:11(10) ack 1')
    // Accepted one by one.
    const later = `${LISTENER}${OPENED}+0 accept(3, ..., ...) = 4\n${OPENED}+0 accept(3, ..., ...) = 5`
    expect(line(later)).toBe('PASS s')
    const others = OPENED.replaceAll(' 0:0(0) win', ' 7000:7000(0) win').replace('ack 1 <', 'ack 7001 <')
    expect(line(`${LISTENER}${OPENED}${others.replace('1:1(0)', '7001:7001(0)')}`)).toBe('PASS s')
  })

  it('are one where a SYN comes again, or in the midst', () => {
    const again = `${LISTENER}+0 < S 0:0(0) win 20000 <mss 1000>
      +0 > S. 0:0(0) ack 1 <mss 1460>
      +0 < S 0:0(0) win 20000 <mss 1000>
      +0 > S. 0:0(0) ack 1 <mss 1460>
      +0 < . 1:1(0) ack 1 win 20000
      +0 accept(3, ..., ...) = 4
      +0 accept(3, ..., ...) = -1 EAGAIN`
    expect(line(again.replace('SOCK_STREAM', 'SOCK_STREAM'))).toContain('accept blocks')
    const midst = `${LISTENER}${OPENED}+0 accept(3, ..., ...) = 4
      +0 < S 0:0(0) win 20000 <mss 1000>
      +0 > . 1:1(0) ack 1`
    expect(line(midst)).toBe('PASS s')
  })

  it('reach the port that the listener is bound to', () => {
    const bound = LISTENER.replace('bind(3, ..., ...)', 'bind(3, {sin_port=htons(9000)}, ...)')
    const other = `+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
      +0 bind(4, {sin_port=htons(9001)}, ...) = 0\n`
    expect(line(`${bound}${other}${OPENED}`)).toBe('PASS s')
  })
})

describe('an ICMP error', () => {
  const sent = '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n'
  const soft = '+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n+0 < . 1:1(0) ack 11 win 20000'
  const six = (error: string): string => {
    const [, report] = runText('s', `${ACCEPTED}${sent}+0 < ${error} [1:11(10)]\n${soft}`)
    return `${report!.family} ${report!.result.outcome} ${report!.result.message}`
  }
  it.each(['', ' header_field', ' unknown_next_header', ' unknown_option', ' code_1'])(
    'of IPv6 may be a parameter problem:%s',
    (code) => {
      expect(six(`icmp parameter_problem${code}`)).toBe('ipv6 pass ')
      expect(six(`icmpv6 parameter_problem${code}`)).toBe('ipv6 pass ')
    },
  )
  it('has the names that it has elsewhere, or a number', () => {
    expect(six('icmp time_exceeded exceeded_hop_limit')).toBe('ipv6 pass ')
    expect(six('icmp type_4 code_2')).toBe('ipv6 pass ')
    expect(six('icmp parameter_problem bad_length')).toBe(
      'ipv6 fail ipv6 has no ICMP parameter_problem bad_length',
    )
    expect(six('icmp type_256')).toBe('ipv6 fail ipv6 has no ICMP type_256')
  })
})

describe('ECE', () => {
  it('is compared where the ECN field is written', () => {
    const marked = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
      +0 bind(3, ..., ...) = 0
      +0 listen(3, 1) = 0
      +0 < SEW 0:0(0) win 9000 <mss 1000>
      +0 > SE. 0:0(0) ack 1 <mss 1460>
      +0 < . 1:1(0) ack 1 win 9000
      +0 < [ce] P. 1:11(10) ack 1 win 9000\n`
    expect(line(`${marked}+0 > . 1:1(0) ack 11`)).toBe('PASS s')
    expect(line(`${marked}+0 > [noecn] E. 1:1(0) ack 11`)).toBe('PASS s')
    expect(line(`${marked}+0 > [noecn] . 1:1(0) ack 11`)).toContain('(flags)')
  })
})

describe('a Fast Open cookie', () => {
  const LISTENER = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [5], 4) = 0
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 1) = 0\n`
  it('is what the stack gave', () => {
    const asked = `${LISTENER}+0 < S 0:0(0) win 9000 <mss 1000,FO,nop,nop>
      +0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,FO TFO_COOKIE>
      +0 < R 1:1(0) win 0\n`
    expect(
      line(`${asked}+0 < S 7:17(10) win 9000 <FO TFO_COOKIE,nop,nop>\n+0 > S. 0:0(0) ack 18 <...>`),
    ).toBe('PASS s')
  })
  it('that was never given is not known', () => {
    expect(line(`${LISTENER}+0 < S 0:10(10) win 9000 <FO TFO_COOKIE,nop,nop>`)).toContain('SKIP s')
  })
})

describe('what fails', () => {
  it.each([
    ['a missing packet', '+0 > . 1:1(0) ack 9', 'expected > . 1:1(0) ack 9 got nothing until 2.004000'],
    [
      'a wrong sequence number',
      '+0 write(4, ..., 10) = 10\n+0 > P. 5:15(10) ack 1',
      'expected > P. 5:15(10) ack 1 got > P. 1:11(10) ack 1 win 65535 (sequence number)',
    ],
    [
      'a wrong length, and its flags',
      '+0 write(4, ..., 10) = 10\n+0 > . 1:6(5) ack 1',
      'expected > . 1:6(5) ack 1 got > P. 1:11(10) ack 1 win 65535 (PSH, payload length)',
    ],
    [
      'wrong options',
      '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val 1 ecr 1>',
      'expected > P. 1:11(10) ack 1 <nop,nop,TS val 1 ecr 1> got > P. 1:11(10) ack 1 win 65535 (options)',
    ],
    [
      'a wrong window',
      '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 5',
      'expected > P. 1:11(10) ack 1 win 5 got > P. 1:11(10) ack 1 win 65535 (window)',
    ],
    [
      'an ECN codepoint',
      '+0 write(4, ..., 10) = 10\n+0 > [ect0] P. 1:11(10) ack 1',
      'expected > [ect0] P. 1:11(10) ack 1 got > P. 1:11(10) ack 1 win 65535 (ECN field)',
    ],
    [
      'a packet too many',
      '+0 < . 1:1001(1000) ack 1 win 20000\n+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1001',
      'expected > P. 1:11(10) ack 1001 got > . 1:1(0) ack 1001 win 65535 (PSH, payload length)',
    ],
    [
      'a late packet',
      '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.01 > P. 1:11(10) ack 1',
      'expected > P. 1:11(10) ack 1 at 0.014000 got it late, at ',
    ],
    [
      'an early packet',
      '+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1',
      'expected > P. 1:11(10) ack 1 at 0.087500 got it early, at 0.000000',
    ],
    ['a result', '+0 write(4, ..., 10) = 9', 'expected write(4, ..., 10) = 9 got 10'],
    ['an errno', '+0 shutdown(4, 3) = -1 EPIPE', 'expected shutdown(4, 3) = -1 EPIPE got -1 EINVAL'],
    ['a call that blocks', '+0 read(4, ..., 10) = 10', 'expected read(4, ..., 10) = 10 got read blocks'],
    ['a value by reference', '+0 ioctl(4, SIOCINQ, [5]) = 0', 'expected ioctl(4, SIOCINQ, [5]) = 0 got [0]'],
    [
      'a state',
      '+0 %{ assert tcpi_state == TCP_LISTEN }%',
      'expected tcpi_state == TCP_LISTEN got ESTABLISHED',
    ],
  ])('%s', (_what, events, message) => {
    const text = accepted(events)
    const last = FIRST + events.split('\n').length - 1
    expect(text).toMatch(new RegExp(`^FAIL s ${last}:\\d+: `))
    expect(text).toContain(message)
  })

  it('segments that do not add up evenly, and any at all with strict_segments', () => {
    const events = '+0 write(4, ..., 2500) = 2500\n+0 > P. 1:2501(2500) ack 1'
    expect(line(`--strict_segments\n${ACCEPTED}${events}`)).toContain('(PSH, payload length)')
  })

  it('a script that can not be read', () => {
    expect(line('0 close(3')).toBe('FAIL s 2:10: expected ")" behind the arguments, found the end')
    expect(line('--mtu=many\n0 close(3) = 0')).toBe('FAIL s 2:1: --mtu needs a number')
  })
})

describe('what is skipped', () => {
  it.each([
    ['+0 > udp (10)', 'udp packet (9:4)'],
    ['+0 epoll_create(1) = 5', 'call epoll_create (9:4)'],
    ['+0 setsockopt(4, SOL_TCP, TCP_ZEROCOPY_RECEIVE, [1], 4) = 0', 'TCP_ZEROCOPY_RECEIVE (9:27)'],
    ['+0 setsockopt(4, SOL_TCP, 9999, [1], 4) = 0', 'socket option 9999 (9:27)'],
    ['+0 < . 1:9001(9000) ack 1 win 20000', '9040 bytes do not fit an MTU of 1500; oversize-in is off (9:1)'],
  ])('%s', (events, message) => expect(accepted(events)).toBe(`SKIP s ${message}`))
})

describe('calls that block', () => {
  it('return when they should', () => {
    expect(accepted('+0...0.1 read(4, ..., 100) = 50\n+.1 < P. 1:51(50) ack 1 win 20000')).toBe('PASS s')
    expect(line('0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...0 close(3) = 0')).toBe('PASS s')
  })
  it('are late, early or wrong', () => {
    const read = '+0...0.1 read(4, ..., 100) = 50\n'
    expect(accepted(`${read}+.05 < P. 1:51(50) ack 1 win 20000`)).toBe(
      'FAIL s 9:1: expected read(4, ..., 100) = 50 got return at 0.050000, not at 0.100000',
    )
    expect(accepted(`${read}+.2 < P. 1:51(50) ack 1 win 20000`)).toBe(
      'FAIL s 9:1: expected read(4, ..., 100) = 50 got read still blocks at 0.200000',
    )
    expect(accepted(read)).toBe(
      'FAIL s 9:1: expected read(4, ..., 100) = 50 got read still blocks at 0.112501',
    )
    expect(accepted(`${read}+.1 < P. 1:50(49) ack 1 win 20000`)).toContain('got 49')
  })
  it('end before the next call is made', () => {
    const events = '+0...0.1 read(4, ..., 100) = 50\n+.05 close(4) = 0'
    expect(accepted(events)).toContain('9:1: expected read(4, ..., 100) = 50 got read still blocks')
  })
  it('a write goes on until all is taken', () => {
    const events = `--lenient=coalesce-out\n${ACCEPTED}+0...0.1 write(4, ..., 9000000) = 1100000
+0 > . 1:10001(10000) ack 1 <...>
+.1 < . 1:1(0) ack 10001 win 20000`
    // The send buffer takes some megabytes; the rest needs more acknowledgements than this.
    expect(line(events)).toContain('write still blocks')
  })
})

describe('poll', () => {
  it('tells what is true now, and waits for what is not', () => {
    const now = (events: string, revents: string): string =>
      accepted(`+0 poll([{fd=4, events=${events}, revents=${revents}}], 1, 0) = ${revents === '0' ? 0 : 1}`)
    expect(now('POLLIN|POLLOUT', 'POLLOUT')).toBe('PASS s')
    expect(now('POLLIN', '0')).toBe('PASS s')
    expect(now('POLLOUT', 'POLLIN')).toContain('got [4]')
    const wait = '+0...0.1 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 500) = 1\n'
    expect(accepted(`${wait}+.1 < P. 1:51(50) ack 1 win 20000`)).toBe('PASS s')
    expect(accepted('+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 500) = 0')).toContain('SKIP')
  })
})

describe('settings', () => {
  it('of the kernel become those of the stack', () => {
    const text = `\`sysctl -w net.ipv4.tcp_timestamps=0 net.ipv4.tcp_rmem="4096 65536 65535"\`
0 \`sysctl -q net.inet.tcp.sack.enable=0\`
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <mss 1460,nop,wscale 0>`
    expect(line(text)).toBe('PASS s')
  })
  it('not known are noted', () => {
    const { notes } = run('--nonsense=1\n`sysctl -w net.ipv4.nonsense=1`\n0 %{ assert tcpi_rtt == 5 }%')
    expect(notes).toEqual([
      '2: option --nonsense is not known',
      '3: setting net.ipv4.nonsense passed over',
      '4: code skipped: assert tcpi_rtt == 5',
    ])
  })
  it('the MTU gives the MSS', () => {
    expect(line(`--mtu=1300\n${ACCEPTED.replace('1460', '1260')}`)).toBe('PASS s')
  })
})

describe('families', () => {
  it('both unless the script says which', () => {
    const reports = runText('s', '0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3')
    expect(reports.map((report) => report.family)).toEqual(['ipv4', 'ipv6'])
    expect(runText('s', '--ip_version=ipv6\n').map((report) => report.family)).toEqual([''])
  })
})

describe('timestamps', () => {
  const OPEN = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 8) = 0
+0 < S 0:0(0) win 20000 <mss 1000,nop,nop,TS val 7 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 7>
`
  it('echoed are looked up', () => {
    const open = `${OPEN}+.01 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 8 ecr`
    expect(line(`${open} 100>`)).toBe('PASS s')
    expect(line(`${open} 110>`)).toContain('ecr 110 is no timestamp that was seen')
    expect(line(`--tcp_ts_ecr_scaled\n${open} 110>`)).toBe('PASS s')
  })
  it('are compared when their tick is known', () => {
    const events = (
      value: number,
    ): string => `${OPEN}+.1 < . 1:1(0) ack 1 win 20000 <nop,nop,TS val 8 ecr 100>
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1 <nop,nop,TS val ${value} ecr 8>`
    expect(line(events(999))).toBe('PASS s')
    expect(line(`--tcp_ts_tick_usecs=1000\n${events(200)}`)).toBe('PASS s')
    expect(line(`--tcp_ts_tick_usecs=1000\n${events(300)}`)).toContain('(options)')
  })
})

describe('hostile scripts', () => {
  const lines = [
    '+0 < S 0:0(0) win 0 <mss 0>',
    '+0 < S. 4294967295:4294967295(0) ack 1 win 65535 <mss 1,nop,nop,TS val 0 ecr 0>',
    '+0 < FRPU. 1:1401(1400) ack 4294967295 win 65535 urg 65535',
    '+0 < - 5:6(1) win 1',
    '+0 < . 1:1(0) ack 1 win 1 <sack 1:0 0:1,nop,nop>',
    '+0 < icmp unreachable frag_needed mtu 0 [1:2(1)]',
    '+0 > . 1:1(0) ack 1',
    '+1 close(4) = 0',
    '+0 close(99) = -1 EBADF',
    '+0...9 accept(3, ..., ...) = 4',
    '+0 accept(3, ..., ...) = -5',
    '+0 listen(3, -1) = 0',
    '+0 bind(3, {sin_port=htons(99999)}, ...) = 0',
    '+0 write(4, ..., 100000) = 100000',
    '+0 read(4, ..., 99999999999) = 0',
    '+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0',
    '+0 shutdown(3, SHUT_RDWR) = 0',
    '+86400 connect(3, ..., ...) = 0',
    '+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4',
  ]
  it('end with a result', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...lines), { maxLength: 8 }), fc.boolean(), (chosen, open) => {
        const { outcome, message } = run((open ? ACCEPTED : '') + chosen.join('\n'), 'all')
        expect(['pass', 'pass-lenient', 'fail', 'skip']).toContain(outcome)
        expect(message).not.toContain('threw')
      }),
      { numRuns: 60 },
    )
  })
})
