import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../errors.ts'
import * as abi from '../../uapi/abi/index.ts'
import { RegionDesc, ZcrxAreaReg, ZcrxCtrl, ZcrxIfqReg } from '../../uapi/abi/structs.ts'
import { InlineKernel } from '../../uapi/backend/inline.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { ringContext } from '../support/contexts.ts'
import { RingPair, ZC_FLAGS } from '../support/ring-pair.ts'
import { plainMemory } from '../support/stack-pair.ts'

/** A ring of its own and the three structures of a registration without a device that would succeed. */
function setUp(flags = ZC_FLAGS, pages = 1) {
  const pair = new RingPair({ nodev: true, niovs: 4 })
  const backend = ringContext(pair.kernel, flags)
  const regionMemory = new Uint8Array(new SharedArrayBuffer(pages * 4096)).fill(0xcc)
  const region = new RegionDesc(new Uint8Array(64))
  region.userAddr = backend.addressOf(regionMemory)
  region.size = pages * 4096
  region.flags = abi.IORING_MEM_REGION_TYPE_USER
  const areaMemory = new Uint8Array(8 * 4096).fill(0xdd)
  const area = new ZcrxAreaReg(new Uint8Array(48))
  area.addr = backend.addressOf(areaMemory)
  area.len = areaMemory.length
  const reg = new ZcrxIfqReg(new Uint8Array(96))
  reg.rqEntries = 128
  reg.flags = abi.ZCRX_REG_NODEV
  reg.areaPtr = backend.addressOf(area.bytes)
  reg.regionPtr = backend.addressOf(region.bytes)
  const register = (nrArgs = 1, arg: Uint8Array | null = reg.bytes) =>
    backend.register(abi.IORING_REGISTER_ZCRX_IFQ, arg, nrArgs)
  return { pair, backend, region, regionMemory, area, areaMemory, reg, register }
}
type SetUp = ReturnType<typeof setUp>

const HIGH = 0xffff_ffff

