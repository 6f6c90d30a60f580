import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { freshSeed } from '../../driver/memory/index.ts'
import { createServer, openHost } from '../../net/open.ts'
import { runs } from '../support/long.ts'
import type { HostileTask } from './hostile.ts'
import { ADDRESS, Collector, eventually, obstacle, repeated, script, sha256, Wires } from './support.ts'

const MS = runs(5000, 1000)
const DATA = repeated(8_000_000)

describe.skipIf(obstacle !== '')('an application on a thread that writes and says what it likes', () => {
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  it.each([false, true])(
    'harms its own ring only, served when it asks, or by itself: %s',
    async (attends) => {
      const seed = freshSeed()
      console.log(`seed ${seed}`)
      const wires = new Wires()
      const host = await openHost({
        address: ADDRESS,
        ownAddress: true,
        areaBytes: 8 << 20,
        device: wires.device,
        workers: 1,
      })
      const handler = new Collector()
      const server = await createServer({ host, port: 9000, handler })
      handler.server = server
      const gone: string[] = []
      server.onGone((error) => gone.push(error.message))
      const { value, transferList } = host.ticket()
      const task: HostileTask = { ticket: value, port: 9002, seed, ms: MS, attends }
      const hostile = new Worker(script('../support/child.mjs'), {
        argv: [script('./hostile.ts')],
        workerData: { hostile: task },
        transferList,
      })
      const said: string[] = []
      let failed: unknown = null
      hostile.on('message', (message) => {
        said.push(message.type)
        if (message.type === 'done') console.log(message)
      })
      hostile.on('error', (error) => {
        failed = error
      })
      ends.push(
        () => wires.close(),
        () => host.close(),
        () => server.close(),
        () => hostile.terminate(),
      )
      const heard = async (type: string): Promise<void> => {
        await eventually(() => said.includes(type) || failed !== null, MS + 20_000)
        expect([said.includes(type), failed]).toEqual([true, null])
      }
      await heard('listening')
      const client = await wires.clients(0)
      const theirs = await client(9002)
      void theirs.send(0, repeated(50_000_000)).catch(() => {})
      await heard('begun')
      const ours = await client(9000)
      let sent = 0
      // What it does lasts as long as the traffic.
      while (!said.includes('done') && failed === null && gone.length === 0) {
        await ours.send(0, DATA)
        sent += DATA.length
        await handler.until(() => handler.bytes === sent || gone.length > 0)
      }
      expect([failed, gone]).toEqual([null, []])
      expect(server.census()).toMatchObject({ lost: 0 })
      await hostile.terminate()
      await ours.send(0, DATA)
      sent += DATA.length
      void ours.end(0)
      await handler.until(() => handler.ended.length === 1)
      const whole = repeated(DATA.length)
      expect(handler.ended[0]).toMatchObject({ errno: 0, bytes: sent })
      expect(handler.ended[0]!.sha256).toBe(sha256(Buffer.concat(Array(sent / whole.length).fill(whole))))
      expect(await eventually(() => server.census().user + server.census().queued === 0)).toBe(true)
      expect(server.census()).toMatchObject({ lost: 0, total: 2048 })
      // The port is nobody's any more.
      await expect(client(9002)).rejects.toThrow('ECONNREFUSED')
      expect(sent).toBeGreaterThan(DATA.length)
    },
    MS + 60_000,
  )
})
