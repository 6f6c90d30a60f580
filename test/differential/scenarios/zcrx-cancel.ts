import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, WIDE } from '../zcrx.ts'

const { IORING_ASYNC_CANCEL_ALL: ALL, IORING_ASYNC_CANCEL_ANY: ANY, IORING_ASYNC_CANCEL_OP: OP } = abi

export const cancelZc: Scenario[] = scenarios(
  'cancelZc',
  {
    byUserData(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.go(2, (s) => s.prepCancel(1))
      zc.see('cancelled', { inOrder: true })
      zc.send(client, 4)
      zc.see('nobody')
      x.say('left', x.recv(server))
    },
    byDescriptor(x) {
      const [zc, , server] = connected(x)
      zc.arm(1, server)
      x.go(2, (s) => s.prepCancelFd(server))
      zc.see('cancelled', { inOrder: true })
      x.go(3, (s) => s.prepCancelFd(server))
      zc.see('none')
    },
    allOfDescriptor(x) {
      const [zc, , server] = connected(x)
      const [, other] = x.pair(1)
      for (let i = 1; i <= 3; i++) zc.arm(i, server)
      zc.arm(4, other)
      x.go(9, (s) => s.prepCancelFd(server, ALL))
      zc.see('three')
      x.go(10, (s) => s.prepCancelFd(other, ALL))
      zc.see('one')
    },
    any(x) {
      const [zc, , server] = connected(x)
      const [, other] = x.pair(1)
      zc.arm(1, server)
      zc.arm(2, other)
      x.go(9, (s) => s.prepCancel(0, ANY | ALL))
      zc.see('both')
    },
    byOpcode(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.go(2, (s) => s.prepPollAdd(client, abi.POLLIN))
      x.go(8, (s) => s.prepCancel(0, OP | ALL, abi.IORING_OP_RECV_ZC))
      zc.see('receive')
      x.go(9, (s) => s.prepCancel(0, OP | ALL, abi.IORING_OP_RECV_ZC))
      zc.see('none')
    },
    opcodeAndDescriptor(x) {
      const [zc, , server] = connected(x)
      const [, other] = x.pair(1)
      zc.arm(1, server)
      zc.arm(2, other)
      x.go(9, (s) => s.prepCancelFd(other, OP | ALL, abi.IORING_OP_RECV_ZC))
      zc.see('one')
    },
    unknown(x) {
      const [zc, , server] = connected(x)
      zc.arm(1, server)
      x.go(2, (s) => s.prepCancel(77))
      zc.see('none')
    },
    withDataWaiting(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 4)
      zc.send(client, 8)
      zc.see('limit')
      zc.arm(2, server, 0, (s) => s.setIoprio(abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST))
      x.go(3, (s) => s.prepCancel(2))
      zc.see('either')
    },
    inOneBatch(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server)
      x.put(2, (s) => s.prepCancel(1))
      zc.ring.submit()
      zc.see('both')
      zc.send(client, 4)
      zc.put(3, server)
      x.put(4, (s) => s.prepCancel(3))
      zc.ring.submit()
      zc.see('with data')
    },
    synchronous(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      const reg = new abi.SyncCancelReg(x.bytes(64))
      reg.addr = 1
      reg.fd = -1
      reg.bytes.fill(0xff, 16, 32)
      x.say('cancel', answer(zc.ring.registerSyncCancel(reg)))
      zc.see('cancelled')
      x.say('again', answer(zc.ring.registerSyncCancel(reg)))
      zc.send(client, 3)
      x.say('left', x.recv(server))
    },
    thenAgain(x) {
      const [zc, client, server] = connected(x)
      for (let i = 0; i < 3; i++) {
        zc.arm(10 + i, server)
        zc.send(client, 4)
        zc.see(`data ${i}`)
        x.go(20 + i, (s) => s.prepCancel(10 + i))
        zc.see(`cancel ${i}`)
      }
    },
    linked(x) {
      const [zc, , server] = connected(x)
      zc.put(1, server, 0, (s) => s.setFlags(abi.IOSQE_IO_LINK))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      x.go(3, (s) => s.prepCancel(1))
      zc.see('chain')
    },
    fixedFile(x) {
      const [zc, , server] = connected(x)
      zc.ring.registerFiles([server])
      zc.arm(1, 0, 0, (s) => s.setFlags(abi.IOSQE_FIXED_FILE))
      x.go(2, (s) => s.prepCancelFd(0, abi.IORING_ASYNC_CANCEL_FD_FIXED))
      zc.see('cancelled')
    },
    closedDescriptor(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.close(server)
      x.go(2, (s) => s.prepCancel(1))
      zc.see('cancelled')
      x.say('peer', x.recv(client))
    },
    otherRing(x) {
      const [zc, , server] = connected(x)
      const other = x.ring(WIDE)
      zc.arm(1, server)
      x.go(2, (s) => s.prepCancel(1), other)
      x.see('other', { ring: other })
      zc.see('goes on')
    },
  },
  'zcrx',
)

