import * as abi from '../../../uapi/abi/index.ts'
import { DEFER, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const ANY = abi.IORING_FILE_INDEX_ALLOC

/** The sender's completion, and what has come to the other ring. */
function both(x: Run, what: string, sender: ReturnType<Run['ring']>, target: ReturnType<Run['ring']>): void {
  x.see(`${what}: sender`, { ring: sender })
  x.see(`${what}: target`, { ring: target })
}

export const message: Scenario[] = scenarios('message', {
  data(x) {
    const [a, b] = [x.ring(), x.ring()]
    x.go(1, (s) => s.prepMsgRing(b.ringFd, 123, 456), a)
    both(x, 'data', a, b)
    x.go(2, (s) => s.prepMsgRing(b.ringFd, 0xffff_fff0, 0), a)
    both(x, 'negative', a, b)
  },
  undeferred(x) {
    const [a, b] = [x.ring(0), x.ring(0)]
    x.go(1, (s) => s.prepMsgRing(b.ringFd, 123, 456), a)
    x.say('ready', b.cqReady())
    both(x, 'data', a, b)
  },
  flags(x) {
    const [a, b] = [x.ring(), x.ring()]
    x.go(1, (s) => s.prepMsgRingCqeFlags(b.ringFd, 5, 6, 0, 2), a)
    both(x, 'passed', a, b)
    x.go(2, (s) => s.prepMsgRing(b.ringFd, 5, 6).setTargetFixedFile(3), a)
    both(x, 'not asked for', a, b)
    x.go(3, (s) => s.prepMsgRing(b.ringFd, 5, 6, 1 << 5), a)
    both(x, 'unknown', a, b)
    x.go(4, (s) => s.prepMsgRing(b.ringFd, 5, 6, abi.IORING_MSG_RING_CQE_SKIP), a)
    both(x, 'skip', a, b)
  },
  errors(x) {
    const a = x.ring()
    const [client] = x.pair()
    x.tell('descriptor', (s) => s.prepMsgRing(9999, 1, 2))
    x.tell('socket', (s) => s.prepMsgRing(client, 1, 2))
    x.tell('command', (s) => s.prepRw(abi.IORING_OP_MSG_RING, a.ringFd, 7, 0, 0))
    x.tell('buf group', (s) => s.prepMsgRing(a.ringFd, 1, 2).setBufGroup(1))
  },
  toItself(x) {
    const a = x.ring()
    x.go(1, (s) => s.prepMsgRing(a.ringFd, 9, 8), a)
    x.see('both')
  },
  toDisabled(x) {
    const [a, b] = [x.ring(), x.ring(DEFER | abi.IORING_SETUP_R_DISABLED)]
    x.go(1, (s) => s.prepMsgRing(b.ringFd, 9, 8), a)
    x.see('sender', { ring: a })
    b.enableRings()
    x.go(2, (s) => s.prepMsgRing(b.ringFd, 9, 8), a)
    both(x, 'enabled', a, b)
  },
  file(x) {
    const [a, b] = [x.ring(), x.ring()]
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepMsgRingFd(b.ringFd, 0, 0, 77), a)
    both(x, 'no tables', a, b)
    a.registerFiles([client])
    x.go(2, (s) => s.prepMsgRingFd(b.ringFd, 0, 0, 77), a)
    both(x, 'no table there', a, b)
    b.registerFilesSparse(2)
    x.go(3, (s) => s.prepMsgRingFd(b.ringFd, 0, 1, 77), a)
    both(x, 'slot 1', a, b)
    x.go(4, (s) => s.prepMsgRingFd(b.ringFd, 0, ANY, 78), a)
    both(x, 'any', a, b)
    x.go(5, (s) => s.prepMsgRingFd(b.ringFd, 0, ANY, 79), a)
    both(x, 'none free', a, b)
    x.go(6, (s) => s.prepMsgRingFd(b.ringFd, 0, 0, 80, abi.IORING_MSG_RING_CQE_SKIP), a)
    both(x, 'silently', a, b)
    x.go(7, (s) => s.prepMsgRingFd(b.ringFd, 5, 0, 81), a)
    both(x, 'no source', a, b)
    x.go(8, (s) => s.prepMsgRingFd(b.ringFd, 0, 9, 82), a)
    both(x, 'beyond', a, b)
    x.go(9, (s) => s.prepSend(1, x.bytes(3, 97)).setFlags(abi.IOSQE_FIXED_FILE), b)
    x.see('sent', { ring: b })
    x.say('recv', x.recv(server))
  },
  fileToItself(x) {
    const a = x.ring()
    const [client] = x.pair()
    a.registerFiles([client, -1])
    x.tell('file', (s) => s.prepMsgRingFd(a.ringFd, 0, 1, 7))
  },
  linked(x) {
    const [a, b] = [x.ring(), x.ring()]
    x.put(1, (s) => s.prepMsgRing(9999, 1, 2).setFlags(abi.IOSQE_IO_LINK), a)
    x.put(2, (s) => s.prepMsgRing(b.ringFd, 1, 2), a)
    a.submit()
    both(x, 'breaks', a, b)
  },
  mixed: {
    since: [6, 18],
    why: 'CQE_MIXED',
    run(x) {
      const [a, b] = [x.ring(), x.ring(DEFER | abi.IORING_SETUP_CQE_MIXED)]
      x.go(1, (s) => s.prepMsgRingCqeFlags(b.ringFd, 5, 6, 0, abi.IORING_CQE_F_MORE), a)
      both(x, 'plain', a, b)
    },
  },
  wide(x) {
    const [a, b] = [x.ring(), x.ring(DEFER | abi.IORING_SETUP_CQE32)]
    x.go(1, (s) => s.prepMsgRing(b.ringFd, 5, 6), a)
    both(x, 'wide', a, b)
  },
})
