import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { inFlight, Ledger, OWED } from '../../uapi/kernel/ledger.ts'
import { Ring } from '../../uapi/ring/ring.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

const { IORING_CQE_F_MORE: MORE, IORING_CQE_F_NOTIF: NOTIF, IORING_SEND_ZC_REPORT_USAGE: REPORT } = abi

type Prepare = (sqe: abi.Sqe) => abi.Sqe

function setUp(options = {}) {
  const pair = new RingPair({ nodev: true, ...options })
  const ends = pair.connect()
  const ask = (prepare: Prepare): [number, number, number][] => {
    pair.submit(prepare, 5)
    return pair.drain().map((cqe) => [cqe.userData, cqe.res, cqe.flags])
  }
  return { pair, ...ends, ask }
}

describe('SEND_ZC', () => {
  it('completes with the bytes taken, and notifies when they may change again', () => {
    const { pair, client, server, ask } = setUp()
    expect(ask((sqe) => sqe.prepSendZc(client, bytesOf(100)))).toEqual([
      [5, 100, MORE],
      [5, 0, NOTIF],
    ])
    const into = new Uint8Array(200)
    expect(pair.call((sqe) => sqe.prepRecv(server, into))).toBe(100)
    expect(into.subarray(0, 100)).toEqual(bytesOf(100))
  })

  it('reports truthfully that they were copied', () => {
    const { client, ask } = setUp()
    expect(ask((sqe) => sqe.prepSendZc(client, bytesOf(100), 0, REPORT))).toEqual([
      [5, 100, MORE],
      [5, abi.IORING_NOTIF_USAGE_ZC_COPIED, NOTIF],
    ])
  })

  it('leaves what is worth it where it is, and notifies when it is acknowledged', () => {
    const { pair, client, server } = setUp()
    const bytes = bytesOf(50_000)
    pair.submit((sqe) => sqe.prepSendZc(client, bytes, 0, REPORT), 5)
    expect(pair.reap().map((cqe) => [cqe.userData, cqe.res, cqe.flags])).toEqual([[5, 50_000, MORE]])
    // No window is as large at first: the last byte leaves as it is by then.
    bytes[49_999] = 7
    const into = new Uint8Array(50_000)
    pair.submit((sqe) => sqe.prepRecv(server, into, abi.MSG_WAITALL), 6)
    const got = pair.drain(5_000_000).map((cqe) => [cqe.userData, cqe.res, cqe.flags])
    expect(got.sort()).toEqual([
      [5, 0, NOTIF],
      [6, 50_000, 0],
    ])
    expect(Buffer.compare(into, bytes)).toBe(0)
    expect(into[49_999]).toBe(7)
  })

  it('sends what was lent between what was copied, whatever is lost', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 20_000 })), {
          minLength: 1,
          maxLength: 30,
        }),
        fc.integer(),
        (sends, seed) => {
          const { pair, client, server } = setUp({ loss: 0.1, seed, tcp: { sendBuffer: 1 << 20 } })
          const all = sends.map(([, length], i) => bytesOf(length, i))
          let total = 0
          let notices = 0
          sends.forEach(([lends], i) => {
            total += all[i]!.length
            if (lends) notices++
            pair.submit(
              (sqe) => (lends ? sqe.prepSendZc(client, all[i]!) : sqe.prepSend(client, all[i]!)),
              100 + i,
            )
          })
          const into = new Uint8Array(total)
          pair.submit((sqe) => sqe.prepRecv(server, into, abi.MSG_WAITALL), 6)
          const got = pair.drain(60_000_000)
          expect(Buffer.compare(into, Buffer.concat(all))).toBe(0)
          expect(got.filter(({ flags }) => flags === NOTIF).length).toBe(notices)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('notifies when the connection ends before all was acknowledged', () => {
    const { pair, client, server } = setUp()
    const sent = bytesOf(3_000_000)
    pair.submit((sqe) => sqe.prepSendZc(client, sent), 5)
    expect(pair.drain(100_000).map((cqe) => [cqe.userData, cqe.flags])).toEqual([[5, MORE]])
    // It has not read what came.
    pair.submit((sqe) => sqe.prepClose(server), 6)
    const got = pair.drain(100_000).map((cqe) => [cqe.userData, cqe.res, cqe.flags])
    expect(got).toContainEqual([5, 0, NOTIF])
    expect(pair.call((sqe) => sqe.prepSend(client, bytesOf(1)))).toBe(-abi.ECONNRESET)
  })

  it.each(['nothing to linger for', 'something unread'])(
    'notifies once, behind the first completion, when that lets go of a closed socket with %s',
    (what) => {
      const { pair, client, server } = setUp({ tcp: { sendBuffer: 8192 } })
      const many = bytesOf(200_000)
      for (let res = 1; res > 0; ) res = pair.call((sqe) => sqe.prepSend(client, many, abi.MSG_DONTWAIT))
      if (what === 'something unread') pair.send(server, bytesOf(10))
      else {
        const linger = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)
        const set = abi.SOCKET_URING_OP_SETSOCKOPT
        pair.call((sqe) => sqe.prepCmdSock(set, client, abi.SOL_SOCKET, abi.SO_LINGER, linger))
      }
      pair.submit((sqe) => sqe.prepSendZc(client, bytesOf(5000)), 5)
      pair.call((sqe) => sqe.prepClose(client))
      pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(8192)), 6)
      const got = pair.drain(1_000_000).map((cqe) => [cqe.userData, cqe.res, cqe.flags])
      expect(got.filter(([userData]) => userData === 5)).toEqual([
        [5, 5000, MORE],
        [5, 0, NOTIF],
      ])
    },
  )

  it('goes on sending when the ring has ended, and tells nobody', () => {
    const { pair, client, server } = setUp()
    const other = Ring.queueInit(8, pair.kernel)
    const sent = bytesOf(500_000)
    other.getSqe()!.prepSendZc(client, sent).setData(5)
    other.submit()
    other.queueExit()
    const into = new Uint8Array(sent.length)
    pair.submit((sqe) => sqe.prepRecv(server, into, abi.MSG_WAITALL), 6)
    expect(pair.drain(5_000_000).map((cqe) => [cqe.userData, cqe.res])).toEqual([[6, 500_000]])
    expect(Buffer.compare(into, sent)).toBe(0)
  })

  it('is in the ledger until it has notified, for who finds the kernel gone', () => {
    const { pair, client, server } = setUp()
    let memory: SharedArrayBuffer | null = null
    pair.context.ledger = new Ledger((more) => {
      memory = more
    })
    pair.submit((sqe) => sqe.prepSendZc(client, bytesOf(500_000)), 5)
    expect(pair.reap().map((cqe) => [cqe.userData, cqe.flags])).toEqual([[5, MORE]])
    expect([inFlight(memory), inFlight(memory, OWED)]).toEqual([[], [5, 0]])
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(500_000), abi.MSG_WAITALL), 6)
    pair.drain(5_000_000)
    expect([inFlight(memory), inFlight(memory, OWED)]).toEqual([[], []])
  })

  it('resets the connection when memory that was lent is detached', () => {
    const { pair, client, server } = setUp()
    const sent = bytesOf(3_000_000)
    pair.submit((sqe) => sqe.prepSendZc(client, sent), 5)
    const receive = new Uint8Array(1_000_000)
    pair.submit((sqe) => sqe.prepRecv(server, receive, abi.MSG_WAITALL), 6)
    structuredClone(sent, { transfer: [sent.buffer] })
    const got = pair.drain(10_000_000).map((cqe) => [cqe.userData, cqe.flags])
    expect(got).toContainEqual([5, NOTIF])
    expect(pair.call((sqe) => sqe.prepSend(client, bytesOf(1)))).toBe(-abi.EFAULT)
    expect(pair.client.counters.resetsSent).toBe(1)
  })

  it('notifies of failures too', () => {
    const { pair, client, ask } = setUp()
    const failed = (errno: number): [number, number, number][] => [
      [5, -errno, MORE],
      [5, 0, NOTIF],
    ]
    expect(ask((sqe) => sqe.prepSendZc(999, bytesOf(1)))).toEqual(failed(abi.EBADF))
    expect(ask((sqe) => sqe.prepSendZc(pair.ring.ringFd, bytesOf(1)))).toEqual(failed(abi.ENOTSOCK))
    const fixed = abi.IORING_RECVSEND_FIXED_BUF
    expect(ask((sqe) => sqe.prepSendZc(client, bytesOf(1), 0, fixed))).toEqual(failed(abi.EFAULT))
    expect(ask((sqe) => sqe.prepRw(abi.IORING_OP_SEND_ZC, client, 8, 10, 0))).toEqual(failed(abi.EFAULT))
    const unconnected = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
    expect(ask((sqe) => sqe.prepSendZc(unconnected, bytesOf(1)))).toEqual(failed(abi.EPIPE))
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    expect(ask((sqe) => sqe.prepSendZc(client, bytesOf(1)))).toEqual(failed(abi.EPIPE))
  })

  it('is refused without a notification when the entry is wrong', () => {
    const { client, ask } = setUp()
    const entry: Prepare = (sqe) => sqe.prepSendZc(client, bytesOf(1))
    expect(ask((sqe) => entry(sqe).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS))).toEqual([[5, -abi.EINVAL, 0]])
    expect(ask((sqe) => entry(sqe).setIoprio(0x100))).toEqual([[5, -abi.EINVAL, 0]])
    expect(ask((sqe) => entry(sqe).setFlags(abi.IOSQE_BUFFER_SELECT))).toEqual([[5, -abi.EOPNOTSUPP, 0]])
  })

  it('lets the next link run with its first completion', () => {
    const { pair, client } = setUp()
    pair.ring.getSqe()!.prepSendZc(client, bytesOf(10)).setFlags(abi.IOSQE_IO_LINK).setData(1)
    pair.ring.getSqe()!.prepNop().setData(2)
    pair.ring.submit()
    const got = pair.drain().map((cqe) => [cqe.userData, cqe.res, cqe.flags])
    expect(got[0]).toEqual([1, 10, MORE])
    expect(got.slice(1).sort()).toEqual([
      [1, 0, NOTIF],
      [2, 0, 0],
    ])
  })

  it('waits for room, and is cancelled with a notification', () => {
    const { pair, client } = setUp({ tcp: { sendBuffer: 8192 } })
    const many = bytesOf(200_000)
    for (let res = 1; res > 0; ) res = pair.call((sqe) => sqe.prepSend(client, many, abi.MSG_DONTWAIT))
    pair.submit((sqe) => sqe.prepSendZc(client, bytesOf(10)), 5)
    pair.submit((sqe) => sqe.prepCancel(5), 6)
    pair.ring.getEvents()
    expect(pair.reap().map((cqe) => [cqe.userData, cqe.res, cqe.flags])).toEqual([
      [6, 0, 0],
      [5, -abi.ECANCELED, MORE],
      [5, 0, NOTIF],
    ])
  })
})