describe('IORING_REGISTER_ZCRX_IFQ', () => {
  it('zeroes the queue header only, and writes offsets, token, id and sizes back (kernel record points 9, 14, 15)', () => {
    const { register, reg, area, regionMemory, areaMemory } = setUp()
    reg.rqEntries = 100
    expect(register()).toBe(0)
    expect(reg.rqEntries).toBe(128)
    expect(reg.offsets).toEqual({ head: 0, tail: 64, rqes: 128 })
    expect([reg.zcrxId, reg.rxBufLen, area.rqAreaToken]).toEqual([0, 4096, 0])
    expect(regionMemory.subarray(0, 128).every((byte) => byte === 0)).toBe(true)
    expect(regionMemory.subarray(128).every((byte) => byte === 0xcc)).toBe(true)
    expect(areaMemory.every((byte) => byte === 0xdd)).toBe(true)
  })

  it.each<[number, number]>([
    [1, 1],
    [3, 4],
    [5, 8],
    [127, 128],
    [255, 256],
    [32_767, 32_768],
    [32_768, 32_768],
  ])('rounds %i entries up to %i (kernel record point 7)', (entries, rounded) => {
    const { register, reg } = setUp(ZC_FLAGS, 129)
    reg.rqEntries = entries
    expect(register()).toBe(0)
    expect(reg.rqEntries).toBe(rounded)
  })

  it('cuts entries to the most there can be where the ring was set up to clamp (R6)', () => {
    const { register, reg } = setUp(ZC_FLAGS | abi.IORING_SETUP_CLAMP, 129)
    reg.rqEntries = HIGH
    expect([register(), reg.rqEntries]).toEqual([0, 32_768])
  })

  it.each<[string, (s: SetUp) => void, number]>([
    ['no entries', (s) => (s.reg.rqEntries = 0), abi.EINVAL],
    ['too many entries', (s) => (s.reg.rqEntries = 32_769), abi.EINVAL],
    ['a region too small after rounding', (s) => (s.reg.rqEntries = 200), abi.EINVAL],
    ['region_ptr NULL', (s) => (s.reg.regionPtr = 0), abi.EFAULT],
    ['region address NULL', (s) => (s.region.userAddr = 0), abi.EFAULT],
    ['region unaligned', (s) => (s.region.userAddr += 64), abi.EINVAL],
    ['region unmapped', (s) => (s.region.userAddr = 2 ** 40), abi.EFAULT],
    ['region of 0 bytes', (s) => (s.region.size = 0), abi.EINVAL],
    ['region of no whole pages', (s) => (s.region.size -= 64), abi.EINVAL],
    ['region beyond its mapping', (s) => (s.region.size += 4096), abi.EFAULT],
    ['region with an address that is not the user’s', (s) => (s.region.flags = 0), abi.EFAULT],
    ['unknown region flags', (s) => (s.region.flags |= 2), abi.EINVAL],
    ['region id', (s) => s.region.view.setUint32(20, 1, true), abi.EINVAL],
    ['region mmap_offset', (s) => s.region.view.setUint32(24, 4096, true), abi.EINVAL],
    ['region reserved', (s) => s.region.view.setUint32(32, 1, true), abi.EINVAL],
    ['area_ptr NULL', (s) => (s.reg.areaPtr = 0), abi.EFAULT],
    ['area_ptr bad', (s) => (s.reg.areaPtr = 8), abi.EFAULT],
    ['area address NULL', (s) => (s.area.addr = 0), abi.EFAULT],
    ['area of 0 bytes', (s) => (s.area.len = 0), abi.EFAULT],
    ['area unaligned', (s) => (s.area.addr += 64), abi.EINVAL],
    ['area of no whole pages', (s) => (s.area.len -= 2048), abi.EINVAL],
    ['area beyond its mapping', (s) => (s.area.len += 4096), abi.EFAULT],
    ['area of 2^48 bytes', (s) => (s.area.len = 2 ** 48), abi.EINVAL],
    ['area that wraps', (s) => s.area.view.setBigUint64(0, 2n ** 64n - 4096n, true), abi.EOVERFLOW],
    ['area token on input', (s) => s.area.view.setUint32(16, 1, true), abi.EINVAL],
    ['area reserved', (s) => s.area.view.setUint32(32, 1, true), abi.EINVAL],
    ['area reserved, second word', (s) => s.area.view.setUint32(40, 1, true), abi.EINVAL],
    ['dma-buf', (s) => (s.area.flags = abi.IORING_ZCRX_AREA_DMABUF), abi.EINVAL],
    ['unknown area flags', (s) => (s.area.flags = 2), abi.EINVAL],
    ['dma-buf descriptor without its flag', (s) => s.area.view.setUint32(28, 5, true), abi.EINVAL],
    ['IMPORT', (s) => (s.reg.flags = abi.ZCRX_REG_IMPORT), abi.EINVAL],
    ['unknown flags', (s) => (s.reg.flags |= 4), abi.EINVAL],
    ['high flags', (s) => (s.reg.flags |= 1 << 31), abi.EINVAL],
    ['an event descriptor that is no memory', (s) => (s.reg.eventDesc = 4096), abi.EFAULT],
    ['reserved', (s) => s.reg.view.setUint32(80, 1, true), abi.EINVAL],
    ['reserved, last word', (s) => s.reg.view.setUint32(92, 1, true), abi.EINVAL],
    ['zcrx_id on input', (s) => (s.reg.zcrxId = 1), abi.EINVAL],
    ['NODEV with an interface', (s) => (s.reg.ifIdx = 1), abi.EINVAL],
    ['NODEV with a queue', (s) => (s.reg.ifRxq = 1), abi.EINVAL],
    ['rx_buf_len below a page', (s) => (s.reg.rxBufLen = 2048), abi.EINVAL],
    ['rx_buf_len not a power of two', (s) => (s.reg.rxBufLen = 12_288), abi.EINVAL],
    ['rx_buf_len of all ones', (s) => (s.reg.rxBufLen = HIGH), abi.EINVAL],
    ['rx_buf_len above a page', (s) => (s.reg.rxBufLen = 8192), abi.EOPNOTSUPP],
    ['rx_buf_len of 2^31', (s) => (s.reg.rxBufLen = 2 ** 31), abi.EOPNOTSUPP],
  ])('refuses %s and changes nothing (kernel record points 8 to 15)', (_what, change, errno) => {
    const s = setUp()
    change(s)
    // What is refused late has emptied the queue, as on Linux.
    const kept = () =>
      [s.reg.bytes, s.area.bytes, s.region.bytes, s.regionMemory.subarray(128)].map((b) =>
        Buffer.from(b).toString('hex'),
      )
    const before = kept()
    expect(abi.errnoName(s.register())).toBe(abi.errnoName(errno))
    expect(kept()).toEqual(before)
    expect(s.backend.ifqs.length).toBe(0)
  })

  it.each<[string, (s: SetUp) => void, boolean, number]>([
    ['entries', (s) => (s.reg.rqEntries = 0), false, abi.EINVAL],
    ['an area token', (s) => s.area.view.setUint32(16, 1, true), false, abi.EINVAL],
    ['an event descriptor', (s) => (s.reg.eventDesc = 4096), false, abi.EFAULT],
    ['the length of buffers', (s) => (s.reg.rxBufLen = 2048), true, abi.EINVAL],
    ['an area', (s) => (s.area.len = 100), true, abi.EINVAL],
  ])('refuses %s before or behind the queue, whose header is zeroed', (_what, change, emptied, errno) => {
    const s = setUp()
    change(s)
    expect(abi.errnoName(s.register())).toBe(abi.errnoName(errno))
    expect(s.regionMemory.subarray(0, 128).every((byte) => byte === (emptied ? 0 : 0xcc))).toBe(true)
  })

  it.each<[string, (s: SetUp) => void]>([
    ['no entries', (s) => (s.reg.rqEntries = 0)],
    ['too many entries', (s) => (s.reg.rqEntries = 40_000)],
    ['NODEV with an interface', (s) => (s.reg.ifIdx = 1)],
  ])('looks for the region ahead of %s, and for the area ahead of the length of buffers', (_what, change) => {
    const s = setUp()
    change(s)
    s.reg.regionPtr = 0
    expect(abi.errnoName(s.register())).toBe('EFAULT')
    const other = setUp()
    other.reg.rxBufLen = 2048
    other.reg.areaPtr = 0
    expect(abi.errnoName(other.register())).toBe('EFAULT')
  })

  it.each<[string, (s: SetUp) => void, number]>([
    ['an unknown interface', (s) => (s.reg.ifIdx = 9999), abi.ENODEV],
    ['interface 0', (s) => (s.reg.ifIdx = 0), abi.ENODEV],
    ['queue ~0', (s) => (s.reg.ifRxq = HIGH), abi.EINVAL],
    ['a queue that does not exist', (s) => (s.reg.ifRxq = 3), abi.ERANGE],
    ['a queue that is taken', (s) => expect(s.register()).toBe(0), abi.EEXIST],
  ])('refuses %s with a device (kernel record points 13, 60)', (_what, change, errno) => {
    const s = setUp()
    s.reg.flags = 0
    s.reg.ifIdx = s.pair.server.nic.info.ifIndex
    change(s)
    if (errno === abi.EEXIST) s.reg.zcrxId = 0
    expect(abi.errnoName(s.register())).toBe(abi.errnoName(errno))
    expect(s.pair.server.census().lost).toBe(0)
  })

  it('asks for the capability before anything in the structures, and for arguments before that (kernel record point 4)', () => {
    const s = setUp(0)
    s.pair.kernel.capable = false
    s.reg.flags = HIGH
    expect(s.register()).toBe(-abi.EPERM)
    expect([s.register(0), s.register(2), s.register(1, null)]).toEqual(new Array(3).fill(-abi.EINVAL))
    s.pair.kernel.capable = true
    expect(s.register(1, new Uint8Array(95))).toBe(-abi.EINVAL)
    expect(setUp().register(1, new Uint8Array(95))).toBe(-abi.EFAULT)
  })

  it.each([
    ['DEFER_TASKRUN', ZC_FLAGS & ~abi.IORING_SETUP_DEFER_TASKRUN],
    ['CQE32', ZC_FLAGS & ~abi.IORING_SETUP_CQE32],
  ])('refuses a ring without %s (kernel record point 5)', (_what, flags) => {
    expect(setUp(flags).register()).toBe(-abi.EINVAL)
  })

  it('counts ids from 0 per ring; failures use none up; the same memory may serve twice (kernel record points 10, 15)', () => {
    const s = setUp()
    const ids: number[] = []
    for (let i = 0; i < 3; i++) {
      s.reg.rqEntries = 0
      s.reg.zcrxId = 0
      expect(s.register()).toBe(-abi.EINVAL)
      s.reg.rqEntries = 8
      expect(s.register()).toBe(0)
      ids.push(s.reg.zcrxId)
    }
    expect(ids).toEqual([0, 1, 2])
    s.backend.close()
    expect(s.pair.kernel.ifqs.size).toBe(1)
  })
})

