import * as abi from '../../../uapi/abi/index.ts'
import { type Run, show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const { SOL_SOCKET, IPPROTO_TCP } = abi
const GET = abi.SOCKET_URING_OP_GETSOCKOPT
const SET = abi.SOCKET_URING_OP_SETSOCKOPT

function get(x: Run, what: string, fd: number, level: number, name: number, room = 4): void {
  const value = x.bytes(Math.max(room, 4), 0xee).subarray(0, room)
  const res = x.do((s) => s.prepCmdSock(GET, fd, level, name, value))
  const number = room >= 4 ? new DataView(value.buffer, value.byteOffset).getInt32(0, true) : '-'
  x.say(what, res === null ? 'pending' : res < 0 ? abi.errnoName(res) : `${res} ${number}`)
}

function set(x: Run, what: string, fd: number, level: number, name: number, value: Uint8Array): void {
  x.tell(what, (s) => s.prepCmdSock(SET, fd, level, name, value))
}

export const command: Scenario[] = scenarios('command', {
  socketLevel(x) {
    const [client] = x.pair()
    const fresh = x.socket()
    const listener = x.listen(1)
    for (const [name, what] of [
      [abi.SO_TYPE, 'SO_TYPE'],
      [abi.SO_ERROR, 'SO_ERROR'],
      [abi.SO_DOMAIN, 'SO_DOMAIN'],
      [abi.SO_PROTOCOL, 'SO_PROTOCOL'],
      [abi.SO_ACCEPTCONN, 'SO_ACCEPTCONN'],
      [abi.SO_REUSEADDR, 'SO_REUSEADDR'],
      [abi.SO_REUSEPORT, 'SO_REUSEPORT'],
      [abi.SO_KEEPALIVE, 'SO_KEEPALIVE'],
      [abi.SO_RCVLOWAT, 'SO_RCVLOWAT'],
      [abi.SO_OOBINLINE, 'SO_OOBINLINE'],
    ] as const) {
      get(x, `${what} connected`, client, SOL_SOCKET, name)
      get(x, `${what} fresh`, fresh, SOL_SOCKET, name)
      get(x, `${what} listening`, listener, SOL_SOCKET, name)
    }
  },
  unknown(x) {
    const fd = x.socket()
    get(x, 'option', fd, SOL_SOCKET, 9999)
    get(x, 'level', fd, 9999, 1)
    set(x, 'set option', fd, SOL_SOCKET, 9999, x.ints(1))
    set(x, 'set level', fd, 9999, 1, x.ints(1))
    set(x, 'set TCP option', fd, IPPROTO_TCP, 9999, x.ints(1))
  },
  getTcpLevel(x) {
    const fd = x.socket()
    get(x, 'TCP_NODELAY', fd, IPPROTO_TCP, abi.TCP_NODELAY)
    get(x, 'unknown', fd, IPPROTO_TCP, 9999)
    get(x, 'IP_TTL', fd, abi.IPPROTO_IP, abi.IP_TTL)
  },
  room(x) {
    const fd = x.socket()
    for (const room of [0, 1, 3, 4, 8]) get(x, `SO_TYPE ${room}`, fd, SOL_SOCKET, abi.SO_TYPE, room)
    for (const room of [0, 4, 8, 12]) get(x, `SO_LINGER ${room}`, fd, SOL_SOCKET, abi.SO_LINGER, room)
  },
  setSocketLevel(x) {
    const fd = x.socket()
    for (const name of [abi.SO_REUSEADDR, abi.SO_KEEPALIVE, abi.SO_OOBINLINE, abi.SO_RCVLOWAT]) {
      set(x, `${name}`, fd, SOL_SOCKET, name, x.ints(5))
      get(x, `${name}`, fd, SOL_SOCKET, name)
      set(x, `${name} short`, fd, SOL_SOCKET, name, x.bytes(2))
      set(x, `${name} empty`, fd, SOL_SOCKET, name, x.bytes(0))
      set(x, `${name} long`, fd, SOL_SOCKET, name, x.ints(0, 7))
      get(x, `${name}`, fd, SOL_SOCKET, name)
    }
    for (const name of [abi.SO_TYPE, abi.SO_ERROR, abi.SO_DOMAIN, abi.SO_ACCEPTCONN])
      set(x, `${name}`, fd, SOL_SOCKET, name, x.ints(1))
  },
  buffers(x) {
    const fd = x.socket()
    for (const value of [10_000, 1]) {
      set(x, `SO_SNDBUF ${value}`, fd, SOL_SOCKET, abi.SO_SNDBUF, x.ints(value))
      get(x, 'SO_SNDBUF', fd, SOL_SOCKET, abi.SO_SNDBUF)
      set(x, `SO_RCVBUF ${value}`, fd, SOL_SOCKET, abi.SO_RCVBUF, x.ints(value))
      get(x, 'SO_RCVBUF', fd, SOL_SOCKET, abi.SO_RCVBUF)
    }
  },
  linger(x) {
    const fd = x.socket()
    const value = x.bytes(8)
    const read = () => {
      x.tell('get', (s) => s.prepCmdSock(GET, fd, SOL_SOCKET, abi.SO_LINGER, value))
      x.say(...new Int32Array(value.buffer, value.byteOffset, 2))
    }
    read()
    set(x, 'short', fd, SOL_SOCKET, abi.SO_LINGER, x.ints(1))
    for (const [on, seconds] of [
      [1, 5],
      [1, 0],
      [0, 7],
    ] as const) {
      set(x, `${on} ${seconds}`, fd, SOL_SOCKET, abi.SO_LINGER, x.ints(on, seconds))
      read()
    }
  },
  setTcpLevel(x) {
    const fd = x.socket()
    const cases: readonly (readonly [name: number, values: readonly number[]])[] = [
      [abi.TCP_NODELAY, [1, 0]],
      [abi.TCP_CORK, [1, 0]],
      [abi.TCP_MAXSEG, [0, 10, 87, 88, 1000, 32_767, 32_768]],
      [abi.TCP_KEEPIDLE, [0, 1, 32_767, 32_768]],
      [abi.TCP_KEEPINTVL, [0, 1, 32_767, 32_768]],
      [abi.TCP_KEEPCNT, [0, 1, 127, 128]],
      [abi.TCP_USER_TIMEOUT, [-1, 0, 1000]],
      [abi.TCP_QUICKACK, [0, 1]],
      [abi.TCP_FASTOPEN, [-1, 0, 5]],
    ]
    for (const [name, values] of cases)
      for (const value of values) set(x, `${name} ${value}`, fd, IPPROTO_TCP, name, x.ints(value))
    set(x, 'short', fd, IPPROTO_TCP, abi.TCP_NODELAY, x.bytes(2))
  },
  congestion(x) {
    const fd = x.socket()
    for (const name of ['reno', 'cubic', 'nonesuch', ''])
      set(x, `'${name}'`, fd, IPPROTO_TCP, abi.TCP_CONGESTION, x.copy(new TextEncoder().encode(name)))
  },
  reuseAfterBind(x) {
    const fd = x.listen()
    set(x, 'SO_REUSEADDR', fd, SOL_SOCKET, abi.SO_REUSEADDR, x.ints(1))
    set(x, 'SO_REUSEPORT', fd, SOL_SOCKET, abi.SO_REUSEPORT, x.ints(1))
  },
  queues(x) {
    const [client, server] = x.pair()
    const ask = (what: string) => {
      x.tell(`${what}: SIOCINQ`, (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
      x.tell(`${what}: SIOCOUTQ`, (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCOUTQ, client))
    }
    ask('empty')
    x.send(client, 7)
    x.see('wait')
    ask('sent')
    x.recv(server, 3)
    ask('read')
    x.shutdown(client, abi.SHUT_WR)
    // The acknowledgement of a FIN may be delayed.
    x.see('wait', { ms: 60 })
    ask('shut')
    x.recv(server)
    ask('end')
  },
  queuesOfOthers(x) {
    const fresh = x.socket()
    const listener = x.listen()
    for (const [what, fd] of [
      ['fresh', fresh],
      ['listening', listener],
    ] as const) {
      x.tell(`${what}: SIOCINQ`, (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, fd))
      x.tell(`${what}: SIOCOUTQ`, (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCOUTQ, fd))
    }
  },
  errors(x) {
    const fd = x.socket()
    x.tell('command', (s) => s.prepCmdSock(99, fd))
    x.tell('descriptor', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, 9999))
    x.tell('ring', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, x.r.ringFd))
    x.tell('flags', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, fd).setOpFlags(1 << 7))
    x.tell('pad', (s) => s.prepRw(abi.IORING_OP_URING_CMD, fd, 0, 0, 2 ** 32))
    x.tell('ioprio', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, fd).setIoprio(1))
  },
  names: {
    since: [7, 0],
    why: 'GETSOCKNAME as a command of sockets',
    run(x) {
      const [client, server] = x.pair()
      const fresh = x.socket()
      for (const [what, fd] of [
        ['client', client],
        ['server', server],
        ['fresh', fresh],
      ] as const)
        for (const peer of [0, 1] as const) {
          const name = x.bytes(32, 0xee)
          const length = x.ints(32)
          x.tell(`${what} ${peer}`, (s) => s.prepCmdGetsockname(fd, name, length, peer))
          x.say('length', new Int32Array(length.buffer, length.byteOffset, 1)[0], 'family', name[0])
        }
      for (const room of [0, 4, -1])
        x.tell(`room ${room}`, (s) => s.prepCmdGetsockname(client, x.bytes(32), x.ints(room)))
    },
  },
  errorOnce(x) {
    const [client, server] = x.pair()
    x.reset(server)
    x.see('wait')
    get(x, 'first', client, SOL_SOCKET, abi.SO_ERROR)
    get(x, 'second', client, SOL_SOCKET, abi.SO_ERROR)
    x.say('recv', x.recv(client), show(x.bytes(0)))
  },
})
