import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { ringContext } from '../support/contexts.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

const { IORING_ASYNC_CANCEL_ALL: ALL, IORING_ASYNC_CANCEL_ANY: ANY } = abi
const { IORING_ASYNC_CANCEL_FD: FD, IORING_ASYNC_CANCEL_OP: OP } = abi
const USERDATA = abi.IORING_ASYNC_CANCEL_USERDATA

/** Requests 1 (RECV_ZC) and 2 (POLL_ADD) on one end, 3 (POLL_ADD) on the other, and 4, a timeout. */
function armed() {
  const pair = new RingPair({ nodev: true })
  const { client, server } = pair.connect()
  const time = abi.timespecOf(60_000_000)
  pair.submit((sqe) => sqe.prepRecvZc(server, pair.ifq.zcrxId), 1)
  pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLIN), 2)
  pair.submit((sqe) => sqe.prepPollAdd(client, abi.POLLIN), 3)
  pair.submit((sqe) => sqe.prepTimeout(time), 4)
  return { pair, client, server, time }
}

/** Cancels as request 9: user_data and result of all that completes, in order. */
function cancel(pair: RingPair, prepare: (sqe: abi.Sqe) => abi.Sqe): [number, number][] {
  pair.submit(prepare, 9)
  return pair.drain(1000).map((cqe) => [cqe.userData, cqe.res])
}

const gone = (...who: number[]): [number, number][] => who.map((id) => [id, -abi.ECANCELED])

describe('IORING_OP_ASYNC_CANCEL', () => {
  it('by descriptor ends the oldest, or all of it (oracle 44)', () => {
    const { pair, server } = armed()
    expect(cancel(pair, (sqe) => sqe.prepCancelFd(server))).toEqual([[9, 0], ...gone(1)])
    const second = armed()
    const all = cancel(second.pair, (sqe) => sqe.prepCancelFd(second.server, ALL))
    expect(all).toEqual([[9, 2], ...gone(1, 2)])
    const again = cancel(second.pair, (sqe) => sqe.prepCancelFd(second.server))
    expect(again).toEqual([[9, -abi.ENOENT]])
    expect(cancel(second.pair, (sqe) => sqe.prepCancelFd(999))).toEqual([[9, -abi.EBADF]])
  })

  it('ANY ends everything, and is no error when there is nothing', () => {
    const { pair } = armed()
    expect(cancel(pair, (sqe) => sqe.prepCancel(0, ANY))).toEqual([[9, 4], ...gone(1, 2, 3, 4)])
    expect(cancel(pair, (sqe) => sqe.prepCancel(0, ANY))).toEqual([[9, 0]])
  })

  it('by opcode, alone and with descriptor or user_data', () => {
    const poll = abi.IORING_OP_POLL_ADD
    const one = armed()
    expect(cancel(one.pair, (sqe) => sqe.prepCancel(0, OP, poll))).toEqual([[9, 0], ...gone(2)])
    const all = armed()
    expect(cancel(all.pair, (sqe) => sqe.prepCancel(0, OP | ALL, poll))).toEqual([[9, 2], ...gone(2, 3)])
    const fd = armed()
    const both = cancel(fd.pair, (sqe) => sqe.prepCancelFd(fd.client, OP | ALL, poll))
    expect(both).toEqual([[9, 1], ...gone(3)])
    const data = armed()
    const wrong = cancel(data.pair, (sqe) => sqe.prepCancel(1, OP | USERDATA, poll))
    expect(wrong).toEqual([[9, -abi.ENOENT]])
    const right = cancel(data.pair, (sqe) => sqe.prepCancel(3, OP | USERDATA, poll))
    expect(right).toEqual([[9, 0], ...gone(3)])
  })

  it('refuses what excludes each other', () => {
    const { pair, server } = armed()
    expect(cancel(pair, (sqe) => sqe.prepCancel(0, ANY | OP))).toEqual([[9, -abi.EINVAL]])
    expect(cancel(pair, (sqe) => sqe.prepCancelFd(server, ANY))).toEqual([[9, -abi.EINVAL]])
    expect(cancel(pair, (sqe) => sqe.prepCancel(1, 1 << 6))).toEqual([[9, -abi.EINVAL]])
  })

  it('leaves data that was not processed in the socket (oracle 44)', () => {
    const { pair, client, server } = armed()
    pair.client.tcp.send(pair.kernel.files.socket(client)!.tcb!, bytesOf(500), 0, pair.clock.now(), false)
    const seen = cancel(pair, (sqe) => sqe.prepCancel(1))
    expect(seen.slice(0, 2)).toEqual([[9, 0], ...gone(1)])
    const into = new Uint8Array(1000)
    expect(pair.call((sqe) => sqe.prepRecv(server, into))).toBe(500)
  })

  it('ends a request with its time limit, which cannot be cancelled alone', () => {
    const { pair, server, time } = armed()
    pair.ring.getSqe()!.prepPollAdd(server, abi.POLLIN).setFlags(abi.IOSQE_IO_LINK).setData(5)
    pair.submit((sqe) => sqe.prepLinkTimeout(time), 6)
    expect(cancel(pair, (sqe) => sqe.prepCancel(6))).toEqual([[9, -abi.ENOENT]])
    expect(cancel(pair, (sqe) => sqe.prepCancel(5))).toEqual([[9, 0], ...gone(5, 6)])
  })
})

describe('IORING_REGISTER_SYNC_CANCEL', () => {
  it('cancels as ASYNC_CANCEL does, without an entry (oracle 44)', () => {
    const { pair, server } = armed()
    const reg = new abi.SyncCancelReg(new Uint8Array(abi.SyncCancelReg.SIZE))
    reg.addr = 1
    expect(pair.ring.registerSyncCancel(reg)).toBe(0)
    expect(pair.drain(1000)).toMatchObject([{ userData: 1, res: -abi.ECANCELED, flags: 0 }])
    expect(pair.ring.registerSyncCancel(reg)).toBe(-abi.ENOENT)
    reg.fd = server
    reg.flags = FD | OP
    reg.opcode = abi.IORING_OP_POLL_ADD
    expect(pair.ring.registerSyncCancel(reg)).toBe(0)
    reg.fd = 999
    expect(pair.ring.registerSyncCancel(reg)).toBe(-abi.EBADF)
    reg.flags = ANY
    // With that which was cancelled and has not completed.
    expect(pair.ring.registerSyncCancel(reg)).toBe(3)
    reg.bytes[40] = 1
    expect(pair.ring.registerSyncCancel(reg)).toBe(-abi.EINVAL)
  })

  it('checks its argument', () => {
    const { pair } = armed()
    const backend = ringContext(pair.kernel, 0)
    const bytes = new Uint8Array(64)
    expect(backend.register(abi.IORING_REGISTER_SYNC_CANCEL, bytes, 0)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_SYNC_CANCEL, null, 1)).toBe(-abi.EINVAL)
    expect(backend.register(abi.IORING_REGISTER_SYNC_CANCEL, bytes.subarray(1), 1)).toBe(-abi.EFAULT)
  })
})
