import { createServer } from '../net/open.ts'
import type { Server } from '../net/server.ts'

/** What a process of the `workers` bench receives with over veth, as JSON in its only argument. */
export interface VethCase {
  /** A server for each. */
  readonly servers: readonly { readonly device: string; readonly address: string }[]
  /** Of each server; 0: none. */
  readonly workers: number
  readonly port: number
}

/** Streams to receive to their ends. */
export interface VethOrder {
  readonly streams: number
}

/** From the first byte to the last end; CPU time of all threads. */
export interface VethFigures {
  readonly bytes: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly mode: string
}

const { servers, workers, port } = JSON.parse(process.argv[2] ?? '{}') as VethCase
let left = 0
let bytes = 0
let begun = 0
let usedAt = 0
const opened: Server[] = []

function cpu(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function end(): void {
  if (--left > 0) return
  const seconds = (performance.now() - begun) / 1000
  const { mode } = opened[0]!.nic.info
  process.send?.({ bytes, seconds, cpuSeconds: cpu() - usedAt, mode } satisfies VethFigures)
}

try {
  for (const { device, address } of servers)
    opened.push(
      await createServer({
        device,
        address,
        port,
        ...(workers === 0 ? {} : { workers }),
        handler: {
          onData(_connection, _offset, length) {
            if (bytes === 0) {
              begun = performance.now()
              usedAt = cpu()
            }
            bytes += length
            return true
          },
          onEnd(connection) {
            connection.close()
            end()
          },
        },
      }),
    )
  process.on('message', ({ streams }: VethOrder) => {
    left = streams
    bytes = 0
    process.send?.('begun')
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
} catch (error) {
  process.send?.({ refused: (error as Error).message })
}
