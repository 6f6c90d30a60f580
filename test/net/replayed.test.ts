import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { createServer } from '../../net/open.ts'
import type { Server } from '../../net/server.ts'
import type { System } from '../../net/system.ts'
import { connect } from '../support/client.ts'
import { RecordingBackend, ReplayingBackend, WasmMemory } from '../support/recording-backend.ts'
import { bytesOf } from '../support/ring-pair.ts'
import { OtherSystem } from '../support/system.ts'

const MEMORY_BYTES = 4 << 20

/** What a program sees of a server: it receives, answers what it got, and ends in the callback that tells the end. */
function program() {
  const seen: string[] = []
  let server: Server
  let done: () => void
  const ended = new Promise<void>((resolve) => {
    done = resolve
  })
  return {
    seen,
    ended,
    use: (used: Server) => {
      server = used
      seen.push(`at ${server.listening.join(' ')}`)
    },
    handler: {
      onConnection: ({ remoteAddress }: { remoteAddress: string }) => void seen.push(`from ${remoteAddress}`),
      onData: (connection: { send(bytes: Uint8Array): void }, offset: number, length: number) => {
        const bytes = server.area.slice(offset, offset + length)
        seen.push(`${offset} ${createHash('sha256').update(bytes).digest('hex')}`)
        connection.send(bytes)
        return true
      },
      onEnd: (connection: { close(): void }, errno: number) => {
        seen.push(`end ${errno}`)
        connection.close()
        void server.close().then(done)
      },
    },
  }
}

describe('a server', () => {
  it('does the same without any kernel, when the calls are answered as a recording says', async () => {
    const link = new MemoryLink({ seed: 1 })
    const systems: OtherSystem[] = []
    let recorded!: RecordingBackend
    const open = (
      options: Parameters<NonNullable<Parameters<typeof createServer>[0]['system']>>[0],
    ): OtherSystem => {
      const system = new OtherSystem(options, ({ kernel, nic }) => {
        recorded = new RecordingBackend(kernel, new WasmMemory(MEMORY_BYTES, nic.info.tailBytes), true)
        return recorded
      })
      systems.push(system)
      return system
    }
    const options = { address: '192.0.2.2', ownAddress: true, port: 9000, areaBytes: 1 << 18, cqEntries: 512 }
    const first = program()
    const server = await createServer({ ...options, device: link.b, handler: first.handler, system: open })
    first.use(server)
    const client = await connect({
      device: link.a,
      address: '192.0.2.1',
      ownAddress: true,
      remoteAddress: '192.0.2.2',
      remotePort: 9000,
    })
    await client.send(0, bytesOf(20_000))
    await client.end(0)
    await first.ended
    client.close()
    expect(first.seen.length).toBeGreaterThan(10)
    expect(recorded.calls.length).toBeGreaterThan(10)

    const [was] = systems
    const replaying = new ReplayingBackend(recorded)
    const { address, addresses, listenAddress, nic } = was!
    const quiet: System & { close(): void } = {
      ...{ nic, address, addresses: [...addresses], listenAddress, pending: false, ready: Promise.resolve() },
      ...{ notes: [], onGone: () => {}, onAddresses: () => {}, close: () => {} },
      report: () => ({ frames: 0, copiedBytes: 0, drops: {}, tcp: {}, unsettled: 0 }),
      ringBackend: () => replaying,
    }
    const second = program()
    const again = await createServer({
      ...options,
      device: link.b,
      handler: second.handler,
      system: () => quiet,
    })
    second.use(again)
    await second.ended
    expect(second.seen).toEqual(first.seen)
    expect(replaying.left).toBe(0)
    expect(again.stats()).toMatchObject({ connections: 1, completions: Number.NaN })
  })
})
