import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const LINK = abi.IOSQE_IO_LINK

export const entries: Scenario[] = scenarios('entries', {
  nop(x) {
    for (let i = 1; i <= 5; i++) x.put(i, (s) => s.prepNop())
    x.say('submit', x.r.submit(), 'left', x.r.sqReady())
    x.see('nops', { inOrder: true })
  },
  nopInjects(x) {
    for (const [i, value] of [0, 1, -1, -22, 0x7fff_ffff].entries())
      x.put(i + 1, (s) =>
        s.prepRw(abi.IORING_OP_NOP, -1, 0, value >>> 0, 0).setOpFlags(abi.IORING_NOP_INJECT_RESULT),
      )
    x.say('submit', x.r.submit())
    x.see('nops')
  },
  nopFlags(x) {
    for (let bit = 5; bit < 32; bit += 4) {
      x.go(bit, (s) => s.prepNop().setOpFlags(1 << bit))
      x.see('nop')
    }
  },
  nopLinkedFailure(x) {
    x.put(1, (s) =>
      s
        .prepRw(abi.IORING_OP_NOP, -1, 0, -5 >>> 0, 0)
        .setOpFlags(abi.IORING_NOP_INJECT_RESULT)
        .setFlags(LINK),
    )
    x.put(2, (s) => s.prepNop())
    x.say('submit', x.r.submit())
    x.see('nops')
  },
  nopWide(x) {
    x.ring(DEFER | abi.IORING_SETUP_CQE32)
    x.go(1, (s) => s.prepNop())
    x.go(2, (s) => s.prepRw(abi.IORING_OP_NOP, -1, 7, 0, 9).setOpFlags(abi.IORING_NOP_CQE32))
    x.see('nops')
  },
  nopMixed: {
    since: [6, 18],
    why: 'CQE_MIXED',
    run(x) {
      x.ring(DEFER | abi.IORING_SETUP_CQE_MIXED, { entries: 4 })
      for (let i = 0; i < 12; i++) {
        x.put(i, (s) =>
          i % 3 === 0
            ? s.prepNop()
            : s.prepRw(abi.IORING_OP_NOP, -1, i, 0, 100 + i).setOpFlags(abi.IORING_NOP_CQE32),
        )
        if (i % 2 === 1) x.r.submit()
        if (i % 2 === 1) x.see('nops')
      }
    },
  },
  opcodes(x) {
    for (const opcode of [100, 200, 255]) {
      x.put(1, (s) => s.prepRw(opcode, -1, 0, 0, 0))
      x.put(2, (s) => s.prepNop())
      x.say('submit', x.r.submit(), 'left', x.r.sqReady())
      x.see('first')
      x.say('submit', x.r.submit())
      x.see('rest')
    }
  },
  unserved(x) {
    const [client] = x.pair()
    for (const [what, opcode] of [
      ['POLL_REMOVE', 7],
      ['SENDMSG', 9],
      ['RECVMSG', 10],
      ['FILES_UPDATE', 20],
      ['READ', 22],
      ['WRITE', 23],
      ['EPOLL_CTL', 29],
      ['SENDMSG_ZC', 48],
      ['FIXED_FD_INSTALL', 54],
    ] as const) {
      x.go(opcode, (s) => s.prepRw(opcode, client, 8, 0, 0).setIoprio(1 << 15))
      x.see(what)
    }
  },
  submitAll(x) {
    x.ring(DEFER | abi.IORING_SETUP_SUBMIT_ALL)
    x.put(1, (s) => s.prepRw(200, -1, 0, 0, 0))
    x.put(2, (s) => s.prepNop())
    x.say('submit', x.r.submit(), 'left', x.r.sqReady())
    x.see('both')
  },
  executionErrorsDontStop(x) {
    x.put(1, (s) => s.prepClose(9999))
    x.put(2, (s) => s.prepNop())
    x.say('submit', x.r.submit(), 'left', x.r.sqReady())
    x.see('both')
  },
  flags(x) {
    for (const [i, flags] of [
      0x80,
      abi.IOSQE_BUFFER_SELECT,
      abi.IOSQE_FIXED_FILE,
      abi.IOSQE_ASYNC,
    ].entries()) {
      x.go(i + 1, (s) => s.prepNop().setFlags(flags))
      x.see(`0x${flags.toString(16)}`)
    }
  },
  ioprio(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepNop().setIoprio(1))
    x.see('nop')
    x.go(2, (s) => s.prepClose(9999).setIoprio(1))
    x.see('close')
    x.go(3, (s) => s.prepShutdown(client, 1).setIoprio(1))
    x.see('shutdown')
    for (const [i, bits] of [1 << 3, 1 << 5, 1 << 15].entries()) {
      x.go(10 + i, (s) => s.prepSend(client, x.bytes(1)).setIoprio(bits))
      x.see(`send ${bits}`)
    }
    for (const [i, bits] of [1 << 5, 1 << 15].entries()) {
      x.go(20 + i, (s) => s.prepRecv(server, x.bytes(1)).setIoprio(bits))
      x.see(`recv ${bits}`)
    }
  },
  personality(x) {
    const id = x.r.registerPersonality()
    x.say('register', id > 0)
    x.go(1, (s) => s.prepNop().setPersonality(id))
    x.see('known')
    x.go(2, (s) => s.prepNop().setPersonality(id + 7))
    x.see('unknown')
    x.say('unregister', x.r.unregisterPersonality(id), answer(x.r.unregisterPersonality(id)))
    x.go(3, (s) => s.prepNop().setPersonality(id))
    x.see('gone')
  },
  async(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    x.send(client, 4)
    x.go(1, (s) => s.prepRecv(server, buffer).setFlags(abi.IOSQE_ASYNC))
    x.see('recv')
    x.go(2, (s) => s.prepSend(client, x.bytes(4)).setFlags(abi.IOSQE_ASYNC))
    x.see('send')
    x.go(3, (s) => s.prepNop().setFlags(abi.IOSQE_ASYNC))
    x.see('nop')
  },
  skipSuccess(x) {
    const skip = abi.IOSQE_CQE_SKIP_SUCCESS
    x.put(1, (s) => s.prepNop().setFlags(skip))
    x.put(2, (s) => s.prepClose(9999).setFlags(skip))
    x.put(3, (s) => s.prepNop())
    x.say('submit', x.r.submit())
    x.see('skip')
  },
  skipInChain(x) {
    const skip = abi.IOSQE_CQE_SKIP_SUCCESS
    x.put(1, (s) => s.prepNop().setFlags(skip | LINK))
    x.put(2, (s) => s.prepNop())
    x.r.submit()
    x.see('succeeds')
    x.put(3, (s) => s.prepClose(9999).setFlags(skip | LINK))
    x.put(4, (s) => s.prepNop().setFlags(LINK))
    x.put(5, (s) => s.prepNop())
    x.r.submit()
    x.see('fails')
  },
  skipAndDrain(x) {
    x.go(1, (s) => s.prepNop().setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
    x.go(2, (s) => s.prepNop().setFlags(abi.IOSQE_IO_DRAIN))
    x.see('drain')
    x.go(3, (s) => s.prepNop().setFlags(abi.IOSQE_IO_DRAIN | abi.IOSQE_CQE_SKIP_SUCCESS))
    x.see('both')
  },
  skipRecv(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    x.go(1, (s) => s.prepRecv(server, buffer).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
    x.send(client, 4)
    x.see('data')
    x.go(2, (s) => s.prepRecv(server, buffer).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
    x.close(client)
    x.see('end')
    x.go(3, (s) => s.prepRecv(9999, buffer).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))
    x.see('error')
  },
  queueFull(x) {
    x.ring(DEFER, { entries: 4 })
    for (let i = 0; i < 4; i++) x.put(i, (s) => s.prepNop())
    x.say('more', x.r.getSqe() === null, 'left', x.r.sqSpaceLeft())
    x.say('submit', x.r.submit(), x.r.submit())
    x.see('nops')
  },
  submitAndWait(x) {
    x.put(1, (s) => s.prepNop())
    x.put(2, (s) => s.prepNop())
    x.say('submit', x.r.submitAndWait(2), 'ready', x.r.cqReady())
    x.say('timeout', answer(x.r.submitAndWaitTimeout(3, 2)))
    x.put(3, (s) => s.prepNop())
    x.say('submit', x.r.submitAndWaitTimeout(3, 50), 'ready', x.r.cqReady())
    x.see('nops')
  },
  waitsForOneTooMany(x) {
    x.put(1, (s) => s.prepNop())
    x.say('submit', x.r.submitAndWaitTimeout(2, 2), 'ready', x.r.cqReady())
    x.say('again', answer(x.r.submitAndWaitTimeout(2, 2)))
    x.see('nop')
  },
  enterFlags(x) {
    // Of the ring that is looked at only what its back end passes on as it is.
    const [, server] = x.pair()
    const buffer = x.bytes(4)
    x.go(1, (s) => s.prepRecv(server, buffer))
    x.say('get events', x.r.getEvents(), 'work', x.r.hasWork())
    x.see('nothing')
  },
})
