/** Sockets where the interface has other queues, whose stacks have kernels of their own. */
import { describe, expect, it } from 'vitest'
import type { Steering } from '../../driver/nic.ts'
import { NicError } from '../../errors.ts'
import { answerMark, SharedPorts } from '../../stack/siblings/shared-ports.ts'
import type { Tcb } from '../../stack/tcp/tcb.ts'
import * as abi from '../../uapi/abi/index.ts'
import { RingPair } from '../support/ring-pair.ts'

const FIRST = 49_152

/** The client's stack has a sibling, of which there are only the ports. */
function withSibling(): { pair: RingPair; sibling: SharedPorts; own: SharedPorts; fd: number } {
  const pair = new RingPair({ impairments: { delayUs: 1000 } })
  const memory = SharedPorts.memory()
  const own = new SharedPorts(memory, 0)
  const sibling = new SharedPorts(memory, 1)
  pair.client.siblings = { ports: own, tell: () => {}, wake: () => {} }
  const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
  return { pair, sibling, own, fd }
}

function listen(pair: RingPair): void {
  const fd = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
  expect(pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.serverAddress, 9000)))).toBe(0)
  expect(pair.call((sqe) => sqe.prepListen(fd, 8))).toBe(0)
}

/** The sibling gets the answer to the connection's SYN. */
function answeredAt(sibling: SharedPorts, { remote, remotePort, localPort, snd }: Tcb): boolean {
  const { w0, w1, w2, w3 } = remote
  return sibling.note(localPort, 0, answerMark(w0, w1, w2, w3, remotePort, (snd.iss + 1) | 0))
}

type Steered = [what: 'steer' | 'unsteer', port: number, everyQueue: boolean, owner: number]

/** Gives the client's NIC a steering that takes notes: whose each port was then, as the sibling sees it. */
function steeringOf(pair: RingPair, sibling: SharedPorts): Steered[] & { full?: boolean } {
  const log: Steered[] & { full?: boolean } = []
  const steering: Steering = {
    steer: (_address, port, everyQueue = false) => {
      if (log.full === true) throw new NicError('ZCRX_NIC_SYSTEM', 'the map is full')
      log.push(['steer', port, everyQueue, sibling.sibling(port)])
    },
    unsteer: (_address, port, everyQueue = false) =>
      log.push(['unsteer', port, everyQueue, sibling.sibling(port)]),
    claim: () => {},
    unclaim: () => {},
  }
  Object.assign(pair.client.nic, { roles: { ...pair.client.nic.roles, steering } })
  return log
}