describe('SEND with MSG_WAITALL', () => {
  it('goes on until all is taken', () => {
    const { pair, client, server } = setUp({ tcp: { sendBuffer: 8192 } })
    const bytes = bytesOf(300_000)
    pair.submit((sqe) => sqe.prepSend(client, bytes, abi.MSG_WAITALL), 5)
    const into = new Uint8Array(bytes.length)
    pair.submit((sqe) => sqe.prepRecv(server, into, abi.MSG_WAITALL), 6)
    const got = pair.drain(5_000_000).map((cqe) => [cqe.userData, cqe.res])
    expect(got.sort()).toEqual([
      [5, 300_000],
      [6, 300_000],
    ])
    expect(Buffer.compare(into, bytes)).toBe(0)
  })

  it.each([false, true])(
    'tells what was taken when the rest is detached, and lets others send (zero-copy: %s)',
    (zc) => {
      const { pair, client, server } = setUp({ tcp: { sendBuffer: 2000 } })
      const bytes = bytesOf(300_000)
      const entry: Prepare = (sqe) =>
        zc ? sqe.prepSendZc(client, bytes, abi.MSG_WAITALL) : sqe.prepSend(client, bytes, abi.MSG_WAITALL)
      pair.submit(entry, 5)
      pair.submit((sqe) => sqe.prepSend(client, bytesOf(10)), 6)
      structuredClone(bytes, { transfer: [bytes.buffer] })
      const into = new Uint8Array(2010)
      pair.submit((sqe) => sqe.prepRecv(server, into, abi.MSG_WAITALL), 7)
      const got = pair.drain(1_000_000).filter(({ flags }) => flags !== NOTIF)
      expect(got.map((cqe) => [cqe.userData, cqe.res]).sort()).toEqual([
        [5, 2000],
        [6, 10],
        [7, 2010],
      ])
    },
  )

  it('is EFAULT when all of it is detached while it waits', () => {
    const { pair, client, server } = setUp({ tcp: { sendBuffer: 8192 } })
    const many = bytesOf(200_000)
    for (let res = 1; res > 0; ) res = pair.call((sqe) => sqe.prepSend(client, many, abi.MSG_DONTWAIT))
    const bytes = bytesOf(5000)
    pair.submit((sqe) => sqe.prepSend(client, bytes), 5)
    structuredClone(bytes, { transfer: [bytes.buffer] })
    pair.submit((sqe) => sqe.prepRecv(server, new Uint8Array(8192)), 6)
    const got = pair.drain(1_000_000).map((cqe) => [cqe.userData, cqe.res])
    expect(got).toContainEqual([5, -abi.EFAULT])
  })
})
