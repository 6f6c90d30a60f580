import * as abi from '../../../uapi/abi/index.ts'
import { Ring, type RingParams } from '../../../uapi/ring/ring.ts'
import { answer, DEFER, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const { IORING_SETUP_SINGLE_ISSUER: SINGLE } = abi

/** What io_uring_setup(2) answers: an errno, or how large the queues are. */
function ask(x: Run, what: string, entries: number, flags: number, params: RingParams = {}): void {
  const ring = Ring.queueInitParams(entries, x.world.host, { flags, ...params })
  if (typeof ring === 'number') x.say(what, abi.errnoName(ring))
  else {
    const { sqEntries, cqEntries } = ring.memory
    x.say(what, `${sqEntries}/${cqEntries}`)
    ring.queueExit()
  }
}

export const setup: Scenario[] = scenarios('setup', {
  sizes(x) {
    for (const entries of [1, 2, 3, 8, 9, 4096]) ask(x, `${entries}`, entries, 0)
  },
  sizeErrors(x) {
    for (const entries of [0, 32_769]) ask(x, `${entries}`, entries, 0)
  },
  clamp(x) {
    ask(x, 'entries', 40_000, abi.IORING_SETUP_CLAMP)
    ask(x, 'cqEntries', 4, abi.IORING_SETUP_CLAMP, { cqEntries: 70_000 })
    ask(x, 'none', 0, abi.IORING_SETUP_CLAMP)
  },
  cqEntries(x) {
    for (const cqEntries of [0, 1, 7, 8, 9, 100, 65_537]) ask(x, `${cqEntries}`, 8, 0, { cqEntries })
  },
  defer(x) {
    ask(x, 'alone', 8, abi.IORING_SETUP_DEFER_TASKRUN)
    ask(x, 'with SINGLE_ISSUER', 8, DEFER)
    ask(x, 'with COOP', 8, DEFER | abi.IORING_SETUP_COOP_TASKRUN)
  },
  taskrunFlag(x) {
    ask(x, 'alone', 8, abi.IORING_SETUP_TASKRUN_FLAG)
    ask(x, 'with COOP', 8, abi.IORING_SETUP_TASKRUN_FLAG | abi.IORING_SETUP_COOP_TASKRUN)
    ask(x, 'with DEFER', 8, abi.IORING_SETUP_TASKRUN_FLAG | DEFER)
    ask(x, 'with SINGLE_ISSUER', 8, abi.IORING_SETUP_TASKRUN_FLAG | SINGLE)
  },
  sqpoll(x) {
    ask(x, 'alone', 8, abi.IORING_SETUP_SQPOLL)
    ask(x, 'with COOP', 8, abi.IORING_SETUP_SQPOLL | abi.IORING_SETUP_COOP_TASKRUN)
    ask(x, 'with DEFER', 8, abi.IORING_SETUP_SQPOLL | DEFER)
    ask(x, 'with SINGLE_ISSUER', 8, abi.IORING_SETUP_SQPOLL | SINGLE)
    ask(x, 'with IOPOLL', 8, abi.IORING_SETUP_SQPOLL | abi.IORING_SETUP_IOPOLL)
  },
  sqAff(x) {
    ask(x, 'without SQPOLL', 8, abi.IORING_SETUP_SQ_AFF)
  },
  wideEntries(x) {
    ask(x, 'SQE128', 8, abi.IORING_SETUP_SQE128)
    ask(x, 'CQE32', 8, abi.IORING_SETUP_CQE32)
    ask(x, 'both', 8, abi.IORING_SETUP_CQE32 | abi.IORING_SETUP_SQE128)
  },
  mixed: {
    since: [6, 18],
    why: 'CQE_MIXED',
    run(x) {
      ask(x, 'CQE_MIXED', 8, abi.IORING_SETUP_CQE_MIXED)
      ask(x, 'with CQE32', 8, abi.IORING_SETUP_CQE_MIXED | abi.IORING_SETUP_CQE32)
      ask(x, 'of two slots', 1, abi.IORING_SETUP_CQE_MIXED)
      ask(x, 'of one slot', 1, abi.IORING_SETUP_CQE_MIXED, { cqEntries: 1 })
    },
  },
  unknownFlag(x) {
    ask(x, 'bit 30', 8, 1 << 30)
  },
  hybridWithoutIopoll(x) {
    ask(x, 'HYBRID_IOPOLL', 8, abi.IORING_SETUP_HYBRID_IOPOLL)
  },
  sqe128Entries(x) {
    const r = x.ring(abi.IORING_SETUP_SQE128 | DEFER, { entries: 4 })
    for (let lap = 0; lap < 3; lap++) {
      for (let i = 1; i <= 3; i++) x.put(lap * 4 + i, (s) => s.prepNop())
      x.say('submit', r.submit(), 'left', r.sqReady())
      x.see('nops')
    }
  },
  disabled(x) {
    const r = x.ring(DEFER | abi.IORING_SETUP_R_DISABLED)
    x.put(1, (s) => s.prepNop())
    x.say('submit', answer(r.submit()), 'get events', answer(r.getEvents()))
    x.see('before')
    x.say('enable', r.enableRings(), answer(r.enableRings()))
    x.say('submit', r.submit())
    x.see('after')
  },
  disabledRegisters(x) {
    const r = x.ring(abi.IORING_SETUP_R_DISABLED)
    x.say('files', r.registerFilesSparse(4), 'buffers', typeof r.setupBufRing(4, 1))
    const [client] = x.pair()
    x.say('update', r.registerFilesUpdate(0, [client]))
    x.say('enable', r.enableRings())
    x.go(1, (s) => s.prepSend(0, x.bytes(3)).setFlags(abi.IOSQE_FIXED_FILE))
    x.see('send')
  },
  enableEnabled(x) {
    x.say('enable', answer(x.r.enableRings()))
  },
  coop(x) {
    x.ring(abi.IORING_SETUP_COOP_TASKRUN | abi.IORING_SETUP_TASKRUN_FLAG)
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.see('nothing')
    x.send(client, 5)
    x.see('data')
  },
  sqpollWorks(x) {
    x.ring(abi.IORING_SETUP_SQPOLL)
    const [client, server] = x.pair()
    const buffer = x.bytes(10)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.go(2, (s) => s.prepNop())
    x.see('nop')
    x.go(3, (s) => s.prepSend(client, x.bytes(4)))
    x.see('data')
  },
  iopollRefuses(x) {
    x.ring(abi.IORING_SETUP_IOPOLL)
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepNop())
    x.see('nop')
    x.go(2, (s) => s.prepRecv(server, x.bytes(4)))
    x.see('recv')
    x.go(3, (s) => s.prepSend(client, x.bytes(4)))
    x.see('send')
    x.go(4, (s) => s.prepTimeout(x.timespec(1)))
    x.see('timeout')
    x.go(5, (s) => s.prepPollAdd(server, abi.POLLIN))
    x.see('poll')
    x.go(6, (s) => s.prepCancel(1))
    x.see('cancel')
    x.go(7, (s) => s.prepClose(client))
    x.see('close')
    x.go(8, (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
    x.see('command')
    x.go(9, (s) => s.prepProvideBuffers(x.bytes(16), 16, 1, 1, 0))
    x.see('provide')
  },
})
