/** Queues of one device, each with a NIC and a server of its own, and Linux's clients: in one thread, and in two. */
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { openQueue, planQueues } from '../../host/devices/index.ts'
import type { ServerOptions } from '../../net/server.ts'
import { obstacle as noTap } from '../driver/tap/setup.ts'
import { obstacle as noXdp } from '../driver/xdp/setup.ts'
import { nextLine } from '../support/lines.ts'
import { ip, VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'
import { TapPlace } from '../support/tap-place.ts'
import { type Brought, type QueueServer, serveQueue, type WorkerTask } from './queue-server.ts'

const obstacle = noXdp || noTap
if (obstacle !== '') console.warn(`tests of queues of a device are skipped: ${obstacle}`)

/** That all of them come to one of two queues happens once in a thousand million times. */
const CONNECTIONS = 32
const BYTES = 60_000
const SHA256 = createHash('sha256')
  .update(Uint8Array.from({ length: BYTES }, (_, i) => i % 251))
  .digest('hex')

/**
 * Opens the connections, sends the bytes over each and wants them back; prints the ports. For each line then sends one byte more
 * over each that is left, and prints by port what became of it; at the end of the lines it ends them all in order.
 */
const CLIENT = `
import json, socket, sys, threading
data = bytes(i % 251 for i in range(${BYTES}))
def back(s, count):
    got = b''
    while len(got) < count:
        part = s.recv(1 << 16)
        if not part: raise ConnectionError('end')
        got += part
    return got
open_ones = {}
for _ in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 9000), 5)
    s.settimeout(5)
    thread = threading.Thread(target=s.sendall, args=(data,))
    thread.start()
    assert back(s, len(data)) == data
    thread.join()
    open_ones[s.getsockname()[1]] = s
print(json.dumps(list(open_ones)), flush=True)
for line in sys.stdin:
    seen = {}
    for port, s in list(open_ones.items()):
        try:
            s.sendall(b'x')
            seen[port] = back(s, 1).decode()
        except OSError as e:
            seen[port] = type(e).__name__
            del open_ones[port]
    print(json.dumps(seen), flush=True)
for s in open_ones.values():
    s.shutdown(socket.SHUT_WR)
    while s.recv(4096): pass
`

/** Where a device is, and how it is reached. */
interface Place {
  readonly device: string
  readonly peer: string
  readonly options: Partial<ServerOptions>
  start(ns: string, command: string, ...args: string[]): ChildProcess
  /** To be done once the device is there. */
  ready(): void
  destroy(): void
}

function vethPlace(driver: 'xdp' | 'packet', queues: number, settings = ''): Place {
  const pair = new VethPair({ queues })
  return {
    device: `${driver}:${pair.device}?netns=${pair.ours}${settings}`,
    peer: pair.peer,
    options: { address: pair.ourAddress },
    start: pair.start.bind(pair),
    ready: () => {},
    destroy: () => pair.destroy(),
  }
}

function tapPlace(): Place {
  const place = new TapPlace()
  return {
    device: `tap:${place.peerDevice}?netns=${place.peer}`,
    peer: place.peer,
    options: { address: '10.77.0.2/24', ownAddress: true },
    start: place.start.bind(place),
    ready: () =>
      void ip('-n', place.peer, 'address', 'add', `${place.peerAddress}/24`, 'dev', place.peerDevice),
    destroy: () => place.destroy(),
  }
}

describe.skipIf(obstacle !== '')('two queues of one device', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  function enter(place: Place): Place {
    cleanups.push(() => place.destroy())
    return place
  }

  /** Two servers on the same port, in this thread. */
  async function serveBoth(place: Place): Promise<QueueServer[]> {
    const [first, second] = planQueues(place.device, 2)
    const { nic, share } = openQueue(first!, null)
    const other = openQueue(second!, share)
    place.ready()
    const servers: QueueServer[] = []
    for (const each of [nic, other.nic]) {
      const one = await serveQueue(each, place.options)
      servers.push(one)
      cleanups.push(() => one.server.close())
    }
    return servers
  }

  /** Clients that have sent and got back what they send. */
  async function call(
    place: Place,
    connections = CONNECTIONS,
  ): Promise<{ ports: number[]; again: () => Promise<Record<number, string>>; end: () => Promise<void> }> {
    const child = place.start(place.peer, PYTHON, '-c', CLIENT, '10.77.0.2', `${connections}`)
    cleanups.push(() => child.kill('SIGKILL'))
    child.stderr!.on('data', (text) => process.stderr.write(text))
    const ports = JSON.parse(await nextLine(child.stdout!)) as number[]
    return {
      ports,
      again: async () => {
        const line = nextLine(child.stdout!)
        child.stdin!.write('\n')
        return JSON.parse(await line) as Record<number, string>
      },
      end: async () => {
        const ended = once(child, 'close')
        child.stdin!.end()
        expect((await ended)[0]).toBe(0)
      },
    }
  }

  /** What a service of the host is told that wants the port. */
  async function serviceIsTold(place: Place): Promise<string> {
    const script = "import socket; socket.create_server(('10.77.0.2', 9000))"
    const service = place.start(/netns=([^&]+)/.exec(place.device)![1]!, PYTHON, '-c', script)
    let told = ''
    service.stderr!.on('data', (text) => {
      told += text
    })
    await once(service, 'close')
    return told
  }

  const sorted = (ports: Iterable<number>): number[] => [...ports].sort((a, b) => a - b)
  const all = (ports: Iterable<number>, what: string): Record<number, string> =>
    Object.fromEntries([...ports].map((port) => [port, what]))

  const PLACES: [string, () => Place][] = [
    ['native XDP', () => vethPlace('xdp', 2)],
    ['packet sockets of a fanout group', () => vethPlace('packet', 1)],
    ['a TAP device', tapPlace],
  ]

  it.each(PLACES)('of %s have every byte between them', async (_name, make) => {
    const place = enter(make())
    const [one, other] = await serveBoth(place)
    const { ports, end } = await call(place)
    expect(one!.peers.size).toBeGreaterThan(0)
    expect(other!.peers.size).toBeGreaterThan(0)
    expect(sorted([...one!.peers, ...other!.peers])).toEqual(sorted(ports))
    await end()
    expect({ ...one!.ended, ...other!.ended }).toEqual(all(ports, SHA256))
  })

  it.each(PLACES)(
    'of %s do without one another: connections of one go on when the other is closed',
    async (name, make) => {
      const place = enter(make())
      const [one, other] = await serveBoth(place)
      const { again, end } = await call(place)
      await one!.server.close()
      for (let round = 0; round < 3; round++) {
        const seen = await again()
        expect(seen).toMatchObject(all(other!.peers, 'x'))
        // Of the closed one there is nothing left.
        for (const port of one!.peers) expect(seen[port]).not.toBe('x')
      }
      // An AF_XDP queue has its own frames only; the others get what is left over.
      if (name !== 'native XDP') {
        const { ports } = await call(place, 8)
        expect([...other!.peers]).toEqual(expect.arrayContaining(ports))
      }
      await end()
    },
  )

  it('of a veth under generic XDP are one: the first has everything', async () => {
    const veth = vethPlace('xdp', 2)
    const place = enter({ ...veth, device: `${veth.device}&mode=generic` })
    const [one, other] = await serveBoth(place)
    const { ports, end } = await call(place)
    expect([sorted(one!.peers), other!.peers.size]).toEqual([sorted(ports), 0])
    await end()
  })

  // Of each thread a table of nftables, alone: two of one name would be refused.
  const THREADS: [string, () => Place, string][] = [
    ['native XDP', () => vethPlace('xdp', 2), 'native copy'],
    ['packet sockets', () => vethPlace('packet', 1, '&guard=nftables'), 'tpacket_v3 vnet_hdr copy'],
    ['a TAP device', tapPlace, 'vnet_hdr tso'],
  ]

  it.each(THREADS)('of %s are served by two threads, whichever listens first', async (name, make, mode) => {
    const place = enter(make())
    const [first, second] = planQueues(place.device, 2)
    const { nic, share } = openQueue(first!, null)
    place.ready()
    const task: WorkerTask = { request: second!, share, options: place.options }
    const worker = new Worker(fileURLToPath(new URL('../support/child.mjs', import.meta.url)), {
      argv: [fileURLToPath(new URL('./queue-server.ts', import.meta.url))],
      workerData: task,
    })
    cleanups.push(() => worker.terminate())
    const hear = async (): Promise<unknown> => (await once(worker, 'message'))[0]
    expect(await hear()).toEqual({ mode: expect.stringMatching(mode) })
    const here = await serveQueue(nic, place.options)
    cleanups.push(() => here.server.close())
    const { ports, again, end } = await call(place)
    const tell = async (): Promise<{ peers: number[]; ended: Brought }> => {
      worker.postMessage('tell')
      return (await hear()) as { peers: number[]; ended: Brought }
    }
    const { peers } = await tell()
    expect(peers.length).toBeGreaterThan(0)
    expect(here.peers.size).toBeGreaterThan(0)
    expect(sorted([...here.peers, ...peers])).toEqual(sorted(ports))
    // The thread that brought the hook goes first: the port is still held, and the kernel is still silent.
    await here.server.close()
    expect(await again()).toMatchObject(all(peers, 'x'))
    if (name === 'native XDP') expect(await serviceIsTold(place)).toContain('Address already in use')
    await end()
    const gone = once(worker, 'exit')
    worker.postMessage('close')
    expect(await gone).toEqual([0])
  })
})
