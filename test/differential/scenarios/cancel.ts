import * as abi from '../../../uapi/abi/index.ts'
import { answer, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const {
  IORING_ASYNC_CANCEL_ALL: ALL,
  IORING_ASYNC_CANCEL_ANY: ANY,
  IORING_ASYNC_CANCEL_FD: FD,
  IORING_ASYNC_CANCEL_FD_FIXED: FIXED,
  IORING_ASYNC_CANCEL_OP: OP,
  IORING_ASYNC_CANCEL_USERDATA: USERDATA,
} = abi

/** Requests that wait on a socket: receives, and a poll behind them. */
function arm(x: Run, fd: number, ...userData: number[]): void {
  for (const of of userData) x.put(of, (s) => s.prepRecv(fd, x.bytes(4)))
  x.r.submit()
}

interface SyncCancel {
  readonly addr?: number
  readonly fd?: number
  readonly flags?: number
  readonly opcode?: number
}

/** IORING_REGISTER_SYNC_CANCEL, without a timeout. */
function sync(x: Run, what: string, { addr = 0, fd = -1, flags = 0, opcode = 0 }: SyncCancel): void {
  const reg = new abi.SyncCancelReg(x.bytes(abi.SyncCancelReg.SIZE))
  reg.addr = addr
  reg.fd = fd
  reg.flags = flags
  reg.opcode = opcode
  new BigInt64Array(reg.bytes.buffer, reg.bytes.byteOffset + 16, 2).fill(-1n)
  x.say(what, answer(x.r.registerSyncCancel(reg)))
}

export const cancel: Scenario[] = scenarios('cancel', {
  byUserData(x) {
    const [, server] = x.pair()
    x.tell('none', (s) => s.prepCancel(77))
    arm(x, server, 1, 2)
    x.go(3, (s) => s.prepCancel(1))
    x.see('one')
    x.go(4, (s) => s.prepCancel(1))
    x.see('again')
    x.go(5, (s) => s.prepCancel(2, USERDATA))
    x.see('by flag')
  },
  sameUserData(x) {
    const [, server] = x.pair()
    arm(x, server, 1, 1, 1)
    x.go(2, (s) => s.prepCancel(1))
    x.see('one')
    x.go(3, (s) => s.prepCancel(1, ALL))
    x.see('all')
    x.go(4, (s) => s.prepCancel(1, ALL))
    x.see('none')
  },
  order(x) {
    const [, server] = x.pair()
    arm(x, server, 1)
    x.go(2, (s) => s.prepCancel(1))
    x.see('order', { inOrder: true })
  },
  orderUndeferred(x) {
    x.ring(0)
    const [, server] = x.pair()
    arm(x, server, 1)
    x.go(2, (s) => s.prepCancel(1))
    x.see('order', { inOrder: true })
  },
  byDescriptor(x) {
    const [client, server] = x.pair()
    arm(x, server, 1, 2)
    arm(x, client, 3)
    x.go(4, (s) => s.prepCancelFd(server))
    const seen = x.see('one of two')
    x.go(5, (s) => s.prepCancelFd(server, ALL))
    x.see('rest')
    x.go(6, (s) => s.prepCancelFd(server))
    x.see('none')
    x.go(7, (s) => s.prepCancelFd(9999))
    x.see('no descriptor')
    x.say('completions', seen.length)
  },
  byDescriptorAndUserData(x) {
    const [client, server] = x.pair()
    arm(x, server, 1, 2)
    arm(x, client, 1)
    x.go(3, (s) => s.prepRw(abi.IORING_OP_ASYNC_CANCEL, server, 1, 0, 0).setOpFlags(FD | USERDATA | ALL))
    x.see('server 1')
    x.go(4, (s) => s.prepCancel(0, ANY))
    x.see('any')
  },
  any(x) {
    const [, server] = x.pair()
    arm(x, server, 5, 6, 7)
    x.go(1, (s) => s.prepTimeout(x.timespec(60_000)))
    x.go(2, (s) => s.prepPollAdd(server, abi.POLLIN))
    x.go(8, (s) => s.prepCancel(0, ANY | ALL))
    x.see('all')
    x.go(9, (s) => s.prepCancel(0, ANY))
    x.see('none')
    x.go(10, (s) => s.prepCancel(0, ANY | ALL))
    x.see('none')
  },
  byOpcode(x) {
    const [, server] = x.pair()
    arm(x, server, 1, 2)
    x.go(3, (s) => s.prepPollAdd(server, abi.POLLIN))
    x.go(4, (s) => s.prepCancel(0, OP, abi.IORING_OP_POLL_ADD))
    x.see('poll')
    x.go(5, (s) => s.prepCancel(0, OP | ALL, abi.IORING_OP_RECV))
    x.see('receives')
    x.go(6, (s) => s.prepCancel(0, OP, abi.IORING_OP_ACCEPT))
    x.see('none')
    arm(x, server, 7)
    x.go(8, (s) => s.prepCancelFd(server, OP | ALL, abi.IORING_OP_RECV))
    x.see('of a descriptor')
  },
  flagErrors(x) {
    const [, server] = x.pair()
    x.tell('unknown', (s) => s.prepCancel(1, 1 << 9))
    x.tell('any by descriptor', (s) => s.prepCancelFd(server, ANY))
    x.tell('any by opcode', (s) => s.prepCancel(0, ANY | OP))
    x.tell('offset', (s) => s.prepRw(abi.IORING_OP_ASYNC_CANCEL, -1, 0, 0, 1))
    x.tell('file index', (s) => s.prepCancel(1).setTargetFixedFile(1))
    x.tell('buffers', (s) => s.prepCancel(1).setFlags(abi.IOSQE_BUFFER_SELECT))
    x.tell('len', (s) => s.prepRw(abi.IORING_OP_ASYNC_CANCEL, -1, 1, 5, 0))
  },
  fixed(x) {
    const [client, server] = x.pair()
    x.r.registerFiles([server, client])
    x.go(1, (s) => s.prepRecv(0, x.bytes(4)).setFlags(abi.IOSQE_FIXED_FILE))
    arm(x, server, 2)
    x.go(3, (s) => s.prepCancelFd(0, FIXED | ALL))
    x.see('by slot')
    x.go(4, (s) => s.prepRecv(1, x.bytes(4)).setFlags(abi.IOSQE_FIXED_FILE))
    x.go(5, (s) => s.prepCancelFd(client))
    x.see('by descriptor')
    x.go(6, (s) => s.prepCancelFd(9, FIXED))
    x.see('no slot')
    arm(x, client, 7)
    x.go(8, (s) => s.prepCancelFd(1).setFlags(abi.IOSQE_FIXED_FILE))
    x.see('by flag of the entry')
  },
  sync(x) {
    const [client, server] = x.pair()
    sync(x, 'none', { addr: 12 })
    arm(x, server, 12, 13)
    sync(x, 'by user data', { addr: 12 })
    x.see('one')
    sync(x, 'by descriptor', { fd: server, flags: FD })
    x.see('other')
    sync(x, 'nothing of a descriptor', { fd: client, flags: FD })
    sync(x, 'no descriptor', { fd: 9999, flags: FD })
  },
  syncAll(x) {
    const [, server] = x.pair()
    arm(x, server, 1, 1, 2)
    sync(x, 'all of one', { addr: 1, flags: ALL })
    x.see('two')
    arm(x, server, 3)
    sync(x, 'any', { flags: ANY | ALL })
    x.see('rest')
    sync(x, 'none', { flags: ANY | ALL })
    sync(x, 'none by all', { addr: 5, flags: ALL })
  },
  syncAgain(x) {
    const [, server] = x.pair()
    arm(x, server, 1, 2, 3)
    sync(x, 'one', { addr: 1 })
    sync(x, 'again', { addr: 1 })
    sync(x, 'all of it', { addr: 1, flags: ALL })
    sync(x, 'any', { flags: ANY })
    x.see('all')
  },
  again(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => s.prepCancel(1))
    x.put(3, (s) => s.prepCancel(1))
    x.put(4, (s) => s.prepCancel(1, ALL))
    x.put(5, (s) => s.prepTimeout(x.timespec(60_000)))
    x.put(6, (s) => s.prepCancel(5))
    x.put(7, (s) => s.prepCancel(5))
    x.put(8, (s) => s.prepCancel(5, ALL))
    x.r.submit()
    x.see('all')
  },
  syncErrors(x) {
    const [, server] = x.pair()
    sync(x, 'unknown flag', { addr: 1, flags: 1 << 9 })
    sync(x, 'any by descriptor', { fd: server, flags: ANY | FD })
    arm(x, server, 1)
    sync(x, 'by opcode', { flags: OP, opcode: abi.IORING_OP_RECV })
    x.see('by opcode')
    sync(x, 'no table', { fd: 0, flags: FD | FIXED })
    const reg = new abi.SyncCancelReg(x.bytes(abi.SyncCancelReg.SIZE))
    reg.bytes[60] = 1
    x.say('reserved', answer(x.r.registerSyncCancel(reg)))
    const { register } = { register: (count: number) => x.backend(x.r).register(24, x.bytes(64), count) }
    x.say('count', answer(register(0)), answer(register(2)))
  },
  multishots(x) {
    const [, server] = x.pair()
    const listener = x.listen(1)
    x.r.setupBufRing(4, 7)
    x.go(1, (s) => s.prepMultishotAccept(listener))
    x.go(2, (s) => s.prepPollAdd(server, abi.POLLIN, true))
    x.go(3, (s) => s.prepCancel(0, ANY | ALL))
    x.see('all')
  },
  connecting(x) {
    const listener = x.listen()
    const fd = x.client()
    x.go(1, (s) => s.prepAccept(listener))
    x.go(2, (s) => s.prepCancel(1))
    x.see('accept')
    x.go(3, (s) => s.prepConnect(fd, x.server()))
    x.see('connect')
  },
  inOneBatch(x) {
    const [, server] = x.pair()
    x.put(1, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(2, (s) => s.prepCancel(1))
    x.put(3, (s) => s.prepRecv(server, x.bytes(4)))
    x.put(4, (s) => s.prepCancel(0, ANY | ALL))
    x.say('submit', x.r.submit())
    x.see('all')
  },
  withDataThere(x) {
    const [client, server] = x.pair()
    arm(x, server, 1)
    x.see('waits')
    x.call((s) => s.prepSend(client, x.bytes(3)))
    x.go(2, (s) => s.prepCancel(1))
    x.see('either')
  },
  otherRing(x) {
    const [, server] = x.pair()
    arm(x, server, 1)
    const other = x.ring()
    x.go(2, (s) => s.prepCancel(1), other)
    x.see('user data', { ring: other })
    x.go(3, (s) => s.prepCancelFd(server, ALL), other)
    x.see('descriptor', { ring: other })
    x.see('still waits')
  },
  ringExits(x) {
    const [client, server] = x.pair()
    const other = x.ring()
    const kept = x.ring()
    x.go(1, (s) => s.prepRecv(server, x.bytes(4)), other)
    x.see('waits', { ring: other })
    x.exit(other)
    x.send(client, 3)
    x.see('wait', { ring: kept, ms: 5 })
    x.say('left', x.recv(server))
  },
  cancelOfCancel(x) {
    x.tell('itself', (s) => s.prepCancel(0, ANY | ALL))
  },
})
