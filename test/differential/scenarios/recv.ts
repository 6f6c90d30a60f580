import * as abi from '../../../uapi/abi/index.ts'
import { show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

export const recv: Scenario[] = scenarios('recv', {
  waits(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(20, 46)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.see('waits')
    x.send(client, 5)
    x.see('data')
    x.say(show(buffer))
  },
  queued(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(20, 46)
    x.send(client, 12)
    x.go(1, (s) => s.prepRecv(server, buffer.subarray(0, 5)))
    x.see('part')
    x.go(2, (s) => s.prepRecv(server, buffer.subarray(5)))
    x.see('rest')
    x.say(show(buffer))
  },
  dontWait(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_DONTWAIT))
    x.see('none')
    x.send(client, 3)
    x.go(2, (s) => s.prepRecv(server, buffer, abi.MSG_DONTWAIT))
    x.see('some')
    x.shutdown(client, abi.SHUT_WR)
    x.go(3, (s) => s.prepRecv(server, buffer, abi.MSG_DONTWAIT))
    x.see('end')
  },
  nothing(x) {
    const [client, server] = x.pair()
    const none = x.bytes(0)
    x.go(1, (s) => s.prepRecv(server, none, abi.MSG_DONTWAIT))
    x.see('dontwait')
    x.go(2, (s) => s.prepRecv(server, none))
    x.see('waits')
    x.send(client, 3)
    x.see('data')
    x.go(3, (s) => s.prepRecv(server, none))
    x.see('queued')
    x.go(4, (s) => s.prepRecv(server, none, abi.MSG_WAITALL))
    x.see('waitall')
    x.go(5, (s) => s.prepRecv(server, none, abi.MSG_PEEK))
    x.see('peek')
    x.say('left', x.recv(server))
    x.shutdown(client, abi.SHUT_WR)
    x.go(6, (s) => s.prepRecv(server, none))
    x.see('end')
  },
  errors(x) {
    const [client, server] = x.pair()
    x.tell('descriptor', (s) => s.prepRecv(9999, x.bytes(1)))
    x.tell('ring', (s) => s.prepRecv(x.r.ringFd, x.bytes(1)))
    x.tell('offset', (s) => s.prepRw(abi.IORING_OP_RECV, server, 8, 4, 1))
    x.tell('file index', (s) => s.prepRecv(server, x.bytes(1)).setTargetFixedFile(1))
    x.tell('multishot', (s) => s.prepRecv(server, x.bytes(1)).setIoprio(abi.IORING_RECV_MULTISHOT))
    x.send(client, 3)
    x.tell('pointer', (s) => s.prepRw(abi.IORING_OP_RECV, server, 8, 4, 0))
    x.tell('far pointer', (s) => s.prepRw(abi.IORING_OP_RECV, server, 0x7f00_0000_0000, 4, 0))
    x.say('left', x.recv(server))
  },
  pointerBeforeData(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRw(abi.IORING_OP_RECV, server, 8, 4, 0))
    x.see('waits')
    x.send(client, 3)
    x.see('data')
    x.say('left', x.recv(server))
  },
  messageFlags(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(4)
    for (const [i, flags] of [0x4, 0x10, 0x80, 0x200, 0x4000, 0x8000].entries()) {
      x.send(client, 2)
      x.go(i, (s) => s.prepRecv(server, buffer, flags))
      x.see(`flags 0x${flags.toString(16)}`)
    }
    x.say('left', x.recv(server))
  },
  oob(x) {
    const [, server] = x.pair()
    x.tell('none', (s) => s.prepRecv(server, x.bytes(4), abi.MSG_OOB))
  },
  peek(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_PEEK))
    x.see('waits')
    x.send(client, 5)
    x.see('peeked')
    x.go(2, (s) => s.prepRecv(server, buffer, abi.MSG_PEEK))
    x.see('again')
    x.say('recv', x.recv(server), x.recv(server))
  },
  trunc(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8, 46)
    x.send(client, 5)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_TRUNC))
    x.see('thrown away')
    x.say(show(buffer), x.recv(server))
  },
  waitAll(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10, 46)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL))
    x.send(client, 4)
    x.see('some')
    x.send(client, 8)
    x.see('enough')
    x.say(show(buffer), 'left', x.recv(server))
  },
  waitAllEnds(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10, 46)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL))
    x.send(client, 4)
    x.see('some')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
    x.go(2, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL))
    x.see('again')
  },
  waitAllReset(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(10), abi.MSG_WAITALL))
    x.send(client, 4)
    x.see('some')
    x.reset(client)
    x.see('reset')
  },
  waitAllLinked(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(10), abi.MSG_WAITALL).setFlags(abi.IOSQE_IO_LINK))
    x.put(2, (s) => s.prepNop())
    x.r.submit()
    x.send(client, 4)
    x.see('some')
    x.shutdown(client, abi.SHUT_WR)
    x.see('short')
  },
  waitAllDontWait(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL | abi.MSG_DONTWAIT))
    x.see('none')
    x.send(client, 4)
    x.go(2, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL | abi.MSG_DONTWAIT))
    x.see('some')
  },
  waitAllCancelled(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(10), abi.MSG_WAITALL))
    x.send(client, 4)
    x.see('some')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
    x.say('left', x.recv(server))
  },
  waitAllPeek(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(6, 46)
    x.send(client, 4)
    x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_WAITALL | abi.MSG_PEEK))
    x.see('some')
    x.send(client, 4)
    x.see('enough', { ms: 4 })
    x.say('recv', x.recv(server))
  },
  pollFirst(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.send(client, 4)
    x.go(1, (s) => s.prepRecv(server, buffer).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
    x.see('queued')
    x.go(2, (s) => s.prepRecv(server, buffer).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
    x.see('waits')
    x.send(client, 4)
    x.see('data')
    x.go(3, (s) => s.prepRecv(server, buffer, abi.MSG_DONTWAIT).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
    x.see('dontwait')
  },
  end(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.send(client, 4)
    x.shutdown(client, abi.SHUT_WR)
    x.see('data')
    x.go(2, (s) => s.prepRecv(server, buffer))
    x.see('end')
    x.go(3, (s) => s.prepRecv(server, buffer))
    x.see('again')
  },
  reset(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.see('waits')
    x.reset(client)
    x.see('reset')
    x.go(2, (s) => s.prepRecv(server, buffer))
    x.see('again')
  },
  resetBehindData(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.send(client, 4)
    x.reset(client)
    x.see('wait')
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.see('first')
    x.go(2, (s) => s.prepRecv(server, buffer))
    x.see('second')
  },
  ownShutdown(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.see('waits')
    x.say('shutdown', x.shutdown(server, abi.SHUT_RD))
    x.see('shut')
    x.send(client, 4)
    x.go(2, (s) => s.prepRecv(server, buffer))
    x.see('data')
    x.go(3, (s) => s.prepRecv(server, buffer))
    x.see('after')
  },
  two(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.go(2, (s) => s.prepRecv(server, x.bytes(4)))
    x.see('wait')
    x.send(client, 3)
    const first = x.see('one')
    x.send(client, 3)
    x.say('other', first.length)
    x.see('other')
  },
  lowWater(x) {
    const [client, server] = x.pair()
    x.say('set', x.setOption(server, abi.SOL_SOCKET, abi.SO_RCVLOWAT, 6))
    x.go(1, (s) => s.prepRecv(server, x.bytes(10)))
    x.see('waits')
    x.send(client, 3)
    x.see('less')
    x.send(client, 4)
    x.see('enough')
  },
  closedMeanwhile(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(10)))
    x.see('waits')
    x.say('close', x.close(server))
    x.see('closed')
    x.send(client, 4)
    x.see('data')
  },
})
