import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, type Completion, RingPair, type RingPairOptions, ZC_FLAGS } from '../support/ring-pair.ts'

const BOTH = (1 << abi.ZCRX_EVENT_ALLOC_FAIL) | (1 << abi.ZCRX_EVENT_COPY)
const COPY = 1 << abi.ZCRX_EVENT_COPY
const EVENT = 1000
const RECV = 1

/** A registration without a device, with the descriptor of its events and their place in a prefilled region. */
function setUp() {
  const pair = new RingPair({ nodev: true, niovs: 4 })
  const backend = ringContext(pair.kernel, ZC_FLAGS)
  const regionMemory = new Uint8Array(new SharedArrayBuffer(8192)).fill(0xcc)
  const region = new abi.RegionDesc(new Uint8Array(64))
  region.userAddr = backend.addressOf(regionMemory)
  region.size = regionMemory.length
  region.flags = abi.IORING_MEM_REGION_TYPE_USER
  const areaMemory = new Uint8Array(4 * 4096)
  const area = new abi.ZcrxAreaReg(new Uint8Array(48))
  area.addr = backend.addressOf(areaMemory)
  area.len = areaMemory.length
  const desc = new abi.ZcrxEventDesc(new Uint8Array(96))
  desc.userData = EVENT
  desc.typeMask = BOTH
  desc.flags = abi.ZCRX_EVENT_DESC_FLAG_STATS
  desc.statsOffset = 4096
  const reg = new abi.ZcrxIfqReg(new Uint8Array(96))
  reg.rqEntries = 16
  reg.flags = abi.ZCRX_REG_NODEV
  reg.areaPtr = backend.addressOf(area.bytes)
  reg.regionPtr = backend.addressOf(region.bytes)
  reg.eventDesc = backend.addressOf(desc.bytes)
  const register = () => backend.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
  // Nobody else refers to what the structures point to.
  return { backend, desc, register, regionMemory, keep: [region, area, areaMemory] }
}
type SetUp = ReturnType<typeof setUp>

function noStats(s: SetUp): void {
  s.desc.flags = 0
  s.desc.statsOffset = 0
}

function copying(options: RingPairOptions, typeMask: number) {
  const pair = new RingPair({ nodev: true, ...options, events: { userData: EVENT, typeMask } })
  const { client, server } = pair.connect()
  const receive = () => pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
  const send = (length: number) => pair.send(client, bytesOf(length))
  const stats = () => [pair.ifq.copyStats!.copyCount, pair.ifq.copyStats!.copyBytes]
  return { pair, client, receive, send, stats }
}

/** Sends without a request on the ring. */
function sendDirectly(pair: RingPair, fd: number, length: number): void {
  const { tcb } = pair.kernel.files.socket(fd)!
  expect(pair.client.tcp.send(tcb!, bytesOf(length), 0, pair.clock.now())).toBe(length)
}

/** [user_data, res] of each; events and last completions have no flags. */
function brief(completions: Completion[]): [number, number][] {
  return completions.map((c) => {
    expect(c.flags).toBe(c.userData === RECV && c.res > 0 ? abi.IORING_CQE_F_MORE : 0)
    if (c.flags === 0) expect([c.offset, c.areaId]).toEqual([0, 0])
    return [c.userData, c.res]
  })
}