describe('Ring.queueInit', () => {
  it.each([
    ['ATTACH_WQ', abi.IORING_SETUP_ATTACH_WQ],
    ['NO_MMAP', abi.IORING_SETUP_NO_MMAP],
    ['HYBRID_IOPOLL', abi.IORING_SETUP_HYBRID_IOPOLL],
  ])('refuses %s, which it does not serve, instead of ignoring it', (_name, flag) => {
    const kernel = new InlineKernel({ memoryFor: () => plainMemory(4) })
    expect(() => Ring.queueInit(4, kernel, { flags: flag })).toThrow(ArgumentError)
  })
})

describe('IORING_REGISTER_ZCRX_CTRL (kernel record point 48)', () => {
  it.each<[string, (ctrl: ZcrxCtrl) => void, number]>([
    ['an unknown id, before the op', (c) => Object.assign(c, { zcrxId: 9, op: 99 }), abi.ENXIO],
    ['an unknown op', (c) => (c.op = 99), abi.EOPNOTSUPP],
    ['ADD_AREA without an area', (c) => (c.op = 3), abi.EFAULT],
    ['reserved words', (c) => c.view.setUint32(8, 1, true), abi.EFAULT],
    ['reserved words of the op', (c) => c.view.setUint32(24, 1, true), abi.EINVAL],
  ])('refuses %s', (_what, change, errno) => {
    const { backend, register } = setUp()
    expect(register()).toBe(0)
    const ctrl = new ZcrxCtrl(new Uint8Array(72))
    change(ctrl)
    expect(backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)).toBe(-errno)
  })

  it('takes no argument count, and needs its structure', () => {
    const { backend, register } = setUp()
    register()
    const bytes = new Uint8Array(72)
    expect(backend.register(abi.IORING_REGISTER_ZCRX_CTRL, bytes, 1)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_ZCRX_CTRL, null, 0)).toBe(-abi.EFAULT)
    expect(backend.register(abi.IORING_REGISTER_ZCRX_CTRL, bytes.subarray(1), 0)).toBe(-abi.EFAULT)
    expect(backend.register(abi.IORING_REGISTER_ZCRX_CTRL, bytes, 0)).toBe(0)
    expect(backend.register(7777, bytes, 0)).toBe(-abi.EINVAL)
  })
})
