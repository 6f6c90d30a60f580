import { expect, it } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { connect } from '../../net/client.ts'
import { createServer } from '../../net/server.ts'
import { RecordingBackend, WasmMemory } from '../support/recording-backend.ts'
import { until } from '../support/server-pair.ts'
import { OtherSystem } from '../support/system.ts'

it('a connection whose bytes find no memory to be sent from goes on without them, and closes', async () => {
  const link = new MemoryLink({ seed: 1 })
  let usedUp = false
  class Scarce extends WasmMemory {
    override allocate(...request: Parameters<WasmMemory['allocate']>): Uint8Array {
      if (usedUp) throw new RangeError('used up')
      return super.allocate(...request)
    }
  }
  const server = await createServer({
    device: link.b,
    address: '192.0.2.2',
    ownAddress: true,
    port: 9000,
    areaBytes: 1 << 18,
    system: (options) =>
      new OtherSystem(
        options,
        ({ kernel, nic }) => new RecordingBackend(kernel, new Scarce(8 << 20, nic.info.tailBytes)),
      ),
  })
  const client = await connect({
    device: link.a,
    address: '192.0.2.1',
    ownAddress: true,
    remoteAddress: '192.0.2.2',
    remotePort: 9000,
  })
  const { value: connection } = await server[Symbol.asyncIterator]().next()
  usedUp = true
  expect(() => connection.send(new Uint8Array(1 << 17))).toThrow('used up')
  usedUp = false
  connection.send(new Uint8Array(10))
  connection.close()
  await client.end(0)
  await until(() => server.connectionCensus().closed === 1)
  expect(server.stats().tcp.txBytes).toBe(10)
  await server.close()
  client.close()
})
