import * as abi from '../../../uapi/abi/index.ts'
import type { Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

/** So many more connections to the listener. */
function connect(x: Run, count = 1): number[] {
  return Array.from({ length: count }, () => {
    const fd = x.client()
    x.call((s) => s.prepConnect(fd, x.server()))
    return fd
  })
}

export const accept: Scenario[] = scenarios('accept', {
  waits(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepAccept(listener))
    x.see('waits')
    connect(x)
    x.see('comes')
  },
  queued(x) {
    const listener = x.listen()
    connect(x, 3)
    for (let i = 1; i <= 4; i++) x.go(i, (s) => s.prepAccept(listener))
    x.see('three')
    connect(x)
    x.see('fourth')
  },
  dontWait(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepAccept(listener).setIoprio(abi.IORING_ACCEPT_DONTWAIT))
    x.see('none')
    connect(x)
    x.go(2, (s) => s.prepAccept(listener).setIoprio(abi.IORING_ACCEPT_DONTWAIT))
    x.see('one')
  },
  pollFirst(x) {
    const listener = x.listen()
    connect(x)
    x.go(1, (s) => s.prepAccept(listener).setIoprio(abi.IORING_ACCEPT_POLL_FIRST))
    x.see('one')
    x.go(2, (s) =>
      s.prepAccept(listener).setIoprio(abi.IORING_ACCEPT_POLL_FIRST | abi.IORING_ACCEPT_DONTWAIT),
    )
    x.see('both flags')
  },
  errors(x) {
    const [client] = x.pair()
    const fd = x.socket()
    x.tell('descriptor', (s) => s.prepAccept(9999))
    x.tell('not listening', (s) => s.prepAccept(fd))
    x.tell('connected', (s) => s.prepAccept(client))
    const listener = x.listen(1)
    x.tell('len', (s) => s.prepRw(abi.IORING_OP_ACCEPT, listener, 0, 1, 0))
    x.tell('buf group', (s) => s.prepAccept(listener).setBufGroup(1))
    x.tell('ioprio', (s) => s.prepAccept(listener).setIoprio(1 << 3))
    x.tell('flags', (s) => s.prepAccept(listener).setOpFlags(1))
    x.tell('ring', (s) => s.prepAccept(x.r.ringFd))
  },
  sockaddr(x) {
    const listener = x.listen()
    for (const room of [16, 8, 0, 128]) {
      connect(x)
      const sockaddr = x.bytes(128, 0xee)
      const length = x.ints(room)
      x.go(room, (s) => s.prepAccept(listener, sockaddr, length))
      x.see(`room ${room}`)
      x.say('length', new Int32Array(length.buffer, length.byteOffset, 1)[0])
      x.say('family', sockaddr[0], 'behind', sockaddr[16])
    }
  },
  sockaddrErrors(x) {
    const listener = x.listen()
    connect(x)
    x.go(1, (s) => s.prepAccept(listener, x.bytes(16), x.ints(-1)))
    x.see('negative')
    connect(x)
    x.go(2, (s) => s.prepRw(abi.IORING_OP_ACCEPT, listener, 8, 0, 8))
    x.see('pointers')
  },
  multishot(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepMultishotAccept(listener))
    x.see('waits')
    connect(x)
    x.see('one')
    connect(x, 3)
    x.see('three')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
    connect(x)
    x.see('nobody')
  },
  multishotOfQueued(x) {
    const listener = x.listen()
    connect(x, 3)
    x.go(1, (s) => s.prepMultishotAccept(listener))
    x.see('three')
    x.go(2, (s) => s.prepCancelFd(listener))
    x.see('cancel')
  },
  multishotErrors(x) {
    const listener = x.listen()
    x.r.registerFilesSparse(4)
    x.tell('slot', (s) => s.prepMultishotAccept(listener).setTargetFixedFile(1))
    connect(x)
    const sockaddr = x.bytes(16)
    x.tell('dontwait', (s) =>
      s
        .prepAccept(listener, sockaddr, x.ints(16))
        .setIoprio(abi.IORING_ACCEPT_DONTWAIT | abi.IORING_ACCEPT_MULTISHOT),
    )
  },
  multishotDontWait(x) {
    const listener = x.listen()
    const both = abi.IORING_ACCEPT_DONTWAIT | abi.IORING_ACCEPT_MULTISHOT
    x.go(1, (s) => s.prepAccept(listener).setIoprio(both))
    x.see('none')
    connect(x, 2)
    x.go(2, (s) => s.prepAccept(listener).setIoprio(both))
    x.see('two')
  },
  direct(x) {
    const listener = x.listen()
    x.tell('no table', (s) => s.prepAcceptDirect(listener, 0).setIoprio(abi.IORING_ACCEPT_DONTWAIT))
    x.say('files', x.r.registerFilesSparse(3))
    const [client] = connect(x)
    x.go(1, (s) => s.prepAcceptDirect(listener, 1))
    x.see('slot 1')
    x.send(client!, 3)
    const buffer = x.bytes(8)
    x.go(2, (s) => s.prepRecv(1, buffer).setFlags(abi.IOSQE_FIXED_FILE))
    x.see('recv')
    connect(x)
    x.go(3, (s) => s.prepAcceptDirect(listener, 9))
    x.see('slot 9')
    x.go(4, (s) => s.prepAcceptDirect(listener, abi.IORING_FILE_INDEX_ALLOC))
    connect(x)
    x.see('any slot')
    connect(x)
    x.go(5, (s) => s.prepAcceptDirect(listener, 0).setOpFlags(abi.SOCK_CLOEXEC))
    x.see('CLOEXEC')
  },
  multishotDirect(x) {
    const listener = x.listen()
    x.r.registerFilesSparse(2)
    x.go(1, (s) => s.prepMultishotAcceptDirect(listener))
    connect(x, 2)
    x.see('two')
    connect(x)
    x.see('no slot')
  },
  nonBlocking(x) {
    const listener = x.listen()
    const [client] = connect(x)
    x.go(1, (s) => s.prepAccept(listener).setOpFlags(abi.SOCK_NONBLOCK))
    const [seen] = x.see('accept')
    const buffer = x.bytes(4)
    x.go(2, (s) => s.prepRecv(seen!.res, buffer))
    x.see('recv')
    x.send(client!, 3)
    x.go(3, (s) => s.prepRecv(seen!.res, buffer))
    x.see('data')
  },
  nonBlockingListener(x) {
    const fd = x.call((s) => s.prepSocket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_NONBLOCK, 0))
    x.bind(fd, x.server())
    x.call((s) => s.prepListen(fd, 4))
    x.go(1, (s) => s.prepAccept(fd))
    x.see('none')
    connect(x)
    x.go(2, (s) => s.prepAccept(fd))
    x.see('one')
  },
  listenerCloses(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepAccept(listener))
    x.see('waits')
    x.close(listener)
    x.see('closed')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
  },
  listenerShuts(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepAccept(listener))
    x.go(2, (s) => s.prepMultishotAccept(listener))
    x.see('wait')
    x.say('shutdown', x.shutdown(listener, abi.SHUT_RDWR))
    x.see('shut')
  },
  peerIsGone(x) {
    const listener = x.listen()
    const [client] = connect(x)
    x.send(client!, 4)
    x.close(client!)
    x.go(1, (s) => s.prepAccept(listener))
    const [seen] = x.see('accept')
    x.say('recv', x.recv(seen!.res), x.recv(seen!.res))
  },
  two(x) {
    const listener = x.listen()
    x.go(1, (s) => s.prepAccept(listener))
    x.go(2, (s) => s.prepAccept(listener))
    connect(x, 2)
    x.see('both')
  },
})
