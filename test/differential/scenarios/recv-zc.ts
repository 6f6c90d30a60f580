import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, instance, PAGE, WIDE } from '../zcrx.ts'

const { IOSQE_IO_LINK: LINK, IOSQE_IO_HARDLINK: HARD } = abi
const POLL_FIRST = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
const FAR = 60_000

export const recvZc: Scenario[] = scenarios(
  'recvZc',
  {
    armed(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.see('waits')
      zc.send(client, 10)
      zc.see('data', { places: true })
      zc.send(client, 3000)
      zc.see('more', { places: true })
    },
    queued(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      zc.arm(1, server)
      zc.see('data', { places: true })
      zc.send(client, 5)
      zc.see('more', { places: true })
    },
    inTheSubmitCall(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady())
      zc.see('data')
    },
    lateTaskWork(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady(), 'work', zc.ring.hasWork())
      zc.send(client, 10)
      zc.see('data')
    },
    large(x) {
      const [zc, client, server] = connected(x, { pages: 256, entries: 256 })
      zc.arm(1, server)
      for (let i = 0; i < 16; i++) {
        zc.send(client, 8192)
        zc.see(`${i}`)
        zc.refill()
      }
    },
    largeQueued(x) {
      const [zc, client, server] = connected(x, { pages: 64 })
      zc.send(client, 40_000)
      zc.arm(1, server)
      zc.see('data')
      zc.refill()
      zc.send(client, 40_000)
      zc.see('again')
    },
    page(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      for (const bytes of [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 7]) {
        zc.send(client, bytes)
        zc.see(`${bytes}`)
      }
    },
    manySmall(x) {
      const [zc, client, server] = connected(x, { pages: 64 })
      zc.arm(1, server)
      for (let i = 0; i < 40; i++) zc.send(client, 1)
      zc.see('all')
    },
    limit(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 20)
      zc.arm(1, server, 8)
      zc.see('eight', { places: true })
      zc.arm(2, server, 12)
      zc.see('twelve', { places: true })
      zc.arm(3, server, 1)
      zc.see('waits')
      zc.send(client, 2)
      zc.see('one')
      x.say('left', x.recv(server))
    },
    limitArmed(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 25)
      for (let i = 0; i < 4; i++) {
        zc.send(client, 10)
        zc.see(`${10 * (i + 1)}`)
      }
      x.say('left', x.recv(server))
    },
    limitExact(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 10)
      zc.send(client, 10)
      zc.see('all')
      zc.arm(2, server, PAGE)
      zc.send(client, PAGE)
      zc.see('a page')
    },
    limitLarge(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 0xffff_ffff)
      zc.send(client, 10)
      zc.see('data')
      zc.send(client, 10)
      zc.see('more')
    },
    limitOverPieces(x) {
      const [zc, client, server] = connected(x, { pages: 64 })
      for (let i = 0; i < 8; i++) zc.send(client, 2000)
      zc.arm(1, server, 9000)
      zc.see('first')
      zc.arm(2, server, 9000)
      zc.see('second')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    threeLimits(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 30)
      for (let i = 1; i <= 3; i++) zc.put(i, server, 10)
      zc.ring.submit()
      zc.see('all', { inOrder: true })
    },
    pollFirst(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 0, (s) => s.setIoprio(POLL_FIRST))
      zc.see('waits')
      zc.send(client, 10)
      zc.see('data')
    },
    pollFirstQueued(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      zc.arm(1, server, 0, (s) => s.setIoprio(POLL_FIRST))
      x.say('ready', zc.ring.cqReady())
      zc.see('data')
    },
    pollFirstLimit(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      zc.arm(1, server, 4, (s) => s.setIoprio(POLL_FIRST))
      zc.see('four')
      zc.arm(2, server, 6, (s) => s.setIoprio(POLL_FIRST))
      zc.see('six')
    },
    async(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 0, (s) => s.setFlags(abi.IOSQE_ASYNC))
      zc.send(client, 10)
      zc.see('data')
    },
    skipSuccess(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 6, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
      zc.send(client, 4)
      zc.see('data')
      zc.send(client, 4)
      zc.see('limit')
    },
    skipSuccessQueued(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      zc.arm(1, server, 4, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
      zc.see('limit')
      zc.put(2, server, 4, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS | LINK))
      x.put(3, (s) => s.prepNop())
      zc.ring.submit()
      zc.see('linked')
      zc.put(4, server, 0, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS | LINK))
      x.put(5, (s) => s.prepNop())
      zc.ring.submit()
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
      zc.arm(6, server, 4, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
      zc.see('end again')
    },
    skipSuccessCancelled(x) {
      const [zc, , server] = connected(x)
      zc.arm(1, server, 4, (s) => s.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
      x.go(2, (s) => s.prepCancel(1))
      zc.see('cancelled')
    },
    fixedFile(x) {
      const [zc, client, server] = connected(x)
      x.say('files', zc.ring.registerFiles([server, -1]))
      zc.arm(1, 0, 0, (s) => s.setFlags(abi.IOSQE_FIXED_FILE))
      zc.send(client, 10)
      zc.see('data')
      zc.arm(2, 1, 0, (s) => s.setFlags(abi.IOSQE_FIXED_FILE))
      zc.see('empty slot')
      x.say('taken', x.r.registerFilesUpdate(0, [-1]))
      zc.send(client, 10)
      zc.see('goes on')
    },
    twoConnections(x) {
      const [zc, client, server] = connected(x)
      const [other, otherServer] = x.pair(1)
      zc.put(1, server)
      zc.put(2, otherServer)
      zc.ring.submit()
      zc.send(client, 10)
      zc.see('one')
      zc.send(other, 20)
      zc.see('other')
      zc.send(client, 30)
      zc.send(other, 40)
      zc.see('both')
      x.shutdown(other, abi.SHUT_WR)
      zc.see('end')
    },
    twoInstances(x) {
      const [zc, client, server] = connected(x)
      const second = instance(x, { ring: zc.ring })
      x.say('id', second.ifq.zcrxId)
      zc.send(client, 30)
      zc.arm(1, server, 10)
      zc.see('first', { places: true })
      second.arm(2, server, 20)
      second.see('second', { places: true })
    },
    twoRequests(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.arm(2, server)
      zc.send(client, 10)
      zc.see('one')
      zc.send(client, 20)
      zc.see('again')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    ipv6(x) {
      const zc = instance(x)
      const [client, server] = x.pair(0, 6)
      zc.arm(1, server)
      zc.send(client, 10)
      zc.see('data', { places: true })
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    sendMeanwhile(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      const bytes = x.bytes(6, 122)
      x.go(2, (s) => s.prepSend(server, bytes))
      zc.see('sent')
      x.say('recv', x.recv(client))
      zc.send(client, 10)
      zc.see('data')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
      x.go(3, (s) => s.prepSend(server, bytes))
      zc.see('after')
      x.say('recv', x.recv(client))
    },
    recvBeside(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      x.say('recv', x.recv(server, 4))
      zc.arm(1, server)
      zc.see('rest')
      x.say('none', x.recv(server))
      zc.send(client, 3)
      zc.see('goes on')
    },
    recvRequestBeside(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 5)
      const buffer = x.bytes(8)
      zc.send(client, 8)
      zc.see('data')
      x.go(2, (s) => s.prepRecv(server, buffer))
      zc.see('recv')
    },
    peek(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      const buffer = x.bytes(8)
      x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_PEEK))
      zc.see('peek')
      zc.arm(2, server)
      zc.see('data')
    },
    inq(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 10)
      x.tell('before', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
      zc.arm(1, server, 4)
      zc.see('four')
      x.tell('after', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
    },
    poll(x) {
      const [zc, client, server] = connected(x)
      x.go(1, (s) => s.prepPollAdd(server, abi.POLLIN))
      zc.see('waits')
      zc.send(client, 10)
      zc.see('ready')
      zc.arm(2, server)
      zc.see('data')
      x.go(3, (s) => s.prepPollAdd(server, abi.POLLIN))
      zc.see('nothing left')
    },
    lowWater(x) {
      const [zc, client, server] = connected(x)
      x.say('set', x.setOption(server, abi.SOL_SOCKET, abi.SO_RCVLOWAT, 6))
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('less')
      zc.send(client, 4)
      zc.see('enough')
    },
    urgent(x) {
      const [zc, client, server] = connected(x)
      x.say('set', x.setOption(server, abi.SOL_SOCKET, abi.SO_OOBINLINE, 0))
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.call((s) => s.prepSend(client, x.bytes(1, 33), abi.MSG_OOB))
      zc.see('urgent')
    },
    drain(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server)
      x.put(2, (s) => s.prepNop().setFlags(abi.IOSQE_IO_DRAIN))
      zc.ring.submit()
      zc.see('waits')
      zc.send(client, 3)
      zc.see('data')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    linkedLimit(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 5, (s) => s.setFlags(LINK))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      zc.see('waits')
      zc.send(client, 8)
      zc.see('limit')
    },
    linkedEnd(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 0, (s) => s.setFlags(LINK))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      zc.send(client, 8)
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    hardLinked(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 0, (s) => s.setFlags(HARD))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    linkedBehind(x) {
      const [zc, client, server] = connected(x)
      x.put(1, (s) => s.prepNop().setFlags(LINK))
      zc.put(2, server)
      zc.ring.submit()
      zc.see('waits')
      zc.send(client, 5)
      zc.see('data')
      x.put(3, (s) => s.prepClose(9999).setFlags(LINK))
      zc.put(4, server)
      zc.ring.submit()
      zc.see('broken')
    },
    linkTimeout(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 0, (s) => s.setFlags(LINK))
      x.put(2, (s) => s.prepLinkTimeout(x.timespec(3)))
      zc.ring.submit()
      zc.see('late', { ms: 8 })
      zc.send(client, 5)
      zc.see('nobody')
      x.say('left', x.recv(server))
    },
    linkTimeoutFar(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 5, (s) => s.setFlags(LINK))
      x.put(2, (s) => s.prepLinkTimeout(x.timespec(FAR)))
      zc.ring.submit()
      zc.see('waits')
      zc.send(client, 5)
      zc.see('limit')
    },
    timeoutCounts(x) {
      const [zc, client, server] = connected(x)
      x.go(1, (s) => s.prepTimeout(x.timespec(FAR), 1))
      zc.arm(2, server, 5)
      zc.see('waits')
      zc.send(client, 5)
      zc.see('counted')
    },
    mixed(x) {
      const [zc, client, server] = connected(x, { setup: DEFER | abi.IORING_SETUP_CQE_MIXED })
      zc.arm(1, server, 20)
      x.go(2, (s) => s.prepNop())
      zc.see('nop')
      zc.send(client, 10)
      zc.see('data', { places: true })
      zc.send(client, 10)
      zc.see('limit', { places: true })
    },
    mixedWraps(x) {
      const [zc, client, server] = connected(x, {
        setup: DEFER | abi.IORING_SETUP_CQE_MIXED,
        params: { entries: 4, cqEntries: 8 },
      })
      zc.arm(1, server)
      for (let i = 0; i < 9; i++) {
        if (i % 2 === 0) x.go(10 + i, (s) => s.prepNop())
        zc.send(client, 3)
        zc.see(`${i}`)
      }
    },
    taskrunFlag(x) {
      const [zc, client, server] = connected(x, { setup: WIDE | abi.IORING_SETUP_TASKRUN_FLAG })
      zc.arm(1, server)
      x.say('work', zc.ring.hasWork())
      zc.send(client, 4)
      zc.see('data')
    },
    waits(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      zc.put(1, server)
      x.say('submitted', zc.ring.submitAndWait(1), 'ready', zc.ring.cqReady())
      zc.see('data')
      x.say('none', answer(zc.ring.submitAndWaitTimeout(1, 3)))
    },
  },
  'zcrx',
)
