import * as abi from '../../../uapi/abi/index.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const SOCKETS: readonly (readonly [domain: number, type: number, protocol: number])[] = [
  [abi.AF_INET, abi.SOCK_STREAM, 0],
  [abi.AF_INET, abi.SOCK_STREAM, abi.IPPROTO_TCP],
  [abi.AF_INET6, abi.SOCK_STREAM, 0],
  [abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK, 0],
  [99, abi.SOCK_STREAM, 0],
  [abi.AF_INET, 0, 0],
  [abi.AF_INET, 7, 0],
  [abi.AF_INET, 77, 0],
  [abi.AF_INET, abi.SOCK_STREAM | 0x100, 0],
  [abi.AF_INET, abi.SOCK_STREAM, 77],
  [abi.AF_INET, abi.SOCK_STREAM, 17],
  [abi.AF_INET, abi.SOCK_STREAM, -1],
]

/** Sockets before they are connected. */
export const open: Scenario[] = scenarios('open', {
  socket(x) {
    for (const [i, [domain, type, protocol]] of SOCKETS.entries()) {
      x.go(i, (s) => s.prepSocket(domain, type, protocol))
      x.see(`socket ${domain} ${type} ${protocol}`)
    }
  },
  socketFields(x) {
    x.tell('addr', (s) => s.prepRw(abi.IORING_OP_SOCKET, abi.AF_INET, 8, 0, abi.SOCK_STREAM))
    x.tell('rw flags', (s) => s.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setOpFlags(1))
    x.tell('buf group', (s) => s.prepSocket(abi.AF_INET, abi.SOCK_STREAM, 0).setBufGroup(1))
  },
  bindInUse(x) {
    x.listen(0)
    const fd = x.socket()
    x.tell('bind', (s) => s.prepBind(fd, x.server(0)))
    x.tell('another port', (s) => s.prepBind(fd, x.server(1)))
    x.tell('twice', (s) => s.prepBind(fd, x.server(2)))
  },
  bindReuseAddress(x) {
    const one = x.socket()
    const other = x.socket()
    for (const fd of [one, other]) x.say('set', x.setOption(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1))
    x.tell('one', (s) => s.prepBind(one, x.server(0)))
    x.tell('other', (s) => s.prepBind(other, x.server(0)))
    x.tell('listen', (s) => s.prepListen(one, 4))
    x.tell('listen too', (s) => s.prepListen(other, 4))
    const third = x.socket()
    x.setOption(third, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1)
    x.tell('third', (s) => s.prepBind(third, x.server(0)))
  },
  bindReusePort(x) {
    const [one, other, third] = [x.socket(), x.socket(), x.socket()]
    for (const fd of [one, other]) x.say('set', x.setOption(fd, abi.SOL_SOCKET, abi.SO_REUSEPORT, 1))
    x.tell('one', (s) => s.prepBind(one, x.server(0)))
    x.tell('listen', (s) => s.prepListen(one, 4))
    x.tell('other', (s) => s.prepBind(other, x.server(0)))
    x.tell('listen', (s) => s.prepListen(other, 4))
    x.tell('third', (s) => s.prepBind(third, x.server(0)))
  },
  bindAfterClose(x) {
    const listener = x.listen(0)
    const fd = x.socket()
    x.tell('close', (s) => s.prepClose(listener))
    x.tell('bind', (s) => s.prepBind(fd, x.server(0)))
  },
  bindAddresses(x) {
    const fd = x.socket()
    x.tell('short', (s) => s.prepBind(fd, x.any('server').subarray(0, 8)))
    x.tell('empty', (s) => s.prepBind(fd, x.any('server').subarray(0, 0)))
    const unknown = x.any('server')
    unknown[0] = 77
    x.tell('family', (s) => s.prepBind(fd, unknown))
    x.tell('IPv6', (s) => s.prepBind(fd, x.any('server', 6)))
    x.tell('descriptor', (s) => s.prepBind(9999, x.any('server')))
    x.tell('long', (s) => s.prepRw(abi.IORING_OP_BIND, fd, 8, 0, 129))
    x.tell('pointer', (s) => s.prepRw(abi.IORING_OP_BIND, fd, 8, 0, 16))
    const elsewhere = x.any('server')
    elsewhere.set([203, 0, 113, 9], 4)
    x.tell('not local', (s) => s.prepBind(fd, elsewhere))
    x.tell('then', (s) => s.prepBind(fd, x.any('server')))
  },
  bindFields(x) {
    const fd = x.socket()
    x.tell('len', (s) => s.prepRw(abi.IORING_OP_BIND, fd, 8, 1, 16))
    x.tell('flags', (s) => s.prepBind(fd, x.any('server')).setOpFlags(1))
    x.tell('buf group', (s) => s.prepBind(fd, x.any('server')).setBufGroup(1))
    x.tell('file index', (s) => s.prepBind(fd, x.any('server')).setTargetFixedFile(1))
  },
  bindOfOthers(x) {
    const [client] = x.pair()
    const listener = x.listen(1)
    x.tell('connected', (s) => s.prepBind(client, x.any('client')))
    x.tell('listening', (s) => s.prepBind(listener, x.server(2)))
  },
  listen(x) {
    const fd = x.socket()
    x.tell('descriptor', (s) => s.prepListen(9999, 4))
    x.bind(fd, x.any('server'))
    x.tell('any port', (s) => s.prepListen(fd, 4))
    x.tell('again', (s) => s.prepListen(fd, 8))
    x.tell('negative', (s) => s.prepListen(fd, -1))
    x.tell('fields', (s) => s.prepRw(abi.IORING_OP_LISTEN, fd, 1, 4, 0))
    const [client] = x.pair()
    x.tell('connected', (s) => s.prepListen(client, 4))
  },
  listenInUse(x) {
    const [one, other] = [x.socket(), x.socket()]
    for (const fd of [one, other]) x.setOption(fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, 1)
    for (const fd of [one, other]) x.tell('bind', (s) => s.prepBind(fd, x.server(0)))
    x.tell('listen', (s) => s.prepListen(one, 4))
    x.tell('listen', (s) => s.prepListen(other, 4))
    x.tell('close', (s) => s.prepClose(one))
    x.tell('listen', (s) => s.prepListen(other, 4))
  },
  connectRefused(x) {
    const fd = x.client()
    x.tell('connect', (s) => s.prepConnect(fd, x.server(3)))
    x.tell('send', (s) => s.prepSend(fd, x.bytes(4), abi.MSG_NOSIGNAL))
    x.tell('recv', (s) => s.prepRecv(fd, x.bytes(4)))
  },
  connectRefusedAndAgain(x) {
    const fd = x.client()
    x.tell('connect', (s) => s.prepConnect(fd, x.server(3)))
    x.listen(3)
    x.tell('again', (s) => s.prepConnect(fd, x.server(3)))
  },
  connectRefusedInBackground(x) {
    const fd = x.call((s) => s.prepSocket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_NONBLOCK, 0))
    x.bind(fd, x.any('client'))
    x.go(1, (s) => s.prepConnect(fd, x.server(3)))
    x.see('connect')
    x.go(2, (s) => s.prepPollAdd(fd, abi.POLLOUT))
    x.see('poll')
    const value = x.ints(0)
    x.tell('SO_ERROR', (s) =>
      s.prepCmdSock(abi.SOCKET_URING_OP_GETSOCKOPT, fd, abi.SOL_SOCKET, abi.SO_ERROR, value),
    )
    x.say('error', new Int32Array(value.buffer, value.byteOffset, 1)[0])
  },
  connectErrors(x) {
    const fd = x.client()
    x.tell('descriptor', (s) => s.prepConnect(9999, x.server(0)))
    x.tell('short', (s) => s.prepConnect(fd, x.server(0).subarray(0, 8)))
    x.tell('pointer', (s) => s.prepRw(abi.IORING_OP_CONNECT, fd, 8, 0, 16))
    const unknown = x.server(0)
    unknown[0] = 77
    x.tell('family', (s) => s.prepConnect(fd, unknown))
    x.tell('flags', (s) => s.prepConnect(fd, x.server(0)).setOpFlags(1))
    x.tell('file index', (s) => s.prepConnect(fd, x.server(0)).setTargetFixedFile(1))
    x.tell('long', (s) => s.prepRw(abi.IORING_OP_CONNECT, fd, 8, 0, 129))
  },
  connectTwice(x) {
    const [client, server] = x.pair()
    x.tell('client', (s) => s.prepConnect(client, x.server(1)))
    x.tell('server', (s) => s.prepConnect(server, x.server(1)))
    const listener = x.listen(2)
    x.tell('listener', (s) => s.prepConnect(listener, x.server(1)))
  },
  connectBeforeAccept(x) {
    const listener = x.listen()
    const fd = x.client()
    x.go(1, (s) => s.prepConnect(fd, x.server()))
    x.see('connect')
    x.say('send', x.send(fd, 5))
    x.go(2, (s) => s.prepAccept(listener))
    const [accepted] = x.see('accept')
    x.say('recv', x.recv(accepted!.res))
  },
  connectNonBlocking(x) {
    const listener = x.listen()
    const fd = x.call((s) => s.prepSocket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_NONBLOCK, 0))
    x.bind(fd, x.any('client'))
    x.go(1, (s) => s.prepConnect(fd, x.server()))
    x.see('connect')
    x.go(2, (s) => s.prepAccept(listener))
    x.see('accept')
    x.go(3, (s) => s.prepConnect(fd, x.server()))
    x.see('again')
    x.go(4, (s) => s.prepConnect(fd, x.server()))
    x.see('once more')
  },
  six(x) {
    const [client, server] = x.pair(0, 6)
    x.say('send', x.send(client, 3), x.recv(server))
    x.tell('bind 4', (s) => s.prepBind(x.socket(abi.AF_INET6), x.any('client')))
    const v6Only = x.socket(abi.AF_INET6)
    x.say('V6ONLY', x.setOption(v6Only, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, 1))
  },
  unconnected(x) {
    const fd = x.socket()
    x.tell('send', (s) => s.prepSend(fd, x.bytes(4), abi.MSG_NOSIGNAL))
    x.tell('send nothing', (s) => s.prepSend(fd, x.bytes(0), abi.MSG_NOSIGNAL))
    x.tell('recv', (s) => s.prepRecv(fd, x.bytes(4)))
    x.tell('recv nothing', (s) => s.prepRecv(fd, x.bytes(0)))
    x.tell('accept', (s) => s.prepAccept(fd))
    for (const how of [0, 1, 2, 3, 9]) x.tell(`shutdown ${how}`, (s) => s.prepShutdown(fd, how))
    x.tell('close', (s) => s.prepClose(fd))
    x.tell('close again', (s) => s.prepClose(fd))
  },
  listening(x) {
    const fd = x.listen()
    x.tell('send', (s) => s.prepSend(fd, x.bytes(4), abi.MSG_NOSIGNAL))
    x.tell('recv', (s) => s.prepRecv(fd, x.bytes(4)))
    x.go(1, (s) => s.prepAccept(fd))
    x.see('accept')
    x.tell('shutdown 1', (s) => s.prepShutdown(fd, 1))
    x.see('after')
    x.tell('shutdown 0', (s) => s.prepShutdown(fd, 0))
    x.see('after')
    x.tell('accept', (s) => s.prepAccept(fd))
    const client = x.client()
    x.tell('connect', (s) => s.prepConnect(client, x.server()))
  },
})