export const fullZc: Scenario[] = scenarios(
  'fullZc',
  {
    armed(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      zc.arm(1, server)
      for (let i = 0; i < 3; i++) x.send(client, 3)
      const { ring } = zc
      x.say('ready', ring.cqReady(), 'work', ring.hasWork())
      zc.see('all')
    },
    queuedTooMuch(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      zc.send(client, 8000)
      zc.send(client, 8000)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady())
      x.say('get events', answer(zc.ring.getEvents()), 'ready', zc.ring.cqReady())
      x.say('again', answer(zc.ring.getEvents()), 'work', zc.ring.hasWork())
      zc.see('all')
      zc.arm(2, server)
      x.say('get events', answer(zc.ring.getEvents()))
      zc.see('rest')
    },
    forgiven(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      zc.send(client, 8000)
      zc.send(client, 4000)
      zc.arm(1, server)
      zc.see('all')
      zc.send(client, 3)
      zc.see('goes on')
    },
    behindNops(x) {
      const [zc, client, server] = connected(x, { params: { entries: 4, cqEntries: 4 } })
      for (let i = 0; i < 4; i++) x.put(10 + i, (s) => s.prepNop())
      zc.ring.submit()
      zc.send(client, 10)
      x.say('ready', zc.ring.cqReady())
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady(), 'work', zc.ring.hasWork())
      zc.see('all')
    },
    endOverflows(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      x.shutdown(client, abi.SHUT_WR)
      x.put(10, (s) => s.prepNop())
      x.put(11, (s) => s.prepNop())
      zc.ring.submit()
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady(), 'work', zc.ring.hasWork())
      zc.see('all')
    },
    limitOverflows(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      zc.send(client, 6000)
      zc.arm(1, server, 6000)
      x.say('ready', zc.ring.cqReady(), 'work', zc.ring.hasWork())
      zc.see('all')
    },
    exactly(x) {
      const [zc, client, server] = connected(x, { params: { entries: 2, cqEntries: 2 } })
      zc.send(client, 8000)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady())
      zc.see('two')
      zc.send(client, 3)
      zc.see('goes on')
    },
    twoRequests(x) {
      const [zc, client, server] = connected(x, { params: { entries: 4, cqEntries: 4 }, pages: 32 })
      const [other, otherServer] = x.pair(1)
      zc.send(client, 8192)
      zc.send(client, 8192)
      zc.send(other, 8192)
      zc.arm(1, server)
      zc.arm(2, otherServer)
      x.say('ready', zc.ring.cqReady())
      zc.see('all')
    },
    mixed(x) {
      const [zc, client, server] = connected(x, {
        setup: DEFER | abi.IORING_SETUP_CQE_MIXED,
        params: { entries: 4, cqEntries: 4 },
      })
      zc.send(client, 8000)
      zc.send(client, 3)
      zc.arm(1, server)
      zc.see('all')
      zc.arm(2, server)
      zc.see('then')
    },
  },
  'zcrx',
)
