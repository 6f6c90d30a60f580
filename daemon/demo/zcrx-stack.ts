import { type Connection, type ConnectionHandler, createServer, type Nic, type NicModule } from '../api.ts'
import { workerReports } from '../run/totals.ts'
import type { FlowMeter, PassMeter } from './meter.ts'
import type { ReceivingStack } from './stacks.ts'

/** zcrx on `device`, listening on `address` and a port of its choice. @throws ZcrxError */
export async function openZcrx(
  device: Nic | NicModule | string,
  address: string,
  ownAddress: boolean,
  workers?: number,
): Promise<ReceivingStack> {
  const handler = new ZcrxHandler()
  const threads = workers === undefined ? {} : { workers }
  const server = await createServer({ device, address, port: 0, ownAddress, handler, ...threads })
  handler.area = server.area
  const { driver, mode, mtu } = server.nic.info
  return {
    driver,
    mode,
    mtu,
    port: server.port,
    measure(meter) {
      handler.meter = meter
    },
    counters() {
      const { zeroCopiedBytes, copiedBytes, completions, frames, drops } = server.stats()
      return { zeroCopiedBytes, copiedBytes, completions, frames, drops: { ...drops } }
    },
    census: () => server.census(),
    ...(workers === undefined ? {} : { workers: () => workerReports(server) }),
    close: () => server.close(),
  }
}

class ZcrxHandler implements ConnectionHandler {
  area: Uint8Array = new Uint8Array(0)
  meter: PassMeter | null = null
  readonly #flows = new Map<number, FlowMeter>()

  onConnection(connection: Connection): void {
    if (this.meter === null) connection.close()
    else this.#flows.set(connection.id, this.meter.open(connection.remotePort))
  }

  onData(connection: Connection, offset: number, length: number): boolean {
    this.#flows.get(connection.id)?.data(this.area, offset, length)
    return true
  }

  onEnd(connection: Connection, errno: number): void {
    const flow = this.#flows.get(connection.id)
    this.#flows.delete(connection.id)
    connection.close()
    flow?.end(errno)
  }
}
