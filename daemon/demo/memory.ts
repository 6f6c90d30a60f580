/** The memory link as the demo sees it: the receiver's queue, and a sender of our own at the other end, in one process. */
import { createHash } from 'node:crypto'
import {
  MemoryLink,
  type Nic,
  type NicModule,
  type OpenedHost,
  openHost,
  SharedLink,
  SharedNic,
  sharedDevice,
} from '../api.ts'
import { ContentSource } from './content.ts'
import type { FlowResult, PassRequest, SentReply } from './protocol.ts'

type Outgoing = Awaited<ReturnType<OpenedHost['connect']>>

/** Nothing is received there but what answers, so little will do. */
const NEAR_AREA_BYTES = 4 << 20
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
    const hosts: OpenedHost[] = []
    try {
      for (const [wire, open] of this.#near.entries())
        if (wire < flowBytes.length) hosts.push(await openNear(open(), wire))
      const connections: Outgoing[] = []
      // Flow by flow over one wire after the other.
      for (const i of flowBytes.keys())
        connections.push(await hosts[i % hosts.length]!.connect({ host: RECEIVER, port }))
      const flows = await Promise.all(
        flowBytes.map((bytes, i) => sendFlow(connections[i]!, i, bytes, request.pass === 'verified')),
      )
      await received
      // Our own sender has no congestion control: the receiver's window alone holds it back.
      return { type: 'sent', flows, congestionControl: 'none' }
    } finally {
      await Promise.all(hosts.map((host) => host.close()))
    }
  }
}

/** A stack of the sender's on its end of a wire. */
function openNear(device: Nic, wire: number): Promise<OpenedHost> {
  const address = SENDER.replace(/1$/, wire === 0 ? '1' : String(wire + 2))
  return openHost({ device, address, ownAddress: true, areaBytes: NEAR_AREA_BYTES })
}

/** @param number its place among all */
async function sendFlow(
  connection: Outgoing,
  number: number,
  bytes: number,
  verified: boolean,
): Promise<FlowResult> {
  // A block may be changed when `send` resolves, so one is enough.
  const source = new ContentSource(number, bytes, 1)
  const hash = verified ? createHash('sha256') : undefined
  for (let block = source.take(); block !== undefined; block = source.take()) {
    hash?.update(block)
    await connection.send(block)
  }
  connection.end()
  return {
    port: connection.localPort,
    bytes,
    ...(hash === undefined ? {} : { sha256: hash.digest('hex') }),
  }
}
