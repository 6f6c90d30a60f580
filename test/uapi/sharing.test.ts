import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, type Completion, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const PAGE = 4096

function otherRing(pair: RingPair, fd: number): { ring: Ring; ifq: Ifq } {
  const ring = Ring.queueInit(16, pair.kernel, { flags: ZC_FLAGS })
  const ifq = ring.importIfq(fd, pair.ifq)
  if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
  return { ring, ifq }
}

function reap(ring: Ring): Completion[] {
  const found: Completion[] = []
  const count = ring.forEachCqe(({ userData, res, flags, offset, areaId }) =>
    found.push({ userData, res, flags, offset, areaId }),
  )
  ring.cqAdvance(count)
  return found
}

describe('EXPORT and IMPORT (kernel record points 50 to 52)', () => {
  it('give a new descriptor each time, and ids of the importing ring; nothing else is written back', () => {
    const pair = new RingPair({ nodev: true, niovs: 8 })
    const [first, second] = [pair.ring.exportIfq(0), pair.ring.exportIfq(0)]
    expect(first).toBeGreaterThanOrEqual(0)
    expect(second).not.toBe(first)
    const ring = Ring.queueInit(16, pair.kernel, { flags: ZC_FLAGS })
    const ids = [first, first, second].map((fd) => (ring.importIfq(fd, pair.ifq) as Ifq).zcrxId)
    expect(ids).toEqual([0, 1, 2])
    expect((pair.ring.importIfq(first, pair.ifq) as Ifq).zcrxId).toBe(1)
    const reg = new abi.ZcrxIfqReg(new Uint8Array(96))
    reg.ifIdx = first
    reg.flags = abi.ZCRX_REG_IMPORT
    reg.rxBufLen = 8192
    expect(pair.context.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)).toBe(0)
    expect([reg.ifIdx, reg.rqEntries, reg.rxBufLen, reg.zcrxId]).toEqual([first, 0, 8192, 2])
    expect(reg.offsets).toEqual({ head: 0, tail: 64, rqes: 128 })
  })

  it.each<[string, (reg: abi.ZcrxIfqReg, pair: RingPair) => void, number]>([
    ['a descriptor that is none', (reg) => (reg.ifIdx = 99), abi.EBADF],
    ['a socket', (reg, pair) => (reg.ifIdx = pair.connect().client), abi.EBADF],
    ['a receive queue number', (reg) => (reg.ifRxq = 1), abi.EINVAL],
    ['refill entries', (reg) => (reg.rqEntries = 16), abi.EINVAL],
    ['an area', (reg) => (reg.areaPtr = 4096), abi.EINVAL],
    ['a region', (reg) => (reg.regionPtr = 4096), abi.EINVAL],
    ['an event descriptor', (reg) => (reg.eventDesc = 4096), abi.EINVAL],
    ['an id', (reg) => (reg.zcrxId = 1), abi.EINVAL],
    ['reserved words', (reg) => reg.view.setUint32(80, 1, true), abi.EINVAL],
    ['NODEV as well', (reg) => (reg.flags |= abi.ZCRX_REG_NODEV), abi.EINVAL],
    ['memory that is read-only', (reg, pair) => pair.kernel.space.makeReadOnly(reg.bytes.buffer), abi.EFAULT],
    ['no capability', (_reg, pair) => (pair.kernel.capable = false), abi.EPERM],
  ])('importing refuses %s', (_what, change, errno) => {
    const pair = new RingPair({ nodev: true, niovs: 8 })
    const reg = new abi.ZcrxIfqReg(new Uint8Array(96))
    reg.ifIdx = pair.ring.exportIfq(0)
    reg.flags = abi.ZCRX_REG_IMPORT
    change(reg, pair)
    expect(pair.context.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)).toBe(-errno)
    expect(pair.kernel.ifqs.size).toBe(1)
  })

  it('exporting refuses a descriptor on input, and memory it can not write to; it needs no capability', () => {
    const pair = new RingPair({ nodev: true, niovs: 8 })
    pair.kernel.capable = false
    const ctrl = new abi.ZcrxCtrl(new Uint8Array(72))
    ctrl.op = abi.ZCRX_CTRL_EXPORT
    ctrl.zcrxFd = 5
    const register = (): number => pair.context.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
    expect(register()).toBe(-abi.EINVAL)
    ctrl.zcrxFd = 0
    expect(register()).toBe(0)
    const fd = ctrl.zcrxFd
    ctrl.zcrxFd = 0
    pair.kernel.space.makeReadOnly(ctrl.bytes.buffer)
    expect(register()).toBe(-abi.EFAULT)
    expect(pair.ring.exportIfq(0)).toBe(fd + 1)
  })

  it('share areas and one refill queue; whoever got a buffer, any ring gives it back', () => {
    const pair = new RingPair({ nodev: true, niovs: 6, chunkSize: 65_536, mtu: 20_000 })
    const { client, server, listener } = pair.connect()
    const [client2, server2] = pair.connectTo(listener)
    const { ring, ifq } = otherRing(pair, pair.ring.exportIfq(0))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    ring.getSqe()!.prepRecvZc(server2, ifq.zcrxId).setData(2)
    ring.submit()
    pair.send(client, bytesOf(2 * PAGE))
    const mine = pair.drain()
    pair.send(client2, bytesOf(2 * PAGE))
    ring.getEvents()
    const theirs = reap(ring)
    expect([...mine, ...theirs].map((cqe) => cqe.offset / PAGE)).toEqual([5, 4, 3, 2])
    pair.refill(mine[0]!)
    expect(ring.flushRq(ifq.zcrxId)).toBe(0)
    pair.refill(theirs[0]!)
    expect(pair.ring.flushRq(0)).toBe(0)
    expect(pair.ifq.census()).toEqual(ifq.census())
    expect(ifq.census()).toMatchObject({ free: 4, user: 2, lost: 0 })
    pair.send(client, bytesOf(2 * PAGE))
    expect(pair.drain().map((cqe) => cqe.offset / PAGE)).toEqual([3, 5])
  })

  it('keep the instance alive past the ring that made it, with what its user held still out', () => {
    const pair = new RingPair({ nodev: true, niovs: 4, chunkSize: 65_536, mtu: 20_000 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(2 * PAGE))
    const held = pair.drain()
    const fd = pair.ring.exportIfq(0)
    pair.ring.queueExit()
    expect(pair.kernel.ifqs.size).toBe(1)
    const { ring, ifq } = otherRing(pair, fd)
    expect(ifq.census()).toMatchObject({ free: 2, user: 2, lost: 0 })
    for (const cqe of held) ifq.rq.push(cqe.areaId, cqe.offset, cqe.res)
    ifq.rq.advance()
    expect(ring.flushRq(ifq.zcrxId)).toBe(0)
    expect(ifq.census()).toMatchObject({ free: 4, user: 0, lost: 0 })
    ring.queueExit()
    expect(pair.kernel.ifqs.size).toBe(1)
    const closer = Ring.queueInit(4, pair.kernel)
    closer.getSqe()!.prepClose(fd)
    closer.submit()
    expect(closer.waitCqe().res).toBe(0)
    expect(pair.kernel.ifqs.size).toBe(0)
  })

  it('events go to the ring that registered; the others may arm them; with it they end (kernel record point 58)', () => {
    const events = { userData: 1000, typeMask: 1 << abi.ZCRX_EVENT_COPY }
    const pair = new RingPair({ nodev: true, niovs: 8, events })
    const { client, server } = pair.connect()
    const { ring, ifq } = otherRing(pair, pair.ring.exportIfq(0))
    const receive = (): Completion[] => {
      pair.kernel.poll()
      ring.getEvents()
      return reap(ring)
    }
    ring.getSqe()!.prepRecvZc(server, ifq.zcrxId).setData(2)
    ring.submit()
    pair.send(client, bytesOf(10))
    expect(receive()).toMatchObject([{ userData: 2, res: 10 }])
    expect(pair.drain()).toMatchObject([{ userData: 1000, res: abi.ZCRX_EVENT_COPY, flags: 0 }])
    expect(ring.armEvent(ifq.zcrxId, abi.ZCRX_EVENT_COPY)).toBe(0)
    expect(pair.ring.armEvent(0, abi.ZCRX_EVENT_COPY)).toBe(-abi.EINVAL)
    pair.ring.queueExit()
    pair.client.tcp.send(pair.kernel.files.socket(client)!.tcb!, bytesOf(20), 0, pair.clock.now(), false)
    for (let i = 0; i < 4; i++) pair.kernel.poll()
    expect(receive()).toMatchObject([{ userData: 2, res: 20 }])
    expect(ring.armEvent(ifq.zcrxId, abi.ZCRX_EVENT_COPY)).toBe(-abi.EINVAL)
    expect(ifq.copyStats!.copyBytes).toBe(30)
  })

  it('an event that was told can be armed when its ring is gone, to no effect', () => {
    const events = { userData: 1000, typeMask: 1 << abi.ZCRX_EVENT_COPY }
    const pair = new RingPair({ nodev: true, niovs: 8, events })
    const { client, server } = pair.connect()
    const { ring, ifq } = otherRing(pair, pair.ring.exportIfq(0))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0, 10), 1)
    pair.send(client, bytesOf(10))
    expect(pair.drain().map(({ userData }) => userData)).toContain(1000)
    pair.ring.queueExit()
    expect(ring.armEvent(ifq.zcrxId, abi.ZCRX_EVENT_COPY)).toBe(0)
    expect(ring.armEvent(ifq.zcrxId, abi.ZCRX_EVENT_COPY)).toBe(-abi.EINVAL)
  })

  it('of a device queue keep it, and say who holds it', () => {
    const pair = new RingPair({ niovs: 16 })
    const fd = pair.ring.exportIfq(0)
    const { ifIndex, queue } = pair.server.nic.info
    const register = (): unknown => {
      const ring = Ring.queueInit(4, pair.kernel, { flags: ZC_FLAGS })
      return ring.registerIfq({ ifIdx: ifIndex, ifRxq: queue, rqEntries: 4, area: new Uint8Array(4 * PAGE) })
    }
    expect(register()).toBe(-abi.EEXIST)
    expect(pair.kernel.nicError?.message).toMatch(/queue 0 of memory-b is held by ring 1 .* zcrx id 0/)
    pair.ring.queueExit()
    expect(register()).toBe(-abi.EEXIST)
    expect(pair.kernel.nicError?.message).toMatch(/an exported descriptor/)
    pair.kernel.files.close(fd)!.release()
    expect(register()).toMatchObject({ zcrxId: 0 })
  })
})

