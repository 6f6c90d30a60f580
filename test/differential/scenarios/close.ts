import * as abi from '../../../uapi/abi/index.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const QUIETLY = abi.MSG_NOSIGNAL

/** Ends of connections. */
export const close: Scenario[] = scenarios('close', {
  roundTrip(x) {
    const [client, server] = x.pair()
    x.tell('shutdown', (s) => s.prepShutdown(client, abi.SHUT_WR))
    x.tell('recv', (s) => s.prepRecv(server, x.bytes(4)))
    x.tell('send back', (s) => s.prepSend(server, x.bytes(4, 97)))
    x.tell('close', (s) => s.prepClose(server))
    x.say('recv', x.recv(client), x.recv(client))
    x.tell('close', (s) => s.prepClose(client))
    x.tell('close again', (s) => s.prepClose(client))
  },
  shutdownHow(x) {
    const [client] = x.pair()
    for (const how of [3, 9, -1]) x.tell(`how ${how}`, (s) => s.prepShutdown(client, how))
    for (const how of [1, 1, 0, 0, 2]) x.tell(`how ${how}`, (s) => s.prepShutdown(client, how))
  },
  shutdownErrors(x) {
    const [client] = x.pair()
    x.tell('descriptor', (s) => s.prepShutdown(9999, 1))
    x.tell('ring', (s) => s.prepShutdown(x.r.ringFd, 1))
    x.tell('offset', (s) => s.prepRw(abi.IORING_OP_SHUTDOWN, client, 0, 1, 1))
    x.tell('addr', (s) => s.prepRw(abi.IORING_OP_SHUTDOWN, client, 1, 1, 0))
    x.tell('flags', (s) => s.prepShutdown(client, 1).setOpFlags(1))
    x.tell('buf group', (s) => s.prepShutdown(client, 1).setBufGroup(1))
  },
  shutdownAfterEnd(x) {
    const [client, server] = x.pair()
    x.close(server)
    x.see('wait')
    x.tell('both', (s) => s.prepShutdown(client, abi.SHUT_RDWR))
    x.see('wait')
    x.tell('again', (s) => s.prepShutdown(client, abi.SHUT_RDWR))
  },
  shutdownAfterReset(x) {
    const [client, server] = x.pair()
    x.reset(server)
    x.see('wait')
    x.tell('shutdown', (s) => s.prepShutdown(client, abi.SHUT_RDWR))
    x.say('recv', x.recv(client))
  },
  unread(x) {
    const [client, server] = x.pair()
    x.send(client, 5)
    x.close(server)
    x.see('wait')
    x.say('recv', x.recv(client))
    x.tell('send', (s) => s.prepSend(client, x.bytes(5), QUIETLY))
    x.tell('send', (s) => s.prepSend(client, x.bytes(5), QUIETLY))
  },
  read(x) {
    const [client, server] = x.pair()
    x.send(client, 5)
    x.say('recv', x.recv(server))
    x.close(server)
    x.see('wait')
    x.say('recv', x.recv(client))
  },
  halfOpen(x) {
    const [client, server] = x.pair()
    x.shutdown(client, abi.SHUT_WR)
    for (let i = 0; i < 3; i++) x.say('send', x.send(server, 4), x.recv(client))
    x.shutdown(server, abi.SHUT_WR)
    x.see('wait')
    x.say('recv', x.recv(client), x.recv(server))
  },
  simultaneous(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepShutdown(client, abi.SHUT_WR))
    x.put(2, (s) => s.prepShutdown(server, abi.SHUT_WR))
    x.put(3, (s) => s.prepRecv(client, x.bytes(4)))
    x.put(4, (s) => s.prepRecv(server, x.bytes(4)))
    x.r.submit()
    x.see('both')
  },
  linger(x) {
    const [client, server] = x.pair()
    x.say('set', x.setOption(client, abi.SOL_SOCKET, abi.SO_LINGER, 1, 0))
    x.go(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.go(2, (s) => s.prepPollAdd(server, abi.POLLIN | abi.POLLRDHUP))
    x.see('wait')
    x.close(client)
    x.see('reset')
    x.tell('send', (s) => s.prepSend(server, x.bytes(3), QUIETLY))
  },
  lingerBriefly(x) {
    const [client, server] = x.pair()
    x.say('set', x.setOption(client, abi.SOL_SOCKET, abi.SO_LINGER, 1, 1))
    x.send(client, 4)
    x.tell('close', (s) => s.prepClose(client))
    x.say('recv', x.recv(server), x.recv(server))
  },
  whileReceiving(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(8)))
    x.see('waits')
    x.go(2, (s) => s.prepClose(server))
    x.see('closed')
    x.send(client, 5)
    x.see('data')
    x.say('recv', x.recv(client))
  },
  inOneBatch(x) {
    const [client, server] = x.pair()
    x.put(1, (s) => s.prepSend(client, x.bytes(4, 97)))
    x.put(2, (s) => s.prepClose(client))
    x.put(3, (s) => s.prepSend(client, x.bytes(4, 98)))
    x.say('submit', x.r.submit())
    x.see('batch')
    x.say('recv', x.recv(server), x.recv(server))
  },
  ringDescriptor(x) {
    const [, server] = x.pair()
    x.go(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.tell('close of the ring itself', (s) => s.prepClose(x.r.ringFd))
    x.see('after')
  },
  listenerWithQueued(x) {
    const listener = x.listen()
    const fd = x.client()
    x.call((s) => s.prepConnect(fd, x.server()))
    x.close(listener)
    x.see('wait')
    x.say('recv', x.recv(fd))
  },
  portAfterwards(x) {
    const listener = x.listen()
    x.close(listener)
    const fd = x.client()
    x.tell('connect', (s) => s.prepConnect(fd, x.server()))
  },
  resetBothWays(x) {
    const [client, server] = x.pair()
    x.send(client, 3)
    x.send(server, 3)
    x.reset(client)
    x.see('wait')
    x.say('recv', x.recv(server), x.recv(server), x.recv(server))
    x.tell('close', (s) => s.prepClose(server))
  },
  sendThenReset(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(client, abi.POLLIN, true))
    x.reset(server)
    x.see('poll')
    x.tell('recv', (s) => s.prepRecv(client, x.bytes(3)))
    x.tell('recv', (s) => s.prepRecv(client, x.bytes(3)))
    x.tell('send', (s) => s.prepSend(client, x.bytes(3), QUIETLY))
  },
})
