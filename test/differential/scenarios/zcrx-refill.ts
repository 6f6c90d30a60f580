import * as abi from '../../../uapi/abi/index.ts'
import { answer, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, PAGE, type Zc } from '../zcrx.ts'

/** Receives so many pieces, of one buffer each. */
function receive(zc: Zc, what: string, client: number, count: number): void {
  for (let i = 0; i < count; i++) {
    zc.send(client, 3)
    zc.see(`${what} ${i}`, { places: true })
  }
}

/** How many buffers the instance has left: as many pieces as come before a request ends for want of them. */
function capacity(x: Run, zc: Zc, port = 5): void {
  const most = 12
  const [client, server] = x.pair(port)
  for (let i = 0; i < most; i++) {
    zc.arm(70, server, 1)
    zc.send(client, 1)
    const all = x.take({ ring: zc.ring })
    if (all.some(({ res }) => res < 0)) {
      x.say('capacity', i, answer(all.at(-1)!.res))
      return
    }
  }
  x.say('capacity', most)
}

export const exhaustion: Scenario[] = scenarios(
  'exhaustion',
  {
    armed(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 4)
      zc.see('nothing')
      zc.refill()
      zc.see('not by itself')
      zc.arm(2, server)
      zc.see('again', { places: true })
    },
    inOneGo(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.send(client, 4 * PAGE)
      zc.arm(1, server)
      zc.see('part')
      zc.refill()
      zc.arm(2, server)
      zc.see('rest')
    },
    atSubmit(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server, 3)
      zc.send(client, 3)
      zc.see('the last')
      zc.arm(2, server)
      zc.see('armed without any')
      zc.send(client, 3)
      zc.see('no memory')
      zc.arm(3, server)
      zc.see('at once')
      zc.refill()
      zc.arm(4, server)
      zc.see('then')
    },
    nothingIsLost(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.send(client, 3 * PAGE)
      zc.arm(1, server)
      zc.see('part')
      x.tell('left', (s) => s.prepCmdSock(abi.SOCKET_URING_OP_SIOCINQ, server))
      x.say('recv', x.recv(server, 30))
      zc.refill(1)
      zc.arm(2, server)
      zc.see('rest')
    },
    endWithoutBuffers(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('the last')
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    limitWithTheLast(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server, 3)
      zc.send(client, 3)
      zc.see('limit')
    },
    limitInTheMiddle(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.send(client, 9)
      zc.arm(1, server, 3)
      zc.see('three')
      zc.arm(2, server, 3)
      zc.see('six')
      zc.arm(3, server, 3)
      zc.see('none left')
    },
    resetWithoutBuffers(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('the last')
      x.reset(client)
      zc.see('reset')
    },
    twoConnections(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      const [other, otherServer] = x.pair(1)
      zc.arm(1, server)
      zc.arm(2, otherServer)
      zc.send(client, 3)
      zc.see('one')
      zc.send(other, 3)
      zc.see('other')
      zc.send(client, 3)
      zc.see('one ends')
      zc.send(other, 3)
      zc.see('other ends')
      zc.refill()
      zc.arm(3, otherServer)
      zc.arm(4, server)
      zc.see('again')
    },
    linked(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.put(1, server, 0, (s) => s.setFlags(abi.IOSQE_IO_LINK))
      x.put(2, (s) => s.prepNop())
      zc.ring.submit()
      zc.send(client, 3)
      zc.see('the last')
      zc.send(client, 3)
      zc.see('no memory')
    },
    cancelled(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('the last')
      x.go(2, (s) => s.prepCancel(1))
      zc.see('cancelled')
      zc.send(client, 3)
      x.say('left', x.recv(server))
    },
    refillsAreNotRead(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      zc.give(zc.held.splice(0))
      x.say('head', zc.head)
      zc.send(client, 3)
      zc.see('no memory')
      zc.arm(2, server)
      zc.see('still none')
      zc.flush()
      x.say('head', zc.head)
      zc.arm(3, server)
      zc.see('read')
    },
    refillBefore(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.arm(1, server)
      for (let i = 0; i < 6; i++) {
        zc.send(client, 3)
        zc.see(`${i}`, { places: true })
        zc.refill()
      }
    },
  },
  'zcrx',
)

