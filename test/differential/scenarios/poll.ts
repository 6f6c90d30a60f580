import * as abi from '../../../uapi/abi/index.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const { POLLIN, POLLOUT, POLLRDHUP } = abi
const ALL = POLLIN | abi.POLLPRI | POLLOUT | abi.POLLERR | abi.POLLHUP | POLLRDHUP

export const poll: Scenario[] = scenarios('poll', {
  once(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN))
    x.go(2, (s) => s.prepPollAdd(server, POLLOUT))
    x.go(3, (s) => s.prepPollAdd(server, 0))
    x.see('writable')
    x.send(client, 4)
    x.see('readable')
    x.go(4, (s) => s.prepPollAdd(server, ALL))
    x.see('all')
  },
  multishot(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN | POLLRDHUP, true))
    x.see('waits')
    x.send(client, 4)
    x.see('readable')
    x.send(client, 4)
    x.see('more')
    x.say('recv', x.recv(server))
    x.see('nothing')
    x.close(client)
    x.see('hang-up')
  },
  multishotWritable(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLOUT | POLLIN, true))
    x.see('writable')
    x.send(client, 3)
    x.see('both')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
  },
  listener(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepPollAdd(listener, ALL))
    x.see('waits')
    const client = x.client()
    x.call((s) => s.prepConnect(client, x.server()))
    x.see('ready')
  },
  unconnected(x) {
    const fd = x.socket()
    x.go(1, (s) => s.prepPollAdd(fd, ALL))
    x.see('fresh')
    x.bind(fd, x.any('client'))
    x.go(2, (s) => s.prepPollAdd(fd, ALL))
    x.see('bound')
    x.go(3, (s) => s.prepPollAdd(fd, ALL, true))
    x.see('multishot')
  },
  halfClosed(x) {
    const [client, server] = x.pair()
    x.shutdown(client, abi.SHUT_WR)
    x.go(1, (s) => s.prepPollAdd(server, ALL))
    x.go(2, (s) => s.prepPollAdd(client, ALL))
    x.see('both')
    x.shutdown(server, abi.SHUT_WR)
    x.go(3, (s) => s.prepPollAdd(server, ALL))
    x.go(4, (s) => s.prepPollAdd(client, ALL))
    x.see('both ways')
  },
  ownShutdown(x) {
    const [, server] = x.pair()
    x.shutdown(server, abi.SHUT_RD)
    x.go(1, (s) => s.prepPollAdd(server, ALL))
    x.see('read')
    x.shutdown(server, abi.SHUT_WR)
    x.go(2, (s) => s.prepPollAdd(server, ALL))
    x.see('write')
  },
  reset(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN))
    x.go(2, (s) => s.prepPollAdd(server, POLLRDHUP, true))
    x.go(3, (s) => s.prepPollAdd(server, 0))
    x.reset(client)
    x.see('reset')
    x.go(4, (s) => s.prepPollAdd(server, ALL))
    x.see('after')
    x.say('recv', x.recv(server))
    x.go(5, (s) => s.prepPollAdd(server, ALL))
    x.see('told')
  },
  errors(x) {
    const [client] = x.pair()
    x.tell('descriptor', (s) => s.prepPollAdd(9999, POLLIN))
    x.tell('len', (s) => s.prepRw(abi.IORING_OP_POLL_ADD, client, 0, 1 << 7, 0))
    x.tell('addr', (s) => s.prepRw(abi.IORING_OP_POLL_ADD, client, 8, 0, 0))
    x.tell('buf group', (s) => s.prepPollAdd(client, POLLIN).setBufGroup(1))
    x.tell('skip and multishot', (s) =>
      s.prepPollAdd(client, POLLIN, true).setFlags(abi.IOSQE_CQE_SKIP_SUCCESS),
    )
    x.tell('ioprio', (s) => s.prepPollAdd(client, POLLIN).setIoprio(1))
  },
  ring(x) {
    const other = x.ring(0)
    const r = x.ring()
    x.go(1, (s) => s.prepPollAdd(other.ringFd, POLLIN), r)
    x.see('waits', { ring: r })
    x.go(7, (s) => s.prepNop(), other)
    r.getEvents()
    x.see('ready', { ring: r })
    x.see('other', { ring: other })
  },
  ringWritable(x) {
    const other = x.ring(0)
    const r = x.ring()
    x.go(1, (s) => s.prepPollAdd(other.ringFd, POLLOUT), r)
    x.see('writable', { ring: r })
  },
  linked(x) {
    const [client, server] = x.pair()
    const buffer = x.bytes(8)
    x.put(1, (s) => s.prepPollAdd(server, POLLIN).setFlags(abi.IOSQE_IO_LINK))
    x.put(2, (s) => s.prepRecv(server, buffer))
    x.r.submit()
    x.see('waits')
    x.send(client, 3)
    x.see('both')
  },
  closedMeanwhile(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN))
    x.close(server)
    x.see('closed')
    x.send(client, 2)
    x.see('data')
  },
  cancel(x) {
    const [, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN))
    x.go(2, (s) => s.prepPollAdd(server, POLLIN, true))
    x.go(3, (s) => s.prepCancelFd(server, abi.IORING_ASYNC_CANCEL_ALL))
    x.see('cancel')
  },
  sameSocketTwice(x) {
    const [client, server] = x.pair()
    x.go(1, (s) => s.prepPollAdd(server, POLLIN))
    x.go(2, (s) => s.prepPollAdd(server, POLLIN, true))
    x.send(client, 2)
    x.see('both')
  },
})
