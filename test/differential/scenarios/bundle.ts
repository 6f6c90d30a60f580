import * as abi from '../../../uapi/abi/index.ts'
import { show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { group } from './group.ts'

const BUNDLE = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_BUNDLE

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
  sizes(x) {
    for (const [i, [length, sent]] of [
      [16, 16],
      [16, 17],
      [16, 32],
      [16, 33],
      [8, 40],
      [4, 40],
      [4, 7],
      [64, 40],
    ].entries()) {
      const [client, server] = x.pair(i)
      const ring = x.r.setupBufRing(16, i)
      if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
      for (let bid = 0; bid < 16; bid++) ring.bufRingAdd(x.bytes(length!), bid)
      ring.bufRingAdvance()
      const multishot = (s: abi.Sqe) => s.prepRecvMultishot(server, i).setIoprio(BUNDLE)
      x.go(1, multishot)
      for (let lap = 0; lap < 3; lap++) {
        x.send(client, sent!)
        x.see(`${sent} into ${length}`)
      }
      x.go(2, (s) => s.prepCancel(1))
      x.see('cancel')
    }
  },
  mixedSizes(x) {
    const [client, server] = x.pair()
    const ring = x.r.setupBufRing(16, 7)
    if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
    for (const [bid, length] of [4, 16, 16, 16, 16, 4, 4, 4, 4, 16, 16].entries())
      ring.bufRingAdd(x.bytes(length), bid)
    ring.bufRingAdvance()
    x.go(1, (s) => s.prepRecvMultishot(server, 7).setIoprio(BUNDLE))
    for (const sent of [30, 40, 30]) {
      x.send(client, sent)
      x.see(`send ${sent}`)
    }
    x.say('head', x.r.bufRingHead(7))
  },
  incrementalSizes(x) {
    for (const [i, [first, second]] of [
      [10, 30],
      [15, 40],
      [4, 30],
      [1, 60],
    ].entries()) {
      const [client, server] = x.pair(i)
      const ring = x.r.setupBufRing(8, i, abi.IOU_PBUF_RING_INC)
      if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
      for (let bid = 0; bid < 8; bid++) ring.bufRingAdd(x.bytes(16), bid)
      ring.bufRingAdvance()
      x.go(1, (s) => s.prepRecvMultishot(server, i).setIoprio(BUNDLE))
      x.send(client, first!)
      x.see(`${first}`)
      x.send(client, second!)
      x.see(`then ${second}`)
      x.go(2, (s) => s.prepCancel(1))
      x.see('cancel')
    }
  },
  noGroup(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecvMultishot(server, 9).setIoprio(BUNDLE))
    x.see('without data')
    x.send(client, 3)
    x.go(2, (s) => s.prepRecvMultishot(server, 9).setIoprio(BUNDLE))
    x.see('with data')
  },
  send(x) {
    const [client, server] = x.pair()
    const ring = x.r.setupBufRing(8, 7)
    if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
    for (let bid = 0; bid < 3; bid++) ring.bufRingAdd(x.bytes(4 + bid, 97 + bid), bid)
    ring.bufRingAdvance()
    x.go(1, (s) =>
      s
        .prepRw(abi.IORING_OP_SEND, client, 0, 0, 0)
        .setIoprio(abi.IORING_RECVSEND_BUNDLE)
        .setFlags(abi.IOSQE_BUFFER_SELECT)
        .setBufGroup(7),
    )
    x.see('send')
    x.say('recv', x.recv(server), 'head', x.r.bufRingHead(7))
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
    x.go(1, (s) => s.prepRecvMultishot(server, 7, 20, abi.MSG_WAITALL).setIoprio(abi.IORING_RECVSEND_BUNDLE))
    x.see('some')
    x.send(client, 10)
    x.see('all')
  },
})
