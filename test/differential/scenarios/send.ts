import * as abi from '../../../uapi/abi/index.ts'
import { answer, show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const QUIETLY = abi.MSG_NOSIGNAL

export const send: Scenario[] = scenarios('send', {
  bytes(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepSend(client, x.bytes(10, 65)))
    x.go(2, (s) => s.prepSend(client, x.bytes(3, 66)))
    x.see('sends')
    x.say('recv', x.recv(server))
  },
  nothing(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepSend(client, x.bytes(0)))
    x.see('send')
    x.say('recv', x.recv(server))
  },
  errors(x) {
    const [client] = x.pair()
    x.tell('descriptor', (s) => s.prepSend(9999, x.bytes(1)))
    x.tell('ring', (s) => s.prepSend(x.r.ringFd, x.bytes(1)))
    x.tell('pointer', (s) => s.prepRw(abi.IORING_OP_SEND, client, 8, 4, 0))
    x.tell('far pointer', (s) => s.prepRw(abi.IORING_OP_SEND, client, 0x7f00_0000_0000, 4, 0))
    x.tell('nothing at a pointer', (s) => s.prepRw(abi.IORING_OP_SEND, client, 8, 0, 0))
    x.tell('file index', (s) => s.prepSend(client, x.bytes(1)).setTargetFixedFile(1))
    x.tell('multishot', (s) => s.prepSend(client, x.bytes(1)).setIoprio(abi.IORING_RECV_MULTISHOT))
  },
  messageFlags(x) {
    const [client, server] = x.pair()
    for (const [i, flags] of [abi.MSG_MORE, abi.MSG_WAITALL, abi.MSG_DONTWAIT, 0x10, 0x80, 0x800].entries()) {
      x.go(i, (s) => s.prepSend(client, x.bytes(2, 97 + i), flags))
      x.see(`flags 0x${flags.toString(16)}`)
    }
    x.see('later', { ms: 3 })
    x.say('recv', x.recv(server))
  },
  peek(x) {
    const [client, server] = x.pair()
    x.tell('MSG_PEEK', (s) => s.prepSend(client, x.bytes(2, 97), abi.MSG_PEEK))
    x.tell('MSG_TRUNC', (s) => s.prepSend(client, x.bytes(2, 98), abi.MSG_TRUNC))
    x.say('recv', x.recv(server))
  },
  afterShutdown(x) {
    const [client, server] = x.pair()
    x.say('shutdown', x.shutdown(client, abi.SHUT_WR))
    x.tell('send', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.tell('nothing', (s) => s.prepSend(client, x.bytes(0), QUIETLY))
    x.say('peer', x.recv(server))
    x.say('other way', x.send(server, 3), x.recv(client))
  },
  toClosed(x) {
    const [client, server] = x.pair()
    x.close(server)
    x.tell('first', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.see('wait')
    x.tell('second', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.tell('third', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.say('recv', x.recv(client))
  },
  toReset(x) {
    const [client, server] = x.pair()
    x.reset(server)
    x.see('wait')
    x.tell('first', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.tell('second', (s) => s.prepSend(client, x.bytes(2), QUIETLY))
    x.say('recv', x.recv(client))
  },
  pollFirst(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepSend(client, x.bytes(5, 97)).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
    x.see('send')
    x.say('recv', x.recv(server))
  },
  inOrder(x) {
    const [client, server] = x.pair()
    for (let i = 0; i < 8; i++) x.put(i, (s) => s.prepSend(client, x.bytes(3, 97 + i)))
    x.say('submit', x.r.submit())
    x.see('sends')
    x.say('recv', x.recv(server))
  },
  linkedChain(x) {
    const [client, server] = x.pair()
    for (let i = 0; i < 4; i++)
      x.put(i, (s) => s.prepSend(client, x.bytes(3, 97 + i)).setFlags(i < 3 ? abi.IOSQE_IO_LINK : 0))
    x.say('submit', x.r.submit())
    x.see('sends')
    x.say('recv', x.recv(server))
  },
  zeroCopy(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepSendZc(client, x.bytes(100, 97)))
    x.see('send')
    x.go(2, (s) => s.prepSendZc(client, x.bytes(10, 98), 0, abi.IORING_SEND_ZC_REPORT_USAGE))
    x.see('reports')
    x.say('recv', x.recv(server))
    x.see('then')
  },
  zeroCopyErrors(x) {
    const [client] = x.pair()
    const fd = x.socket()
    x.go(1, (s) => s.prepSendZc(9999, x.bytes(4)))
    x.see('descriptor')
    x.go(2, (s) => s.prepRw(abi.IORING_OP_SEND_ZC, client, 8, 4, 0))
    x.see('pointer')
    x.go(3, (s) => s.prepSendZc(fd, x.bytes(4), QUIETLY))
    x.see('unconnected')
    x.go(4, (s) => s.prepSendZc(client, x.bytes(4)).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
    x.see('skip')
    x.go(5, (s) => s.prepSendZc(client, x.bytes(4)).setIoprio(1 << 8))
    x.see('ioprio')
    x.go(6, (s) => s.prepSendZc(client, x.bytes(0)))
    x.see('nothing')
    x.shutdown(client, abi.SHUT_WR)
    x.go(7, (s) => s.prepSendZc(client, x.bytes(4), QUIETLY))
    x.see('shut')
  },
  zeroCopyLinked(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepSendZc(client, x.bytes(5, 97)).setFlags(abi.IOSQE_IO_LINK))
    x.put(2, (s) => s.prepNop())
    x.r.submit()
    x.see('chain')
    x.say('recv', x.recv(server))
  },
  ofBuffers(x) {
    const [client, server] = x.pair()
    const group = x.r.setupBufRing(4, 3)
    if (typeof group === 'number') throw new Error(abi.errnoName(group))
    for (let i = 0; i < 3; i++) group.bufRingAdd(x.bytes(4 + i, 97 + i), i)
    group.bufRingAdvance()
    const select = (s: abi.Sqe, length: number) =>
      s.prepRw(abi.IORING_OP_SEND, client, 0, length, 0).setFlags(abi.IOSQE_BUFFER_SELECT).setBufGroup(3)
    x.go(1, (s) => select(s, 0))
    x.see('whole')
    x.go(2, (s) => select(s, 2))
    x.see('cut')
    x.go(3, (s) => select(s, 100))
    x.see('long')
    x.go(4, (s) => select(s, 0))
    x.see('none left')
    x.go(5, (s) => select(s, 0).setBufGroup(9))
    x.see('no group')
    x.say('recv', x.recv(server), 'head', x.r.bufRingHead(3))
  },
  fills(x) {
    const [client, server] = x.pair()
    for (const fd of [client, server])
      for (const name of [abi.SO_SNDBUF, abi.SO_RCVBUF]) x.setOption(fd, abi.SOL_SOCKET, name, 32 << 10)
    const big = x.bytes(8 << 10, 98)
    let sent = 0
    // What was sent is on its way, and its acknowledgement may be delayed: it is full when it stays so.
    for (let full = 0; full < 3; ) {
      const res = x.call((s) => s.prepSend(client, big, abi.MSG_DONTWAIT))
      if (res > 0) sent += res
      full = res > 0 ? 0 : full + 1
      if (full > 0) x.world.pass(20_000)
      if (full === 3) x.say('full', answer(res), 'after something', sent > 0)
    }
    const sink = x.bytes(256 << 10)
    let got = 0
    for (let i = 0; i < 1000 && got < sent; i++) {
      const res = x.call((s) => s.prepRecv(server, sink, abi.MSG_DONTWAIT))
      if (res > 0) got += res
      else x.world.pass(1000)
    }
    x.say('all was received', got >= sent)
    x.go(1, (s) => s.prepPollAdd(client, abi.POLLOUT))
    x.see('writable')
    x.go(2, (s) => s.prepSend(client, x.bytes(5)))
    x.see('send')
  },
  waitAll(x) {
    const [client, server] = x.pair()
    for (const fd of [client, server])
      for (const name of [abi.SO_SNDBUF, abi.SO_RCVBUF]) x.setOption(fd, abi.SOL_SOCKET, name, 32 << 10)
    const length = 1 << 20
    x.go(1, (s) => s.prepSend(client, x.bytes(length, 99), abi.MSG_WAITALL))
    x.see('waits')
    const sink = x.bytes(256 << 10)
    let got = 0
    for (let i = 0; i < 4000 && got < length; i++) {
      const res = x.call((s) => s.prepRecv(server, sink, abi.MSG_DONTWAIT))
      if (res > 0) got += res
      else x.world.pass(1000)
      x.r.getEvents()
    }
    x.say('got', got, show(sink.subarray(0, 4)))
    x.see('done')
  },
  urgent(x) {
    const [client, server] = x.pair()
    x.send(client, 3)
    x.tell('MSG_OOB', (s) => s.prepSend(client, x.bytes(2, 122), abi.MSG_OOB))
    x.go(1, (s) => s.prepPollAdd(server, abi.POLLPRI | abi.POLLIN))
    x.see('poll')
    x.say('recv', x.recv(server), x.recv(server))
  },
})
