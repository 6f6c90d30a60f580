import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { bytesOf, RingPair } from '../support/ring-pair.ts'

type Change = (sqe: abi.Sqe, pair: RingPair) => void

/** The completions of one RECV_ZC, 1000 bytes being queued; the entry is changed before it is submitted. */
function receive(change: Change): [number, number][] {
  const pair = new RingPair()
  const { client, server } = pair.connect()
  pair.ring.registerFiles([server])
  pair.send(client, bytesOf(1000))
  const sqe = pair.ring.getSqe()!.prepRecvZc(server, pair.ifq.zcrxId).setData(1)
  change(sqe, pair)
  expect(pair.ring.submit()).toBe(1)
  return pair.drain().map((cqe) => [cqe.res, cqe.flags])
}

/** Writes a field of the first entry that a ring has. */
function poke(pair: RingPair, at: number, bytes: number, value: number): void {
  const { sqes, sqeBytes, control } = pair.ring.memory
  const index = (pair.ring.sqReady() - 1 + control[0]!) & (pair.ring.memory.sqEntries - 1)
  const view = new DataView(sqes.buffer, index * sqeBytes, 64)
  if (bytes === 2) view.setUint16(at, value, true)
  else view.setUint32(at, value, true)
}

const data: [number, number][] = [[1000, abi.IORING_CQE_F_MORE]]
const MULTISHOT = abi.IORING_RECV_MULTISHOT

describe('an entry of RECV_ZC (kernel record points 18, 19)', () => {
  const refused: [string, number, Change][] = [
    ['an unknown flag', abi.EINVAL, (sqe) => sqe.setFlags(0x80)],
    ['BUFFER_SELECT', abi.EOPNOTSUPP, (sqe) => sqe.setFlags(abi.IOSQE_BUFFER_SELECT)],
    ['an unknown personality', abi.EINVAL, (sqe) => sqe.setPersonality(77)],
    ['no MULTISHOT', abi.EINVAL, (sqe) => sqe.setIoprio(0)],
    ['POLL_FIRST only', abi.EINVAL, (sqe) => sqe.setIoprio(abi.IORING_RECVSEND_POLL_FIRST)],
    ['FIXED_BUF', abi.EINVAL, (sqe) => sqe.setIoprio(MULTISHOT | abi.IORING_RECVSEND_FIXED_BUF)],
    ['ioprio bit 3', abi.EINVAL, (sqe) => sqe.setIoprio(MULTISHOT | 8)],
    ['BUNDLE', abi.EINVAL, (sqe) => sqe.setIoprio(MULTISHOT | abi.IORING_RECVSEND_BUNDLE)],
    ['ioprio bit 15', abi.EINVAL, (sqe) => sqe.setIoprio(MULTISHOT | 0x8000)],
    ['addr', abi.EINVAL, (_sqe, pair) => poke(pair, 16, 4, 4096)],
    ['addr2', abi.EINVAL, (_sqe, pair) => poke(pair, 8, 4, 4096)],
    ['addr3', abi.EINVAL, (_sqe, pair) => poke(pair, 48, 4, 4096)],
    ['the id of no queue', abi.EINVAL, (_sqe, pair) => poke(pair, 44, 4, 1)],
    ['the highest id', abi.EINVAL, (_sqe, pair) => poke(pair, 44, 4, 0xffff_ffff)],
    ['a ring as its socket', abi.ENOTSOCK, (_sqe, pair) => poke(pair, 4, 4, pair.ring.ringFd)],
  ]
  it.each(refused)('is refused with %s', (_what, errno, change) => {
    expect(receive(change)).toEqual([[-errno, 0]])
  })

  it.each([0, 1, 2, 5, 6, 8, 13, 14, 28, 30, 31])('is refused with bit %i of msg_flags', (bit) => {
    expect(receive((sqe) => sqe.setOpFlags(2 ** bit))).toEqual([[-abi.EINVAL, 0]])
  })

  const taken: [string, Change][] = [
    ['POLL_FIRST', (sqe) => sqe.setIoprio(MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST)],
    ['buf_group and no BUFFER_SELECT', (sqe) => sqe.setBufGroup(1)],
    ['the last padding word', (_sqe, pair) => poke(pair, 56, 4, 1)],
    ['ASYNC', (sqe) => sqe.setFlags(abi.IOSQE_ASYNC)],
    ['IO_DRAIN', (sqe) => sqe.setFlags(abi.IOSQE_IO_DRAIN)],
    ['IO_LINK', (sqe) => sqe.setFlags(abi.IOSQE_IO_LINK)],
    ['IO_HARDLINK', (sqe) => sqe.setFlags(abi.IOSQE_IO_HARDLINK)],
    ['CQE_SKIP_SUCCESS', (sqe) => sqe.setFlags(abi.IOSQE_CQE_SKIP_SUCCESS)],
    ['a limit of 2 GiB', (_sqe, pair) => poke(pair, 24, 4, 2 ** 31)],
    ['a limit of 4 GiB less one', (_sqe, pair) => poke(pair, 24, 4, 0xffff_ffff)],
    [
      'a fixed file',
      (sqe, pair) => {
        sqe.setFlags(abi.IOSQE_FIXED_FILE)
        poke(pair, 4, 4, 0)
      },
    ],
  ]
  it.each(taken)('is taken with %s', (_what, change) => {
    expect(receive(change)).toEqual(data)
  })
})
