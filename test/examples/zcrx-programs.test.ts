import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { nativeOrNull } from '../../driver/native/index.ts'
import {
  parseServer,
  type RingSide,
  SERVER_DEFAULTS,
  type ServerOptions,
  serve,
} from '../../examples/09-zcrx-server.ts'
import { payload, runServer, SEND_BYTES, type SelftestOptions } from '../../examples/10-zcrx-selftest.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import { Stack } from '../../stack/stack.ts'
import { ESTABLISHED } from '../../stack/tcp/state.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { VethPair } from '../support/netns.ts'
import { CLIENT, plainMemory, SERVER } from '../support/stack-pair.ts'

const EXAMPLES = join(import.meta.dirname, '../../dist/examples')

/** A host on a memory link, with a sender at the other end that works while the program under test waits. */
function hostWithSender(
  data: Uint8Array,
  options: { mtu?: number; port?: number; close?: boolean } = {},
): RingSide & { kernel: InlineKernel } {
  const clock = new VirtualClock(1_000_000)
  const link = new MemoryLink({ seed: 3, mtu: options.mtu ?? 1500, now: () => clock.now() })
  const make = (nic: typeof link.a, address: typeof CLIENT, seed: number): Stack => {
    const stack = new Stack({ nic, memory: plainMemory(256), clock, entropy: seededEntropy(seed) })
    stack.addAddress(address, true)
    return stack
  }
  const sender = make(link.a, CLIENT, 1)
  const receiver = make(link.b, SERVER, 2)
  let tcb: Tcb | null = null
  let sent = 0
  const kernel = new InlineKernel({
    memoryFor: () => plainMemory(256),
    idle: (untilUs) => {
      tcb ??= sender.tcp.connect(CLIENT, 0, SERVER, options.port ?? 8000, clock.now())
      if (tcb !== null && tcb.state === ESTABLISHED && sent < data.length) {
        sent += sender.tcp.send(tcb, data, sent, clock.now())
        if (sent === data.length && options.close !== false) sender.tcp.shutdownSend(tcb, clock.now())
      }
      const next = Math.min(untilUs, link.nextArrival())
      clock.advanceTo(Math.min(next, clock.now() + 10_000))
      return true
    },
  })
  kernel.addStack(receiver)
  kernel.addStack(sender)
  return {
    kernel,
    nic: link.b,
    address: SERVER,
    ringBackend: () => kernel.ringBackend(),
    adoptFd: (fd) => kernel.adoptFd(fd),
  }
}

const server = (changes: Partial<ServerOptions>): ServerOptions => ({
  ...SERVER_DEFAULTS,
  areaBytes: 4 << 20,
  verify: true,
  ...changes,
})

describe('examples/09-zcrx-server over a memory link', () => {
  it.each<[string, Partial<ServerOptions>, number?]>([
    ['to the end of the stream', {}],
    ['so many bytes (-s)', { size: 1_000_000 }],
    ['with the refill queue in memory of the ring (-r 1)', { rqAllocation: 1 }],
    ['into huge pages (-A 1)', { areaType: 1 }],
    ['into a memfd (-A 2)', { areaType: 2 }],
    ['through a small completion queue (-C 8)', { cqEntries: 8 }],
    ['with few refill entries (-R 2048)', { rqEntries: 2048 }],
    ['in jumbo frames', {}, 9000],
  ])('receives %s', (_what, changes, mtu = 1500) => {
    if (changes.areaType === 2 && nativeOrNull() === null) return
    const data = payload(1_300_000)
    const options = server(changes)
    const host = hostWithSender(data, { mtu })
    const report = serve(host, options)
    expect(report.received).toBe(options.size || data.length)
    if (changes.cqEntries === 8) expect(report.requeues).toBeGreaterThan(0)
    expect(host.kernel.ifqs.size).toBe(0)
  })

  it('notices a byte that is not as sent (-v)', () => {
    const data = payload(50_000)
    data[40_000] = 7
    expect(() => serve(hostWithSender(data), server({}))).toThrow(/byte 40000 of the stream is 7, not /)
  })

  it("reads the options of liburing's program", () => {
    const args = '-i eth0 -q 2 -p 9000 -s 4096 -v -r 1 -S 8192 -A 2 -C 64 -R 128 -c 1'.split(' ')
    expect(parseServer(args)).toEqual({
      device: 'xdp:eth0/2',
      cpu: '1',
      options: {
        port: 9000,
        size: 4096,
        verify: true,
        rqAllocation: 1,
        areaBytes: 8192,
        areaType: 2,
        cqEntries: 64,
        rqEntries: 128,
      },
    })
    expect(() => parseServer(['-q', '0'])).toThrow(/-i/)
    expect(() => parseServer(['-i', 'eth0', '-q', '0', '-A', '3'])).toThrow(/"3" is not a number from 0 to 2/)
  })
})