describe('the event descriptor', () => {
  it.each<[string, (s: SetUp) => void]>([
    ['both types, with statistics', () => {}],
    ['both types, without', noStats],
    ['no type', (s) => (s.desc.typeMask = 0)],
    ['one type', (s) => (s.desc.typeMask = 1)],
    ['user_data 0', (s) => (s.desc.userData = 0)],
    ['statistics right behind the entries', (s) => (s.desc.statsOffset = 128 + 16 * 16)],
    ['statistics at the end of the region', (s) => (s.desc.statsOffset = 8192 - 16)],
  ])('takes %s, and only reads it (kernel record points 53, 54)', (_what, change) => {
    const s = setUp()
    change(s)
    const before = Buffer.from(s.desc.bytes).toString('hex')
    expect(s.register()).toBe(0)
    expect(Buffer.from(s.desc.bytes).toString('hex')).toBe(before)
    const at = s.desc.statsOffset
    const zeroed = at === 0 ? [] : [...s.regionMemory.subarray(at, at + 16)]
    expect(zeroed).toEqual(at === 0 ? [] : new Array(16).fill(0))
    const rest = s.regionMemory
      .subarray(128)
      .filter((_byte, i) => at === 0 || i + 128 < at || i + 128 >= at + 16)
    expect(rest.every((byte) => byte === 0xcc)).toBe(true)
  })

  it.each<[string, (s: SetUp) => void, number]>([
    ['an unknown type', (s) => (s.desc.typeMask = 4), abi.EINVAL],
    ['the highest type', (s) => (s.desc.typeMask = 0x8000_0000), abi.EINVAL],
    ['unknown flags', (s) => (s.desc.flags |= 2), abi.EINVAL],
    ['reserved words', (s) => s.desc.view.setUint32(24, 1, true), abi.EINVAL],
    ['the last reserved word', (s) => s.desc.view.setUint32(92, 1, true), abi.EINVAL],
    ['an offset without its flag', (s) => (s.desc.flags = 0), abi.EINVAL],
    ['an unaligned offset', (s) => (s.desc.statsOffset += 4), abi.EINVAL],
    ['statistics over the header', (s) => (s.desc.statsOffset = 0), abi.ERANGE],
    ['statistics over the entries', (s) => (s.desc.statsOffset = 128), abi.ERANGE],
    ['statistics half outside the region', (s) => (s.desc.statsOffset = 8192 - 8), abi.ERANGE],
    ['statistics behind the region', (s) => (s.desc.statsOffset = 8192), abi.ERANGE],
    ['statistics at ~7', (s) => s.desc.view.setBigUint64(16, 2n ** 64n - 8n, true), abi.ERANGE],
  ])('refuses %s and changes nothing (kernel record point 53)', (_what, change, errno) => {
    const s = setUp()
    change(s)
    expect(abi.errnoName(s.register())).toBe(abi.errnoName(errno))
    // The header of the queue may have been zeroed, as on Linux.
    expect(s.regionMemory.subarray(128).every((byte) => byte === 0xcc)).toBe(true)
    expect(s.backend.ifqs.length).toBe(0)
  })
})

