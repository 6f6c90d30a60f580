import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, instance, WIDE } from '../zcrx.ts'

const { IOSQE_IO_LINK: LINK } = abi

export const recvZcEnd: Scenario[] = scenarios(
  'recvZcEnd',
  {
    armed(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
      zc.arm(2, server)
      zc.see('again')
    },
    queued(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.shutdown(client, abi.SHUT_WR)
      zc.arm(1, server)
      zc.see('data and end', { inOrder: true })
      zc.arm(2, server)
      zc.see('again')
    },
    nothingQueued(x) {
      const [zc, client, server] = connected(x)
      x.shutdown(client, abi.SHUT_WR)
      zc.arm(1, server)
      zc.see('end')
    },
    closed(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      x.close(client)
      zc.see('end')
    },
    withLimit(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.shutdown(client, abi.SHUT_WR)
      zc.arm(1, server, 4)
      zc.see('limit')
      zc.arm(2, server, 4)
      zc.see('end')
    },
    belowLimit(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 100)
      zc.send(client, 4)
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    pollFirst(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.shutdown(client, abi.SHUT_WR)
      zc.arm(1, server, 0, (s) => s.setIoprio(abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST))
      zc.see('end')
    },
    halfClose(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.say('shutdown', x.shutdown(server, abi.SHUT_WR))
      zc.see('own end')
      zc.send(client, 4)
      zc.see('data')
      x.say('recv', x.recv(client))
    },
    ownReadShut(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.say('shutdown', x.shutdown(server, abi.SHUT_RD))
      zc.see('shut')
      zc.arm(2, server)
      zc.see('again')
    },
    ownReadShutQueued(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.say('shutdown', x.shutdown(server, abi.SHUT_RD))
      zc.arm(1, server)
      zc.see('data')
      zc.arm(2, server)
      zc.see('again')
    },
    dataBehindOwnReadShut(x) {
      for (const [i, pollFirst] of [false, true].entries()) {
        const zc = instance(x)
        const [client, server] = x.pair(i)
        x.say('shutdown', x.shutdown(server, abi.SHUT_RD))
        zc.send(client, 4)
        zc.arm(1, server, 0, (s) =>
          s.setIoprio(abi.IORING_RECV_MULTISHOT | (pollFirst ? abi.IORING_RECVSEND_POLL_FIRST : 0)),
        )
        zc.see(`first ${i}`)
        zc.send(client, 4)
        zc.see(`second ${i}`)
        zc.arm(2, server)
        zc.see(`again ${i}`)
        x.exit(zc.ring)
        x.say('left', x.recv(server))
      }
    },
    ownReadShutBehindData(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.shutdown(server, abi.SHUT_RD)
      zc.arm(1, server, 0, (s) => s.setIoprio(abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST))
      zc.see('data')
      x.go(2, (s) => s.prepCancel(1))
      zc.see('cancel')
    },
    resetBehindDataPollFirst(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.reset(client)
      zc.see('wait')
      zc.arm(1, server, 0, (s) => s.setIoprio(abi.IORING_RECV_MULTISHOT | abi.IORING_RECVSEND_POLL_FIRST))
      zc.see('data')
    },
    pollFirstBehindOwnReadShut(x) {
      const [client, server] = x.pair()
      x.shutdown(server, abi.SHUT_RD)
      const buffer = x.bytes(8)
      x.go(1, (s) => s.prepRecv(server, buffer).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
      x.see('nothing queued')
      x.send(client, 4)
      x.go(2, (s) => s.prepRecv(server, buffer).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
      x.see('queued')
      x.go(3, (s) => s.prepPollAdd(server, abi.POLLIN | abi.POLLRDHUP))
      x.see('poll')
    },
    ownShut(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.say('shutdown', x.shutdown(server, abi.SHUT_RDWR))
      zc.see('shut')
      x.say('peer', x.recv(client))
    },
    reset(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.see('waits')
      x.reset(client)
      zc.see('reset')
      zc.arm(2, server)
      zc.see('again')
    },
    resetBehindData(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.reset(client)
      zc.see('wait')
      zc.arm(1, server)
      zc.see('first')
      zc.arm(2, server)
      zc.see('second')
      zc.arm(3, server)
      zc.see('third')
    },
    resetArmed(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.reset(client)
      zc.see('reset')
      x.say('recv', x.recv(server))
    },
    resetLimit(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.reset(client)
      zc.arm(1, server, 2)
      zc.see('two')
      zc.arm(2, server, 2)
      zc.see('rest')
      zc.arm(3, server, 2)
      zc.see('reset')
    },
    resetBehindEnd(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      x.close(client)
      zc.see('end')
      x.say('send', x.send(server, 3))
      zc.see('reset')
      zc.arm(1, server)
      zc.see('data')
      zc.arm(2, server)
      zc.see('again')
      x.say('send', answer(x.send(server, 3)))
      zc.arm(3, server)
      zc.see('after the error')
    },
    resetLinked(x) {
      const [zc, client, server] = connected(x)
      zc.put(1, server, 0, (s) => s.setFlags(LINK))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      x.reset(client)
      zc.see('reset')
    },
    twoReset(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.arm(2, server)
      x.reset(client)
      const ended = zc.see('reset')
      x.say('ended', ended.length)
    },
    closedMeanwhile(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.say('close', x.close(server))
      zc.see('closed')
      zc.send(client, 4)
      zc.see('data')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    closedWithData(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server, 2)
      zc.send(client, 4)
      zc.see('two')
      x.say('close', x.close(server))
      zc.see('closed')
      x.say('peer', x.recv(client))
    },
    closeRequest(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      x.go(2, (s) => s.prepClose(server))
      zc.see('closed')
      zc.send(client, 4)
      zc.see('data')
      x.close(client)
      zc.see('end')
    },
    ringExits(x) {
      const [zc, client, server] = connected(x)
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.exit(zc.ring)
      zc.send(client, 5)
      x.say('recv', x.recv(server))
    },
    ringExitsWithData(x) {
      const [zc, client, server] = connected(x)
      zc.send(client, 4)
      zc.arm(1, server, 2)
      zc.see('two')
      x.exit(zc.ring)
      x.say('recv', x.recv(server))
      const again = instance(x)
      again.arm(1, server)
      zc.send(client, 5)
      again.see('again')
    },
    heldAfterClose(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server)
      zc.send(client, 4)
      zc.see('data')
      x.close(client)
      zc.see('end')
      x.close(server)
      const [next, nextServer] = x.pair(1)
      zc.arm(2, nextServer)
      zc.send(next, 6)
      zc.see('none free')
      zc.refill()
      zc.arm(3, nextServer)
      zc.see('free')
    },
  },
  'zcrx',
)

export const recvZcErrors: Scenario[] = scenarios(
  'recvZcErrors',
  {
    descriptors(x) {
      const zc = instance(x)
      x.tell('none', (s) => s.prepRecvZc(9999, 0))
      x.tell('minus one', (s) => s.prepRecvZc(-1, 0))
      x.tell('ring', (s) => s.prepRecvZc(zc.ring.ringFd, 0))
    },
    unconnected(x) {
      instance(x)
      const fresh = x.socket()
      x.tell('fresh', (s) => s.prepRecvZc(fresh, 0))
      const bound = x.socket()
      x.bind(bound, x.server(1))
      x.tell('bound', (s) => s.prepRecvZc(bound, 0))
      const listener = x.listen(2)
      x.tell('listening', (s) => s.prepRecvZc(listener, 0))
      x.tell('with a limit', (s) => s.prepRecvZc(listener, 0, 5))
    },
    refused(x) {
      const zc = instance(x)
      const client = x.client()
      x.tell('connect', (s) => s.prepConnect(client, x.server(3)))
      zc.arm(1, client)
      zc.see('refused')
    },
    ids(x) {
      const [zc, , server] = connected(x)
      x.say('id', zc.ifq.zcrxId)
      for (const id of [1, 2, 255, 65_536, 0xffff_ffff]) x.tell(`${id}`, (s) => s.prepRecvZc(server, id))
      x.tell('neither', (s) => s.prepRecvZc(9999, 7))
    },
    noInstance(x) {
      x.ring(WIDE)
      const [, server] = x.pair()
      x.tell('wide ring', (s) => s.prepRecvZc(server, 0))
      const plain = x.ring(DEFER)
      x.tell('plain ring', (s) => s.prepRecvZc(server, 0), plain)
    },
    fields(x) {
      const [, , server] = connected(x)
      const other = (addr: number, off: number) => (s: abi.Sqe) =>
        s.prepRw(abi.IORING_OP_RECV_ZC, server, addr, 0, off).setIoprio(abi.IORING_RECV_MULTISHOT)
      x.tell('addr', other(64, 0))
      x.tell('memory', other(x.r.arena.addressOf(x.bytes(64)), 0))
      x.tell('off', other(0, 1))
      x.go(1, (s) => s.prepRecvZc(server, 0).setBufGroup(5))
      x.see('buf group')
    },
    ioprio(x) {
      const [, , server] = connected(x)
      for (let bit = 0; bit < 16; bit++)
        if (bit > 1) x.tell(`bit ${bit}`, (s) => s.prepRecvZc(server, 0).setIoprio((1 << bit) | 2))
      x.tell('none', (s) => s.prepRecvZc(server, 0).setIoprio(0))
      x.tell('POLL_FIRST alone', (s) => s.prepRecvZc(server, 0).setIoprio(abi.IORING_RECVSEND_POLL_FIRST))
    },
    messageFlags(x) {
      const [, , server] = connected(x)
      for (let bit = 0; bit < 32; bit++)
        x.tell(`bit ${bit}`, (s) => s.prepRecvZc(server, 0).setOpFlags(2 ** bit))
    },
    entryFlags(x) {
      const [zc, client, server] = connected(x)
      x.tell('BUFFER_SELECT', (s) => s.prepRecvZc(server, 0).setFlags(abi.IOSQE_BUFFER_SELECT))
      x.tell('FIXED_FILE', (s) => s.prepRecvZc(server, 0).setFlags(abi.IOSQE_FIXED_FILE))
      x.tell('personality', (s) => s.prepRecvZc(server, 0).setPersonality(7))
      x.tell('bit 7', (s) => s.prepRecvZc(server, 0).setFlags(1 << 7))
      zc.send(client, 3)
      zc.arm(1, server)
      zc.see('good')
    },
    refusedLinked(x) {
      const [zc, , server] = connected(x)
      x.put(1, (s) => s.prepRecvZc(server, 9).setFlags(LINK))
      x.put(2, (s) => s.prepNop())
      x.say('submit', zc.ring.submit())
      zc.see('chain')
    },
    afterRefusal(x) {
      const [zc, client, server] = connected(x)
      x.tell('flags', (s) => s.prepRecvZc(server, 0).setOpFlags(abi.MSG_DONTWAIT))
      zc.send(client, 3)
      x.tell('id', (s) => s.prepRecvZc(server, 4))
      zc.arm(1, server)
      zc.see('good')
    },
  },
  'zcrx',
)
