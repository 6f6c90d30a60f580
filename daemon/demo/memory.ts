/** The memory link as the demo sees it: the receiver's queue, and a sender of our own at the other end, in one process. */
import { createHash } from 'node:crypto'
import {
  type Client,
  connect,
  MemoryLink,
  type Nic,
  type NicModule,
  SharedLink,
  SharedNic,
  sharedDevice,
} from '../api.ts'
import { ContentSource } from './content.ts'
import type { FlowResult, PassRequest, SentReply } from './protocol.ts'

const SENDER = '198.18.0.1'
const RECEIVER = '198.18.0.2'

export class MemoryPath {
  /** The receiver's end, or one for each worker. */
  readonly device: Nic | NicModule
  /** Opens the sender's. */
  readonly #near: readonly (() => Nic)[]

  /** @param mtu bytes of layer 3 @param workers of the receiver, each with a wire of its own; absent: none, and one wire */
  constructor(mtu: number, workers?: number) {
    if (workers === undefined) {
      const link = new MemoryLink({ mtu })
      this.device = link.b
      this.#near = [() => link.a]
      return
    }
    const wires = Array.from({ length: workers }, (_, queue) => new SharedLink({ mtu, queue }))
    this.device = sharedDevice(wires.map(({ b }) => b))
    this.#near = wires.map(
      ({ a }) =>
        () =>
          SharedNic.open(a),
    )
  }

  /** The receiver's address. */
  get address(): string {
    return RECEIVER
  }

  /**
   * Connects the flows of a pass to `port` and sends them. Resolves when everything is in the senders' buffers and
   * `received` has resolved, which means that the receiver has seen the end of every stream.
   */
  async send(port: number, request: PassRequest, received: Promise<void>): Promise<SentReply> {
    const { flowBytes } = request
    const clients: Client[] = []
    try {
      for (const [wire, open] of this.#near.entries()) {
        const flows = Math.ceil((flowBytes.length - wire) / this.#near.length)
        if (flows > 0) clients.push(await connectOver(open(), wire, port, flows))
      }
      // Flow by flow over one wire after the other.
      const flows = await Promise.all(
        flowBytes.map((bytes, i) => {
          const client = clients[i % clients.length]!
          const flow = Math.floor(i / clients.length)
          return sendFlow(client, [flow, i], bytes, request.pass === 'verified')
        }),
      )
      await received
      // Our own sender has no congestion control: the receiver's window alone holds it back.
      return { type: 'sent', flows, congestionControl: 'none' }
    } finally {
      for (const client of clients) client.close()
    }
  }
}

function connectOver(device: Nic, wire: number, port: number, flows: number): Promise<Client> {
  const address = SENDER.replace(/1$/, wire === 0 ? '1' : String(wire + 2))
  return connect({ device, address, ownAddress: true, remoteAddress: RECEIVER, remotePort: port, flows })
}

/** @param flow its place among the client's, and among all */
async function sendFlow(
  client: Client,
  [flow, number]: readonly [number, number],
  bytes: number,
  verified: boolean,
): Promise<FlowResult> {
  // A block is copied before `send` resolves, so one is enough.
  const source = new ContentSource(number, bytes, 1)
  const hash = verified ? createHash('sha256') : undefined
  for (let block = source.take(); block !== undefined; block = source.take()) {
    hash?.update(block)
    await client.send(flow, block)
  }
  await client.end(flow)
  return {
    port: client.localPort(flow),
    bytes,
    ...(hash === undefined ? {} : { sha256: hash.digest('hex') }),
  }
}
