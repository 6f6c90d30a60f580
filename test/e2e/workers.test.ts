/** Workers over a veth with two queues, and Linux's clients. */

import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RunReport } from '../../daemon/run/totals.ts'
import { createServer, openHost } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { obstacle as noQueues } from '../driver/xdp/setup.ts'
import { type Client, connect } from '../support/client.ts'
import { obstacle as noDaemon, startDaemon } from '../support/daemon.ts'
import { VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'
import { obstacle as noWorkers } from '../workers/support.ts'

const obstacle = noDaemon || noQueues || noWorkers
if (obstacle !== '') console.warn(`tests of workers over a veth are skipped: ${obstacle}`)

const CONNECTIONS = 16
const BYTES = 100_000
const SHA256 = createHash('sha256')
  .update(Uint8Array.from({ length: BYTES }, (_, i) => i % 251))
  .digest('hex')

/** Sends the same bytes over many connections, and waits for the end of each. */
const SENDER = `
import socket, sys
data = bytes(i % 251 for i in range(${BYTES}))
for _ in range(${CONNECTIONS}):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
`

/** Sends for ever over many connections; prints how each ended, by what the kernel says. */
const STREAMS = `
import socket, sys, threading, time
ends = []
def stream(connection):
    try:
        while not stop.is_set():
            connection.sendall(b'x' * 65536)
        ends.append('went on')
    except OSError as error:
        ends.append(type(error).__name__)
stop = threading.Event()
connections = [socket.create_connection((sys.argv[1], 9000)) for _ in range(${CONNECTIONS})]
threads = [threading.Thread(target=stream, args=(each,)) for each in connections]
for thread in threads: thread.start()
print('streaming', flush=True)
sys.stdin.readline()
stop.set()
for thread in threads: thread.join(5)
print(sorted(ends), flush=True)
`

describe.skipIf(obstacle !== '')('workers over a veth with two queues', () => {
  let pair: VethPair
  const ends: (() => unknown)[] = []
  beforeAll(() => {
    pair = new VethPair({ queues: 2 })
  })
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  afterAll(() => pair?.destroy())

  it('of zcrxd run receive at each queue into one sink, and are told of one by one', async () => {
    const args = [
      '--device',
      'xdp:zc0',
      '--workers',
      'queues',
      '--listen',
      '10.77.0.2:9000',
      '--sink',
      'hash',
      '--json',
    ]
    let daemon: ChildProcess | null = null
    ends.push(() => daemon?.kill('SIGKILL'))
    const { child, output } = await startDaemon(pair.ours, args, (started) => {
      daemon = started
    })
    pair.run(pair.peer, PYTHON, '-c', SENDER, pair.ourAddress, '9000')
    const exit = once(child, 'close')
    child.kill('SIGTERM')
    expect((await exit)[0]).toBe(0)
    const report = JSON.parse(output()) as RunReport
    expect(report).toMatchObject({
      queues: 2,
      connections: CONNECTIONS,
      receivedBytes: CONNECTIONS * BYTES,
      sinkBytes: CONNECTIONS * BYTES,
      zeroCopiedBytes: CONNECTIONS * BYTES,
      copiedBytes: 0,
      sinkFailures: 0,
      broken: 0,
      openConnections: 0,
    })
    expect(report.connectionList.map((record) => record.sha256)).toEqual(Array(CONNECTIONS).fill(SHA256))
    const { workers = [] } = report
    expect(workers.map(({ worker }) => worker)).toEqual([0, 1])
    expect(workers.every(({ connections }) => connections > 0)).toBe(true)
    expect(workers.reduce((sum, { zeroCopiedBytes }) => sum + zeroCopiedBytes, 0)).toBe(CONNECTIONS * BYTES)
    for (const { niovs } of [report, ...workers]) expect(niovs.lost).toBe(0)
  }, 30_000)

  it('of which one is ended in mid-stream: its connections end, those of the other go on, and the queue can be had again', async () => {
    const device = `xdp:${pair.device}?mode=native&netns=${pair.oursPath}`
    const host = await openHost({ device, workers: 'queues', areaBytes: 8 << 20 })
    ends.push(() => host.close())
    const errnos: number[] = []
    let open = 0
    const server = await createServer({
      host,
      port: 9000,
      handler: {
        onConnection: () => {
          open++
        },
        onData: () => true,
        onEnd: (connection, errno) => {
          errnos.push(errno)
          connection.close()
        },
      },
    })
    ends.push(() => server.close())
    const gone = new Promise<number>((resolve) => server.onQueueGone(({ queue }) => resolve(queue)))
    const sender = pair.start(pair.peer, PYTHON, '-c', STREAMS, pair.ourAddress)
    let said = ''
    sender.stdout!.on('data', (text: Buffer) => {
      said += text.toString()
    })
    ends.push(() => sender.kill('SIGKILL'))
    while (!said.includes('streaming') || open < CONNECTIONS)
      await new Promise((resolve) => setTimeout(resolve, 10))
    const [ours, theirs] = server.queueStats().map(({ connections }) => connections)
    expect([ours! > 0, theirs! > 0]).toEqual([true, true])
    await host.workers[1]!.terminate()
    expect(await gone).toBe(1)
    expect(errnos).toEqual(Array(theirs).fill(19))
    const before = server.queueStats()[0]!.zeroCopiedBytes
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(server.queueStats()[0]!.zeroCopiedBytes).toBeGreaterThan(before)
    expect(server.census().lost).toBe(0)
    sender.kill('SIGKILL')
    await server.close()
    await host.close()
    // Nothing of the thread that was ended is left: hook and queue are free.
    const again = await openHost({ device, workers: 2, areaBytes: 1 << 20 })
    await again.close()
  }, 30_000)

  it('open connections whose answers come home, whichever queue they are on', async () => {
    const listener = `
import socket, sys
s = socket.create_server(('', 9100), backlog=64)
print('ready', flush=True)
for _ in range(${CONNECTIONS}):
    c, _ = s.accept()
    while c.recv(65536): pass
    c.close()
print('done', flush=True)
`
    const peer = pair.start(pair.peer, PYTHON, '-c', listener)
    ends.push(() => peer.kill('SIGKILL'))
    let said = ''
    peer.stdout!.on('data', (text: Buffer) => {
      said += text.toString()
    })
    while (!said.includes('ready')) await new Promise((resolve) => setTimeout(resolve, 10))
    const device = `xdp:${pair.device}?mode=native&netns=${pair.oursPath}`
    const host = await openHost({ device, workers: 2, areaBytes: 4 << 20 })
    ends.push(() => host.close())
    const clients: Client[] = []
    for (let i = 0; i < CONNECTIONS; i++) {
      const client = await connect({ host, queue: i % 2, remoteAddress: pair.peerAddress, remotePort: 9100 })
      await client.send(0, new Uint8Array(20_000))
      await client.end(0)
      clients.push(client)
    }
    while (!said.includes('done')) await new Promise((resolve) => setTimeout(resolve, 10))
    for (const client of clients) client.close()
  }, 30_000)

  it('serve several servers of one process on one device', async () => {
    const device = `xdp:${pair.device}?mode=native&netns=${pair.oursPath}`
    const host = await openHost({ device, workers: 2, areaBytes: 8 << 20 })
    ends.push(() => host.close())
    const received = [0, 0]
    const ended: number[] = []
    const servers: Server[] = []
    for (const [i, port] of [9000, 9001].entries()) {
      const server = await createServer({
        host,
        port,
        handler: {
          onData: (_connection, _offset, length) => {
            received[i]! += length
            return true
          },
          onEnd: (connection, errno) => {
            ended.push(errno)
            connection.close()
          },
        },
      })
      servers.push(server)
      ends.push(() => server.close())
    }
    const senders = [9000, 9001].map((port) =>
      pair.start(pair.peer, PYTHON, '-c', SENDER, pair.ourAddress, String(port)),
    )
    expect((await Promise.all(senders.map((sender) => once(sender, 'close')))).map(([code]) => code)).toEqual(
      [0, 0],
    )
    expect(received).toEqual([CONNECTIONS * BYTES, CONNECTIONS * BYTES])
    expect(ended).toEqual(Array(2 * CONNECTIONS).fill(0))
    expect(servers[0]!.census().lost).toBe(0)
  }, 30_000)
})