describe('examples/10-zcrx-selftest over a memory link', () => {
  const options = (changes: Partial<SelftestOptions>): SelftestOptions => ({
    port: 8000,
    oneshot: undefined,
    rxBufLen: 0,
    dryRun: false,
    ...changes,
  })

  it('single: one request for all', () => {
    expect(runServer(hostWithSender(payload(SEND_BYTES)), options({}))).toBe(SEND_BYTES)
  })

  it('oneshot: five requests of a page each (-o 4)', () => {
    const host = hostWithSender(payload(SEND_BYTES))
    expect(runServer(host, options({ oneshot: 4 }))).toBe(5 * 4096)
  })

  it.each([2, 16, 512])('large chunks of %i pages (-x)', (pages) => {
    const host = hostWithSender(payload(SEND_BYTES), { mtu: 9000 })
    expect(runServer(host, options({ rxBufLen: pages * 4096 }))).toBe(SEND_BYTES)
  })

  it('dry run: registers only (-d)', () => {
    const host = hostWithSender(new Uint8Array(0))
    expect(runServer(host, options({ dryRun: true }))).toBe(0)
    expect(host.kernel.ifqs.size).toBe(0)
  })

  it('notices a byte that is not as sent', () => {
    const data = payload(9000)
    data[8999] = 1
    expect(() => runServer(hostWithSender(data), options({}))).toThrow('payload mismatch at 8999')
  })
})

describe.skipIf(obstacle !== '')("both programs over AF_XDP, the selftest's client on Linux", () => {
  let pair: VethPair | null = null
  afterEach(() => pair?.destroy())

  /** Starts a program of ours in our namespace, sends to it from the other, and returns what it said and its status. */
  async function run(
    program: string,
    args: string[],
    send: string[],
  ): Promise<{ out: string; status: number | null }> {
    pair = new VethPair()
    const server: ChildProcess = pair.start(
      pair.ours,
      process.execPath,
      join(EXAMPLES, `${program}.js`),
      ...args,
      '-i',
      pair.device,
      '-q',
      '0',
    )
    let out = ''
    server.stdout!.on('data', (chunk) => (out += chunk))
    server.stderr!.on('data', (chunk) => (out += chunk))
    const ended = new Promise<number | null>((resolve) => server.once('close', resolve))
    // Until the server listens, Linux refuses for the address.
    for (let tries = 0; tries < 50 && server.exitCode === null; tries++) {
      const client = [
        join(EXAMPLES, '10-zcrx-selftest.js'),
        '-c',
        '-h',
        pair.ourAddress,
        '-p',
        '9999',
        ...send,
      ]
      const sender = pair.start(pair.peer, process.execPath, ...client)
      const sent = await new Promise<number | null>((resolve) => sender.once('close', resolve))
      if (sent === 0) break
    }
    const status = await ended
    return { out, status }
  }

  it('zcrx-server checks every byte of 2 MiB', async () => {
    const args = ['-p', '9999', '-v', '-S', String(16 << 20)]
    const { out, status } = await run('09-zcrx-server', args, ['-l', '12840'])
    expect(out).toMatch(/^Connection terminated: received 2097152, cqes \d+, requeues 0\n$/)
    expect(status).toBe(0)
  })

  it('zcrx-server into a memfd, through a ring-provided queue', async () => {
    const args = ['-p', '9999', '-v', '-A', '2', '-r', '1', '-S', String(16 << 20)]
    const { out, status } = await run('09-zcrx-server', args, [])
    expect([out.replace(/cqes \d+/, 'cqes N'), status]).toEqual([
      'Connection terminated: received 2097152, cqes N, requeues 0\n',
      0,
    ])
  })

  it('zcrx-selftest: single', async () => {
    const { out, status } = await run('10-zcrx-selftest', ['-s', '-p', '9999'], ['-l', '12840'])
    expect([out, status]).toEqual(['2097152 bytes, all as sent\n', 0])
  })

  it('zcrx-selftest: oneshot', async () => {
    const { out, status } = await run(
      '10-zcrx-selftest',
      ['-s', '-p', '9999', '-o', '4'],
      ['-l', '4096', '-z', '16384'],
    )
    expect([out, status]).toEqual(['16384 bytes, all as sent\n', 0])
  })

  it('zcrx-selftest: large chunks are received, or the machine is said to lack them', async () => {
    const { out, status } = await run('10-zcrx-selftest', ['-s', '-p', '9999', '-x', '2'], [])
    if (status === 42) expect(out).toMatch(/huge pages|Large chunks are not supported/)
    else expect([out, status]).toEqual(['2097152 bytes, all as sent\n', 0])
  })
})
