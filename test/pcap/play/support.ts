import { formatEndpoint } from '../../../address.ts'
import type { ForwardingNic } from '../../../driver/wrap/index.ts'
import type { PcapError } from '../../../errors.ts'
import { openDevice } from '../../../host/devices/index.ts'
import { createServer } from '../../../net/open.ts'
import type { ServerOptions } from '../../../net/server.ts'
import type { PcapNic } from '../../../pcap/play/index.ts'

export interface PlayedStream {
  readonly remote: string
  readonly bytes: Buffer
  /** How it ended; -1 = it has not. */
  readonly errno: number
}

export interface Played {
  readonly streams: PlayedStream[]
  readonly failed: PcapError | null
  readonly nic: PcapNic
  readonly lost: number
  /** Frames that the stack dropped, by cause. */
  readonly drops: Record<string, number>
}

/** `192.0.2.2:80`, `[2001:db8::2]:80` */
export function parseEndpoint(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':')
  return { address: text.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) }
}

/** Plays a file to a server until it has ended and nothing moves any more. */
export async function playTo(
  options: { file?: string; nic?: ForwardingNic; port: number } & Partial<ServerOptions>,
): Promise<Played> {
  const { file, nic: wrapped, port, ...more } = options
  const nic = (wrapped?.inner ?? openDevice(`pcap:${file}`)) as PcapNic
  const streams: { remote: string; pieces: Buffer[]; errno: number }[] = []
  const byId = new Map<number, (typeof streams)[number]>()
  let open = 0
  let moved = 0
  const server = await createServer({
    device: wrapped ?? nic,
    ownAddress: true,
    dad: false,
    port,
    areaBytes: 8 << 20,
    ...more,
    handler: {
      onConnection(connection) {
        const { remoteAddress, remotePort } = connection
        const stream = { remote: formatEndpoint(remoteAddress, remotePort), pieces: [], errno: -1 }
        streams.push(stream)
        byId.set(connection.id, stream)
        open++
        moved++
      },
      onData(connection, offset, length) {
        byId.get(connection.id)!.pieces.push(Buffer.from(server.area.slice(offset, offset + length)))
        moved++
        return true
      },
      onEnd(connection, errno) {
        byId.get(connection.id)!.errno = errno
        connection.close()
        open--
        moved++
      },
    },
  })
  const deadline = performance.now() + 10_000
  for (let quiet = 0, seen = -1; performance.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    if (!nic.ended) continue
    if (open === 0 && streams.length > 0) break
    quiet = moved === seen ? quiet + 1 : 0
    seen = moved
    if (quiet > 20) break
  }
  if (!nic.ended) throw new Error(`the file has not ended: ${JSON.stringify([nic.notPlayed, open, moved])}`)
  const { lost } = server.census()
  const { drops } = server.stats()
  await server.close()
  return {
    streams: streams.map(({ remote, pieces, errno }) => ({ remote, bytes: Buffer.concat(pieces), errno })),
    failed: nic.failed,
    nic,
    lost,
    drops,
  }
}