describe('events', () => {
  it('COPY is told once, behind the data, until it is armed again (kernel record points 55, 56)', () => {
    const { pair, receive, send, stats } = copying({ niovs: 8 }, COPY)
    receive()
    for (const [sends, told] of [
      [1, true],
      [2, false],
      [3, false],
      [4, true],
    ] as const) {
      if (sends === 4) expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_COPY)).toBe(0)
      send(100)
      const event: [number, number][] = told ? [[EVENT, abi.ZCRX_EVENT_COPY]] : []
      expect(brief(pair.drain())).toEqual([[RECV, 100], ...event])
      expect(stats()).toEqual([sends, 100 * sends])
    }
  })

  it('what happens in the submit call is told at the next entry (kernel record point 55)', () => {
    const flags = ZC_FLAGS | abi.IORING_SETUP_TASKRUN_FLAG
    const { pair, receive, send } = copying({ niovs: 8, params: { flags } }, BOTH)
    send(1000)
    receive()
    expect(brief(pair.reap())).toEqual([[RECV, 1000]])
    const shown = () =>
      Atomics.load(pair.ring.memory.control, pair.ring.memory.sqFlagsAt) & abi.IORING_SQ_TASKRUN
    expect(shown()).not.toBe(0)
    expect(brief(pair.drain())).toEqual([[EVENT, abi.ZCRX_EVENT_COPY]])
    expect(shown()).toBe(0)
  })

  it('comes ahead of the completion that ends the request; failing to copy is no ALLOC_FAIL (kernel record points 55, 57)', () => {
    const { pair, receive, send, stats } = copying({ niovs: 2 }, BOTH)
    receive()
    for (let i = 0; i < 3; i++) send(1000)
    const all = brief(pair.drain())
    expect(all.filter(([userData]) => userData === EVENT)).toEqual([[EVENT, abi.ZCRX_EVENT_COPY]])
    expect(all.at(-1)).toEqual([RECV, -abi.ENOMEM])
    expect(stats()).toEqual([2, 2000])
    // Refilled, but not armed: data only.
    pair.refill({ userData: 0, res: 0, flags: 0, offset: 0, areaId: 0 })
    expect(pair.ring.flushRq(0)).toBe(0)
    receive()
    expect(brief(pair.drain())).toEqual([[RECV, 1000]])
    expect(stats()).toEqual([3, 3000])
  })

  it('the statistics count whatever the mask (kernel record point 54)', () => {
    const { pair, receive, send, stats } = copying({ niovs: 8 }, 0)
    expect(stats()).toEqual([0, 0])
    receive()
    send(1000)
    expect(brief(pair.drain())).toEqual([[RECV, 1000]])
    expect(stats()).toEqual([1, 1000])
    expect(pair.stats()).toMatchObject({ copyCount: 1, copiedBytes: 1000 })
    expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_COPY)).toBe(-abi.EINVAL)
  })

  it('copy_count counts contiguous pieces, not completions, and copy_bytes what was delivered (kernel record point 59)', () => {
    const { pair, receive, send, stats } = copying({ niovs: 5, chunkSize: 16_384, mtu: 16_000 }, 0)
    receive()
    send(10_000)
    expect(brief(pair.drain())).toEqual([4096, 4096, 1808].map((length) => [RECV, length]))
    expect(stats()).toEqual([1, 10_000])
    // Two buffers are left: the rest of the piece fails, and is not counted.
    send(12_288)
    expect(brief(pair.drain())).toEqual([4096, 4096, -abi.ENOMEM].map((res) => [RECV, res]))
    expect(stats()).toEqual([2, 18_192])
    expect(pair.stats()).toMatchObject({ copyCount: 2, copiedBytes: 18_192 })
  })

  it('goes to the overflow list when the queue is full, and nothing is lost (kernel record point 43)', () => {
    const { pair, client, receive, send } = copying({ niovs: 8, params: { cqEntries: 64 } }, COPY)
    receive()
    send(100)
    expect(brief(pair.reap())).toEqual([
      [RECV, 100],
      [EVENT, abi.ZCRX_EVENT_COPY],
    ])
    expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_COPY)).toBe(0)
    // NOPs leave one place, which the data takes. The sender's completion would need another: it sends by itself.
    for (let i = 0; i < 63; i++) pair.submit((sqe) => sqe.prepNop(), 90)
    sendDirectly(pair, client, 100)
    pair.settle()
    expect(pair.ring.cqReady()).toBe(64)
    expect(
      Atomics.load(pair.ring.memory.control, pair.ring.memory.sqFlagsAt) & abi.IORING_SQ_CQ_OVERFLOW,
    ).not.toBe(0)
    expect(pair.reap().at(-1)).toMatchObject({ userData: RECV, res: 100 })
    expect(brief(pair.drain())).toEqual([[EVENT, abi.ZCRX_EVENT_COPY]])
    expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_COPY)).toBe(0)
  })

  it('ALLOC_FAIL is told when the device is left without a buffer (kernel record points 57, 68)', () => {
    const pair = new RingPair({ niovs: 8, events: { userData: EVENT, typeMask: BOTH } })
    const { client, server } = pair.connect()
    // What arrives at the other interface is copied here, and kept: the device's own buffers are all that is left, and
    // each that comes back to the stack is taken for the next copy.
    const found: Completion[] = []
    const told = () => found.filter((c) => c.userData === EVENT).map((c) => c.res)
    for (let i = 0; i < 64 && !told().includes(abi.ZCRX_EVENT_ALLOC_FAIL); i++) {
      pair.submit((sqe) => sqe.prepRecvZc(client, 0), RECV)
      if (i < 16) pair.send(server, bytesOf(10))
      found.push(...pair.drain())
    }
    expect(told()).toEqual([abi.ZCRX_EVENT_COPY, abi.ZCRX_EVENT_ALLOC_FAIL])
    found.push(...pair.drain())
    expect(told().length).toBe(2)
    expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_ALLOC_FAIL)).toBe(0)
    found.push(...pair.drain())
    expect(told().slice(2)).toEqual([abi.ZCRX_EVENT_ALLOC_FAIL])
  })
})

describe('ZCRX_CTRL_ARM_EVENT', () => {
  it.each<[string, number, number]>([
    ['a type that is armed', 1, 0],
    ['a type that was not asked for', 1, 1],
    ['an unknown type', BOTH, 2],
    ['type 32, which is no bit', BOTH, 32],
    ['the highest type', BOTH, 0xffff_ffff],
  ])('refuses %s (kernel record point 56)', (_what, typeMask, type) => {
    const pair = new RingPair({ nodev: true, niovs: 4, events: { userData: EVENT, typeMask } })
    expect(pair.ring.armEvent(0, type)).toBe(-abi.EINVAL)
  })

  it('refuses reserved words, and a registration without a descriptor (kernel record points 48, 56)', () => {
    const s = setUp()
    expect(s.register()).toBe(0)
    const ctrl = new abi.ZcrxCtrl(new Uint8Array(72))
    ctrl.op = abi.ZCRX_CTRL_ARM_EVENT
    ctrl.view.setUint32(28, 1, true)
    expect(s.backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)).toBe(-abi.EINVAL)
    const without = new RingPair({ nodev: true, niovs: 4 })
    expect(without.ifq.copyStats).toBe(null)
    for (const type of [0, 1]) expect(without.ring.armEvent(0, type)).toBe(-abi.EINVAL)
    expect(without.ring.armEvent(9, 0)).toBe(-abi.ENXIO)
  })
})
