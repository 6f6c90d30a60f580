import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

function raw(x: Run, what: string, opcode: number, arg: Uint8Array | null, count: number): void {
  x.say(what, answer(x.backend(x.r).register(opcode, arg, count)))
}

/** IORING_REGISTER_EVENTFD, IORING_REGISTER_RESTRICTIONS: not served here. */
const EVENTFD = 4
const RESTRICTIONS = 11

export const register: Scenario[] = scenarios('register', {
  unknown(x) {
    raw(x, 'opcode', 0x7000_0000, null, 0)
    raw(x, 'another', 200, null, 0)
  },
  personality(x) {
    const id = x.r.registerPersonality()
    const other = x.r.registerPersonality()
    x.say('ids', id > 0, other > 0, id !== other)
    x.say('unregister', x.r.unregisterPersonality(id), answer(x.r.unregisterPersonality(id)))
    x.say('none', answer(x.r.unregisterPersonality(0)), answer(x.r.unregisterPersonality(999)))
    raw(x, 'argument', abi.IORING_REGISTER_PERSONALITY, x.bytes(8), 0)
    raw(x, 'count', abi.IORING_REGISTER_PERSONALITY, null, 1)
  },
  enable(x) {
    raw(x, 'enabled', abi.IORING_REGISTER_ENABLE_RINGS, null, 0)
    raw(x, 'argument', abi.IORING_REGISTER_ENABLE_RINGS, x.bytes(8), 0)
    raw(x, 'count', abi.IORING_REGISTER_ENABLE_RINGS, null, 1)
  },
  probe(x) {
    const probe = x.r.getProbe()
    for (const [what, opcode] of [
      ['NOP', abi.IORING_OP_NOP],
      ['POLL_ADD', abi.IORING_OP_POLL_ADD],
      ['TIMEOUT', abi.IORING_OP_TIMEOUT],
      ['SEND', abi.IORING_OP_SEND],
      ['RECV', abi.IORING_OP_RECV],
      ['MSG_RING', abi.IORING_OP_MSG_RING],
      ['SEND_ZC', abi.IORING_OP_SEND_ZC],
      ['BIND', abi.IORING_OP_BIND],
      ['RECV_ZC', abi.IORING_OP_RECV_ZC],
      ['200', 200],
    ] as const)
      x.say(what, probe.opcodeSupported(opcode))
  },
  probeErrors(x) {
    raw(x, 'no memory', abi.IORING_REGISTER_PROBE, null, 4)
    raw(x, 'too many', abi.IORING_REGISTER_PROBE, x.bytes(4096), 257)
    raw(x, 'not zero', abi.IORING_REGISTER_PROBE, x.bytes(64, 1), 4)
    raw(x, 'none', abi.IORING_REGISTER_PROBE, x.bytes(64), 0)
    raw(x, 'one', abi.IORING_REGISTER_PROBE, x.bytes(64), 1)
  },
  bufRingArguments(x) {
    raw(x, 'no memory', abi.IORING_REGISTER_PBUF_RING, null, 1)
    raw(x, 'count', abi.IORING_REGISTER_PBUF_RING, x.bytes(40), 2)
    const reg = new abi.BufReg(x.bytes(40))
    reg.ringEntries = 4
    raw(x, 'no address', abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
    reg.ringAddr = x.r.arena.addressOf(x.pages(8192)) + 64
    raw(x, 'unaligned', abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
    reg.ringAddr = x.r.arena.addressOf(x.pages(8192))
    reg.bytes[30] = 1
    raw(x, 'reserved', abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
    reg.bytes[30] = 0
    raw(x, 'good', abi.IORING_REGISTER_PBUF_RING, reg.bytes, 1)
    raw(x, 'free none', abi.IORING_UNREGISTER_PBUF_RING, null, 1)
    const free = new abi.BufReg(x.bytes(40))
    free.bytes[30] = 1
    raw(x, 'free reserved', abi.IORING_UNREGISTER_PBUF_RING, free.bytes, 1)
    free.bytes[30] = 0
    free.flags = 1
    raw(x, 'free with flags', abi.IORING_UNREGISTER_PBUF_RING, free.bytes, 1)
    free.flags = 0
    raw(x, 'free', abi.IORING_UNREGISTER_PBUF_RING, free.bytes, 1)
  },
  filesArguments(x) {
    raw(x, 'no memory', abi.IORING_REGISTER_FILES, null, 1)
    raw(x, 'size', abi.IORING_REGISTER_FILES2, x.bytes(32), 16)
    const reg = new abi.RsrcRegister(x.bytes(32))
    raw(x, 'nothing', abi.IORING_REGISTER_FILES2, reg.bytes, 32)
    reg.nr = 2
    reg.flags = 1 << 5
    raw(x, 'flags', abi.IORING_REGISTER_FILES2, reg.bytes, 32)
    reg.flags = abi.IORING_RSRC_REGISTER_SPARSE
    reg.data = x.r.arena.addressOf(x.ints(0, 0))
    raw(x, 'sparse with data', abi.IORING_REGISTER_FILES2, reg.bytes, 32)
    raw(x, 'update of none', abi.IORING_REGISTER_FILES_UPDATE2, x.bytes(32), 32)
    raw(x, 'unregister with argument', abi.IORING_UNREGISTER_FILES, x.bytes(8), 0)
    raw(x, 'unregister with count', abi.IORING_UNREGISTER_FILES, null, 1)
  },
  zcrxRefusals(x) {
    raw(x, 'plain completions', abi.IORING_REGISTER_ZCRX_IFQ, x.bytes(96), 1)
    raw(x, 'count', abi.IORING_REGISTER_ZCRX_IFQ, x.bytes(96), 0)
    const [, server] = x.pair()
    x.go(1, (s) => s.prepRecvZc(server, 0))
    x.see('recv')
  },
  eventfd(x) {
    raw(x, 'bad descriptor', EVENTFD, x.ints(9999), 1)
    raw(x, 'count', EVENTFD, x.ints(0), 2)
  },
  restrictions(x) {
    x.ring(DEFER | abi.IORING_SETUP_R_DISABLED)
    raw(x, 'none', RESTRICTIONS, null, 0)
    // struct io_uring_restriction: IORING_RESTRICTION_SQE_OP 1, and its opcode NOP.
    const restriction = x.bytes(16)
    restriction[0] = 1
    raw(x, 'NOP only', RESTRICTIONS, restriction, 1)
    x.say('enable', answer(x.r.enableRings()))
    x.go(1, (s) => s.prepNop())
    x.see('nop')
    x.go(2, (s) => s.prepTimeout(x.timespec(1)))
    x.see('timeout', { ms: 3 })
  },
  afterExit(x) {
    const ring = x.ring()
    x.exit(ring)
    try {
      ring.getEvents()
      x.say('entered')
    } catch (error) {
      x.say((error as Error).name)
    }
  },
  minWait: {
    run(x) {
      const started = performance.now()
      x.say('timeout', answer(x.r.submitAndWaitTimeout(1, 2)))
      x.say('soon', performance.now() - started < 5000)
    },
  },
})