describe('with siblings', () => {
  it('bind finds no port that one of them connects from', () => {
    const { pair, sibling, fd } = withSibling()
    for (let port = FIRST; port < FIRST + 5; port++) sibling.take(port)
    const bind = (socket: number, port: number): number =>
      pair.call((sqe) => sqe.prepBind(socket, abi.sockaddrOf(pair.clientAddress, port)))
    expect(bind(fd, FIRST + 1)).toBe(-abi.EADDRINUSE)
    expect(bind(fd, 0)).toBe(0)
    expect(pair.kernel.files.socket(fd)!.bound!.port).toBe(FIRST + 5)
    const sharing = pair.call((sqe) => sqe.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0))
    const one = new Uint8Array(Int32Array.of(1).buffer)
    const { SOCKET_URING_OP_SETSOCKOPT, SOL_SOCKET, SO_REUSEPORT } = abi
    pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, sharing, SOL_SOCKET, SO_REUSEPORT, one))
    expect(bind(sharing, FIRST + 1)).toBe(0)
  })

  it.each([false, true])(
    'connect changes its port until the answer comes here; bound to port 0: %s',
    (bound) => {
      const { pair, sibling, own, fd } = withSibling()
      listen(pair)
      if (bound) {
        expect(pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 0)))).toBe(0)
      }
      const changes: number[] = []
      pair.client.tcp.onPortChange = (_tcb, old) => changes.push(old)
      pair.submit((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)), 7)
      const { tcb } = pair.kernel.files.socket(fd)!
      const ports = [tcb!.localPort]
      for (let i = 0; i < 3; i++) {
        expect(answeredAt(sibling, tcb!)).toBe(true)
        expect(answeredAt(sibling, tcb!)).toBe(false)
        pair.settle()
        ports.push(tcb!.localPort)
      }
      expect(new Set(ports).size).toBe(4)
      expect(changes).toEqual(ports.slice(0, 3))
      expect(pair.drain(50_000)).toMatchObject([{ userData: 7, res: 0 }])
      expect(pair.kernel.files.socket(fd)!.tcb!.localPort).toBe(ports[3])
      expect([own.sibling(ports[3]!), sibling.sibling(ports[3]!)]).toEqual([-1, 0])
      expect(pair.call((sqe) => sqe.prepClose(fd))).toBe(0)
      pair.drain(200_000_000)
      expect(own.count).toBe(0)
    },
  )

  it('a connection is steered on every queue, from whatever port it begins, until nobody else may have that', () => {
    const { pair, sibling, fd } = withSibling()
    listen(pair)
    const log = steeringOf(pair, sibling)
    pair.submit((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)), 7)
    const { tcb } = pair.kernel.files.socket(fd)!
    const first = tcb!.localPort
    expect(log.splice(0)).toEqual([['steer', first, true, 0]])
    answeredAt(sibling, tcb!)
    pair.settle()
    const second = tcb!.localPort
    expect(log.splice(0)).toEqual([
      ['unsteer', first, true, 0],
      ['steer', second, true, 0],
    ])
    expect(pair.drain(50_000)).toMatchObject([{ userData: 7, res: 0 }])
    expect(pair.call((sqe) => sqe.prepClose(fd))).toBe(0)
    pair.drain(200_000_000)
    expect(log).toEqual([['unsteer', second, true, 0]])
    expect(sibling.sibling(second)).toBe(-1)
  })

  it('a connection whose next port can’t be steered ends', () => {
    const { pair, sibling, own, fd } = withSibling()
    listen(pair)
    const log = steeringOf(pair, sibling)
    pair.submit((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)), 7)
    const { tcb } = pair.kernel.files.socket(fd)!
    const first = tcb!.localPort
    answeredAt(sibling, tcb!)
    log.full = true
    expect(pair.drain(50_000)).toMatchObject([{ userData: 7, res: -abi.ECONNABORTED }])
    expect([...log]).toEqual([
      ['steer', first, true, 0],
      ['unsteer', first, true, 0],
    ])
    pair.drain(200_000_000)
    expect(own.count).toBe(0)
  })

  it('what a sibling has too (SO_REUSEPORT), and who has come in, is steered on one queue', () => {
    const { pair, sibling, fd } = withSibling()
    listen(pair)
    sibling.take(5000)
    const one = new Uint8Array(Int32Array.of(1).buffer)
    const { SOCKET_URING_OP_SETSOCKOPT, SOL_SOCKET, SO_REUSEPORT } = abi
    pair.call((sqe) => sqe.prepCmdSock(SOCKET_URING_OP_SETSOCKOPT, fd, SOL_SOCKET, SO_REUSEPORT, one))
    expect(pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 5000)))).toBe(0)
    const log = steeringOf(pair, sibling)
    expect(pair.call((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)))).toBe(0)
    expect(log).toEqual([['steer', 5000, false, -1]])
    expect(sibling.sibling(5000)).toBe(-1)
  })

  it('connect leaves a port alone that the program named', () => {
    const { pair, sibling, own, fd } = withSibling()
    listen(pair)
    expect(pair.call((sqe) => sqe.prepBind(fd, abi.sockaddrOf(pair.clientAddress, 5000)))).toBe(0)
    pair.submit((sqe) => sqe.prepConnect(fd, abi.sockaddrOf(pair.serverAddress, 9000)), 7)
    const { tcb } = pair.kernel.files.socket(fd)!
    expect([answeredAt(sibling, tcb!), tcb!.localPort, sibling.sibling(5000)]).toEqual([false, 5000, 0])
    expect(pair.drain(50_000)).toMatchObject([{ userData: 7, res: 0 }])
    expect(own.count).toBe(1)
  })
})
