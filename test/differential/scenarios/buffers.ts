import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER, type Run, show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { group } from './group.ts'

const SELECT = abi.IOSQE_BUFFER_SELECT

/** A single RECV that takes its buffer from a group. */
function select(s: abi.Sqe, fd: number, length = 0, flags = 0, bgid = 7): abi.Sqe {
  return s.prepRw(abi.IORING_OP_RECV, fd, 0, length, 0).setOpFlags(flags).setFlags(SELECT).setBufGroup(bgid)
}

export const buffers: Scenario[] = scenarios('buffers', {
  multishot(x) {
    const [client, server] = x.pair()
    const [ring, buffers] = group(x, 4, 16)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    for (const length of [5, 16, 20]) {
      x.send(client, length)
      x.see(`send ${length}`)
    }
    x.say('head', x.r.bufRingHead(7))
    x.send(client, 3)
    x.see('none left')
    ring.bufRingAdd(buffers[0]!, 9)
    ring.bufRingAdvance()
    x.go(2, (s) => s.prepRecvMultishot(server, 7))
    x.see('again')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
    x.say(...buffers.map(show))
  },
  multishotOfQueued(x) {
    const [client, server] = x.pair()
    group(x, 8, 8)
    x.send(client, 20)
    x.shutdown(client, abi.SHUT_WR)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.see('all')
  },
  multishotLength(x) {
    const [client, server] = x.pair()
    group(x, 8, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 7, 3))
    x.send(client, 8)
    x.see('pieces')
  },
  multishotLimit(x) {
    const [client, server] = x.pair()
    group(x, 8, 4)
    x.go(1, (s) => s.prepRecvMultishot(server, 7, 0, 0, 10))
    x.send(client, 7)
    x.see('seven')
    x.send(client, 7)
    x.see('three more')
    x.say('left', x.recv(server))
  },
  multishotErrors(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.tell('WAITALL', (s) => s.prepRecvMultishot(server, 7, 0, abi.MSG_WAITALL))
    x.tell('no group', (s) => s.prepRecvMultishot(server, 55))
    x.tell('not selected', (s) => s.prepRecvMultishot(server, 7).setFlags(0))
    x.tell('descriptor', (s) => s.prepRecvMultishot(9999, 7))
    x.tell('dontwait', (s) => s.prepRecvMultishot(server, 7, 0, abi.MSG_DONTWAIT))
    x.send(client, 3)
    x.tell('no group with data', (s) => s.prepRecvMultishot(server, 55))
  },
  multishotCancel(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.send(client, 3)
    x.see('data')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
    x.send(client, 3)
    x.see('nobody')
    x.say('left', x.recv(server), 'head', x.r.bufRingHead(7))
  },
  multishotReset(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.send(client, 3)
    x.see('data')
    x.reset(client)
    x.see('reset')
  },
  multishotPeek(x) {
    const [client, server] = x.pair()
    group(x, 2, 8)
    x.send(client, 3)
    x.go(1, (s) => select(s, server, 0, abi.MSG_PEEK))
    x.see('peek')
    x.say('left', x.recv(server), 'head', x.r.bufRingHead(7))
  },
  multishotLinked(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.put(1, (s) => s.prepRecvMultishot(server, 7).setFlags(SELECT | abi.IOSQE_IO_LINK))
    x.put(2, (s) => s.prepNop())
    x.r.submit()
    x.send(client, 3)
    x.see('data')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
  },
  single(x) {
    const [client, server] = x.pair()
    const [, buffers] = group(x, 4, 8)
    x.go(1, (s) => select(s, server))
    x.see('waits')
    x.say('head', x.r.bufRingHead(7))
    x.send(client, 11)
    x.see('data')
    x.go(2, (s) => select(s, server, 2))
    x.see('two bytes')
    x.go(3, (s) => select(s, server, 100))
    x.see('rest')
    x.say('head', x.r.bufRingHead(7), ...buffers.map(show))
  },
  singleDontWait(x) {
    const [, server] = x.pair()
    group(x, 2, 8)
    x.go(1, (s) => select(s, server, 0, abi.MSG_DONTWAIT))
    x.see('none')
    x.say('head', x.r.bufRingHead(7))
  },
  singleEnd(x) {
    const [client, server] = x.pair()
    group(x, 2, 8)
    x.go(1, (s) => select(s, server))
    x.see('waits')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
    x.say('head', x.r.bufRingHead(7))
  },
  singleWaitAll(x) {
    const [client, server] = x.pair()
    const [, buffers] = group(x, 4, 8)
    x.go(1, (s) => select(s, server, 0, abi.MSG_WAITALL))
    x.send(client, 3)
    x.see('some')
    x.send(client, 7)
    x.see('enough')
    x.say('left', x.recv(server), ...buffers.map(show))
  },
  singleWaitAllEnds(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.go(1, (s) => select(s, server, 0, abi.MSG_WAITALL))
    x.send(client, 3)
    x.see('some')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
    x.say('head', x.r.bufRingHead(7))
  },
  singleWaitAllCancelled(x) {
    const [client, server] = x.pair()
    group(x, 4, 8)
    x.go(1, (s) => select(s, server, 0, abi.MSG_WAITALL))
    x.send(client, 3)
    x.see('some')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
    x.say('left', x.recv(server), 'head', x.r.bufRingHead(7))
  },
  empty(x) {
    const [client, server] = x.pair()
    const [ring, buffers] = group(x, 4, 8, 0)
    x.go(1, (s) => select(s, server))
    x.see('without data')
    x.send(client, 3)
    x.go(2, (s) => select(s, server))
    x.see('with data')
    ring.bufRingAdd(x.bytes(4), 40)
    ring.bufRingAdvance()
    x.go(3, (s) => select(s, server))
    x.see('filled')
    x.say(buffers.length)
  },
  zeroLengthBuffer(x) {
    const [client, server] = x.pair()
    const [ring] = group(x, 4, 8, 0)
    ring.bufRingAdd(x.bytes(8).subarray(0, 0), 1)
    ring.bufRingAdd(x.bytes(8), 2)
    ring.bufRingAdvance()
    x.send(client, 3)
    x.go(1, (s) => select(s, server))
    x.see('recv')
    x.say('head', x.r.bufRingHead(7))
  },
  badBuffer(x) {
    const [client, server] = x.pair()
    const memory = x.r.setupBufRing(4, 7, abi.IOU_PBUF_RING_MMAP)
    x.say('ring', typeof memory)
    const [, entry] = [x.r.freeBufRing({ bgid: 7 }), x.pages(4096)]
    const reg = new abi.BufReg(x.bytes(abi.BufReg.SIZE))
    reg.ringAddr = x.r.arena.addressOf(entry)
    reg.ringEntries = 4
    reg.bgid = 7
    const view = new DataView(entry.buffer, entry.byteOffset)
    view.setUint32(0, 8, true)
    view.setUint32(8, 16, true)
    view.setUint16(12, 5, true)
    view.setUint16(abi.BUF_RING_TAIL_OFFSET, 1, true)
    x.say('register', answer(register(x, abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)))
    x.go(1, (s) => select(s, server))
    x.send(client, 3)
    x.see('recv')
    x.say('left', x.recv(server))
  },
  setupErrors(x) {
    const sizes: readonly (readonly [entries: number, group: number, flags: number])[] = [
      [0, 1, 0],
      [3, 1, 0],
      [32_768, 1, 0],
      [65_536, 2, 0],
      [4, 3, 8],
      [4, 3, 0],
      [4, 3, 0],
      [1, 4, abi.IOU_PBUF_RING_INC],
      [4, 5, abi.IOU_PBUF_RING_MMAP | abi.IOU_PBUF_RING_INC],
      [4, 65_535, 0],
    ]
    for (const [entries, bgid, flags] of sizes) {
      const ring = x.r.setupBufRing(entries, bgid, flags)
      x.say(entries, bgid, flags, typeof ring === 'number' ? abi.errnoName(ring) : 'a ring')
    }
  },
  free(x) {
    const [ring] = group(x, 4, 8)
    x.say('free', x.r.freeBufRing(ring), answer(x.r.freeBufRing(ring)))
    x.say('head', answer(x.r.bufRingHead(7)))
    const [again] = group(x, 4, 8)
    x.say('again', again.bgid)
  },
  freeWhileArmed(x) {
    const [client, server] = x.pair()
    const [ring] = group(x, 4, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.see('waits')
    x.say('free', x.r.freeBufRing(ring))
    x.send(client, 3)
    x.see('data')
    x.say('left', x.recv(server))
  },
  mapped(x) {
    const ring = x.r.setupBufRing(4, 3, abi.IOU_PBUF_RING_MMAP)
    if (typeof ring === 'number') throw new Error(abi.errnoName(ring))
    const [client, server] = x.pair()
    const buffer = x.bytes(12, 46)
    ring.bufRingAdd(buffer, 2)
    ring.bufRingAdvance()
    x.go(1, (s) => s.prepRecvMultishot(server, 3))
    x.send(client, 9)
    x.see('data')
    x.say(show(buffer), 'head', x.r.bufRingHead(3))
    x.say('free', x.r.freeBufRing(ring))
  },
  incremental(x) {
    const [client, server] = x.pair()
    const [, buffers] = group(x, 2, 32, 2, abi.IOU_PBUF_RING_INC)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    for (const length of [10, 10, 12, 5]) {
      x.send(client, length)
      x.see(`send ${length}`)
      x.say('head', x.r.bufRingHead(7))
    }
    x.send(client, 40)
    x.see('the rest and more')
    x.say(...buffers.map(show))
  },
  incrementalSingle(x) {
    const [client, server] = x.pair()
    group(x, 2, 16, 2, abi.IOU_PBUF_RING_INC)
    x.send(client, 20)
    for (let i = 1; i <= 4; i++) {
      x.go(i, (s) => select(s, server, 7))
      x.see('seven')
    }
    x.say('head', x.r.bufRingHead(7))
  },
  incrementalEnd(x) {
    const [client, server] = x.pair()
    group(x, 2, 16, 1, abi.IOU_PBUF_RING_INC)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.send(client, 4)
    x.shutdown(client, abi.SHUT_WR)
    x.see('data and end')
    x.say('head', x.r.bufRingHead(7))
  },
  manyTurns(x) {
    const [client, server] = x.pair()
    group(x, 64, 1)
    x.send(client, 50)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.see('fifty')
  },
  manyTurnsUndeferred(x) {
    x.ring(0)
    const [client, server] = x.pair()
    group(x, 64, 1)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.see('waits')
    x.send(client, 50)
    x.see('fifty')
  },
  shared(x) {
    const [client, server] = x.pair()
    const [other, peer] = x.pair(1)
    group(x, 4, 4)
    x.go(1, (s) => s.prepRecvMultishot(server, 7))
    x.go(2, (s) => s.prepRecvMultishot(peer, 7))
    x.see('wait')
    x.send(client, 4)
    x.see('one')
    x.send(other, 6)
    x.see('other')
    x.send(client, 4)
    x.see('last')
    x.send(other, 4)
    x.see('none left')
  },
  twoGroups(x) {
    const [client, server] = x.pair()
    group(x, 4, 4)
    const second = x.r.setupBufRing(2, 8)
    if (typeof second === 'number') throw new Error(abi.errnoName(second))
    second.bufRingAdd(x.bytes(4), 100)
    second.bufRingAdvance()
    x.send(client, 12)
    x.go(1, (s) => select(s, server, 0, 0, 8))
    x.see('second')
    x.go(2, (s) => select(s, server))
    x.see('first')
    x.go(3, (s) => select(s, server, 0, 0, 8))
    x.see('second')
  },
  statusErrors(x) {
    const status = new abi.BufStatus(x.bytes(abi.BufStatus.SIZE))
    status.bufGroup = 99
    x.say('no group', answer(register(x, abi.IORING_REGISTER_PBUF_STATUS, status.bytes, 1)))
    x.say('count', answer(register(x, abi.IORING_REGISTER_PBUF_STATUS, status.bytes, 2)))
    status.bytes[20] = 1
    x.say('reserved', answer(register(x, abi.IORING_REGISTER_PBUF_STATUS, status.bytes, 1)))
  },
  deferredSetup(x) {
    x.ring(DEFER | abi.IORING_SETUP_SUBMIT_ALL)
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecvMultishot(server, 7))
    group(x, 4, 4)
    x.r.submit()
    x.send(client, 2)
    x.see('data')
  },
})

/** A registration that `Ring` has no method for in this form. */
export function register(x: Run, opcode: number, arg: Uint8Array | null, count: number): number {
  return x.backend(x.r).register(opcode, arg, count)
}
