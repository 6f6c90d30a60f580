import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, type Completion, RingPair, ZC_FLAGS } from '../support/ring-pair.ts'

const RECV = 7

function join(pair: RingPair, completions: Completion[]): Uint8Array {
  return Buffer.concat(completions.filter((c) => c.flags !== 0).map((c) => pair.bytes(c)))
}

function total(completions: Completion[]): number {
  return completions.reduce((sum, c) => sum + Math.max(0, c.flags === 0 ? 0 : c.res), 0)
}

describe('RECV_ZC', () => {
  it('names the place of the payload, behind the headers, where the NIC put it', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    pair.send(client, bytesOf(1000))
    const [cqe, ...rest] = pair.drain()
    expect(rest).toEqual([])
    expect(cqe).toMatchObject({ userData: RECV, res: 1000, flags: abi.IORING_CQE_F_MORE, areaId: 0 })
    // 256 bytes of headroom, 14 Ethernet, 20 IPv4, 32 TCP with timestamps.
    expect(cqe!.offset % 4096).toBe(256 + 66)
    expect(pair.bytes(cqe!)).toEqual(bytesOf(1000))
    expect(pair.stats()).toMatchObject({ zeroCopiedBytes: 1000, copiedBytes: 0, completions: 1 })
  })

  it('posts nothing before the ring is entered, and everything queued when the request is submitted (oracle 23)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    const data = bytesOf(20_000)
    pair.send(client, data)
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    const at = pair.reap()
    expect(total(at)).toBe(20_000)
    expect(Buffer.compare(join(pair, at), data)).toBe(0)
  })

  it('ends with res 0 and no flags after the data when the peer closes (oracle 28)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    pair.send(client, bytesOf(5000))
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    const got = pair.drain()
    expect(total(got)).toBe(5000)
    expect(got.at(-1)).toMatchObject({ userData: RECV, res: 0, flags: 0, offset: 0 })
    expect(got.slice(0, -1).every((c) => c.flags === abi.IORING_CQE_F_MORE)).toBe(true)
    // A new request after the end completes at once (29).
    expect(pair.call((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 8)).toBe(0)
  })

  it('delivers queued data before ECONNRESET, and 0 to a later request (oracle 28)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    // Unread data on the client's side makes its close a reset.
    pair.send(server, bytesOf(10))
    pair.send(client, bytesOf(3000))
    expect(pair.call((sqe) => sqe.prepClose(client))).toBe(0)
    pair.settle()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    const got = pair.drain()
    expect(total(got)).toBe(3000)
    expect(got.at(-1)).toMatchObject({ res: -abi.ECONNRESET, flags: 0 })
    expect(pair.call((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 8)).toBe(0)
  })

  it('tells the end of the stream, not the error that came behind it: that is for who writes', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(10))
    expect(pair.call((sqe) => sqe.prepClose(client))).toBe(0)
    pair.settle()
    // Nobody is there any more: it is answered with a reset.
    pair.send(server, bytesOf(10))
    pair.settle()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    expect(pair.drain().map(({ res }) => res)).toEqual([10, 0])
    expect(pair.call((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 8)).toBe(0)
    expect(pair.call((sqe) => sqe.prepSend(server, bytesOf(1)), 9)).toBe(-abi.EPIPE)
  })

  it('that waited and has had data stays, though its own side was shut before: the next that wakes it may end it', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(10))
    pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RD))
    const first = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId).setIoprio(first), RECV)
    expect(pair.drain().map(({ res }) => res)).toEqual([10])
    pair.send(client, bytesOf(20))
    expect(pair.drain().map(({ res }) => res)).toEqual([20])
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(pair.drain().map(({ res }) => res)).toEqual([0])
  })

  it('cuts a piece at the read limit; both parts of the buffer have to come back (oracle 30, 64)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(1400))
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId, 500), RECV)
    const first = pair.drain()
    expect(first.map((c) => [c.res, c.flags])).toEqual([
      [500, abi.IORING_CQE_F_MORE],
      [0, 0],
    ])
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    const second = pair.drain()
    expect(second[0]).toMatchObject({ res: 900, offset: first[0]!.offset + 500 })
    expect(Buffer.compare(join(pair, [...first, ...second]), bytesOf(1400))).toBe(0)
    expect(pair.census().user).toBe(1)
    pair.refill(first[0]!)
    pair.settle()
    expect(pair.census().user).toBe(1)
    pair.refill(second[0]!)
    pair.settle()
    expect(pair.census()).toMatchObject({ user: 0, lost: 0 })
  })

  it('ends with ENOSPC when the completion queue is full, loses nothing and goes on when issued again (oracle 42)', () => {
    const pair = new RingPair({ params: { cqEntries: 64 } })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
    const data = bytesOf(100 * 1448)
    let rest = data
    // The sender's completions share the queue, so hand the bytes to the stack directly.
    const socket = pair.kernel.files.socket(client)!
    const pump = (): void => {
      const taken = pair.client.tcp.send(socket.tcb!, rest, 0, pair.clock.now())
      rest = rest.subarray(taken)
    }
    pump()
    pair.settle()
    const parts = pair.reap()
    expect(parts.length).toBe(64)
    expect(parts.every((c) => c.flags === abi.IORING_CQE_F_MORE)).toBe(true)
    pair.refill(...parts)
    let ended = 0
    const bytes = [join(pair, parts)]
    while (bytes.reduce((sum, b) => sum + b.length, 0) < data.length) {
      const more = pair.drain(1000)
      bytes.push(Buffer.from(join(pair, more)))
      pair.refill(...more.filter((c) => c.flags !== 0))
      for (const cqe of more) {
        if (cqe.flags !== 0) continue
        expect(cqe.res).toBe(-abi.ENOSPC)
        ended++
        pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), RECV)
      }
    }
    expect(ended).toBeGreaterThan(0)
    expect(Buffer.compare(Buffer.concat(bytes), data)).toBe(0)
    pair.settle()
    expect(pair.census()).toMatchObject({ user: 0, lost: 0 })
  })

  it.each([
    ['no MULTISHOT', (sqe: abi.Sqe) => sqe.setIoprio(0), abi.EINVAL],
    ['an unknown ioprio bit', (sqe: abi.Sqe) => sqe.setIoprio(abi.IORING_RECV_MULTISHOT | 8), abi.EINVAL],
  ])('refuses %s (oracle 18)', (_what, change, errno) => {
    const pair = new RingPair()
    const { server } = pair.connect()
    expect(pair.call((sqe) => change(sqe.prepRecvZc(server, pair.ifq.zcrxId)))).toBe(-errno)
  })

  it('checks the zcrx id before the descriptor, and the socket last (oracle 18)', () => {
    const pair = new RingPair()
    const { listener } = pair.connect()
    expect(pair.call((sqe) => sqe.prepRecvZc(999, 5))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepRecvZc(999, 0))).toBe(-abi.EBADF)
    expect(pair.call((sqe) => sqe.prepRecvZc(listener, 0))).toBe(-abi.ENOTCONN)
  })

  it('gives all data to the request submitted last (oracle 25)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 2)
    pair.send(client, bytesOf(5000))
    const got = pair.drain()
    expect(new Set(got.map((c) => c.userData))).toEqual(new Set([2]))
  })

  it('is cancelled: the cancel completes first, data not yet delivered stays (oracle 44)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    pair.submit((sqe) => sqe.prepCancel(RECV), 100)
    expect(pair.drain().map((c) => [c.userData, c.res])).toEqual([
      [100, 0],
      [RECV, -abi.ECANCELED],
    ])
    expect(pair.call((sqe) => sqe.prepCancel(RECV))).toBe(-abi.ENOENT)
    pair.send(client, bytesOf(100))
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    expect(pair.drain()[0]).toMatchObject({ res: 100 })
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 9)
    pair.submit((sqe) => sqe.prepCancelFd(server, abi.IORING_ASYNC_CANCEL_ALL), 100)
    expect(pair.drain().map((c) => [c.userData, c.res])).toEqual([
      [100, 2],
      [RECV, -abi.ECANCELED],
      [9, -abi.ECANCELED],
    ])
  })

  it('goes on after the descriptor is closed, until the stream ends (oracle 45)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    expect(pair.call((sqe) => sqe.prepClose(server))).toBe(0)
    pair.send(client, bytesOf(2000))
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    const got = pair.drain()
    expect(total(got)).toBe(2000)
    expect(got.at(-1)).toMatchObject({ res: 0, flags: 0 })
  })
})

