import { describe, expect, it } from 'vitest'
import { markHuge } from '../../driver/area.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { Ifq } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, type Completion, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const PAGE = 4096

/** The bytes of data completions, wherever their areas lie. */
function collect(pair: RingPair, completions: readonly Completion[]): Uint8Array {
  const data = completions.filter((cqe) => cqe.flags !== 0)
  return Buffer.concat(
    data.map((cqe) => pair.ifq.areas[cqe.areaId]!.subarray(cqe.offset, cqe.offset + cqe.res)),
  )
}

describe('ZCRX_CTRL_ADD_AREA', () => {
  it('copies go to the lowest area with a free buffer, each area a stack (kernel record point 49)', () => {
    const pair = new RingPair({ nodev: true, niovs: 2, chunkSize: 65_536, mtu: 20_000 })
    const { client, server } = pair.connect()
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(3 * PAGE))).toBe(1)
    const data = bytesOf(5 * PAGE)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    for (let at = 0; at < data.length; at += PAGE) pair.send(client, data.subarray(at, at + PAGE))
    const seen = pair.drain()
    expect(seen.map((cqe) => [cqe.areaId, cqe.offset / PAGE])).toEqual([
      [0, 1],
      [0, 0],
      [1, 2],
      [1, 1],
      [1, 0],
    ])
    expect(collect(pair, seen)).toEqual(Buffer.from(data))
    expect(pair.ifq.census()).toMatchObject({ total: 5, user: 5, lost: 0 })
    pair.refill(...seen)
    pair.ring.flushRq(0)
    expect(pair.ifq.census()).toMatchObject({ free: 5, user: 0, lost: 0 })
  })

  it('an armed request goes on in the new area; a request that ended must be submitted again', () => {
    const pair = new RingPair({ nodev: true, niovs: 1 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(10))
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(PAGE))).toBe(1)
    pair.send(client, bytesOf(20))
    expect(pair.drain().map((cqe) => [cqe.areaId, cqe.res])).toEqual([
      [0, 10],
      [1, 20],
    ])
  })

  it('accepts the same memory again', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    expect(pair.ring.addArea(pair.ifq, pair.area)).toBe(1)
  })

  it('writes the token it would have had even when it fails, and uses up no number (kernel record point 49)', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    const backend = pair.context
    const add = (change: (area: abi.ZcrxAreaReg, ctrl: abi.ZcrxCtrl) => void): [number, number] => {
      const memory = new Uint8Array(4 * PAGE)
      const area = new abi.ZcrxAreaReg(new Uint8Array(48))
      area.addr = backend.addressOf(memory)
      area.len = memory.length
      const ctrl = new abi.ZcrxCtrl(new Uint8Array(72))
      ctrl.op = abi.ZCRX_CTRL_ADD_AREA
      ctrl.areaPtr = backend.addressOf(area.bytes)
      change(area, ctrl)
      const result = backend.register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)
      return [result, area.view.getUint16(22, true)]
    }
    expect(add((area) => (area.len = 0))).toEqual([-abi.EFAULT, 1])
    expect(add((area) => (area.addr = 0))).toEqual([-abi.EFAULT, 1])
    expect(add((area) => (area.len -= 2048))).toEqual([-abi.EINVAL, 1])
    expect(add((area) => (area.len += PAGE))).toEqual([-abi.EFAULT, 1])
    expect(add((area) => area.view.setUint32(32, 1, true))).toEqual([-abi.EINVAL, 1])
    expect(add((area) => (area.flags = abi.IORING_ZCRX_AREA_DMABUF))).toEqual([-abi.EINVAL, 1])
    expect(add((_area, ctrl) => (ctrl.areaPtr = 0))).toEqual([-abi.EFAULT, 0])
    expect(add((_area, ctrl) => (ctrl.areaPtr = 8))).toEqual([-abi.EFAULT, 0])
    expect(add((_area, ctrl) => ctrl.view.setUint32(32, 1, true))).toEqual([-abi.EINVAL, 0])
    const both = add((_area, ctrl) => {
      ctrl.view.setUint32(32, 1, true)
      ctrl.areaPtr = 0
    })
    expect(both).toEqual([-abi.EFAULT, 0])
    expect(add((area) => pair.kernel.space.makeReadOnly(area.bytes.buffer))).toEqual([-abi.EFAULT, 0])
    expect(add((area) => area.setRqAreaId(3))).toEqual([-abi.EINVAL, 3])
    expect(add(() => {})).toEqual([0, 1])
  })

  it('ends at 1024 areas in all', () => {
    const pair = new RingPair({ nodev: true, niovs: 1 })
    const memory = new Uint8Array(PAGE)
    for (let id = 1; id < 1024; id++) expect(pair.ring.addArea(pair.ifq, memory)).toBe(id)
    expect(pair.ring.addArea(pair.ifq, memory)).toBe(-abi.EINVAL)
  })

  it('while data flows into a device queue: what the first area has no room for is moved, and counted as copied', () => {
    const pair = new RingPair({ niovs: 64, rqEntries: 1024 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const data = bytesOf(400_000)
    let sent = 0
    const held: Completion[] = []
    const parts: Uint8Array[] = []
    for (let round = 0; round < 400 && sent < data.length; round++) {
      if (round === 3) expect(pair.ring.addArea(pair.ifq, new Uint8Array(512 * PAGE))).toBe(1)
      sent += Math.max(
        0,
        pair.call((sqe) => sqe.prepSend(client, data.subarray(sent, sent + 5000)), 2),
      )
      const seen = pair.drain(1000)
      parts.push(collect(pair, seen))
      // Nothing is given back: the first area alone would have stalled long before.
      held.push(...seen)
    }
    const more = pair.drain(2_000_000)
    parts.push(collect(pair, more))
    held.push(...more)
    expect(Buffer.concat(parts)).toEqual(Buffer.from(data))
    expect(new Set(held.map((cqe) => cqe.areaId))).toEqual(new Set([0, 1]))
    expect(pair.ifq.stats().copiedBytes).toBeGreaterThan(100_000)
    expect(pair.ifq.census()).toMatchObject({ total: 576, lost: 0 })
    pair.refill(...held)
    pair.ring.flushRq(0)
    expect(pair.ifq.census()).toMatchObject({ user: 0, lost: 0 })
  })
})

