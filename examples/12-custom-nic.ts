/**
 * A network card of one's own: a wrapper around any NIC that counts what goes by and drops what it is told to. It goes wherever a NIC
 * goes, and the stack recovers what it drops.
 *
 *     node 12-custom-nic.js
 */
import { ForwardingNic, MemoryLink, openHost } from 'zcrx'

/** Sends every frame but one in so many. */
class LossyNic extends ForwardingNic {
  sent = 0
  dropped = 0

  override txCommit(offset: number, length: number): void {
    this.sent++
    // A slot that is given back with no length is not sent.
    const drop = length > 1000 && this.sent % 50 === 0
    if (drop) this.dropped++
    super.txCommit(offset, drop ? 0 : length)
  }
}

const wire = new MemoryLink()
const nic = new LossyNic(wire.a)
const sender = await openHost({ device: nic, address: '192.0.2.2', ownAddress: true })
const receiver = await openHost({ device: wire.b, address: '192.0.2.1', ownAddress: true })
const server = await receiver.listen({ port: 9000 })
const connection = await sender.connect({ host: '192.0.2.1', port: 9000 })
void connection.send(new Uint8Array(1_000_000)).then(() => connection.close())

for await (const accepted of server) {
  for await (const _ of accepted.batches());
  console.log(`${accepted.bytesReceived} bytes arrived, though frames were dropped: ${nic.dropped > 0}`)
  break
}
await sender.close()
await receiver.close()