export const refill: Scenario[] = scenarios(
  'refill',
  {
    order(x) {
      const [zc, client, server] = connected(x, { pages: 4 })
      zc.arm(1, server)
      receive(zc, 'first', client, 4)
      zc.give([zc.held[2]!, zc.held[0]!, zc.held[3]!, zc.held[1]!])
      zc.flush()
      x.say('head', zc.head)
      receive(zc, 'again', client, 4)
    },
    some(x) {
      const [zc, client, server] = connected(x, { pages: 4 })
      zc.arm(1, server)
      receive(zc, 'first', client, 2)
      zc.refill(1)
      receive(zc, 'then', client, 2)
      zc.refill(2)
      receive(zc, 'then', client, 2)
      capacity(x, zc)
    },
    none(x) {
      const [zc] = connected(x)
      zc.flush()
      x.say('head', zc.head)
    },
    twice(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 1)
      zc.give([zc.held[0]!, zc.held[0]!, zc.held[0]!])
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    notHeld(x) {
      const [zc] = connected(x, { pages: 2 })
      zc.entry(0, 0)
      zc.entry(0, PAGE)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    offsetWithin(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 3)
      const [one, two, three] = zc.held
      zc.entry(0, one!.offset + 1)
      zc.entry(0, two!.offset + PAGE - 1)
      zc.entry(0, three!.offset + 2048)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    lengths(x) {
      const [zc, client, server] = connected(x, { pages: 4 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 4)
      for (const [i, length] of [0, 1, 0xffff_ffff, 2 * PAGE].entries())
        zc.entry(0, zc.held[i]!.offset, length)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    beyond(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      zc.entry(0, 3 * PAGE)
      zc.give(zc.held.splice(0))
      zc.flush()
      x.say('head', zc.head)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    farBeyond(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 1)
      zc.entry(0, 2 ** 47)
      zc.give(zc.held.splice(0))
      for (let i = 0; i < 2; i++) {
        zc.flush()
        x.say('head', zc.head)
      }
      capacity(x, zc)
    },
    noSuchArea(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 1)
      zc.entry(1, 0)
      zc.entry(0xffff, 0)
      zc.give(zc.held.splice(0))
      for (let i = 0; i < 3; i++) {
        zc.flush()
        x.say('head', zc.head)
      }
      capacity(x, zc)
    },
    pad(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      zc.entry(0, zc.held[0]!.offset, PAGE, 1)
      zc.entry(0, zc.held[1]!.offset)
      for (let i = 0; i < 2; i++) {
        zc.flush()
        x.say('head', zc.head)
      }
      capacity(x, zc)
    },
    badAmongGood(x) {
      const [zc, client, server] = connected(x, { pages: 6 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 6)
      for (const [i, { offset }] of zc.held.entries()) {
        zc.entry(0, offset)
        if (i % 2 === 1) zc.entry(9, 0)
      }
      for (let i = 0; i < 4; i++) {
        zc.flush()
        x.say('head', zc.head)
      }
      capacity(x, zc)
    },
    headOverwritten(x) {
      const [zc, client, server] = connected(x, { pages: 3 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      const { region, offsets } = zc.ifq.rq
      const view = new DataView(region.buffer, region.byteOffset)
      zc.give(zc.held.splice(0, 1))
      view.setUint32(offsets.head, 77, true)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    tailAhead(x) {
      const [zc, client, server] = connected(x, { pages: 3, entries: 4 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      zc.entry(0, zc.held[0]!.offset)
      const { region, offsets } = zc.ifq.rq
      const view = new DataView(region.buffer, region.byteOffset)
      view.setUint32(offsets.tail, 1000, true)
      for (let i = 0; i < 2; i++) {
        zc.flush()
        x.say('head', zc.head)
      }
      view.setUint32(offsets.tail, 1, true)
      zc.flush()
      x.say('head', zc.head)
      capacity(x, zc)
    },
    wraps(x) {
      const [zc, client, server] = connected(x, { pages: 3, entries: 2 })
      zc.arm(1, server)
      for (let i = 0; i < 5; i++) {
        receive(zc, `${i}`, client, 2)
        zc.refill()
        x.say('head', zc.head)
      }
    },
    full(x) {
      const [zc, client, server] = connected(x, { pages: 4, entries: 2 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 4)
      const { rq } = zc.ifq
      const pushed = zc.held.map(({ offset }) => rq.push(0, offset, PAGE))
      rq.advance()
      x.say('pushed', pushed, 'space', rq.space())
      zc.flush()
      x.say('head', zc.head, 'space', rq.space())
      capacity(x, zc)
    },
    inRingsMemory(x) {
      const [zc, client, server] = connected(x, { pages: 2, region: 'ring' })
      zc.arm(1, server)
      for (let i = 0; i < 3; i++) {
        receive(zc, `${i}`, client, 2)
        zc.refill()
        x.say('head', zc.head)
      }
    },
    afterClose(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      zc.arm(1, server)
      receive(zc, 'piece', client, 2)
      x.close(client)
      zc.see('end')
      x.close(server)
      capacity(x, zc)
      zc.refill()
      capacity(x, zc, 6)
    },
  },
  'zcrx',
)