describe("a region of the ring's own", () => {
  it('is mapped at 0x30000000, those of later ids 64 KiB on (kernel record point 8)', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    const area = new Uint8Array(4 * PAGE)
    const register = (region: 'user' | 'ring') =>
      pair.ring.registerIfq({
        ifIdx: 0,
        ifRxq: 0,
        rqEntries: 8,
        area,
        flags: abi.ZCRX_REG_NODEV,
        region,
      }) as Ifq
    const ifq = register('ring')
    const memory = pair.context.mmap(0x3000_0000 + 0x1_0000, PAGE)
    expect(memory).toBeInstanceOf(Uint8Array)
    ifq.rq.push(0, 0, 0)
    ifq.rq.advance()
    expect(new DataView((memory as Uint8Array).buffer).getUint32(64, true)).toBe(1)
    expect(pair.ring.flushRq(ifq.zcrxId)).toBe(0)
    expect(ifq.stats().refillNotHeld).toBe(1)
  })

  it('can not be mapped where the user brought the memory, or at an offset that names none', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    for (const offset of [0x3000_0000, 0, 0x3001_0000, 0x1_3000_0000, -PAGE, Number.NaN])
      expect(pair.context.mmap(offset, PAGE)).toBe(-abi.EINVAL)
  })

  /** Two pages, in kernel memory, with tail 77; its id is 1. */
  function provided(pair: RingPair): Ifq {
    const ifq = pair.ring.registerIfq({
      ifIdx: 0,
      ifRxq: 0,
      rqEntries: 256,
      area: new Uint8Array(PAGE),
      flags: abi.ZCRX_REG_NODEV,
      region: 'ring',
    }) as Ifq
    for (let i = 0; i < 77; i++) ifq.rq.push(0, 0, 0)
    ifq.rq.advance()
    return ifq
  }

  const tailOf = (memory: Uint8Array | number): number =>
    typeof memory === 'number' ? memory : new DataView(memory.buffer, memory.byteOffset).getUint32(64, true)

  it('is mapped through every ring that imported the instance, by the id it has there', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    const ifq = provided(pair)
    const fd = pair.ring.exportIfq(ifq.zcrxId)
    const context = ringContext(pair.kernel, ZC_FLAGS)
    const importer = (): number => {
      const reg = new abi.ZcrxIfqReg(new Uint8Array(96))
      reg.ifIdx = fd
      reg.flags = abi.ZCRX_REG_IMPORT
      expect(context.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)).toBe(0)
      return reg.zcrxId
    }
    expect(context.mmap(0x3000_0000, 2 * PAGE)).toBe(-abi.EINVAL)
    expect([importer(), importer()]).toEqual([0, 1])
    expect(tailOf(context.mmap(0x3000_0000, 2 * PAGE))).toBe(77)
    expect(tailOf(context.mmap(0x3001_0000, 2 * PAGE))).toBe(77)
    expect(context.mmap(0x3002_0000, 2 * PAGE)).toBe(-abi.EINVAL)
    // The ring that made it, too, has it under a second id when it imports what is its own.
    expect((pair.ring.importIfq(fd, ifq) as Ifq).zcrxId).toBe(2)
    expect(tailOf(pair.context.mmap(0x3002_0000, 2 * PAGE))).toBe(77)
    pair.ring.queueExit()
    expect(tailOf(context.mmap(0x3000_0000, 2 * PAGE))).toBe(77)
    context.close()
  })

  // As Linux 7.3.4 answers; touching what lies behind the region is SIGBUS there.
  it.each<[string, number, number, number]>([
    ['all of it', 0, 2 * PAGE, 77],
    ['more than it has', 0, 4 * PAGE, 77],
    ['a length that is rounded up to it', 0, 5000, 77],
    ['less than it has', 0, PAGE, -abi.EFAULT],
    ['nothing', 0, 0, -abi.EINVAL],
    ['a page further on, which is its beginning all the same', PAGE, 2 * PAGE, 77],
    ['an offset inside a page', 16, 2 * PAGE, -abi.EINVAL],
  ])('is answered as on Linux for %s', (_what, further, length, answer) => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    provided(pair)
    const memory = pair.context.mmap(0x3001_0000 + further, length)
    expect(tailOf(memory)).toBe(answer)
    if (typeof memory !== 'number') expect(memory.length).toBe(2 * PAGE)
  })

  it('is out of reach from id 2048 on, where the number runs into the kind of memory', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    const ifq = provided(pair)
    const fd = pair.ring.exportIfq(ifq.zcrxId)
    let id = ifq.zcrxId
    while (id < 2048) id = (pair.ring.importIfq(fd, ifq) as Ifq).zcrxId
    expect(tailOf(pair.context.mmap(0x3000_0000 + (2047 << 16), 2 * PAGE))).toBe(77)
    expect(pair.context.mmap(0x3000_0000 + (2048 << 16), 2 * PAGE)).toBe(-abi.EINVAL)
  })
})
