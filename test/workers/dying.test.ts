import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import type { OpenedHost } from '../../net/host.ts'
import { createServer, openHost } from '../../net/open.ts'
import { ENODEV } from '../../uapi/abi/errno.ts'
import { obstacle as noVeth } from '../driver/xdp/setup.ts'
import { VethPair } from '../support/netns.ts'
import type { BlockingReport } from './blocking.ts'
import { FAULTS } from './failing-nic.mjs'
import { ADDRESS, Collector, eventually, obstacle, repeated, script, sha256, Wires } from './support.ts'

const DATA = repeated(10_000_000)

const CONNECTS = `
import socket, sys, time
with socket.create_connection((sys.argv[1], 9000)) as s:
    s.send(b'hello')
    time.sleep(60)
`

/** What a worker's end is called, by what happened to it; it was done on purpose, or by the heap's limit. */
const REASONS: Record<string, RegExp> = {
  'a receive that throws': /receive failed on purpose/,
  'a callback that throws': /thrown on purpose/,
  'a rejection': /rejected on purpose/,
  'a full heap': /memory limit/,
  'an exit': /thread has ended/,
}

/** A thread that blocks on a ring of the host's first queue: when it does, and its report. */
function blocked(host: OpenedHost): { blocks: Promise<void>; ends: Promise<BlockingReport> } {
  const { value, transferList } = host.ticket()
  const worker = new Worker(script('../support/child.mjs'), {
    argv: [script('./blocking.ts')],
    workerData: { blocking: value },
    transferList,
  })
  const ends = new Promise<BlockingReport>((resolve, reject) => {
    worker.on('message', (message) => message !== 'blocks' && resolve(message))
    worker.on('error', reject)
  })
  const first = new Promise<void>((resolve) => worker.once('message', () => resolve()))
  return { blocks: Promise.race([first, ends.then(() => {})]), ends }
}

describe.skipIf(obstacle !== '')('a worker that ends in mid-stream', () => {
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  it.each(FAULTS)('by %s: its users are told and woken, the others go on', async (what) => {
    const wires = new Wires(2)
    const fault = new Int32Array(new SharedArrayBuffer(4))
    const host = await openHost({
      address: ADDRESS,
      ownAddress: true,
      areaBytes: 4 << 20,
      device: { module: script('failing-nic.mjs'), data: { ends: wires.links.map(({ b }) => b), fault } },
      workers: 2,
      resourceLimits: { maxOldGenerationSizeMb: 128 },
    })
    const handler = new Collector()
    const server = await createServer({ host, port: 9000, handler })
    handler.server = server
    ends.push(() => wires.close())
    const gone: [number, string, string][] = []
    server.onQueueGone(({ queue, error }) => gone.push([queue, error.code, error.message]))
    const report = blocked(host)
    await report.blocks
    const [doomed, spared] = [await wires.connect(0), await wires.connect(1)]
    void doomed.send(0, DATA).catch(() => {})
    const sending = spared.send(0, DATA).then(() => spared.end(0))
    await handler.until(() => handler.opened.length === 2 && handler.bytes > 1_000_000)
    Atomics.store(fault, 0, FAULTS.indexOf(what) + 1)
    await sending
    await handler.until(() => handler.ended.length === 2)
    const of = (address: string) =>
      handler.ended.find(({ connection }) => connection.remoteAddress === address)
    expect(of('192.0.2.10')).toMatchObject({ errno: ENODEV })
    expect(of('192.0.2.11')).toMatchObject({ errno: 0, bytes: DATA.length, sha256: sha256(DATA) })
    expect(await eventually(() => gone.length > 0)).toBe(true)
    expect(gone.map(([queue, code]) => [queue, code])).toEqual([[0, 'ZCRX_WORKER_GONE']])
    expect(gone[0]![2]).toMatch(REASONS[what]!)
    const { completions, later, gone: heard } = await report.ends
    expect(completions).toEqual([1, 2, 3, 4].map((data) => [data, -ENODEV]))
    expect(later).toEqual([1, -ENODEV, -ENODEV, -ENODEV])
    expect(heard).toBe('ZCRX_WORKER_GONE')
    // What there is left answers, and ends.
    expect(server.census()).toMatchObject({ lost: 0 })
    await server.close()
    await host.close()
  })

  it('has its queue opened again at once', async ({ skip }) => {
    if (noVeth !== '') {
      console.warn(`not opened again: ${noVeth}`)
      skip()
    }
    const pair = new VethPair()
    ends.push(() => pair.destroy())
    const device = `xdp:${pair.device}?netns=${pair.ours}`
    for (let round = 0; round < 3; round++) {
      const host = await openHost({ device, workers: 1, areaBytes: 4 << 20 })
      const handler = new Collector()
      const server = await createServer({ host, port: 9000, handler })
      handler.server = server
      const peer = pair.start(pair.peer, 'python3', '-c', CONNECTS, pair.ourAddress)
      await handler.until(() => handler.bytes > 0)
      await host.workers[0]!.terminate()
      await handler.until(() => handler.ended.length === 1)
      expect(handler.ended[0]!.errno).toBe(ENODEV)
      await server.close()
      await host.close()
      peer.kill()
    }
  })
})
