/**
 * Linux's own zero-copy receive under a server of this package: run in the machine of scripts/vm, whose zcnic has queues for it.
 * npm run vm -- --smp 2 --zcnic -- node dist/test/vm/zcrx.js [MIB]
 */

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { applyQueueSetup } from '../../driver/setup/index.ts'
import type { NicError } from '../../errors.ts'
import type { Connection } from '../../net/connection.ts'
import { createServer, openHost } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import { check, digestOf, threw, verdict } from './checks.ts'
import type { Order, PeerData } from './peer.ts'

const MIB = 1 << 20
const AREA_BYTES = 8 * MIB
const PATIENCE_MS = 120_000
/** Of a server, of two that share a queue, of the example programs. */
const [PORT, ...SHARED] = [9001, 9002, 9003] as const
const PORTS = [PORT, ...SHARED, 8000, 9999]
const bytes = Number(process.argv[2] ?? 64) * MIB
const { ZCRX_VM_NS: ns, ZCRX_VM_RXQ: queue, ZCRX_VM_LOCAL: local } = process.env
if (ns === undefined || queue === undefined || local === undefined) {
  console.error('this runs in the machine only: npm run vm -- --smp 2 --zcnic -- node dist/test/vm/zcrx.js')
  process.exit(2)
}
const device = `linux:zc0/${queue}`

const nobody = new Uint8Array(6)
const workerData: PeerData = { netns: `/proc/${ns}/ns/net`, address: local, mac: nobody, claimed: nobody }
const peer = new Worker(new URL('./peer.js', import.meta.url), { workerData })

function told(order: Order): Promise<string> {
  peer.postMessage(order)
  return new Promise((resolve, reject) => {
    peer.once('error', reject)
    peer.once('message', resolve)
  })
}

interface Received {
  readonly server: Server
  readonly digest: string
  readonly received: number
  readonly errno: number
}

/** One stream from the peer's namespace. @param keep so many pieces are kept, and given back when more are there or none came */
async function receive(length: number, keep: number): Promise<Received> {
  const hash = createHash('sha256')
  const kept: [connection: Connection, offset: number][] = []
  let received = 0
  let server!: Server
  const ended = new Promise<number>((resolve, reject) => {
    setTimeout(() => reject(new Error(`time is up at ${received} bytes`)), PATIENCE_MS).unref()
    createServer({
      device,
      areaBytes: AREA_BYTES,
      port: PORT,
      handler: {
        onData(connection, offset, size) {
          received += size
          hash.update(server.area.subarray(offset, offset + size))
          if (keep === 0) return true
          kept.push([connection, offset])
          if (kept.length > keep) for (const [whose, where] of kept.splice(0)) whose.release(where)
          return false
        },
        onEnd(connection, errno) {
          for (const [whose, where] of kept.splice(0)) whose.release(where)
          connection.close()
          resolve(errno)
        },
      },
    }).then((opened) => {
      server = opened
      void told({ kind: 'stream', port: opened.port, bytes: length })
    }, reject)
  })
  const errno = await ended
  return { server, digest: hash.digest('hex'), received, errno }
}

async function streams(): Promise<void> {
  const start = performance.now()
  const { server, digest, received, errno } = await receive(bytes, 0)
  const seconds = (performance.now() - start) / 1000
  check(
    `${bytes} bytes, the digest is that of what was sent`,
    digest === digestOf(bytes),
    `${errno}, ${received}`,
  )
  const { copiedBytes, zeroCopiedBytes, completions } = server.stats()
  check('nothing was copied', copiedBytes === 0 && zeroCopiedBytes === bytes, `copied ${copiedBytes} B`)
  const { total, user, fill, lost } = server.census()
  check('every buffer is back', total === AREA_BYTES / 4096 && user === 0 && fill === total && lost === 0)
  console.log(`       ${completions} completions in ${seconds.toFixed(1)} s, ${server.nic.info.mode}`)
  await server.close()
}

async function slowly(): Promise<void> {
  const length = 4 * MIB
  const { server, digest } = await receive(length, 500)
  check('buffers that are kept for long, and given back by the hundred', digest === digestOf(length))
  check('all of them came back', server.census().user === 0)
  await server.close()
}

async function again(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const { server, digest } = await receive(MIB, 0)
    check(`the queue can be had again at once, ${i + 1}`, digest === digestOf(MIB))
    await server.close()
  }
}

/** A child that is started while an area is pinned. */
function spawned(): Promise<number> {
  const start = performance.now()
  return new Promise((resolve) => {
    spawn('/bin/busybox', ['true'], { stdio: 'ignore' }).once('exit', () =>
      resolve(performance.now() - start),
    )
  })
}

