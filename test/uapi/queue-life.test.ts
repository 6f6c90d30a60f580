import { describe, expect, it } from 'vitest'
import type { HeldReport } from '../../diagnostics.ts'
import { loadNative, nativeOrNull } from '../../driver/native/index.ts'
import type { NicMemory } from '../../driver/nic.ts'
import { NicError } from '../../errors.ts'
import * as abi from '../../uapi/abi/index.ts'
import type { Ifq, IfqRequest } from '../../uapi/ring/ifq.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, type Completion, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const PAGE = 4096
const noAddon = nativeOrNull() === null
if (noAddon) console.warn('areas in descriptors are not tested: the native addon is not built')

/** What must be as before when something failed. */
function state(pair: RingPair): unknown {
  const { ifqs, deviceIfqs, lockedBytes } = pair.kernel
  const { free, fill, lost } = pair.server.census()
  return { ifqs: ifqs.size, devices: deviceIfqs.length, lockedBytes, have: free + fill, lost }
}

describe('a registration that fails leaves nothing behind', () => {
  const area = new Uint8Array(8 * PAGE)
  it.each<
    [string, (pair: RingPair, request: { -readonly [K in keyof IfqRequest]: IfqRequest[K] }) => void, number]
  >([
    ['at the capability', (pair) => (pair.kernel.capable = false), abi.EPERM],
    ['at the entries', (_pair, request) => (request.rqEntries = 0), abi.EINVAL],
    ['at the buffer size', (_pair, request) => (request.rxBufLen = 4097), abi.EINVAL],
    ['at the area', (_pair, request) => (request.area = area.subarray(0, 100)), abi.EINVAL],
    ['at read-only memory', (pair, request) => (request.area = readOnly(pair)), abi.EFAULT],
    ['at the limit of locked memory', (pair) => (pair.kernel.memlockLimit = PAGE), abi.ENOMEM],
    ['at the interface', (_pair, request) => (request.ifIdx = 9999), abi.ENODEV],
    ['at an interface without queues to take', (pair) => takeable(pair, false), abi.EOPNOTSUPP],
    ['at the queue', (_pair, request) => (request.ifRxq = 7), abi.ERANGE],
    ['at a queue that is taken', (pair) => void register(pair, {}), abi.EEXIST],
    ['at the driver', (pair) => refuse(pair, 'ZCRX_NIC_UNSUPPORTED'), abi.EOPNOTSUPP],
    ['at the driver for want of memory to pin', (pair) => refuse(pair, 'ZCRX_NIC_MEMLOCK'), abi.ENOMEM],
    ['at the descriptor of an area', (_pair, request) => (request.area = { fd: 99, bytes: PAGE }), abi.EBADF],
  ])('%s', (_where, arrange, errno) => {
    const pair = new RingPair()
    pair.ring.queueExit()
    const request: IfqRequest = { ifIdx: pair.server.nic.info.ifIndex, ifRxq: 0, rqEntries: 8, area }
    arrange(pair, request)
    const before = state(pair)
    expect(register(pair, request)).toBe(-errno)
    expect(state(pair)).toEqual(before)
    undo.get(pair)?.()
    pair.kernel.capable = true
    pair.kernel.memlockLimit = Number.POSITIVE_INFINITY
    if (errno === abi.EEXIST) return
    expect(register(pair, { ifIdx: pair.server.nic.info.ifIndex })).toMatchObject({ zcrxId: 0 })
  })

  const undo = new WeakMap<RingPair, () => void>()

  function register(pair: RingPair, request: Partial<IfqRequest>): Ifq | number {
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
    const { ifIndex } = pair.server.nic.info
    return ring.registerIfq({ ifIdx: ifIndex, ifRxq: 0, rqEntries: 8, area, ...request })
  }

  function readOnly(pair: RingPair): Uint8Array {
    const memory = new Uint8Array(PAGE)
    pair.kernel.space.makeReadOnly(memory.buffer)
    return memory
  }

  function takeable(pair: RingPair, dma: boolean): void {
    const index = pair.kernel.stacks.indexOf(pair.server)
    pair.kernel.stacks.splice(index, 1)
    pair.kernel.interfaces.set(pair.server.nic.info.ifIndex, { dma })
    undo.set(pair, () => pair.kernel.addStack(pair.server))
  }

  function refuse(pair: RingPair, code: NicError['code']): void {
    const { nic } = pair.server
    const attach = nic.attach.bind(nic)
    let refused = false
    nic.attach = (memory: NicMemory) => {
      if (refused) attach(memory)
      else {
        refused = true
        throw new NicError(code, 'refused')
      }
    }
  }
})

