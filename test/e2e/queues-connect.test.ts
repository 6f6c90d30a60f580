/** Connections from an address of the machine's, begun on either of two queues, to Linux. */
import { afterEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../driver/native/index.ts'
import { XdpNic } from '../../driver/xdp/index.ts'
import { EVERY_QUEUE, presenceKey, STEERING_VALUE_BYTES, steeringKey } from '../../driver/xdp/program.ts'
import { SharedPorts } from '../../stack/siblings/shared-ports.ts'
import { obstacle } from '../driver/xdp/setup.ts'
import { Endpoint, type Stream } from '../support/endpoint.ts'
import { nextLine } from '../support/lines.ts'
import { VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const QUEUES = [0, 1]
/** From each queue: that none of the answers goes elsewhere happens once in 2^24 times. */
const CONNECTIONS = 12
const PORT = 9000

/** Keeps what it accepts, and sends back what comes. */
const SERVER = `
import selectors, socket, sys
selector = selectors.DefaultSelector()
server = socket.create_server((sys.argv[1], ${PORT}), backlog=256)
selector.register(server, selectors.EVENT_READ)
print('ready', flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            selector.register(server.accept()[0], selectors.EVENT_READ)
        elif data := key.fileobj.recv(65536):
            key.fileobj.sendall(data)
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()
`

describe.skipIf(obstacle !== '')('two queues connect from the machine’s address', () => {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup()
  })

  function open(pair: VethPair): { endpoints: Endpoint[]; hook: XdpNic; ports: SharedPorts[] } {
    const place = { device: pair.device, netns: pair.oursPath, mode: 'native' as const }
    const hook = XdpNic.open(place)
    const nics = [hook, XdpNic.open({ ...place, queue: 1, hook: hook.shareHook() })]
    const endpoints = nics.map((device) => {
      const endpoint = new Endpoint({ device, areaBytes: 4 << 20 })
      cleanups.push(() => endpoint.close())
      return endpoint
    })
    const memory = SharedPorts.memory()
    const ports = QUEUES.map((queue) => new SharedPorts(memory, queue))
    for (const [index, { host }] of endpoints.entries()) {
      const later = (at: number, work: () => void = () => {}): void => {
        setImmediate(() => {
          work()
          endpoints[at]!.host.kernel.interrupt()
        })
      }
      host.stack.siblings = {
        ports: ports[index]!,
        tell: (frame) => later(1 - index, () => endpoints[1 - index]!.host.stack.hear(frame)),
        wake: (at) => later(at),
      }
    }
    return { endpoints, hook, ports }
  }

  /** Ports at the machine's address that are steered: to the queues, and to all. */
  function steered(hook: XdpNic, address: Uint8Array): { ports: Set<number>; everywhere: Set<number> } {
    const native = loadNative()
    const { steering } = hook.shareHook()
    const value = new Uint8Array(STEERING_VALUE_BYTES)
    const has = (port: number, queue: number): boolean =>
      native.bpfMapLookup(steering, steeringKey(address, port, queue), value) >= 0
    const all = Array.from({ length: 65_535 }, (_, i) => i + 1)
    for (const queue of QUEUES) expect(native.bpfMapLookup(steering, presenceKey(queue), value)).toBe(0)
    return {
      ports: new Set(all.filter((port) => QUEUES.some((queue) => has(port, queue)))),
      everywhere: new Set(all.filter((port) => has(port, EVERY_QUEUE))),
    }
  }

  const resets = (pair: VethPair, ns: string): number => {
    const [names, values] = pair
      .run(ns, 'cat', '/proc/net/snmp')
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'))
      .map((line) => line.split(' '))
    return Number(values![names!.indexOf('OutRsts')])
  }

  it('and every one comes home: the machine resets none, and nothing is left half open', async () => {
    const pair = new VethPair({ queues: 2 })
    cleanups.push(() => pair.destroy())
    const server = pair.start(pair.peer, PYTHON, '-c', SERVER, pair.peerAddress)
    cleanups.push(() => server.kill('SIGKILL'))
    expect(await nextLine(server.stdout!)).toBe('ready')
    const { endpoints, hook, ports } = open(pair)
    const before = resets(pair, pair.ours)

    const streams: Stream[] = await Promise.all(
      Array.from({ length: CONNECTIONS * 2 }, (_, i) => endpoints[i % 2]!.connect(pair.peerAddress, PORT)),
    )
    await Promise.all(streams.map((stream) => stream.send(1000)))
    await Promise.all(streams.map((stream) => stream.arrived(1000)))
    const moves = endpoints.map(({ host }) => host.stack.counters.portMoves)
    expect(moves[0]! + moves[1]!).toBeGreaterThan(0)
    expect(endpoints.map(({ host }) => host.stack.counters.resetsSent)).toEqual(moves)

    const ours = endpoints.flatMap(({ host }) => [...host.stack.tcp].map(({ localPort }) => localPort)).sort()
    const address = endpoints[0]!.host.address.bytes()
    const now = steered(hook, address)
    expect([...now.everywhere].sort()).toEqual(ours)
    expect([...now.ports].sort()).toEqual(ours)
    const theirs = pair.run(pair.peer, 'ss', '-Htan', 'sport', '=', `:${PORT}`).trim().split('\n')
    const states = theirs.map((line) => line.split(/\s+/)[0]).filter((state) => state !== 'LISTEN')
    expect(states).toEqual(Array(CONNECTIONS * 2).fill('ESTAB'))

    // Not in order, so that nothing is in TIME-WAIT afterwards.
    for (const { host } of endpoints) for (const tcb of [...host.stack.tcp]) host.stack.tcp.abort(tcb)
    expect(steered(hook, address)).toEqual({ ports: new Set(), everywhere: new Set() })
    expect(resets(pair, pair.ours)).toBe(before)
    expect(ports.every(({ count }) => count <= moves[0]! + moves[1]!)).toBe(true)
  }, 60_000)
})
