import * as abi from '../../../uapi/abi/index.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const { IOSQE_IO_LINK: LINK, IOSQE_IO_HARDLINK: HARD } = abi
const FAR = 60_000

export const timeout: Scenario[] = scenarios('timeout', {
  relative(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(3)))
    x.go(2, (s) => s.prepTimeout(x.timespec(3), 0, abi.IORING_TIMEOUT_ETIME_SUCCESS))
    x.go(3, (s) => s.prepTimeout(x.timespec(0)))
    x.see('all', { ms: 8 })
  },
  absolute(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(0), 0, abi.IORING_TIMEOUT_ABS))
    x.see('past')
  },
  errors(x) {
    const bad = x.timespec(1)
    new BigInt64Array(bad.buffer, bad.byteOffset, 2)[0] = -1n
    x.tell('negative', (s) => s.prepTimeout(bad))
    x.tell('negative and absolute', (s) => s.prepTimeout(bad, 0, abi.IORING_TIMEOUT_ABS))
    const nanoseconds = x.timespec(1)
    new BigInt64Array(nanoseconds.buffer, nanoseconds.byteOffset, 2)[1] = -5n
    x.tell('negative nanoseconds', (s) => s.prepTimeout(nanoseconds))
    x.tell('pointer', (s) => s.prepRw(abi.IORING_OP_TIMEOUT, -1, 8, 1, 0))
    x.tell('len 0', (s) => s.prepRw(abi.IORING_OP_TIMEOUT, -1, 8, 0, 0))
    x.tell('len 2', (s) => s.prepRw(abi.IORING_OP_TIMEOUT, -1, 8, 2, 0))
    x.tell('flags', (s) => s.prepTimeout(x.timespec(1), 0, 1 << 12))
    x.tell('two clocks', (s) => s.prepTimeout(x.timespec(1), 0, (1 << 2) | (1 << 3)))
    x.tell('multishot and absolute', (s) =>
      s.prepTimeout(x.timespec(1), 0, abi.IORING_TIMEOUT_MULTISHOT | abi.IORING_TIMEOUT_ABS),
    )
    x.tell('buf group', (s) => s.prepTimeout(x.timespec(1)).setBufGroup(1))
    x.tell('update flag', (s) => s.prepTimeout(x.timespec(1), 0, abi.IORING_TIMEOUT_UPDATE))
  },
  clocks(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(1), 0, 1 << 2))
    x.see('BOOTTIME', { ms: 4 })
    x.go(2, (s) => s.prepTimeout(x.timespec(1), 0, 1 << 3))
    x.see('REALTIME', { ms: 4 })
    x.go(3, (s) => s.prepTimeout(x.timespec(1), 0, (1 << 3) | abi.IORING_TIMEOUT_ABS))
    x.see('REALTIME past', { ms: 4 })
    x.go(4, (s) => s.prepTimeout(x.timespec(Date.now() + 5), 0, (1 << 3) | abi.IORING_TIMEOUT_ABS))
    x.see('REALTIME to come', { ms: 10 })
  },
  count(x) {
    x.put(1, (s) => s.prepTimeout(x.timespec(FAR), 2))
    x.put(2, (s) => s.prepNop())
    x.put(3, (s) => s.prepNop())
    x.r.submit()
    x.see('counted')
    x.go(4, (s) => s.prepTimeout(x.timespec(FAR), 1))
    x.see('waits')
    x.go(5, (s) => s.prepNop())
    x.see('one')
  },
  countRunsOut(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(3), 5))
    x.go(2, (s) => s.prepNop())
    x.see('time', { ms: 8 })
  },
  countOfSeveral(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(FAR), 3))
    x.go(2, (s) => s.prepTimeout(x.timespec(FAR), 1))
    for (let i = 0; i < 4; i++) {
      x.go(10 + i, (s) => s.prepNop())
      x.see(`${i + 1}`)
    }
  },
  countBeforeCompletions(x) {
    x.go(9, (s) => s.prepNop())
    x.see('before')
    x.put(1, (s) => s.prepNop())
    x.put(2, (s) => s.prepTimeout(x.timespec(FAR), 1))
    x.r.submit()
    x.see('batch')
    x.go(3, (s) => s.prepNop())
    x.see('another')
  },
  remove(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(FAR)))
    x.go(2, (s) => s.prepTimeoutRemove(1))
    x.see('removed')
    x.go(3, (s) => s.prepTimeoutRemove(33))
    x.see('none')
    x.go(4, (s) => s.prepTimeout(x.timespec(FAR)))
    x.go(5, (s) => s.prepCancel(4))
    x.see('cancelled')
  },
  removeErrors(x) {
    x.tell('flags', (s) => s.prepTimeoutRemove(1, 1 << 9))
    x.tell('absolute', (s) => s.prepTimeoutRemove(1, abi.IORING_TIMEOUT_ABS))
    x.tell('len', (s) => s.prepRw(abi.IORING_OP_TIMEOUT_REMOVE, -1, 1, 1, 0))
    x.tell('buf group', (s) => s.prepTimeoutRemove(1).setBufGroup(1))
    x.tell('pointer', (s) =>
      s.prepRw(abi.IORING_OP_TIMEOUT_REMOVE, -1, 1, 0, 8).setOpFlags(abi.IORING_TIMEOUT_UPDATE),
    )
    x.tell('update of none', (s) => s.prepTimeoutUpdate(x.timespec(1), 5))
    for (const bits of [1 << 2, 1 << 3, (1 << 2) | (1 << 3), 1 << 5, 1 << 6])
      x.tell(`update with ${bits}`, (s) => s.prepTimeoutUpdate(x.timespec(1), 5, bits))
    x.tell('linked alone', (s) => s.prepTimeoutRemove(1, 1 << 4))
    x.tell('fixed', (s) => s.prepTimeoutRemove(1).setFlags(abi.IOSQE_FIXED_FILE))
  },
  update(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(FAR)))
    x.go(2, (s) => s.prepTimeoutUpdate(x.timespec(2), 1))
    x.see('both', { ms: 6 })
    x.go(3, (s) => s.prepTimeoutUpdate(x.timespec(2), 1))
    x.see('gone')
  },
  updateOfCount(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(FAR), 2))
    x.go(2, (s) => s.prepTimeoutUpdate(x.timespec(2 * FAR), 1))
    x.see('update')
    x.go(3, (s) => s.prepNop())
    x.go(4, (s) => s.prepNop())
    x.see('nothing is counted any more')
    x.go(5, (s) => s.prepTimeoutRemove(1))
    x.see('remove')
  },
  multishot(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(2), 3, abi.IORING_TIMEOUT_MULTISHOT))
    x.see('three', { ms: 12 })
    x.see('no more', { ms: 5 })
  },
  multishotRemoved(x) {
    x.go(1, (s) => s.prepTimeout(x.timespec(FAR), 0, abi.IORING_TIMEOUT_MULTISHOT))
    x.see('waits')
    x.go(2, (s) => s.prepTimeoutRemove(1))
    x.see('removed')
  },
  linked(x) {
    x.put(1, (s) => s.prepTimeout(x.timespec(2)).setFlags(LINK))
    x.put(2, (s) => s.prepNop())
    x.r.submit()
    x.see('breaks', { ms: 6 })
    x.put(3, (s) => s.prepTimeout(x.timespec(2), 0, abi.IORING_TIMEOUT_ETIME_SUCCESS).setFlags(LINK))
    x.put(4, (s) => s.prepNop())
    x.r.submit()
    x.see('goes on', { ms: 6 })
    x.put(5, (s) => s.prepTimeout(x.timespec(2)).setFlags(HARD))
    x.put(6, (s) => s.prepNop())
    x.r.submit()
    x.see('hard', { ms: 6 })
  },
  cqOverflow(x) {
    x.ring(0, { entries: 2, cqEntries: 2 })
    for (let i = 0; i < 4; i++) x.go(i, (s) => s.prepTimeout(x.timespec(1)))
    x.see('four', { ms: 5 })
  },
})

