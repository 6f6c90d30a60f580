/** The memory link as the demo sees it: the receiver's queue, and a sender of our own at the other end, in one process. */
import { createHash } from 'node:crypto'
import { type Client, connect, MemoryLink, type Nic } from '../api.ts'
import { ContentSource } from './content.ts'
import type { FlowResult, PassRequest, SentReply } from './protocol.ts'

const SENDER = '198.18.0.1'
const RECEIVER = '198.18.0.2'

export class MemoryPath {
  readonly #link: MemoryLink

  /** @param mtu bytes of layer 3 */
  constructor(mtu: number) {
    this.#link = new MemoryLink({ mtu })
  }

  /** The receiver's end. */
  get nic(): Nic {
    return this.#link.b
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
    const client = await connect({
      device: this.#link.a,
      address: SENDER,
      ownAddress: true,
      remoteAddress: RECEIVER,
      remotePort: port,
      flows: request.flowBytes.length,
    })
    try {
      const flows = await Promise.all(
        request.flowBytes.map((bytes, flow) => sendFlow(client, flow, bytes, request.pass === 'verified')),
      )
      await received
      // Our own sender has no congestion control: the receiver's window alone holds it back.
      return { type: 'sent', flows, congestionControl: 'none' }
    } finally {
      client.close()
    }
  }
}

async function sendFlow(client: Client, flow: number, bytes: number, verified: boolean): Promise<FlowResult> {
  // A block is copied before `send` resolves, so one is enough.
  const source = new ContentSource(flow, bytes, 1)
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