async function refusals(): Promise<void> {
  const handler = { onData: () => true, onEnd: () => {} }
  const server = await createServer({ device, areaBytes: 256 * MIB, port: 0, handler })
  const ms = await spawned()
  // Two seconds and more with the pages copied, under emulation.
  check('a child is started while 256 MiB are pinned', ms < 2000, `${ms.toFixed(0)} ms`)
  const refused = async (what: string, which: string, code: string): Promise<void> => {
    const start = performance.now()
    const error = await createServer({ device: which, areaBytes: MIB, port: 0, handler }).then(
      async (opened) => {
        await opened.close()
        return null
      },
      (reason: NicError) => reason,
    )
    const after = performance.now() - start
    check(what, error?.code === code && after < 20_000, error === null ? 'it opened' : error.message)
  }
  // Whoever says the same joins; with other memory he can't.
  await refused('a queue that is held, with other memory', device, 'ZCRX_ARGUMENT')
  await refused('a queue that is not there', 'linux:zc0/77', 'ZCRX_NIC_NO_QUEUE')
  await refused('a driver without such queues', 'linux:lo/0', 'ZCRX_NIC_UNSUPPORTED')
  await refused('an interface that is not there', 'linux:nowhere/0', 'ZCRX_NIC_NO_DEVICE')
  await server.close()
}

/** Two servers of one host, whose rings share the queue's instance. */
async function shared(): Promise<void> {
  const host = await openHost({ device, areaBytes: AREA_BYTES })
  const digests = await Promise.all(
    SHARED.map(async (port) => {
      const hash = createHash('sha256')
      let over = (_: string): void => {}
      const digest = new Promise<string>((resolve) => {
        over = resolve
      })
      const server = await createServer({
        host,
        port,
        handler: {
          onData(_connection, offset, size) {
            hash.update(host.area.subarray(offset, offset + size))
            return true
          },
          onEnd(connection) {
            connection.close()
            over(hash.digest('hex'))
          },
        },
      })
      return { server, digest }
    }),
  )
  for (const { server, digest } of digests) {
    await told({ kind: 'stream', port: server.port, bytes: MIB })
    check('a server of several on one queue', (await digest) === digestOf(MIB))
    await server.close()
  }
  await host.close()
}

/** An example program as it is started by hand, in one file where it was made one (scripts/bundle.mjs): its status, and what it printed. */
function program(path: string, ...args: string[]): Promise<{ status: number | null; printed: string }> {
  const [script = ''] = [path.replace('../../examples', '.'), path]
    .map((at) => fileURLToPath(new URL(at, import.meta.url)))
    .filter(existsSync)
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (text) => {
    printed += String(text)
  })
  return new Promise((resolve) =>
    child.once('close', (status) => resolve({ status, printed: printed.trim() })),
  )
}

async function examples(): Promise<void> {
  const way = ['-i', 'linux:zc0', '-q', queue!]
  const served = program(
    '../../examples/09-zcrx-server.js',
    ...way,
    '-p',
    '8000',
    '-s',
    String(2 * MIB),
    '-S',
    String(4 * MIB),
    '-v',
  )
  await told({ kind: 'stream', port: 8000, bytes: 2 * MIB, letters: true })
  const server = await served
  check(
    'liburing’s example',
    server.status === 0 && server.printed.includes(`received ${2 * MIB}`),
    server.printed,
  )
  const tested = program('../../examples/10-zcrx-selftest.js', '-s', '-p', '9999', ...way)
  // Less than it asks for by itself, which takes longer than it waits where a processor is emulated by a busy one.
  await told({ kind: 'stream', port: 9999, bytes: 64 * 4096, letters: true })
  const test = await tested
  check(
    'the kernel’s selftest',
    test.status === 0 && test.printed.startsWith(`${64 * 4096} bytes`),
    test.printed,
  )
}

async function daemon(): Promise<void> {
  const run = [
    'run',
    '--device',
    device,
    '--apply',
    '--listen',
    ':9000',
    '--sink',
    'hash',
    '--once',
    '--json',
  ]
  const running = program('../../../bin/zcrxd.js', ...run)
  await told({ kind: 'stream', port: 9000, bytes: 2 * MIB, letters: true })
  const { status, printed } = await running
  const { zeroCopiedBytes, copiedBytes, mode } = JSON.parse(printed) as Record<string, unknown>
  const seen = JSON.stringify({ status, zeroCopiedBytes, copiedBytes, mode })
  check('zcrxd run', status === 0 && zeroCopiedBytes === 2 * MIB && copiedBytes === 0, seen)
}

// Where the NIC has settings, they are what brings the ports to the queue.
const setup = applyQueueSetup({ device: 'zc0', queue: Number(queue), ports: PORTS })
for (const part of [streams, slowly, again, refusals, shared, examples, daemon]) {
  try {
    await part()
  } catch (error) {
    threw(part.name, error)
  }
}
await setup.undoWithin(2000)
check('the settings are as they were', setup.undone)
process.exit(verdict('zcrx'))
