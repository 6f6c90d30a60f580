import * as abi from '../../../uapi/abi/index.ts'
import type { Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

const FIXED = abi.IOSQE_FIXED_FILE
const ANY = abi.IORING_FILE_INDEX_ALLOC

function say(x: Run, what: string, ...results: number[]): void {
  x.say(what, ...results.map((res) => (res < 0 ? abi.errnoName(res) : res)))
}

export const files: Scenario[] = scenarios('files', {
  register(x) {
    const [client, server] = x.pair()
    say(x, 'register', x.r.registerFiles([client, -1, server]), x.r.registerFiles([client]))
    x.go(1, (s) => s.prepSend(0, x.bytes(4, 97)).setFlags(FIXED))
    x.see('send')
    x.go(2, (s) => s.prepRecv(2, x.bytes(8)).setFlags(FIXED))
    x.see('recv')
    x.go(3, (s) => s.prepRecv(1, x.bytes(8)).setFlags(FIXED))
    x.see('empty slot')
    x.go(4, (s) => s.prepRecv(3, x.bytes(8)).setFlags(FIXED))
    x.see('no slot')
    say(x, 'unregister', x.r.unregisterFiles(), x.r.unregisterFiles())
    x.go(5, (s) => s.prepRecv(2, x.bytes(8)).setFlags(FIXED))
    x.see('no table')
  },
  registerErrors(x) {
    const [client] = x.pair()
    say(x, 'closed', x.r.registerFiles([client, 9999]))
    say(x, 'ring', x.r.registerFiles([x.r.ringFd]))
    say(x, 'skip', x.r.registerFiles([abi.IORING_REGISTER_FILES_SKIP]))
    say(x, 'too many', x.r.registerFilesSparse(1 << 21))
    say(x, 'sparse', x.r.registerFilesSparse(4), x.r.registerFilesSparse(4))
  },
  update(x) {
    const [client, server] = x.pair()
    say(x, 'no table', x.r.registerFilesUpdate(0, [client]))
    say(x, 'sparse', x.r.registerFilesSparse(4))
    say(x, 'update', x.r.registerFilesUpdate(1, [server, client]))
    say(x, 'beyond', x.r.registerFilesUpdate(3, [server, client]), x.r.registerFilesUpdate(9, [server]))
    say(x, 'closed', x.r.registerFilesUpdate(0, [client, 9999, client]))
    say(x, 'skip', x.r.registerFilesUpdate(0, [abi.IORING_REGISTER_FILES_SKIP, -1]))
    x.go(1, (s) => s.prepRecv(0, x.bytes(4), abi.MSG_DONTWAIT).setFlags(FIXED))
    x.go(2, (s) => s.prepRecv(1, x.bytes(4), abi.MSG_DONTWAIT).setFlags(FIXED))
    x.go(3, (s) => s.prepRecv(2, x.bytes(4), abi.MSG_DONTWAIT).setFlags(FIXED))
    x.see('slots')
    say(x, 'ring', x.r.registerFilesUpdate(0, [x.r.ringFd]))
  },
  tags(x) {
    const [client, server] = x.pair()
    say(x, 'register', x.r.registerFiles([client, server], [100, 101]))
    say(x, 'update', x.r.registerFilesUpdate(0, [-1]))
    x.see('freed')
    say(x, 'tag of none', x.r.registerFilesUpdate(0, [-1], [5]))
    say(x, 'update', x.r.registerFilesUpdate(0, [client], [102]))
    x.go(1, (s) => s.prepRecv(1, x.bytes(4)).setFlags(FIXED))
    say(x, 'replace', x.r.registerFilesUpdate(1, [client], [103]))
    x.see('in use')
    x.go(2, (s) => s.prepCancel(1))
    x.see('let go')
    say(x, 'unregister', x.r.unregisterFiles())
    x.see('rest')
  },
  keepsOpen(x) {
    const [client, server] = x.pair()
    x.r.registerFiles([server])
    x.close(server)
    x.send(client, 3)
    x.go(1, (s) => s.prepRecv(0, x.bytes(8)).setFlags(FIXED))
    x.see('still there')
    x.go(2, (s) => s.prepRecv(0, x.bytes(8)).setFlags(FIXED))
    say(x, 'unregister', x.r.unregisterFiles())
    x.see('still waits')
    x.shutdown(client, abi.SHUT_WR)
    x.see('end')
  },
  lastReference(x) {
    const [client, server] = x.pair()
    x.r.registerFiles([server])
    x.close(server)
    say(x, 'unregister', x.r.unregisterFiles())
    x.see('wait', { ms: 5 })
    x.say('peer', x.recv(client))
  },
  directSocket(x) {
    x.tell('no table', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, 0))
    x.tell('no table, any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    say(x, 'sparse', x.r.registerFilesSparse(3))
    x.tell('slot 2', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, 2))
    x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    x.tell('any of none', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    x.tell('over another', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, 2))
    x.tell('beyond', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, 77))
    x.tell('CLOEXEC', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0, 0))
    x.tell('close', (s) => s.prepCloseDirect(2))
    x.tell('close again', (s) => s.prepCloseDirect(2))
    x.tell('close beyond', (s) => s.prepCloseDirect(77))
    x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
  },
  directClient(x) {
    const listener = x.listen()
    say(x, 'sparse', x.r.registerFilesSparse(2))
    x.tell('socket', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, 0))
    x.tell('bind', (s) => s.prepBind(0, x.any('client')).setFlags(FIXED))
    x.tell('connect', (s) => s.prepConnect(0, x.server()).setFlags(FIXED))
    x.tell('send', (s) => s.prepSend(0, x.bytes(3, 97)).setFlags(FIXED))
    x.go(1, (s) => s.prepAccept(listener))
    const [accepted] = x.see('accept')
    x.say('recv', x.recv(accepted!.res))
    x.tell('close', (s) => s.prepCloseDirect(0))
    x.see('wait')
    x.say('recv', x.recv(accepted!.res))
  },
  closeErrors(x) {
    const [client] = x.pair()
    x.tell('fixed', (s) => s.prepClose(0).setFlags(FIXED))
    x.tell('both', (s) => s.prepClose(client).setTargetFixedFile(0))
    x.tell('no table', (s) => s.prepCloseDirect(0))
    x.tell('addr', (s) => s.prepRw(abi.IORING_OP_CLOSE, client, 1, 0, 0))
    x.tell('buf group', (s) => s.prepClose(client).setBufGroup(1))
    x.tell('descriptor', (s) => s.prepClose(9999))
    x.tell('negative', (s) => s.prepClose(-1))
  },
  allocRange(x) {
    say(x, 'no table', x.r.registerFileAllocRange(0, 1))
    x.r.registerFilesSparse(6)
    say(x, 'range', x.r.registerFileAllocRange(2, 2))
    for (let i = 0; i < 3; i++) x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    say(x, 'beyond', x.r.registerFileAllocRange(4, 3), x.r.registerFileAllocRange(6, 1))
    say(x, 'nothing', x.r.registerFileAllocRange(2, 0))
    x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    say(x, 'overflow', x.r.registerFileAllocRange(0xffff_ffff, 0xffff_ffff))
  },
  allocOrder(x) {
    x.r.registerFilesSparse(4)
    const any = () => x.tell('any', (s) => s.prepSocketDirect(abi.AF_INET, abi.SOCK_STREAM, 0, ANY))
    any()
    any()
    any()
    x.tell('close 0', (s) => s.prepCloseDirect(0))
    any()
    x.tell('close 1', (s) => s.prepCloseDirect(1))
    any()
    any()
  },
  updateInFlight(x) {
    const [client, server] = x.pair()
    const [other, peer] = x.pair(1)
    x.r.registerFiles([server])
    x.go(1, (s) => s.prepRecv(0, x.bytes(4)).setFlags(FIXED))
    say(x, 'update', x.r.registerFilesUpdate(0, [peer]))
    x.go(2, (s) => s.prepRecv(0, x.bytes(4)).setFlags(FIXED))
    x.send(client, 2)
    x.see('old')
    x.send(other, 3)
    x.see('new')
  },
  linkedAccept(x) {
    const listener = x.listen()
    x.r.registerFilesSparse(1)
    const fd = x.client()
    x.call((s) => s.prepConnect(fd, x.server()))
    x.send(fd, 3)
    x.put(1, (s) => s.prepAcceptDirect(listener, 0).setFlags(abi.IOSQE_IO_LINK))
    x.put(2, (s) => s.prepRecv(0, x.bytes(8)).setFlags(FIXED | abi.IOSQE_IO_LINK))
    x.put(3, (s) => s.prepCloseDirect(0))
    x.say('submit', x.r.submit())
    x.see('chain')
  },
  rawUpdate(x) {
    const [client] = x.pair()
    x.r.registerFilesSparse(2)
    const update = new abi.FilesUpdate(x.bytes(16))
    update.offset = 1
    update.fds = x.r.arena.addressOf(x.ints(client))
    const raw = (count: number) =>
      x.backend(x.r).register(abi.IORING_REGISTER_FILES_UPDATE, update.bytes, count)
    say(x, 'one', raw(1))
    say(x, 'none', raw(0))
    say(x, 'beyond', raw(2))
    update.bytes[4] = 1
    say(x, 'reserved', raw(1))
  },
})
