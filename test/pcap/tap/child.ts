/**
 * Captures a connection over a memory link and then does not end as it should. Usage: child.ts FILE throw|exit|stay
 * Prints how many frames its NIC has received and sent.
 */
import { CaptureNic } from '../../../pcap/tap/index.ts'
import { framed, tcpSegment } from '../../support/ip-frames.ts'
import { bytesOf } from '../../support/ring-pair.ts'
import { StackPair } from '../../support/stack-pair.ts'

const [, , file, how] = process.argv
let nic: CaptureNic | undefined
const pair = new StackPair({
  mtu: 9000,
  wrap: (inner) => {
    nic = new CaptureNic(inner, { file: file! })
    return nic
  },
})
const [client, server] = pair.open()
pair.client.tcp.send(client, bytesOf(50_000), 0, pair.clock.now())
pair.runUntil(() => server.rcv.queuedBytes === 50_000)
const tell = (): void => {
  const { rxFrames, txFrames } = nic!.stats()
  process.stdout.write(`${rxFrames} ${txFrames}\n`)
}
if (how === 'stay') {
  tell()
  setInterval(() => {}, 1000)
} else {
  for (const destinationPort of [9000, 7, 9000])
    pair.link.a.inject(framed(4, tcpSegment(4, { flags: 2, sourcePort: 50_000, destinationPort })))
  // What no frame of the wire can do to the stack.
  Object.defineProperty(pair.server.counters, 'dropNoSocket', {
    get: () => 0,
    set: () => {
      tell()
      if (how === 'exit') process.exit(3)
      throw new Error('a fault of the stack')
    },
  })
  pair.server.poll()
}
