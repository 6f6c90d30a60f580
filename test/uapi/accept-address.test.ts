import { describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { endpointOf } from '../../uapi/abi/sockaddr.ts'
import { RingPair } from '../support/ring-pair.ts'

function listening(version: 4 | 6): { pair: RingPair; listener: number } {
  const pair = new RingPair({ version })
  const listener = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
  const local = abi.sockaddrOf(pair.serverAddress, 9000)
  expect(pair.call((sqe) => sqe.prepBind(listener, local))).toBe(0)
  expect(pair.call((sqe) => sqe.prepListen(listener, 4))).toBe(0)
  return { pair, listener }
}

function connect(pair: RingPair): void {
  const client = pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0))
  const local = abi.sockaddrOf(pair.clientAddress, 0)
  expect(pair.call((sqe) => sqe.prepBind(client, local))).toBe(0)
  const remote = abi.sockaddrOf(pair.serverAddress, 9000)
  expect(pair.call((sqe) => sqe.prepConnect(client, remote))).toBe(0)
}

describe.each([4, 6] as const)('the peer’s address that an accept brings, IPv%i', (version) => {
  const whole = version === 4 ? 16 : 28

  it.each([
    ['all of it', 28, whole],
    ['what there is room for', 6, 6],
    ['none of it', 0, 0],
  ])('is %s, with its length', (_what, room, written) => {
    const { pair, listener } = listening(version)
    const bytes = new Uint8Array(28).fill(0xaa)
    const length = new Int32Array([room])
    pair.submit((sqe) => sqe.prepAccept(listener, bytes, new Uint8Array(length.buffer)), 1)
    connect(pair)
    const accepted = pair.drain().find(({ userData }) => userData === 1)!
    const { tcb } = pair.kernel.files.socket(accepted.res)!
    const expected = new Uint8Array(28).fill(0xaa)
    expected.set(abi.sockaddrOf(pair.clientAddress, tcb!.remotePort).subarray(0, written))
    expect([length[0], [...bytes]]).toEqual([whole, [...expected]])
    if (written === whole) expect(endpointOf(bytes)?.address.equals(pair.clientAddress)).toBe(true)
  })

  it('is refused where it can not be written, before anybody is accepted', () => {
    const { pair, listener } = listening(version)
    const length = (room: number): Uint8Array => new Uint8Array(Int32Array.of(room).buffer)
    const locked = new Uint8Array(28)
    pair.kernel.space.makeReadOnly(locked.buffer)
    const lockedLength = length(28)
    pair.kernel.space.makeReadOnly(lockedLength.buffer)
    const refused = [
      pair.call((sqe) => sqe.prepAccept(listener, locked, length(28))),
      pair.call((sqe) => sqe.prepAccept(listener, locked)),
      pair.call((sqe) => sqe.prepAccept(listener, new Uint8Array(28), lockedLength)),
      pair.call((sqe) => sqe.prepAccept(listener, new Uint8Array(28), length(-1))),
      pair.call((sqe) => sqe.prepAccept(listener, new Uint8Array(4))),
    ]
    expect(refused).toEqual([-abi.EFAULT, -abi.EFAULT, -abi.EFAULT, -abi.EINVAL, -abi.EFAULT])
    connect(pair)
    expect(pair.call((sqe) => sqe.prepAccept(listener))).toBeGreaterThan(0)
  })
})

describe('a socket command', () => {
  it('has nothing behind its number, and reads options to memory that can be written', () => {
    const { pair, listener } = listening(4)
    const value = new Uint8Array(4)
    const get = (sqe: abi.Sqe): abi.Sqe =>
      sqe.prepCmdSock(abi.SOCKET_URING_OP_GETSOCKOPT, listener, abi.SOL_SOCKET, abi.SO_ACCEPTCONN, value)
    expect([pair.call(get), value[0]]).toEqual([4, 1])
    const forged = (sqe: abi.Sqe): abi.Sqe => {
      get(sqe)
      const { sqes, control, sqHeadAt, sqEntries } = pair.ring.memory
      const slot = (control[sqHeadAt]! + pair.ring.sqReady() - 1) & (sqEntries - 1)
      sqes[slot * 64 + 12] = 1
      return sqe
    }
    expect(pair.call(forged)).toBe(-abi.EINVAL)
    pair.kernel.space.makeReadOnly(value.buffer)
    expect(pair.call(get)).toBe(-abi.EFAULT)
  })
})

it('accepts that wait are all served at the entry that finds as many connections', () => {
  const { pair, listener } = listening(4)
  const accepts = [1, 2, 3, 4]
  for (const id of accepts) pair.submit((sqe) => sqe.prepAccept(listener), id)
  const clients = accepts.map(() => pair.call((sqe) => sqe.prepSocket(pair.family, abi.SOCK_STREAM, 0)))
  const local = abi.sockaddrOf(pair.clientAddress, 0)
  for (const client of clients) expect(pair.call((sqe) => sqe.prepBind(client, local))).toBe(0)
  const remote = abi.sockaddrOf(pair.serverAddress, 9000)
  for (const client of clients)
    pair.ring
      .getSqe()!
      .prepConnect(client, remote)
      .setData(100 + client)
  const batches: number[] = []
  pair.ring.submit()
  for (let i = 0; i < 20; i++) {
    pair.ring.getEvents()
    const accepted = pair.reap().filter(({ userData }) => accepts.includes(userData))
    if (accepted.length > 0) batches.push(accepted.length)
  }
  expect(batches).toEqual([4])
})