describe('giving an area back', () => {
  it('waits for the buffers that are out, takes none from it meanwhile, and leaves the rest working', () => {
    const pair = new RingPair({ nodev: true, niovs: 2 })
    const { client, server } = pair.connect()
    pair.ring.addArea(pair.ifq, new Uint8Array(4 * PAGE))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    for (let i = 0; i < 3; i++) pair.send(client, bytesOf(10, i))
    const seen = pair.drain()
    expect(seen.map((cqe) => cqe.areaId)).toEqual([0, 0, 1])
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(-abi.EAGAIN)
    pair.send(client, bytesOf(10))
    expect(pair.drain()).toMatchObject([{ userData: 1, res: -abi.ENOMEM, flags: 0 }])
    pair.refill(...seen)
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(0)
    expect(pair.ifq.areas[1]).toBe(null)
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(-abi.EINVAL)
    expect(pair.ifq.census()).toMatchObject({ total: 2, free: 2, lost: 0 })
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    expect(collect(pair, pair.drain())).toEqual(Buffer.from(bytesOf(10)))
  })

  it('an entry for it afterwards names no buffer; its number is not used again', () => {
    const pair = new RingPair({ nodev: true, niovs: 2 })
    pair.ring.addArea(pair.ifq, new Uint8Array(PAGE))
    expect(pair.ring.removeArea(pair.ifq, 1)).toBe(0)
    pair.ifq.rq.push(1, 0, 0)
    pair.ifq.rq.advance()
    pair.ring.flushRq(0)
    expect(pair.ifq.stats().refillInvalid).toBe(1)
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(PAGE))).toBe(2)
  })

  it('is refused for the area a NIC writes to, and for areas there are none of', () => {
    const pair = new RingPair({ niovs: 8 })
    expect(pair.ring.removeArea(pair.ifq, 0)).toBe(-abi.EBUSY)
    expect(pair.ring.removeArea(pair.ifq, 7)).toBe(-abi.EINVAL)
  })
})

describe('rx_buf_len', () => {
  const register = (area: Uint8Array, rxBufLen: number): unknown => {
    const pair = new RingPair({ niovs: 8 })
    pair.ring.queueExit()
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
    const ifIdx = pair.server.nic.info.ifIndex
    const ifq = ring.registerIfq({ ifIdx, ifRxq: 0, rqEntries: 8, area, rxBufLen })
    return typeof ifq === 'number' ? ifq : ifq.rxBufLen
  }
  it.each([8192, 65_536, 2 << 20])('buffers of %i bytes in huge pages deliver the stream', (rxBufLen) => {
    const pair = new RingPair({ mtu: 9000, area: allocateHuge(32 << 20), rxBufLen })
    expect(pair.ifq.rxBufLen).toBe(rxBufLen)
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const data = bytesOf(100_000)
    let sent = 0
    const parts: Uint8Array[] = []
    while (sent < data.length) {
      const taken = pair.call((sqe) => sqe.prepSend(client, data.subarray(sent)), 2)
      sent += Math.max(0, taken)
      const seen = pair.drain(1000)
      parts.push(collect(pair, seen))
      pair.refill(...seen)
    }
    const seen = pair.drain()
    parts.push(collect(pair, seen))
    pair.refill(...seen)
    pair.ring.flushRq(0)
    expect(Buffer.concat(parts)).toEqual(Buffer.from(data))
    expect(pair.ifq.census()).toMatchObject({ total: (32 << 20) / rxBufLen, user: 0, lost: 0 })
    expect(pair.ifq.stats().copiedBytes).toBe(0)
  })

  it('needs memory as contiguous as the buffers, and whole buffers of it: ERANGE (kernel record point 61)', () => {
    expect(register(new Uint8Array(16 * PAGE), 8192)).toBe(-abi.ERANGE)
    expect(register(allocateHuge(3 * PAGE), 8192)).toBe(-abi.ERANGE)
    expect(register(allocateHuge(5 * PAGE).subarray(PAGE), 8192)).toBe(8192)
  })

  it('any memory does for a NIC that writes through virtual addresses, further areas too', () => {
    const pair = new RingPair({ niovs: 8 })
    pair.ring.queueExit()
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
    const { nic } = pair.server
    Object.defineProperty(nic, 'info', { value: { ...nic.info, anyMemory: true } })
    const area = new Uint8Array(16 * PAGE)
    const ifIdx = nic.info.ifIndex
    const ifq = ring.registerIfq({ ifIdx, ifRxq: 0, rqEntries: 8, area, rxBufLen: 8192 }) as Ifq
    expect(ifq.rxBufLen).toBe(8192)
    expect(ring.addArea(ifq, new Uint8Array(16 * PAGE))).toBe(1)
  })
})

/** Memory that counts as huge pages without any being reserved. */
function allocateHuge(bytes: number): Uint8Array {
  const area = new Uint8Array(bytes)
  markHuge(area.buffer)
  return area
}
