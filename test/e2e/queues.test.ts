import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunReport } from '../../daemon/run/totals.ts'
import { obstacle as noQueues } from '../driver/xdp/setup.ts'
import { VethPair } from '../support/netns.ts'

const BIN = fileURLToPath(new URL('../../bin/zcrxd.js', import.meta.url))
const built = existsSync(new URL('../../dist/daemon/main.js', import.meta.url))
const obstacle = built ? noQueues : 'dist/ is not built (npm run setup)'
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
    const daemon = spawn('ip', ['netns', 'exec', pair.ours, process.execPath, BIN, 'run', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    try {
      let log = ''
      let output = ''
      daemon.stdout.setEncoding('utf8').on('data', (part: string) => {
        output += part
      })
      await new Promise<void>((resolve, reject) => {
        daemon.stderr.setEncoding('utf8').on('data', (part: string) => {
          log += part
          if (log.includes('"listening"')) resolve()
        })
        daemon.once('exit', (code) => reject(new Error(`zcrxd ended with ${code}: ${log}`)))
      })
      pair.run(pair.peer, 'python3', '-c', SENDER, pair.ourAddress)
      const exit = once(daemon, 'close')
      daemon.kill('SIGTERM')
      expect((await exit)[0]).toBe(0)
      const report = JSON.parse(output) as RunReport
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
      daemon.kill('SIGKILL')
    }
  }, 30_000)
})
