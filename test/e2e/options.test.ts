import { afterEach, describe, expect, it } from 'vitest'
import { XdpNic } from '../../driver/xdp/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server, ServerOptions } from '../../net/server.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const PORT = 9000

/** What the other end runs: `address`, `port` and `socket` are given. */
function program(pair: VethPair, body: string): string[] {
  return ['-c', `import socket, sys, time\naddress, port = "${pair.ourAddress}", ${PORT}\n${body}`]
}

const ASK = `
s = socket.create_connection((address, port), timeout=5)
s.sendall(b"x" * 100)
print(s.recv(100).decode())
`

describe.skipIf(obstacle !== '')('what the two ends agree on, Linux at the other end', () => {
  const cleanups: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  /** A server that answers each piece with its length. */
  async function serve(options: Partial<ServerOptions> = {}): Promise<{ pair: VethPair; server: Server }> {
    const pair = new VethPair()
    cleanups.push(() => pair.destroy())
    const server = await createServer({
      device: XdpNic.open({ device: pair.device, netns: pair.oursPath }),
      address: pair.ourAddress,
      port: PORT,
      handler: {
        onData: (connection, _offset, length) => {
          connection.send(new TextEncoder().encode(`got ${length}`))
          return true
        },
        onEnd: (connection) => connection.close(),
      },
      ...options,
    })
    cleanups.push(() => server.close())
    return { pair, server }
  }

  /** Runs the program at the other end while the server works; its output. */
  async function run(pair: VethPair, body: string): Promise<string> {
    const child = pair.start(pair.peer, PYTHON, ...program(pair, body))
    let output = ''
    child.stdout!.on('data', (text: Buffer) => {
      output += text
    })
    child.stderr!.on('data', (text: Buffer) => {
      output += text
    })
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect(code, output).toBe(0)
    return output
  }

  it('Fast Open: Linux gets a cookie, and its next SYNs carry data (RFC 7413)', async () => {
    const { pair, server } = await serve({ fastOpen: 16 })
    const output = await run(
      pair,
      `
MSG_FASTOPEN = 0x20000000
for i in range(3):
    s = socket.socket()
    s.sendto(b"hello" * 20, MSG_FASTOPEN, (address, port))
    print(s.recv(100).decode())
    s.close()
`,
    )
    expect(output).toBe('got 100\n'.repeat(3))
    expect(server.stats().tcp.fastOpens).toBe(2)
  })

  it('SYN cookies: connections that nothing was remembered of carry data with SACK and scaling (RFC 4987)', async () => {
    const { pair, server } = await serve({ tcp: { maxHalfOpen: 0 } })
    expect(await run(pair, ASK)).toBe('got 100\n')
    const { synCookiesSent, synCookiesTaken } = server.stats().tcp
    expect([synCookiesSent, synCookiesTaken]).toEqual([1, 1])
  })

  it('ECN: Linux asks for it and keeps it (RFC 3168)', async () => {
    const { pair } = await serve()
    pair.run(pair.peer, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/tcp_ecn')
    // TCPI_OPT_ECN is 8, at byte 5 of struct tcp_info.
    const output = await run(pair, `${ASK}print(s.getsockopt(6, 11, 8)[5] & 8)`)
    expect(output).toBe('got 100\n8\n')
  })

  it('keepalive: Linux probes a quiet connection and is answered', async () => {
    const { pair, server } = await serve()
    const output = await run(
      pair,
      `
s = socket.create_connection((address, port), timeout=10)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.setsockopt(6, socket.TCP_KEEPIDLE, 1)
s.setsockopt(6, socket.TCP_KEEPINTVL, 1)
s.setsockopt(6, socket.TCP_KEEPCNT, 1)
# The connection must outlive idle and interval: waiting for nothing is the event here.
try:
    s.settimeout(3.5)
    s.recv(1)
except TimeoutError:
    pass
s.settimeout(5)
s.sendall(b"x" * 100)
print(s.recv(100).decode())
`,
    )
    expect(output).toBe('got 100\n')
    expect(server.stats().drops).toEqual({})
  })

  it('keepalive: a peer that vanished is noticed', async () => {
    let opened = (): void => {}
    let settle: (errno: number) => void
    const ended = new Promise<number>((resolve) => {
      settle = resolve
    })
    const { pair } = await serve({
      keepAlive: 1000,
      tcp: { keepIntervalUs: 500_000, keepCount: 2 },
      handler: {
        onConnection: () => opened(),
        onData: () => true,
        onEnd: (connection, errno) => {
          connection.close()
          settle(errno)
        },
      },
    })
    // The cable is cut while nothing is in flight.
    opened = () => void pair.run(pair.peer, 'ip', 'link', 'set', pair.peerDevice, 'down')
    const client = program(pair, 's = socket.create_connection((address, port))\ntime.sleep(60)')
    const child = pair.start(pair.peer, PYTHON, ...client)
    cleanups.push(() => void child.kill('SIGKILL'))
    expect(await ended).toBe(110)
  })
})
