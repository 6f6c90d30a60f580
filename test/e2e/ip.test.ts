import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { XdpNic } from '../../driver/xdp/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { obstacle, script } from '../driver/xdp/setup.ts'
import { connect } from '../support/client.ts'
import { PEER_PERIOD, patternDigest } from '../support/endpoint.ts'
import { VethPair, type VethPairOptions } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const PORT = 9000
/** Addresses that only the stack has. */
const OWN = '10.77.0.99'
const OWN6 = 'fd00:77::99'

describe.skipIf(obstacle !== '')('IP on AF_XDP, Linux at the other end', () => {
  const cleanups: (() => void | Promise<void>)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  function veth(options: VethPairOptions = {}): VethPair {
    const pair = new VethPair({ ipv6: true, ...options })
    cleanups.push(() => pair.destroy())
    return pair
  }

  /** A server that hashes one stream, or answers each connection with an HTTP response. */
  async function serve(
    pair: VethPair,
    address: string,
    own: boolean,
    mode: 'native' | 'generic' = 'native',
    http = false,
  ): Promise<{ server: Server; digest: Promise<string> }> {
    const hash = createHash('sha256')
    let settle: (digest: string) => void
    const digest = new Promise<string>((resolve) => {
      settle = resolve
    })
    const response = new TextEncoder().encode('HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n')
    const server = await createServer({
      device: XdpNic.open({ device: pair.device, netns: pair.oursPath, mode }),
      address,
      ownAddress: own,
      port: PORT,
      handler: {
        onData: (connection, offset, length) => {
          const bytes = server.area.subarray(offset, offset + length)
          hash.update(bytes)
          if (http) connection.send(response)
          return true
        },
        onEnd: (connection) => {
          settle(hash.digest('hex'))
          connection.send(Uint8Array.of(1))
          connection.close()
        },
      },
    })
    cleanups.push(() => server.close())
    return { server, digest }
  }

  /** Runs a program at the peer; its exit status and output. */
  function run(
    pair: VethPair,
    command: string,
    ...args: string[]
  ): Promise<{ code: number | null; text: string }> {
    const child = pair.start(pair.peer, command, ...args)
    cleanups.push(() => void child.kill('SIGKILL'))
    let text = ''
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
    }
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, text })))
  }

  it.each([
    [1500, 'generic', false],
    [1500, 'native', false],
    [1500, 'native', true],
    [9000, 'generic', true],
    [65_535, 'generic', false],
  ] as const)(
    'receives over IPv6 what Linux sends, in place, at MTU %i in %s mode, own address: %s',
    async (mtu, mode, own) => {
      const pair = veth({ mtu })
      const bytes = 20_000_000
      const address = own ? OWN6 : pair.ourAddress6
      const { server, digest } = await serve(pair, address, own, mode)
      const { code, text } = await run(
        pair,
        PYTHON,
        script('peer.py'),
        'stream',
        address,
        `${PORT}`,
        `${bytes}`,
        '1',
      )
      expect([code, text]).toEqual([0, ''])
      expect(await digest).toBe(patternDigest(PEER_PERIOD, bytes))
      const stats = server.stats()
      expect([stats.zeroCopiedBytes, stats.copiedBytes]).toEqual([bytes, 0])
      expect(server.census().lost).toBe(0)
    },
    60_000,
  )

  it('curl -6 gets an answer', async () => {
    const pair = veth()
    await serve(pair, OWN6, true, 'native', true)
    const { code, text } = await run(pair, 'curl', '-6', '-sS', '-m', '5', `http://[${OWN6}]:${PORT}/`)
    expect([code, text]).toEqual([0, 'hi\n'])
  }, 30_000)

  it.each([
    ['IPv4', OWN, 56],
    ['IPv4', OWN, 8000],
    ['IPv6', OWN6, 56],
    ['IPv6', OWN6, 8000],
  ] as const)(
    'answers ping over %s at %s with %i bytes, in fragments where it must',
    async (_version, address, bytes) => {
      const pair = veth()
      const { server } = await serve(pair, address, true)
      const { code, text } = await run(pair, PYTHON, script('peer.py'), 'ping', address, `${bytes}`)
      expect([code, text]).toEqual([0, ''])
      const { tcp } = server.stats()
      expect([tcp.icmpEchoReplies, tcp.reassembled]).toEqual([1, bytes > 1500 ? 1 : 0])
    },
    30_000,
  )

  it.each([
    ['IPv4', OWN, '10.77.0.1'],
    ['IPv6', OWN6, 'fd00:77::1'],
  ] as const)(
    'connects over %s to Linux, which takes all of it',
    async (_version, address, peer) => {
      const pair = veth()
      const listener = run(
        pair,
        PYTHON,
        '-c',
        `import socket,hashlib
s=socket.create_server(("${peer}",7000),family=socket.AF_INET6 if ":" in "${peer}" else socket.AF_INET)
print("ready",flush=True)
c,a=s.accept()
h=hashlib.sha256()
while d:=c.recv(65536): h.update(d)
print(a[0],h.hexdigest())`,
      )
      await new Promise((resolve) => setTimeout(resolve, 500))
      const client = await connect({
        device: XdpNic.open({ device: pair.device, netns: pair.oursPath, mode: 'native' }),
        address,
        ownAddress: true,
        remoteAddress: peer,
        remotePort: 7000,
      })
      cleanups.push(() => client.close())
      const bytes = Uint8Array.from({ length: 1_000_000 }, (_, i) => i % 253)
      await client.send(0, bytes)
      await client.end(0)
      const { text } = await listener
      expect(text).toBe(`ready\n${address} ${createHash('sha256').update(bytes).digest('hex')}\n`)
    },
    30_000,
  )

  it('a closed port and a protocol nobody speaks are refused as Linux expects', async () => {
    const pair = veth()
    await serve(pair, OWN6, true)
    const refused = await run(pair, 'curl', '-6', '-sS', '-m', '5', `http://[${OWN6}]:81/`)
    expect(refused.text).toMatch(/refused|Couldn't connect|Failed to connect/)
    const udp = await run(
      pair,
      PYTHON,
      '-c',
      `import socket
s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)
s.settimeout(2)
s.connect(("${OWN6}",5))
s.send(b"x")
try: s.recv(1)
except OSError as e: print(e.errno)`,
    )
    // A parameter problem, unknown next header: EPROTO.
    expect(udp.text).toBe('71\n')
  }, 30_000)
})
