import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { plainMemory } from '../support/stack-pair.ts'

function setUp() {
  const kernel = new InlineKernel({ memoryFor: () => plainMemory(4) })
  const header = (queryOp: number, data: Uint8Array, size = data.length): abi.QueryHdr => {
    const made = new abi.QueryHdr(new Uint8Array(40))
    made.queryOp = queryOp
    made.queryData = kernel.space.addressOf(data)
    made.size = size
    return made
  }
  const ask = (first: abi.QueryHdr, nrArgs = 0) =>
    kernel.register(abi.IORING_REGISTER_QUERY, first.bytes, nrArgs)
  return { kernel, header, ask }
}

describe('IORING_REGISTER_QUERY', () => {
  it('tells what registrations may ask for, with a ring and without one (kernel record point 1)', () => {
    const { kernel, header, ask } = setUp()
    const zcrx = new abi.QueryZcrx(new Uint8Array(40).fill(0xcc))
    const first = header(abi.IO_URING_QUERY_ZCRX, zcrx.bytes)
    expect([ask(first), first.result, first.size]).toEqual([0, 0, 40])
    expect([zcrx.registerFlags, zcrx.areaFlags]).toEqual([3, 1])
    expect([zcrx.nrCtrlOpcodes, zcrx.features]).toEqual([4, 3])
    expect([zcrx.rqHdrSize, zcrx.rqHdrAlignment]).toEqual([128, 64])
    const again = new Uint8Array(40)
    expect(Ring.queueInit(4, kernel).query(abi.IO_URING_QUERY_ZCRX, again)).toBe(40)
    expect(again).toEqual(zcrx.bytes)
    expect(Buffer.from(again).toString('hex')).toBe(
      '03000000000000000100000000000000040000000300000080000000400000000000000000000000',
    )
  })

  it('tells the size and the alignment of the statistics (kernel record point 2)', () => {
    const { header, ask } = setUp()
    const event = new abi.QueryZcrxEvent(new Uint8Array(48).fill(0xcc))
    const first = header(abi.IO_URING_QUERY_ZCRX_EVENT, event.bytes)
    expect([ask(first), first.result, first.size]).toEqual([0, 0, 48])
    expect([event.eventFlags, event.statsSize, event.statsOffAlignment]).toEqual([3, 16, 8])
    expect(event.bytes.subarray(12).every((byte) => byte === 0)).toBe(true)
  })

  it('fills what a shorter buffer holds, and zeroes the rest of a longer one (kernel record point 3)', () => {
    const { header, ask } = setUp()
    const memory = new Uint8Array(64).fill(0xcc)
    const short = header(abi.IO_URING_QUERY_ZCRX, memory, 8)
    expect([ask(short), short.result, short.size]).toEqual([0, 0, 8])
    expect([memory[0], memory[7], memory[8]]).toEqual([3, 0, 0xcc])
    const long = header(abi.IO_URING_QUERY_ZCRX, memory.fill(0xcc))
    expect([ask(long), long.result, long.size]).toEqual([0, 0, 40])
    expect(memory.subarray(40).every((byte) => byte === 0)).toBe(true)
  })

  it.each([
    ['an unknown one', 100],
    ['the highest number', 0xffff_ffff],
  ])('answers %s in the header, EOPNOTSUPP and size 0 (kernel record point 3)', (_what, op) => {
    const { kernel, header, ask } = setUp()
    const data = new Uint8Array(16).fill(0xcc)
    const first = header(op, data)
    expect([ask(first), first.result, first.size]).toEqual([0, -abi.EOPNOTSUPP, 0])
    // As if it were answered with nothing: what is asked about is zeroed.
    expect(data.every((byte) => byte === 0)).toBe(true)
    expect(Ring.queueInit(4, kernel).query(op, data)).toBe(-abi.EOPNOTSUPP)
  })

  it('follows a chain of headers, past one that is not answered (kernel record point 1)', () => {
    const { kernel, header, ask } = setUp()
    const [one, two] = [new Uint8Array(40), new Uint8Array(48)]
    const first = header(abi.IO_URING_QUERY_ZCRX, one)
    const middle = header(100, new Uint8Array(40))
    const last = header(abi.IO_URING_QUERY_ZCRX_EVENT, two)
    first.nextEntry = kernel.space.addressOf(middle.bytes)
    middle.nextEntry = kernel.space.addressOf(last.bytes)
    expect(ask(first)).toBe(0)
    expect([first.result, middle.result, last.result]).toEqual([0, -abi.EOPNOTSUPP, 0])
    expect([one[24], two[4]]).toEqual([128, 16])
  })

  it('fails as a call for pointers to nothing, arguments counted, and a chain that loops', () => {
    const { kernel, header, ask } = setUp()
    const data = new Uint8Array(40)
    const op = abi.IO_URING_QUERY_ZCRX
    expect(ask(header(op, data), 1)).toBe(-abi.EINVAL)
    expect(kernel.register(abi.IORING_REGISTER_QUERY, null, 0)).toBe(0)
    expect(kernel.register(abi.IORING_REGISTER_QUERY, new Uint8Array(39), 0)).toBe(-abi.EFAULT)
    expect(ask(Object.assign(header(op, data), { queryData: 0xdead_beef }))).toBe(-abi.EFAULT)
    for (const asked of [op, 100])
      expect(ask(Object.assign(header(asked, data), { queryData: 0xdead_beef }))).toBe(-abi.EFAULT)
    for (const asked of [op, 100]) expect(ask(header(asked, new Uint8Array(8192), 4097))).toBe(-abi.E2BIG)
    expect(ask(header(op, data, 2 ** 31))).toBe(-abi.E2BIG)
    expect(ask(header(op, new Uint8Array(4096)))).toBe(0)
    expect(ask(Object.assign(header(op, data), { nextEntry: 0xdead_beef }))).toBe(-abi.EFAULT)
    const [here, there] = [header(op, data), header(op, data)]
    here.nextEntry = kernel.space.addressOf(there.bytes)
    there.nextEntry = kernel.space.addressOf(here.bytes)
    expect(ask(here)).toBe(-abi.ERANGE)
  })

  it.each<[string, (header: abi.QueryHdr) => void]>([
    ['reserved words that are not zero', (first) => first.view.setUint32(36, 1, true)],
    ['a result that is not zero', (first) => (first.result = 1)],
    ['no bytes for the answer', (first) => (first.size = 0)],
  ])('answers %s with EINVAL, in the header', (_what, change) => {
    const { header, ask } = setUp()
    const first = header(abi.IO_URING_QUERY_ZCRX, new Uint8Array(40))
    change(first)
    expect([ask(first), first.result, first.size]).toEqual([0, -abi.EINVAL, 0])
  })

  it('is the only opcode that needs no ring (kernel record point 6)', () => {
    const { kernel } = setUp()
    expect(kernel.register(abi.IORING_REGISTER_ZCRX_IFQ, new Uint8Array(96), 1)).toBe(-abi.EINVAL)
    expect(kernel.register(abi.IORING_REGISTER_ZCRX_CTRL, new Uint8Array(72), 0)).toBe(-abi.EINVAL)
  })
})