describe('RECV_ZC without a device (copy mode)', () => {
  it('copies into buffers of its own, from the highest down, each from its beginning (oracle 21, 24)', () => {
    const pair = new RingPair({ nodev: true, niovs: 16, mtu: 9000 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    const data = bytesOf(6000)
    pair.send(client, data)
    const got = pair.drain()
    expect(got.map((c) => c.offset / 4096)).toEqual(got.map((_, i) => 15 - i))
    expect(got.every((c) => c.res <= 4096)).toBe(true)
    expect(Buffer.compare(join(pair, got), data)).toBe(0)
    expect(pair.stats()).toMatchObject({ copiedBytes: 6000, zeroCopiedBytes: 0 })
  })

  it('ends with ENOMEM when no buffer is free; only a flush moves refills, and a new request goes on (oracle 33, 35)', () => {
    const pair = new RingPair({ nodev: true, niovs: 4 })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    const data = bytesOf(10 * 1000)
    for (let i = 0; i < 10; i++) pair.send(client, data.subarray(i * 1000, (i + 1) * 1000))
    const first = pair.drain()
    expect(first.length).toBe(5)
    expect(first.at(-1)).toMatchObject({ res: -abi.ENOMEM, flags: 0 })
    const kept = Buffer.from(join(pair, first))
    pair.refill(...first.slice(0, 4))
    expect(pair.call((sqe) => sqe.prepRecvZc(server, 0), 8)).toBe(-abi.ENOMEM)
    expect(pair.ring.flushRq(0)).toBe(0)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), RECV)
    const second = pair.drain()
    const rest = Buffer.concat([kept, join(pair, second)])
    expect(Buffer.compare(rest, data.subarray(0, rest.length))).toBe(0)
    expect(rest.length).toBeGreaterThan(kept.length)
  })

  it('one busy socket does not starve another (row V10)', () => {
    const flags = ZC_FLAGS | abi.IORING_SETUP_TASKRUN_FLAG
    const pair = new RingPair({ niovs: 4096, params: { flags } })
    const { client, server, listener } = pair.connect()
    const [client2, server2] = pair.connectTo(listener)
    const data = bytesOf(600 * 1448)
    for (const fd of [client, client2]) pair.send(fd, data)
    const bits = abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST
    pair.ring.getSqe()!.prepRecvZc(server, 0).setIoprio(bits).setData(1)
    pair.ring.getSqe()!.prepRecvZc(server2, 0).setIoprio(bits).setData(2)
    pair.ring.submit()
    // Nothing has to happen for the rest to come: who sleeps now would sleep for ever.
    const entries = []
    do {
      pair.ring.getEvents()
      entries.push(pair.ring.cqReady())
    } while (pair.ring.hasWork())
    expect(entries.length).toBeGreaterThan(1)
    const order = pair.reap().map((cqe) => cqe.userData)
    const first = order.indexOf(2)
    expect(first).toBe(512)
    expect(order.lastIndexOf(1)).toBeGreaterThan(first)
    expect(order.length).toBeGreaterThanOrEqual(1200)
  })
})
