import * as abi from '../../../uapi/abi/index.ts'
import { answer, type Prepare, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const { IOSQE_IO_LINK: LINK, IOSQE_IO_HARDLINK: HARD, IOSQE_IO_DRAIN: DRAIN } = abi

const fails: Prepare = (s) => s.prepClose(9999)
const nop: Prepare = (s) => s.prepNop()

/** A chain: each entry with the flags that belong to it. */
function chain(x: Run, first: number, ...entries: readonly [Prepare, number][]): void {
  for (const [i, [prepare, flags]] of entries.entries()) x.put(first + i, (s) => prepare(s).setFlags(flags))
  x.r.submit()
}

export const link: Scenario[] = scenarios('link', {
  succeeds(x) {
    chain(x, 1, [nop, LINK], [nop, LINK], [nop, 0])
    x.see('chain', { inOrder: true })
  },
  fails(x) {
    chain(x, 1, [fails, LINK], [nop, LINK], [nop, 0])
    x.see('first')
    chain(x, 4, [nop, LINK], [fails, LINK], [nop, 0])
    x.see('second')
  },
  hard(x) {
    chain(x, 1, [fails, HARD], [nop, HARD], [nop, 0])
    x.see('hard')
    chain(x, 4, [fails, HARD], [fails, LINK], [nop, 0])
    x.see('then soft')
  },
  twoChains(x) {
    x.put(1, (s) => fails(s).setFlags(LINK))
    x.put(2, nop)
    x.put(3, (s) => nop(s).setFlags(LINK))
    x.put(4, nop)
    x.r.submit()
    x.see('chains')
  },
  endOfBatch(x) {
    x.put(1, (s) => nop(s).setFlags(LINK))
    x.r.submit()
    x.put(2, nop)
    x.r.submit()
    x.see('open chain')
  },
  wrongEntry(x) {
    x.put(1, (s) => nop(s).setFlags(LINK))
    x.put(2, (s) => s.prepRw(200, -1, 0, 0, 0).setFlags(LINK))
    x.put(3, nop)
    x.put(4, nop)
    x.say('submit', x.r.submit(), 'left', x.r.sqReady())
    x.see('chain')
    x.say('submit', x.r.submit())
    x.see('rest')
  },
  wrongLast(x) {
    x.put(1, (s) => nop(s).setFlags(LINK))
    x.put(2, (s) => s.prepRw(200, -1, 0, 0, 0))
    x.put(3, nop)
    x.say('submit', x.r.submit(), 'left', x.r.sqReady())
    x.see('chain')
    x.say('submit', x.r.submit())
    x.see('rest')
  },
  waits(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(4)
    chain(x, 1, [(s) => s.prepRecv(server, buffer), LINK], [nop, 0])
    x.see('waits')
    x.send(client, 3)
    x.see('goes on')
  },
  cancelled(x) {
    const [, server] = x.pair()
    chain(x, 1, [(s) => s.prepRecv(server, x.bytes(4)), LINK], [nop, LINK], [nop, 0])
    x.go(4, (s) => s.prepCancel(1))
    x.see('head')
    chain(x, 5, [(s) => s.prepRecv(server, x.bytes(4)), LINK], [nop, 0])
    x.go(7, (s) => s.prepCancel(6))
    x.see('one that waits for its turn')
    x.go(8, (s) => s.prepCancel(5))
    x.see('head again')
  },
  cancelledHard(x) {
    const [, server] = x.pair()
    chain(x, 1, [(s) => s.prepRecv(server, x.bytes(4)), HARD], [nop, 0])
    x.go(3, (s) => s.prepCancel(1))
    x.see('head')
  },
  endOfStream(x) {
    const [client, server] = x.pair()
    chain(x, 1, [(s) => s.prepRecv(server, x.bytes(4)), LINK], [nop, 0])
    x.shutdown(client, abi.SHUT_WR)
    x.see('recv of nothing')
  },
  requestResponse(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    chain(x, 1, [(s) => s.prepSend(client, x.bytes(3, 97)), LINK], [(s) => s.prepRecv(client, buffer), 0])
    x.see('sent')
    x.say('request', x.recv(server), 'answer', x.send(server, 5))
    x.see('answered')
  },
  multishotPoll(x) {
    const [client, server] = x.pair()
    chain(x, 1, [(s) => s.prepPollAdd(server, abi.POLLIN, true), LINK], [nop, 0])
    x.send(client, 3)
    x.see('goes on')
    x.go(3, (s) => s.prepCancel(1))
    x.see('cancel')
  },
  skippedSuccessors(x) {
    const skip = abi.IOSQE_CQE_SKIP_SUCCESS
    chain(x, 1, [nop, LINK | skip], [fails, LINK | skip], [nop, skip])
    x.see('fails in the middle')
  },
})

export const drain: Scenario[] = scenarios('drain', {
  waitsForOthers(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => nop(s).setFlags(DRAIN))
    x.put(3, nop)
    x.r.submit()
    x.see('waits')
    x.send(client, 2)
    x.see('goes on')
  },
  idle(x) {
    x.put(1, (s) => nop(s).setFlags(DRAIN))
    x.put(2, nop)
    x.put(3, (s) => nop(s).setFlags(DRAIN))
    x.say('submit', x.r.submit())
    x.see('all', { inOrder: true })
  },
  ofChain(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => nop(s).setFlags(DRAIN | LINK))
    x.put(3, nop)
    x.put(4, nop)
    x.r.submit()
    x.see('waits')
    x.send(client, 2)
    x.see('goes on')
  },
  insideChain(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => nop(s).setFlags(LINK))
    x.put(3, (s) => nop(s).setFlags(DRAIN))
    x.put(4, nop)
    x.r.submit()
    x.see('waits')
    x.send(client, 2)
    x.see('goes on')
  },
  cancelled(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => nop(s).setFlags(DRAIN))
    x.r.submit()
    x.see('waits')
    const other = x.ring()
    x.go(9, nop, other)
    x.see('other', { ring: other })
    const reg = new abi.SyncCancelReg(x.bytes(64))
    reg.addr = 1
    reg.fd = -1
    new BigInt64Array(reg.bytes.buffer, reg.bytes.byteOffset + 16, 2).fill(-1n)
    x.say('cancel', answer(x.backend(other).register(24, reg.bytes, 1)))
    x.r.registerSyncCancel(reg)
    x.see('goes on')
  },
  multishot(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepPollAdd(server, abi.POLLIN, true))
    x.put(2, (s) => nop(s).setFlags(DRAIN))
    x.r.submit()
    x.send(client, 2)
    x.see('one event')
    x.close(client)
    x.see('end')
  },
  timeout(x) {
    x.put(1, (s) => s.prepTimeout(x.timespec(2)))
    x.put(2, (s) => nop(s).setFlags(DRAIN))
    x.r.submit()
    x.see('both', { ms: 6 })
  },
})
