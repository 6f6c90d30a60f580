import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { ringContext } from '../support/contexts.ts'
import { plainMemory } from '../support/stack-pair.ts'

function setUp(): { kernel: InlineKernel; ring: Ring } {
  const kernel = new InlineKernel({ memoryFor: () => plainMemory(1) })
  return { kernel, ring: Ring.queueInit(64, kernel, { flags: abi.IORING_SETUP_SUBMIT_ALL }) }
}

describe('IORING_REGISTER_PROBE', () => {
  it('tells the truth about every opcode: what it says is served is never refused as unknown', () => {
    const { ring } = setUp()
    const probe = ring.getProbe()
    expect([probe.lastOp, probe.opsLen]).toEqual([abi.IORING_OP_RECV_ZC, abi.IORING_OP_RECV_ZC + 1])
    const served: number[] = []
    for (let op = 0; op < 256; op++) if (probe.opcodeSupported(op)) served.push(op)
    expect(served).toEqual([0, 6, 11, 12, 13, 14, 15, 16, 19, 26, 27, 31, 32, 34, 40, 45, 46, 47, 56, 57, 58])
    // On an empty entry they have errors of their own, if any: EBADF, E2BIG. Some do check something first.
    const own = served.filter((op) => ![11, 12, 15, 32, 58].includes(op))
    for (const op of own)
      ring
        .getSqe()!
        .prepRw(op, op === 31 ? 0 : 99, 0, 0, 0)
        .setData(op)
    ring.submit()
    const refused: number[] = []
    ring.forEachCqe((cqe) => {
      if (cqe.res === -abi.EINVAL) refused.push(cqe.userData)
    })
    expect(refused).toEqual([])
  })

  it('answers for as many as are asked, and only over zeroes', () => {
    const { kernel } = setUp()
    const backend = ringContext(kernel, 0)
    const ask = (bytes: Uint8Array | null, count: number): number =>
      backend.register(abi.IORING_REGISTER_PROBE, bytes, count)
    const probe = new abi.Probe(new Uint8Array(16 + 2 * 8))
    expect(ask(probe.bytes, 2)).toBe(0)
    expect([probe.opsLen, probe.opcodeSupported(0), probe.opcodeSupported(1)]).toEqual([2, true, false])
    expect(probe.opcodeSupported(6)).toBe(false)
    expect(ask(probe.bytes, 2)).toBe(-abi.EINVAL)
    expect(ask(new Uint8Array(16 + 2 * 8), 3)).toBe(-abi.EFAULT)
    expect(ask(new Uint8Array(4096), 257)).toBe(-abi.EINVAL)
    expect(ask(null, 2)).toBe(-abi.EINVAL)
  })
})

describe('IO_URING_QUERY_OPCODES', () => {
  it('tells what there is of everything', () => {
    const { ring } = setUp()
    const answer = new abi.QueryOpcode(new Uint8Array(48))
    expect(ring.query(abi.IO_URING_QUERY_OPCODES, answer.bytes)).toBe(48)
    expect([answer.nrRequestOpcodes, answer.nrRegisterOpcodes, answer.nrQueryOpcodes]).toEqual([59, 37, 4])
    expect([answer.enterFlags, answer.sqeFlags]).toEqual([7, 0x7f])
    const { ringSetupFlags: flags } = answer
    expect(flags & abi.IORING_SETUP_CQE_MIXED).not.toBe(0)
    expect(flags & abi.IORING_SETUP_NO_MMAP).toBe(0)
    expect(answer.featureFlags & abi.IORING_FEAT_RSRC_TAGS).not.toBe(0)
  })
})

describe('IO_URING_QUERY_SCQ', () => {
  it("tells what lies in front of a ring's completions (kernel record, query.scq)", () => {
    const { ring } = setUp()
    const answer = new abi.QueryScq(new Uint8Array(16))
    expect(ring.query(abi.IO_URING_QUERY_SCQ, answer.bytes)).toBe(16)
    expect([answer.hdrSize, answer.hdrAlignment]).toEqual([64, 64])
    expect(ring.memory.cqes.byteOffset).toBe(64)
  })
})

describe('personalities', () => {
  it('are numbers that entries may name while they are registered', () => {
    const { ring } = setUp()
    const ask = (personality: number): number => {
      ring.getSqe()!.prepNop().setPersonality(personality)
      ring.submit()
      const cqe = ring.peekCqe()!
      const { res } = cqe
      ring.cqeSeen(cqe)
      return res
    }
    const [first, second] = [ring.registerPersonality(), ring.registerPersonality()]
    expect([first, second]).toEqual([1, 2])
    expect([ask(0), ask(1), ask(2), ask(3)]).toEqual([0, 0, 0, -abi.EINVAL])
    expect(ring.unregisterPersonality(1)).toBe(0)
    expect(ring.unregisterPersonality(1)).toBe(-abi.EINVAL)
    expect(ask(1)).toBe(-abi.EINVAL)
    // A number comes again when all others have been used.
    expect(ring.registerPersonality()).toBe(3)
  })
})
