import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { runs } from '../support/long.ts'
import { bytesOf, type Completion, RingPair } from '../support/ring-pair.ts'
import { CLIENT, SERVER } from '../support/stack-pair.ts'

function socket(pair: RingPair): number {
  return pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
}

function listening(pair: RingPair, port = 9000): number {
  const fd = socket(pair)
  const address = abi.SockaddrIn.of(SERVER, port)
  expect(pair.call((sqe) => sqe.prepBind(fd, address))).toBe(0)
  expect(pair.call((sqe) => sqe.prepListen(fd, 16))).toBe(0)
  return fd
}

describe('socket requests', () => {
  it('two accepts waiting get two connections that come at once', () => {
    const pair = new RingPair()
    const listener = listening(pair)
    pair.submit((sqe) => sqe.prepAccept(listener), 1)
    pair.submit((sqe) => sqe.prepAccept(listener), 2)
    const remote = abi.SockaddrIn.of(SERVER, 9000)
    const local = abi.SockaddrIn.of(CLIENT, 0)
    for (const userData of [3, 4]) {
      const fd = socket(pair)
      pair.call((sqe) => sqe.prepBind(fd, local))
      pair.submit((sqe) => sqe.prepConnect(fd, remote), userData)
    }
    const done = pair.drain().map((c) => c.userData)
    expect(done.sort()).toEqual([1, 2, 3, 4])
  })

  it('a send waits for the connection it was submitted before', () => {
    const pair = new RingPair()
    listening(pair)
    const fd = socket(pair)
    const local = abi.SockaddrIn.of(CLIENT, 0)
    const remote = abi.SockaddrIn.of(SERVER, 9000)
    pair.call((sqe) => sqe.prepBind(fd, local))
    const bytes = bytesOf(100)
    pair.submit((sqe) => sqe.prepConnect(fd, remote), 1)
    pair.submit((sqe) => sqe.prepSend(fd, bytes), 2)
    expect(pair.drain().map((c) => [c.userData, c.res])).toEqual([
      [1, 0],
      [2, 100],
    ])
    expect(pair.call((sqe) => sqe.prepSend(fd, new Uint8Array(0)))).toBe(0)
  })

  it('answer misuse with the errno Linux has for it', () => {
    const pair = new RingPair()
    const { client, listener } = pair.connect()
    const fd = socket(pair)
    const remote = abi.SockaddrIn.of(SERVER, 9999)
    expect(pair.call((sqe) => sqe.prepClose(77))).toBe(-abi.EBADF)
    expect(pair.call((sqe) => sqe.prepSend(fd, bytesOf(1)))).toBe(-abi.EPIPE)
    expect(pair.call((sqe) => sqe.prepRw(abi.IORING_OP_SEND, client, 8, 10, 0))).toBe(-abi.EFAULT)
    expect(pair.call((sqe) => sqe.prepAccept(client))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepListen(client, 1))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepShutdown(fd, 1))).toBe(-abi.ENOTCONN)
    expect(pair.call((sqe) => sqe.prepShutdown(client, 3))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepConnect(listener, remote))).toBe(-abi.EISCONN)
    expect(pair.call((sqe) => sqe.prepSocket(1, 1, 0))).toBe(-abi.EAFNOSUPPORT)
    expect(pair.call((sqe) => sqe.prepSocket(2, 2, 0))).toBe(-abi.EPROTONOSUPPORT)
    expect(pair.call((sqe) => sqe.prepNop().setFlags(abi.IOSQE_BUFFER_SELECT))).toBe(-abi.EOPNOTSUPP)
    expect(pair.call((sqe) => sqe.prepRw(200, 0, 0, 0, 0))).toBe(-abi.EINVAL)
    expect(pair.call((sqe) => sqe.prepCancel(12345))).toBe(-abi.ENOENT)
  })

  it('what is queued before SHUT_RD is delivered, then 0 (kernel record, end.local_shut_rd_before)', () => {
    const pair = new RingPair()
    const { client, server } = pair.connect()
    pair.send(client, bytesOf(100))
    expect(pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RD))).toBe(0)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    expect(pair.drain().map((c) => c.res)).toEqual([100, 0])
  })

  it('completions without data overflow into a list and appear after reaping (kernel record points 42, 43)', () => {
    const pair = new RingPair({ params: { cqEntries: 64 } })
    for (let i = 0; i < 100; i++) pair.submit((sqe) => sqe.prepNop(), i)
    expect(pair.reap().map((c) => c.userData)).toEqual([...new Array(64).keys()])
    pair.ring.getEvents()
    expect(pair.reap().map((c) => c.userData)).toEqual(Array.from({ length: 36 }, (_, i) => 64 + i))
  })

  it('the end of the ring with buffers out and requests armed leaves nothing behind', () => {
    const pair = new RingPair({ niovs: 64 })
    const { client, server } = pair.connect()
    const { pool } = [...pair.kernel.ifqs][0]!
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    pair.send(client, bytesOf(20_000))
    expect(pool.userOut).toBeGreaterThan(0)
    pair.ring.queueExit()
    expect([pool.userOut, pool.freeCount, pair.kernel.ifqs.size]).toEqual([0, 64, 0])
    expect(pair.server.census().lost).toBe(0)
    expect(() => pair.ring.submit()).toThrow(/closed/)
  })

  it('random programs of sends, receives, limits, cancels and refills deliver the right bytes and keep the census', () => {
    const step = fc.record({
      kind: fc.constantFrom('send', 'send', 'receive', 'cancel', 'refill', 'time'),
      who: fc.nat({ max: 1 }),
      size: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20_000 })),
      limit: fc.constantFrom(0, 0, 100, 5000),
    })
    fc.assert(
      fc.property(
        fc.constantFrom(16, 64),
        fc.constantFrom(64, 4096),
        fc.array(step, { maxLength: 30 }),
        (niovs, cqEntries, steps) => {
          const pair = new RingPair({ niovs, params: { cqEntries } })
          const listener = listening(pair)
          const flows = [0, 1].map(() => {
            const [client, server] = pair.connectTo(listener)
            return { tcb: pair.kernel.files.socket(client)!.tcb!, server, sent: 0, got: [] as number[] }
          })
          const out: Completion[] = []
          const take = (found: Completion[]): void => {
            for (const c of found) {
              if (c.flags === 0 || c.userData > 1) continue
              flows[c.userData]!.got.push(...pair.bytes(c))
              out.push(c)
            }
            expect(pair.census().lost).toBe(0)
          }
          for (const { kind, who, size, limit } of steps) {
            const flow = flows[who]!
            if (kind === 'send') {
              const bytes = Uint8Array.from({ length: size }, (_, i) => flow.sent + i)
              flow.sent += pair.client.tcp.send(flow.tcb, bytes, 0, pair.clock.now())
            } else if (kind === 'receive') pair.submit((sqe) => sqe.prepRecvZc(flow.server, 0, limit), who)
            else if (kind === 'cancel') pair.submit((sqe) => sqe.prepCancel(who), 9)
            else if (kind === 'refill') pair.refill(...out.splice(0, 5))
            else take(pair.drain(20_000))
            pair.settle()
            take(pair.reap())
          }
          for (let round = 0; round < 400 && flows.some((f) => f.got.length < f.sent); round++) {
            pair.refill(...out.splice(0, 200))
            for (const [who, flow] of flows.entries()) {
              pair.submit((sqe) => sqe.prepCancel(who, abi.IORING_ASYNC_CANCEL_ALL), 9)
              pair.submit((sqe) => sqe.prepRecvZc(flow.server, 0), who)
            }
            take(pair.drain(500_000))
          }
          for (const flow of flows) {
            expect(flow.got.length).toBe(flow.sent)
            expect(flow.got.every((byte, i) => byte === (i & 255))).toBe(true)
          }
          pair.refill(...out.splice(0))
          pair.settle()
          expect(pair.census()).toMatchObject({ user: 0, lost: 0 })
          // A connection may keep the buffer it packs small payloads into, until it ends.
          const packing = [...pair.server.tcp].filter((tcb) => tcb.rcv.pack !== null).length
          expect(pair.census().queued).toBe(packing)
          for (const tcb of [...pair.server.tcp]) pair.server.tcp.abort(tcb)
          expect(pair.census().queued).toBe(0)
        },
      ),
      { numRuns: runs(60) },
    )
  })
})
