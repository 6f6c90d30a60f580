import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, it } from 'vitest'
import type { NicError } from '../../errors.ts'
import { createServer } from '../../net/open.ts'
import { obstacle as noRaw } from '../driver/raw/setup.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { obstacle as notBuilt, startDaemon } from '../support/daemon.ts'
import { Endpoint, OUR_PERIOD, PEER_PERIOD, patternDigest, type Stream } from '../support/endpoint.ts'
import { ip, type VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'
import { TapPlace } from '../support/tap-place.ts'
import { PacketWay, RawWay, type Way, XdpWay } from '../support/ways.ts'

const WAYS = ['generic', 'native', 'packet', 'raw'] as const
type WayName = (typeof WAYS)[number]
const PORT = 9000
const OWN = { 4: '10.77.0.99', 6: 'fd00:77::99' } as const

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function open(name: WayName, address?: string, own = false): { pair: VethPair & Way; endpoint: Endpoint } {
  const pair = new { generic: XdpWay, native: XdpWay, packet: PacketWay, raw: RawWay }[name]({ ipv6: true })
  cleanups.push(() => pair.destroy())
  const device = pair.open(4, name === 'native' ? 'native' : 'generic')
  const endpoint = new Endpoint({
    device,
    areaBytes: 4 << 20,
    ownAddress: own,
    ...(address === undefined ? {} : { address }),
  })
  cleanups.push(() => endpoint.close())
  return { pair, endpoint }
}

/** Reads a line, sends as many bytes of the pattern, and tells when as many of ours have come and were right; and so on. */
const CLIENT = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
connection = socket.socket(family, socket.SOCK_STREAM)
connection.connect((sys.argv[1], ${PORT}))
connection.settimeout(20)
print("connected", flush=True)
sent = seen = 0
for line in sys.stdin:
    count = int(line)
    connection.sendall(bytes((sent + i) % ${PEER_PERIOD} for i in range(count)))
    sent += count
    while seen < sent:
        data = connection.recv(1 << 16)
        if not data or data != bytes((seen + i) % ${OUR_PERIOD} for i in range(len(data))):
            print("wrong", flush=True)
            sys.exit(1)
        seen += len(data)
    print("done", flush=True)
`

describe.skipIf(obstacle !== '')('an interface that goes away', () => {
  const ends: Record<string, (pair: VethPair) => void> = {
    'deleted here': (pair) => ip('-n', pair.ours, 'link', 'del', pair.device),
    'deleted with its peer': (pair) => ip('-n', pair.peer, 'link', 'del', pair.peerDevice),
    'moved elsewhere': (pair) => ip('-n', pair.ours, 'link', 'set', pair.device, 'netns', pair.peer),
  }
  const cells = WAYS.flatMap((way) => Object.keys(ends).map((how) => [way, how] as const))

  it.each(cells.filter(([way]) => way !== 'raw' || noRaw === ''))(
    '%s: %s: is told, and what went on ends',
    async (way, how) => {
      const { pair, endpoint } = open(way)
      const gone = new Promise<NicError>((resolve) => {
        endpoint.host.onGone = resolve
      })
      let accept = (_: Stream): void => {}
      const accepted = new Promise<Stream>((resolve) => {
        accept = resolve
      })
      await endpoint.listen(PORT, (stream) => accept(stream))
      const client = pair.start(pair.peer, PYTHON, '-c', CLIENT, pair.ourAddress)
      cleanups.push(() => client.kill('SIGKILL'))
      const stream = await accepted
      ends[how]!(pair)
      const error = await within(gone)
      expect(error).toMatchObject({ code: 'ZCRX_NIC_GONE', message: expect.stringContaining(pair.device) })
      // ENODEV
      expect(await within(stream.ended)).toBe(19)
      expect([endpoint.host.nic.gone, endpoint.states()]).toEqual([true, []])
      // A thread that sleeps is not kept from anything else either.
      expect(endpoint.host.nic.wait(5)).toBe(false)
    },
  )

  it('tap: deleted: is told', async () => {
    const place = new TapPlace({})
    cleanups.push(() => place.destroy())
    const endpoint = new Endpoint({ device: place.open(), address: '10.77.0.2', areaBytes: 1 << 20 })
    cleanups.push(() => endpoint.close())
    const gone = new Promise<NicError>((resolve) => {
      endpoint.host.onGone = resolve
    })
    await endpoint.listen(PORT, () => {})
    ip('-n', place.peer, 'link', 'del', place.peerDevice)
    expect(await within(gone)).toMatchObject({ code: 'ZCRX_NIC_GONE' })
  })

  it('is told although so much happened meanwhile that events were lost', async () => {
    const { pair, endpoint } = open('packet')
    const { host } = endpoint
    const gone = new Promise<NicError>((resolve) => {
      host.onGone = resolve
    })
    endpoint.engine.wake()
    const batch = (...lines: string[]): void => {
      // One process, while this one does nothing.
      const many = Array.from({ length: 600 }, (_, i) => `link set dev ${pair.device} mtu ${1300 + (i % 2)}`)
      const input = [...many, ...lines].join('\n')
      execFileSync('ip', ['-n', pair.ours, '-batch', '-'], { input, stdio: ['pipe', 'pipe', 'pipe'] })
    }
    batch(`link set dev ${pair.device} address 02:77:00:00:00:41`)
    await within(until(() => host.nic.info.mac[5] === 0x41))
    batch(`link del ${pair.device}`)
    expect(await within(gone)).toMatchObject({ code: 'ZCRX_NIC_GONE' })
  })

  it('leaving a bridge is not going away', async () => {
    const { pair, endpoint } = open('packet')
    const { host } = endpoint
    endpoint.engine.wake()
    ip('-n', pair.ours, 'link', 'add', 'br0', 'type', 'bridge')
    ip('-n', pair.ours, 'link', 'set', pair.device, 'master', 'br0')
    ip('-n', pair.ours, 'link', 'set', pair.device, 'nomaster')
    ip('-n', pair.ours, 'link', 'set', pair.device, 'mtu', '1300')
    await within(until(() => host.stack.link.mtu === 1300))
    expect([host.nic.gone, host.network!.up]).toEqual([false, true])
  })

  it.each(['generic', 'native', 'packet'] as const)('%s: wakes a thread that sleeps', (way) => {
    const { pair, endpoint } = open(way)
    const { nic } = endpoint.host
    const deletion = pair.start(pair.ours, 'sh', '-c', `sleep 0.2; ip link del ${pair.device}`)
    cleanups.push(() => deletion.kill())
    const start = performance.now()
    while (!nic.gone && performance.now() - start < 8000) nic.wait(8000)
    expect(nic.gone).toBe(true)
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe.skipIf(obstacle !== '')('an interface whose hardware address changes', () => {
  const cells = (['generic', 'native', 'packet'] as const).flatMap((way) =>
    ([4, 6] as const).flatMap((version) => [true, false].map((own) => [way, version, own] as const)),
  )

  it.each(cells)('%s, IPv%i, address of our own %s: connections go on', async (way, version, own) => {
    const hosts = version === 4 ? '10.77.0.2' : 'fd00:77::2'
    const address = own ? OWN[version] : hosts
    const { pair, endpoint } = open(way, address, own)
    const received: Stream[] = []
    const accepted = new Promise<void>((resolve) =>
      endpoint.listen(PORT, (stream) => {
        received.push(stream)
        resolve()
      }),
    )
    const client = pair.start(pair.peer, PYTHON, '-c', CLIENT, address)
    cleanups.push(() => client.kill('SIGKILL'))
    const lines = createInterface(client.stdout!)
    const line = async (): Promise<string> => (await once(lines, 'line'))[0]
    expect(await line()).toBe('connected')
    await accepted
    let total = 0
    const exchange = async (): Promise<void> => {
      total += 30_000
      const answer = line()
      client.stdin!.write('30000\n')
      await received[0]!.arrived(total)
      const sent = reply(received[0]!, total)
      expect(await answer).toBe('done')
      await sent
    }
    await exchange()
    for (const mac of ['02:77:00:00:00:31', '02:77:00:00:00:32']) {
      ip('-n', pair.ours, 'link', 'set', pair.device, 'address', mac)
      // Neighbours that ask hear of it from the kernel.
      if (!own && mac.endsWith('2')) ip('-n', pair.peer, 'neigh', 'flush', 'dev', pair.peerDevice)
      const start = performance.now()
      await exchange()
      // The kernel would not hear of it for seconds.
      expect(performance.now() - start).toBeLessThan(3000)
      const { info } = endpoint.host.nic
      expect(Buffer.from(info.mac).toString('hex')).toBe(mac.replaceAll(':', ''))
      if (own) {
        const [entry] = JSON.parse(ip('-n', pair.peer, '-j', 'neigh', 'show', address))
        expect(entry.lladdr).toBe(mac)
      }
    }
    // What came between the change and the news of it may have been dropped; from then on nothing is.
    const { counters } = endpoint.host.stack
    const dropped = counters.dropNotForUs
    await exchange()
    expect(counters.dropNotForUs).toBe(dropped)
    expect(received[0]!.digest()).toBe(patternDigest(PEER_PERIOD, total))
  })
})

const replied = new WeakMap<Stream, number>()

/** Sends the pattern up to byte `total` of the stream. */
async function reply(stream: Stream, total: number): Promise<void> {
  const from = replied.get(stream) ?? 0
  replied.set(stream, total)
  await stream.sendFrom(from, total - from)
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 2))
}

async function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it did not come about')), 3000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

describe.skipIf(obstacle !== '' || notBuilt !== '')('what runs on an interface that goes away', () => {
  it.each(['xdp', 'packet', 'raw'])(
    'zcrxd run over %s ends with an error line and a status',
    async (driver) => {
      const pair = new XdpWay()
      cleanups.push(() => pair.destroy())
      let child!: ChildProcess
      let log = ''
      await startDaemon(
        pair.ours,
        [
          '--device',
          driver === 'raw' ? `raw:${pair.ourAddress}` : `${driver}:${pair.device}`,
          '--listen',
          ':9000',
        ],
        (started) => {
          child = started
          cleanups.push(() => child.kill('SIGKILL'))
          child.stderr!.on('data', (text) => {
            log += text
          })
        },
      )
      const exit = once(child, 'exit')
      ip('-n', pair.ours, 'link', 'del', pair.device)
      expect(await within(exit)).toEqual([1, null])
      expect(log).toMatch(/"level":50.*"code":"ZCRX_NIC_GONE"/)
    },
  )

  it('a server tells the program, and throws at whoever iterates it', async () => {
    const pair = new XdpWay()
    cleanups.push(() => pair.destroy())
    const server = await createServer({ device: pair.open(4, 'generic'), port: PORT })
    const told = new Promise<NicError>((resolve) => server.onGone(resolve))
    const iterating = server[Symbol.asyncIterator]().next()
    ip('-n', pair.ours, 'link', 'del', pair.device)
    await expect(within(iterating)).rejects.toMatchObject({ code: 'ZCRX_NIC_GONE' })
    expect(await within(told)).toMatchObject({ code: 'ZCRX_NIC_GONE' })
    await expect(server[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'ZCRX_NIC_GONE' })
    await server.close()
  })
})
