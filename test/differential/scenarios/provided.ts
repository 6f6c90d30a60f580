import * as abi from '../../../uapi/abi/index.ts'
import { answer, show } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

/** Buffers that are handed in by entries (IORING_OP_PROVIDE_BUFFERS). */
export const provided: Scenario[] = scenarios('provided', {
  use(x) {
    const [client, server] = x.pair()
    const memory = x.bytes(64, 46)
    x.tell('provide', (s) => s.prepProvideBuffers(memory, 16, 4, 9, 10))
    x.go(1, (s) => s.prepRecvMultishot(server, 9))
    x.send(client, 20)
    x.see('data')
    x.say(show(memory))
    x.tell('remove', (s) => s.prepRemoveBuffers(10, 9))
    x.send(client, 3)
    x.see('none left')
  },
  errors(x) {
    const memory = x.bytes(64)
    x.tell('none', (s) => s.prepProvideBuffers(memory, 16, 0, 1, 0))
    x.tell('too many', (s) => s.prepProvideBuffers(memory, 1, 70_000, 1, 0))
    x.tell('empty', (s) => s.prepProvideBuffers(memory, 0, 1, 1, 0))
    x.tell('first id', (s) => s.prepProvideBuffers(memory, 16, 1, 1, 65_536))
    x.tell('last id', (s) => s.prepProvideBuffers(memory, 16, 2, 1, 65_535))
    x.tell('flags', (s) => s.prepProvideBuffers(memory, 16, 1, 1, 0).setOpFlags(1))
    x.tell('file index', (s) => s.prepProvideBuffers(memory, 16, 1, 1, 0).setTargetFixedFile(0))
    x.tell('remove', (s) => s.prepRemoveBuffers(1, 99))
    x.tell('remove none', (s) => s.prepRemoveBuffers(0, 99))
    x.tell('remove too many', (s) => s.prepRemoveBuffers(70_000, 99))
    x.tell('remove with flags', (s) => s.prepRemoveBuffers(1, 99).setOpFlags(1))
  },
  groupOfTheOtherKind(x) {
    const memory = x.bytes(64)
    x.say('ring', typeof x.r.setupBufRing(4, 7))
    x.tell('provide', (s) => s.prepProvideBuffers(memory, 16, 1, 7, 0))
    x.tell('remove', (s) => s.prepRemoveBuffers(1, 7))
    x.tell('another', (s) => s.prepProvideBuffers(memory, 16, 2, 8, 0))
    x.say('ring', answer(x.r.setupBufRing(4, 8) as number), 'head', answer(x.r.bufRingHead(8)))
    x.say('free', answer(x.r.freeBufRing({ bgid: 8 })))
    x.tell('remove', (s) => s.prepRemoveBuffers(2, 8))
    x.say('ring', typeof x.r.setupBufRing(4, 8))
  },
  order(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(16), 4, 4, 2, 0))
    x.tell('more', (s) => s.prepProvideBuffers(x.bytes(8), 4, 2, 2, 20))
    x.send(client, 30)
    x.go(1, (s) => s.prepRecvMultishot(server, 2))
    x.see('in order')
  },
  sameIdTwice(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(4), 4, 1, 2, 5))
    x.tell('again', (s) => s.prepProvideBuffers(x.bytes(4), 4, 1, 2, 5))
    x.send(client, 8)
    x.go(1, (s) => s.prepRecvMultishot(server, 2))
    x.see('both')
  },
  single(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(16), 8, 2, 2, 5))
    const select = (s: abi.Sqe) =>
      s.prepRw(abi.IORING_OP_RECV, server, 0, 3, 0).setFlags(abi.IOSQE_BUFFER_SELECT).setBufGroup(2)
    x.go(1, select)
    x.see('waits')
    x.send(client, 6)
    x.see('three')
    x.go(2, select)
    x.see('three')
    x.go(3, select)
    x.see('none left')
  },
  singleCancelled(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(8), 8, 1, 2, 5))
    const select = (s: abi.Sqe) =>
      s.prepRw(abi.IORING_OP_RECV, server, 0, 0, 0).setFlags(abi.IOSQE_BUFFER_SELECT).setBufGroup(2)
    x.go(1, select)
    x.see('waits')
    x.go(2, (s) => s.prepCancel(1))
    x.see('cancel')
    x.send(client, 2)
    x.go(3, select)
    x.see('the buffer is there')
  },
  removeWhileArmed(x) {
    const [client, server] = x.pair()
    x.tell('provide', (s) => s.prepProvideBuffers(x.bytes(8), 8, 1, 2, 5))
    x.go(1, (s) => s.prepRecvMultishot(server, 2))
    x.see('waits')
    x.tell('remove', (s) => s.prepRemoveBuffers(1, 2))
    x.send(client, 2)
    x.see('data')
    x.say('left', x.recv(server))
  },
})
