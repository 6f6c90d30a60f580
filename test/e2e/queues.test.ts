import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunReport } from '../../daemon/run/totals.ts'
import { obstacle as noQueues } from '../driver/xdp/setup.ts'
import { obstacle as noDaemon, startDaemon } from '../support/daemon.ts'
import { VethPair } from '../support/netns.ts'
import { PYTHON } from '../support/python.ts'

const obstacle = noDaemon || noQueues
if (obstacle !== '') console.warn(`tests of several queues are skipped: ${obstacle}`)

const CONNECTIONS = 16
const BYTES = 100_000

/** Sends the same bytes over many connections, and waits for the end of each. */
const SENDER = `
import socket, sys
data = bytes(i % 251 for i in range(${BYTES}))
for _ in range(${CONNECTIONS}):
    with socket.create_connection((sys.argv[1], 9000)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
`

describe.skipIf(obstacle !== '')('zcrxd run over a range of queues', () => {
  let pair: VethPair
  beforeAll(() => {
    pair = new VethPair({ queues: 2 })
  })
  afterAll(() => pair?.destroy())

  // In native mode: generic XDP on a veth sees everything at queue 0.
  it('receives at every queue into one sink', async () => {
    const args = [
      '--device',
      'xdp:zc0/0-1?mode=native',
      '--listen',
      '10.77.0.2:9000',
      '--sink',
      'hash',
      '--json',
    ]
    let daemon: ChildProcess | null = null
    try {
      const { child, output } = await startDaemon(pair.ours, args, (started) => {
        daemon = started
      })
      pair.run(pair.peer, PYTHON, '-c', SENDER, pair.ourAddress)
      const exit = once(child, 'close')
      child.kill('SIGTERM')
      expect((await exit)[0]).toBe(0)
      const report = JSON.parse(output()) as RunReport
      const sha256 = createHash('sha256')
        .update(Uint8Array.from({ length: BYTES }, (_, i) => i % 251))
        .digest('hex')
      expect(report).toMatchObject({
        queues: 2,
        connections: CONNECTIONS,
        receivedBytes: CONNECTIONS * BYTES,
        sinkBytes: CONNECTIONS * BYTES,
        sinkFailures: 0,
        broken: 0,
        copiedBytes: 0,
      })
      expect(report.connectionList.map((record) => record.sha256)).toEqual(Array(CONNECTIONS).fill(sha256))
      // Numbers tell the queues apart.
      const queues = report.connectionList.map(({ id }) => id % 2)
      expect(new Set(queues)).toEqual(new Set([0, 1]))
      expect(report.niovs.lost).toBe(0)
    } finally {
      ;(daemon as ChildProcess | null)?.kill('SIGKILL')
    }
  }, 30_000)
})
