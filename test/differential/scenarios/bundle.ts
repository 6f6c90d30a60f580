import * as abi from '../../../uapi/abi/index.ts'
import type { BufRing } from '../../../uapi/ring/buf-ring.ts'
import { type Run, show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const BUNDLE = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_BUNDLE

function group(x: Run, entries: number, length: number, filled = entries, flags = 0): [BufRing, Uint8Array[]] {
  const ring = x.r.setupBufRing(entries, 7, flags)
  if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
  const buffers = Array.from({ length: filled }, () => x.bytes(length, 46))
  for (const [i, buffer] of buffers.entries()) ring.bufRingAdd(buffer, i)
  ring.bufRingAdvance()
  return [ring, buffers]
}

export const bundle: Scenario[] = scenarios('bundle', {
  ofQueued(x) {
    const [client, server] = x.pair()
    group(x, 8, 16)
    x.send(client, 40)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('queued')
    x.say('head', x.r.bufRingHead(7))
    x.send(client, 20)
    x.see('more')
    x.say('head', x.r.bufRingHead(7))
    x.send(client, 60)
    x.see('more')
    x.say('head', x.r.bufRingHead(7))
  },
  ofArriving(x) {
    const [client, server] = x.pair()
    const [, buffers] = group(x, 8, 16)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('waits')
    x.send(client, 40)
    x.see('data')
    x.send(client, 3)
    x.see('data')
    x.send(client, 17)
    x.see('data')
    x.say('head', x.r.bufRingHead(7), ...buffers.map(show))
  },
  single(x) {
    const [client, server] = x.pair()
    group(x, 8, 16)
    x.send(client, 40)
    const single = (s: abi.Sqe) => s.prepRecvMultishot(server, 7).setIoprio(abi.IORING_RECVSEND_BUNDLE)
    x.go(1, single)
    x.see('first')
    x.say('head', x.r.bufRingHead(7))
    x.go(2, single)
    x.see('second')
    x.say('head', x.r.bufRingHead(7))
  },
  singleLength(x) {
    const [client, server] = x.pair()
    group(x, 8, 16)
    x.send(client, 100)
    x.go(1, (s) => s.prepRecvMultishot(server, 7, 40).setIoprio(abi.IORING_RECVSEND_BUNDLE))
    x.see('forty')
    x.say('head', x.r.bufRingHead(7))
  },
  exhausted(x) {
    const [client, server] = x.pair()
    const [ring, buffers] = group(x, 2, 8)
    x.send(client, 40)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('two buffers')
    for (const [i, buffer] of buffers.entries()) ring.bufRingAdd(buffer, i)
    ring.bufRingAdvance()
    x.go(2, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('again')
    x.say('left', x.recv(server))
  },
  exactlyExhausted(x) {
    const [client, server] = x.pair()
    group(x, 2, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.send(client, 16)
    x.see('both')
    x.send(client, 1)
    x.see('then')
  },
  end(x) {
    const [client, server] = x.pair()
    group(x, 8, 8)
    x.send(client, 20)
    x.shutdown(client, abi.SHUT_WR)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('all')
    x.say('head', x.r.bufRingHead(7))
  },
  incremental(x) {
    const [client, server] = x.pair()
    group(x, 4, 16, 4, abi.IOU_PBUF_RING_INC)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.send(client, 10)
    x.see('ten')
    x.send(client, 30)
    x.see('thirty')
    x.say('head', x.r.bufRingHead(7))
  },
  provided(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(64), 16, 4, 7, 0))
    x.send(client, 40)
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    x.see('data')
  },
  notSelected(x) {
    const [client, server] = x.pair()
    x.send(client, 4)
    x.tell('recv', (s) => s.prepRecv(server, x.bytes(8)).setIoprio(abi.IORING_RECVSEND_BUNDLE))
    x.tell('send', (s) => s.prepSend(client, x.bytes(8)).setIoprio(abi.IORING_RECVSEND_BUNDLE))
  },
  waitAll(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.send(client, 10)
    x.go(1, (s) =>
      s.prepRecvMultishot(server, 7, 20, abi.MSG_WAITALL).setIoprio(abi.IORING_RECVSEND_BUNDLE),
    )
    x.see('some')
    x.send(client, 10)
    x.see('all')
  },
})
