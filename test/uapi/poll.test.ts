import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

describe('IORING_OP_POLL_ADD', () => {
  it('waits for data, once', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLIN), 7)
    expect(pair.reap()).toEqual([])
    pair.send(client, bytesOf(100))
    expect(pair.drain()).toMatchObject([{ userData: 7, res: abi.POLLIN, flags: 0 }])
    pair.send(client, bytesOf(100))
    expect(pair.drain()).toEqual([])
  })

  it('says at once what is already true', () => {
    const pair = new RingPair({ nodev: true })
    const { client } = pair.connect()
    expect(pair.call((sqe) => sqe.prepPollAdd(client, abi.POLLOUT | abi.POLLIN))).toBe(abi.POLLOUT)
  })

  it('multishot goes on, hang-up or not', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLIN, true), 7)
    pair.send(client, bytesOf(10))
    pair.send(client, bytesOf(10))
    const seen = pair.drain()
    expect(seen.length).toBeGreaterThanOrEqual(2)
    expect(seen.every((cqe) => cqe.userData === 7 && cqe.flags === abi.IORING_CQE_F_MORE)).toBe(true)
    pair.call((sqe) => sqe.prepShutdown(client, abi.SHUT_WR))
    pair.call((sqe) => sqe.prepShutdown(server, abi.SHUT_RDWR))
    const last = pair.drain(5_000_000).at(-1)!
    const goesOn = abi.IORING_CQE_F_MORE
    expect([last.userData, last.res & abi.POLLHUP, last.flags]).toEqual([7, abi.POLLHUP, goesOn])
    pair.submit((sqe) => sqe.prepPollAdd(client, 0), 8)
    expect(pair.drain()).toMatchObject([{ userData: 8, res: abi.POLLHUP | abi.POLLRDHUP }])
  })

  it('a listener is readable when somebody waits', () => {
    const pair = new RingPair({ nodev: true })
    const { listener } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(listener, abi.POLLIN), 9)
    expect(pair.reap()).toEqual([])
    pair.connectTo(listener)
    expect(pair.early.concat(pair.drain())).toContainEqual(
      expect.objectContaining({ userData: 9, res: abi.POLLIN }),
    )
  })

  it('urgent data is announced by POLLPRI until it is read, and stays in line (RFC 9293 3.8.5)', () => {
    const pair = new RingPair({ nodev: true })
    const { client, server } = pair.connect()
    pair.submit((sqe) => sqe.prepPollAdd(server, abi.POLLPRI), 5)
    pair.send(client, bytesOf(10))
    expect(pair.drain()).toEqual([])
    const urgent = bytesOf(4, 9)
    expect(pair.call((sqe) => sqe.prepSend(client, urgent, abi.MSG_OOB))).toBe(4)
    expect(pair.drain()).toMatchObject([{ userData: 5, res: abi.POLLPRI }])
    const [tcb] = [...pair.server.tcp]
    expect(tcb!.urgentBytes()).toBe(14)
    const target = new Uint8Array(100)
    expect(pair.call((sqe) => sqe.prepRecv(server, target))).toBe(14)
    expect([...target.subarray(10, 14)]).toEqual([...urgent])
    expect(tcb!.urgentBytes()).toBe(0)
  })
})