describe('exit in any order gives everything back', () => {
  type Step = 'ring' | 'receiver' | 'sender'
  const orders: Step[][] = [
    ['ring', 'receiver', 'sender'],
    ['receiver', 'ring', 'sender'],
    ['sender', 'receiver', 'ring'],
    ['sender', 'ring', 'receiver'],
  ]
  it.each(orders.flatMap((order) => [false, true].map((armed) => ({ order, armed }))))(
    'with buffers out and data queued: $order, request in flight: $armed',
    ({ order, armed }) => {
      const pair = new RingPair({ niovs: 64 })
      const { client, server } = pair.connect()
      pair.submit((sqe) => sqe.prepRecvZc(server, 0, armed ? 0 : 5000), 1)
      pair.send(client, bytesOf(20_000))
      expect(pair.drain().length).toBeGreaterThan(0)
      const { pool } = [...pair.kernel.ifqs][0]!
      const other = Ring.queueInit(8, pair.kernel)
      const close = (fd: number): void => {
        other.getSqe()!.prepClose(fd)
        other.submit()
        expect(other.waitCqe().res).toBe(0)
        other.cqAdvance(1)
      }
      for (const step of order) {
        if (step === 'ring') pair.ring.queueExit()
        else close(step === 'receiver' ? server : client)
        for (let i = 0; i < 20; i++) other.getEvents()
      }
      pair.clock.advanceTo(pair.clock.now() + 200e6)
      for (let i = 0; i < 100; i++) other.getEvents()
      expect([pool.freeCount, pool.userOut]).toEqual([64, 0])
      expect(pair.kernel.ifqs.size).toBe(0)
      expect(pair.kernel.lockedBytes).toBe(0)
      expect(pair.server.census()).toMatchObject({ queued: 0, user: 0, lost: 0 })
    },
  )
})

describe('a device that goes away', () => {
  it('ends requests with ENODEV, behind the data that had come; the ring goes on', () => {
    const pair = new RingPair({ niovs: 64 })
    const { client, server, listener } = pair.connect()
    pair.submit((sqe) => sqe.prepAccept(listener), 3)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(100))
    pair.link.b.gone = true
    const seen = pair.drain()
    const of = (userData: number): number[] =>
      seen.filter((cqe) => cqe.userData === userData).map((cqe) => cqe.res)
    expect(of(1)).toEqual([100, -abi.ENODEV])
    expect(of(3)).toEqual([-abi.ENODEV])
    expect(pair.call((sqe) => sqe.prepNop())).toBe(0)
    pair.refill(...seen.filter((cqe) => cqe.flags !== 0))
    expect(pair.ring.flushRq(0)).toBe(0)
    expect(pair.census()).toMatchObject({ user: 0, queued: 0, lost: 0 })
    pair.ring.queueExit()
  })
})

describe('buffers that are kept too long', () => {
  it('are told: how many, for how long, and whose', () => {
    const pair = new RingPair({ niovs: 64 })
    const { client, server, listener } = pair.connect()
    const [client2, server2] = pair.connectTo(listener)
    const reports: HeldReport[] = []
    pair.ifq.onHeld(500, (report) => reports.push(report))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.submit((sqe) => sqe.prepRecvZc(server2, 0), 2)
    pair.send(client, bytesOf(3000))
    pair.send(client2, bytesOf(1000))
    const kept = pair.drain(100_000)
    expect(reports).toEqual([])
    pair.drain(1_000_000)
    expect(reports.length).toBeGreaterThan(0)
    const [first] = reports
    expect(first!.buffers).toBe(kept.length)
    expect(first!.oldestMs).toBeGreaterThanOrEqual(500)
    expect(first!.holders.map(({ userData, fd, buffers }) => [userData, fd, buffers])).toEqual([
      [1, server, kept.length - 1],
      [2, server2, 1],
    ])
    pair.refill(...kept)
    pair.ring.flushRq(0)
    reports.length = 0
    pair.drain(2_000_000)
    expect(reports).toEqual([])
    pair.ifq.onHeld(0, null)
  })

  it('wakes a blocked wait for it, and ends with the ring', () => {
    const pair = new RingPair({ niovs: 64 })
    pair.ifq.onHeld(500, () => {})
    expect(pair.kernel.nextDeadline()).toBeLessThanOrEqual(pair.clock.now() + 500_000)
    pair.ring.queueExit()
    expect(pair.kernel.nextDeadline()).toBe(Number.POSITIVE_INFINITY)
  })
})