export const linkTimeout: Scenario[] = scenarios('linkTimeout', {
  late(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(3)))
    x.r.submit()
    x.see('both', { ms: 8 })
  },
  early(x) {
    x.put(1, (s) => s.prepNop().setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.see('at once')
    const [client, server] = x.pair()
    x.put(3, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(4, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.see('waits')
    x.send(client, 2)
    x.see('data')
  },
  withSuccessor(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(2)).setFlags(LINK))
    x.put(3, (s) => s.prepNop())
    x.r.submit()
    x.see('late', { ms: 6 })
    x.put(4, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(5, (s) => s.prepLinkTimeout(x.timespec(FAR)).setFlags(LINK))
    x.put(6, (s) => s.prepNop())
    x.r.submit()
    x.send(client, 2)
    x.see('early')
  },
  alone(x) {
    x.go(1, (s) => s.prepLinkTimeout(x.timespec(1)))
    x.see('alone')
    x.put(2, (s) => s.prepNop())
    x.put(3, (s) => s.prepLinkTimeout(x.timespec(1)))
    x.say('submit', x.r.submit())
    x.see('not linked')
  },
  twice(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(2)).setFlags(LINK))
    x.put(3, (s) => s.prepLinkTimeout(x.timespec(2)))
    x.say('submit', x.r.submit())
    x.see('all', { ms: 6 })
  },
  failing(x) {
    x.put(1, (s) => s.prepClose(9999).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.see('both')
    x.put(3, (s) => s.prepClose(9999).setFlags(HARD))
    x.put(4, (s) => s.prepLinkTimeout(x.timespec(FAR)).setFlags(LINK))
    x.put(5, (s) => s.prepNop())
    x.r.submit()
    x.see('hard')
  },
  cancelled(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.go(3, (s) => s.prepCancel(1))
    x.see('request')
    x.put(4, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(5, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.go(6, (s) => s.prepTimeoutRemove(5))
    x.see('remove of the timeout')
    x.go(7, (s) => s.prepCancel(4))
    x.see('rest')
  },
  errors(x) {
    x.put(1, (s) => s.prepNop().setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(1)).setOpFlags(1 << 12))
    x.say('submit', x.r.submit())
    x.see('flags')
    x.put(3, (s) => s.prepNop().setFlags(LINK))
    x.put(4, (s) => s.prepRw(abi.IORING_OP_LINK_TIMEOUT, -1, 8, 1, 0))
    x.say('submit', x.r.submit())
    x.see('pointer')
    x.put(5, (s) => s.prepNop().setFlags(LINK))
    x.put(6, (s) => s.prepLinkTimeout(x.timespec(1), abi.IORING_TIMEOUT_MULTISHOT))
    x.say('submit', x.r.submit())
    x.see('multishot')
    x.put(7, (s) => s.prepNop().setFlags(LINK))
    x.put(8, (s) => s.prepRw(abi.IORING_OP_LINK_TIMEOUT, -1, 8, 1, 3))
    x.say('submit', x.r.submit())
    x.see('count')
  },
  accept(x) {
    const listener = x.listen()
    x.put(1, (s) => s.prepAccept(listener).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(2)))
    x.r.submit()
    x.see('late', { ms: 6 })
  },
  update(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)).setFlags(LINK))
    x.put(2, (s) => s.prepLinkTimeout(x.timespec(FAR)))
    x.r.submit()
    x.go(3, (s) => s.prepTimeoutUpdate(x.timespec(2), 2, 1 << 4))
    x.see('earlier', { ms: 6 })
  },
})
