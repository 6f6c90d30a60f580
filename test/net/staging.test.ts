import { expect, it, vi } from 'vitest'
import { MemoryLink } from '../../driver/memory/index.ts'
import { createServer } from '../../net/open.ts'
import { IORING_OP_SEND, IORING_OP_SEND_ZC } from '../../uapi/abi/io-uring.ts'
import { Sqe } from '../../uapi/abi/sqe.ts'
import { connect } from '../support/client.ts'
import { RecordingBackend, WasmMemory } from '../support/recording-backend.ts'
import { until } from '../support/server-pair.ts'
import { OtherSystem } from '../support/system.ts'

/** A server whose back end has memory that is made so, and its first connection. */
async function accepted(memoryFor: (tailBytes: number) => WasmMemory) {
  const link = new MemoryLink({ seed: 1 })
  const server = await createServer({
    device: link.b,
    address: '192.0.2.2',
    ownAddress: true,
    port: 9000,
    areaBytes: 1 << 18,
    system: (options) =>
      new OtherSystem(
        options,
        ({ kernel, nic }) => new RecordingBackend(kernel, memoryFor(nic.info.tailBytes)),
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
  return { server, client, connection }
}

it('a connection whose bytes find no memory to be sent from goes on without them, and closes', async () => {
  let usedUp = false
  class Scarce extends WasmMemory {
    override allocate(...request: Parameters<WasmMemory['allocate']>): Uint8Array {
      if (usedUp) throw new RangeError('used up')
      return super.allocate(...request)
    }
  }
  const { server, client, connection } = await accepted((tailBytes) => new Scarce(8 << 20, tailBytes))
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

it('copies are sent from where they are, and used again once they have been acknowledged', async () => {
  let allocated = 0
  class Counted extends WasmMemory {
    override allocate(...request: Parameters<WasmMemory['allocate']>): Uint8Array {
      allocated += request[0]
      return super.allocate(...request)
    }
  }
  const opcodes = new Map<number, number>()
  const { prepRw: real } = Sqe.prototype
  const prepRw = vi.spyOn(Sqe.prototype, 'prepRw')
  prepRw.mockImplementation(function (this: Sqe, ...request) {
    opcodes.set(request[0], (opcodes.get(request[0]) ?? 0) + 1)
    return real.apply(this, request)
  })
  const { server, client, connection } = await accepted((tailBytes) => new Counted(32 << 20, tailBytes))
  const before = allocated
  // Nobody reads: all has to fit in the window.
  for (let i = 1; i <= 30; i++) {
    connection.send(new Uint8Array(20_000).fill(i))
    await until(() => server.stats().tcp.txBytes === i * 20_000)
  }
  connection.send(new Uint8Array(2000))
  connection.close()
  await client.end(0)
  await until(() => server.connectionCensus().closed === 1)
  expect(server.stats().tcp.txBytes).toBe(602_000)
  expect(opcodes.get(IORING_OP_SEND_ZC)).toBe(30)
  expect(opcodes.get(IORING_OP_SEND)).toBe(1)
  // One slab, of which the second copy, or the third, is the first again.
  expect(allocated - before).toBeLessThan(300_000)
  await server.close()
  client.close()
  prepRw.mockRestore()
})