describe.skipIf(noAddon)('an area in a descriptor (IORING_ZCRX_AREA_DMABUF)', () => {
  /** A memfd, its own mapping for whoever wrote it, and its number on the kernel's side. */
  function memfd(pair: RingPair, pages: number): { fd: number; memory: Uint8Array } {
    const native = loadNative()
    const os = native.createMemfd('zcrx-test', pages * PAGE, false)
    const memory = new Uint8Array(native.mapMemory(pages * PAGE, false, os) as ArrayBuffer)
    const fd = pair.kernel.adoptFd(os)
    native.close(os)
    return { fd, memory }
  }
  const on = (pair: RingPair, area: IfqRequest['area'], nodev = false): { ring: Ring; ifq: Ifq | number } => {
    const ring = Ring.queueInit(8, pair.kernel, { flags: ZC_FLAGS })
    const ifIdx = nodev ? 0 : pair.server.nic.info.ifIndex
    const flags = nodev ? abi.ZCRX_REG_NODEV : 0
    return { ring, ifq: ring.registerIfq({ ifIdx, ifRxq: 0, rqEntries: 8, area, flags }) }
  }
  const receive = (pair: RingPair, ring: Ring, fd: number, bytes: number, memory: Uint8Array): Uint8Array => {
    const parts: Completion[] = []
    for (let round = 0; parts.reduce((sum, cqe) => sum + cqe.res, 0) < bytes && round < 200; round++) {
      ring.getEvents()
      const { clock } = pair
      clock.advanceTo(Math.min(pair.kernel.nextDeadline(), clock.now() + 1000))
      const count = ring.forEachCqe(({ userData, res, flags, offset, areaId }) =>
        parts.push({ userData, res, flags, offset, areaId }),
      )
      ring.cqAdvance(count)
    }
    expect(fd).toBeGreaterThanOrEqual(0)
    return Buffer.concat(parts.map((cqe) => memory.subarray(cqe.offset, cqe.offset + cqe.res)))
  }

  it.each([
    ['in place', false],
    ['by copying, where the device can not write there', true],
  ])('is received into %s; whoever maps it sees the data', (_how, refused) => {
    const pair = new RingPair()
    pair.ring.queueExit()
    const { fd, memory } = memfd(pair, 16)
    if (refused) {
      const { nic } = pair.server
      const attach = nic.attach.bind(nic)
      let asked = 0
      nic.attach = (given: NicMemory) => {
        if (asked++ === 0) throw new NicError('ZCRX_NIC_MEMORY', 'not this memory')
        attach(given)
      }
    }
    const { ring, ifq } = on(pair, { fd, bytes: 16 * PAGE })
    expect(ifq).toMatchObject({ zcrxId: 0, rxBufLen: PAGE })
    const setup = Ring.queueInit(8, pair.kernel)
    const call = (prepare: (sqe: abi.Sqe) => abi.Sqe): number => {
      prepare(setup.getSqe()!)
      setup.submit()
      const { res } = setup.waitCqe()
      setup.cqAdvance(1)
      return res
    }
    const listener = call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    call((sqe) => sqe.prepBind(listener, abi.sockaddrOf(pair.serverAddress, 9000)))
    call((sqe) => sqe.prepListen(listener, 4))
    const client = call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    call((sqe) => sqe.prepBind(client, abi.sockaddrOf(pair.clientAddress, 0)))
    call((sqe) => sqe.prepConnect(client, abi.sockaddrOf(pair.serverAddress, 9000)))
    const server = call((sqe) => sqe.prepAccept(listener))
    ring.getSqe()!.prepRecvZc(server, 0)
    ring.submit()
    const data = bytesOf(6000)
    expect(call((sqe) => sqe.prepSend(client, data))).toBe(6000)
    expect(receive(pair, ring, fd, data.length, memory)).toEqual(Buffer.from(data))
    const { copiedBytes, zeroCopiedBytes } = (ifq as Ifq).stats()
    expect([copiedBytes, zeroCopiedBytes]).toEqual(refused ? [6000, 0] : [0, 6000])
    expect((ifq as Ifq).census()).toMatchObject({ total: 16, lost: 0 })
    ring.queueExit()
    expect(pair.server.census()).toMatchObject({ lost: 0 })
  })

  it("is refused without a device, beyond the file's end, and where nothing can be mapped", () => {
    const pair = new RingPair()
    pair.ring.queueExit()
    const { fd } = memfd(pair, 4)
    expect(on(pair, { fd, bytes: 4 * PAGE }, true).ifq).toBe(-abi.EINVAL)
    expect(on(pair, { fd, bytes: 8 * PAGE }).ifq).toBe(-abi.EINVAL)
    const setup = Ring.queueInit(8, pair.kernel)
    setup.getSqe()!.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0)
    setup.submit()
    expect(on(pair, { fd: setup.waitCqe().res, bytes: PAGE }).ifq).toBe(-abi.EINVAL)
    expect(pair.kernel.adoptFd(9999)).toBe(-abi.EBADF)
  })

  it('does not go together with an area of another kind', () => {
    const pair = new RingPair()
    const { fd } = memfd(pair, 4)
    expect(pair.ring.addArea(pair.ifq, { fd, bytes: 4 * PAGE })).toBe(-abi.EINVAL)
  })
})
