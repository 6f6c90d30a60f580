import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
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
})
