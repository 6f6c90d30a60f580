import * as abi from '../../../uapi/abi/index.ts'
import { answer, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, instance, PAGE, WIDE, Zc } from '../zcrx.ts'
import { recvZc } from './recv-zc.ts'
import { recvZcEnd } from './recv-zc-end.ts'
import { cancelZc } from './zcrx-cancel.ts'

/** Programs that say nothing of where data lies, or how it is cut: they run on a NIC's queue as they are. */
const SAME = [
  ...of(recvZc, 'inTheSubmitCall limit limitArmed limitExact limitOverPieces threeLimits pollFirst'),
  ...of(recvZc, 'pollFirstQueued fixedFile twoConnections sendMeanwhile linkedLimit linkedEnd linkTimeout'),
  ...of(recvZc, 'inq poll mixed'),
  ...of(recvZcEnd, 'armed queued nothingQueued closed withLimit belowLimit halfClose ownReadShut'),
  ...of(recvZcEnd, 'ownShut reset closedMeanwhile closeRequest'),
  ...of(cancelZc, 'byUserData byDescriptor allOfDescriptor any thenAgain inOneBatch'),
]

function of(all: readonly Scenario[], names: string): Scenario[] {
  return names.split(' ').map((name) => all.find((each) => each.name.endsWith(`.${name}`))!)
}

/** Asks for an instance on the queue with something changed. */
function ask(x: Run, what: string, change: Partial<Parameters<Run['r']['registerIfq']>[0]>): void {
  const ring = x.ring(WIDE)
  const area = ring.allocateArea(4 * PAGE)
  const ifq = ring.registerIfq({ ...x.world.queue, rqEntries: 8, area, ...change })
  x.say(what, typeof ifq === 'number' ? answer(ifq) : 'is there')
  x.exit(ring)
}

export const queue: Scenario[] = scenarios(
  'queue',
  {
    ...Object.fromEntries(SAME.map(({ name, run }) => [name.split('.')[1]!, run])),
    errors(x) {
      ask(x, 'no interface', { ifIdx: 0 })
      ask(x, 'unknown interface', { ifIdx: 54_321 })
      ask(x, 'queue 99', { ifRxq: 99 })
      ask(x, 'queue ~0', { ifRxq: 0xffff_ffff })
      ask(x, 'odd buffers', { rxBufLen: 5000 })
      ask(x, 'no entries', { rqEntries: 0 })
    },
    taken(x) {
      const zc = instance(x)
      const ifq = zc.ring.registerIfq({ ...x.world.queue, rqEntries: 8, area: zc.ring.allocateArea(PAGE) })
      x.say('on the same ring', typeof ifq === 'number' ? answer(ifq) : 'is there')
      const other = x.ring(WIDE)
      const second = other.registerIfq({ ...x.world.queue, rqEntries: 8, area: other.allocateArea(PAGE) })
      x.say('on another', typeof second === 'number' ? answer(second) : 'is there')
    },
    again(x) {
      for (let i = 0; i < 3; i++) {
        const [zc, client, server] = connected(x, { pages: 128 })
        zc.arm(1, server)
        zc.send(client, 100)
        zc.see(`${i}`)
        x.close(client)
        zc.see(`end ${i}`)
        x.close(server)
        x.exit(zc.ring)
      }
    },
    stream(x) {
      const [zc, client, server] = connected(x, { pages: 256, entries: 256 })
      zc.arm(1, server)
      for (let i = 0; i < 12; i++) {
        zc.send(client, 20_000)
        zc.see(`${i}`)
        zc.refill()
      }
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    refillsAreRead(x) {
      const [zc, client, server] = connected(x, { pages: 128, entries: 256 })
      zc.arm(1, server)
      for (let i = 0; i < 12; i++) {
        zc.send(client, 20_000)
        zc.see(`${i}`)
        zc.give(zc.held.splice(0))
      }
      x.say('head moved', zc.head > 0)
    },
    starves(x) {
      const [zc, client, server] = connected(x, { pages: 16, entries: 64 })
      zc.arm(1, server)
      // More than the buffers take: the rest is dropped, and comes again when there are some.
      const bytes = x.bytes(40_000)
      for (let i = 0; i < bytes.length; i++) bytes[i] = 97 + (i % 26)
      x.call((s) => s.prepSend(client, bytes, abi.MSG_NOSIGNAL))
      let got = 0
      for (let i = 0; i < 40 && got < bytes.length; i++) {
        for (const { res } of x.take({ ring: zc.ring, ms: 250 })) got += res
        for (let at = 0; at < 16; at++) zc.entry(0, at * PAGE)
        zc.flush()
      }
      x.say('all of it', got)
      x.shutdown(client, abi.SHUT_WR)
      zc.see('end')
    },
    otherInstance(x) {
      const [, client, server] = connected(x, { pages: 128 })
      const copies = x.ring(WIDE)
      const ifq = copies.registerIfq({
        ifIdx: 0,
        ifRxq: 0,
        flags: abi.ZCRX_REG_NODEV,
        rqEntries: 8,
        area: copies.allocateArea(4 * PAGE),
      })
      if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
      const other = new Zc(x, copies, ifq)
      other.send(client, 10)
      other.arm(1, server)
      other.see('is not for it')
      x.say('recv', x.recv(server))
    },
    recvOfData(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      zc.send(client, 10)
      x.say('recv', x.recv(server))
      const buffer = x.bytes(8)
      x.go(1, (s) => s.prepRecv(server, buffer, abi.MSG_PEEK))
      zc.see('peek')
      zc.arm(2, server)
      zc.see('data')
    },
    beforeTheInstance(x) {
      const [client, server] = x.pair()
      x.send(client, 10)
      const zc = instance(x, { pages: 128 })
      zc.arm(1, server)
      zc.see('copied')
      zc.send(client, 10)
      zc.see('in place')
    },
    ringExits(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      zc.arm(1, server, 4)
      zc.send(client, 10)
      zc.see('four')
      x.exit(zc.ring)
      x.say('recv', x.recv(server))
    },
    ringExitsUnread(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      zc.send(client, 10)
      x.exit(zc.ring)
      const again = instance(x, { pages: 128 })
      again.arm(1, server)
      again.see('of another')
    },
    afterTheRing(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      zc.arm(1, server)
      zc.send(client, 10)
      zc.see('data')
      x.exit(zc.ring)
      // Linux gives the queue back some time later; what comes until then is nobody's.
      x.see('given back', { ring: x.ring(), ms: 1000 })
      zc.send(client, 5)
      x.say('recv', x.recv(server))
    },
    fullQueue(x) {
      const [zc, client, server] = connected(x, { pages: 128, params: { entries: 2, cqEntries: 2 } })
      for (let i = 0; i < 3; i++) zc.send(client, 3)
      zc.arm(1, server)
      zc.see('forgiven')
      for (let i = 0; i < 3; i++) zc.send(client, 3)
      zc.see('goes on')
    },
    loopbackOnInstance(x) {
      const zc = instance(x, { pages: 128 })
      const [client, server] = x.pair()
      zc.arm(1, server)
      zc.send(client, 8000)
      zc.see('data')
      zc.send(client, 8000)
      zc.see('more')
      x.say('areas', new Set(zc.held.map(({ areaId }) => areaId)).size)
    },
    statistics(x) {
      const [zc, client, server] = connected(x, { pages: 128, events: { userData: 900, typeMask: 3 } })
      zc.arm(1, server)
      zc.send(client, 5000)
      zc.see('in place')
      x.say('copied', zc.ifq.copyStats?.copyBytes)
    },
    addArea(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      x.say('area', zc.ring.addArea(zc.ifq, zc.ring.allocateArea(128 * PAGE)))
      zc.arm(1, server)
      zc.send(client, 100)
      const seen = zc.see('data')
      x.say('held', zc.held.length === seen.length)
    },
    shared(x) {
      const [zc, client, server] = connected(x, { pages: 128 })
      const ring = x.ring(WIDE)
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      const ifq = ring.importIfq(fd, zc.ifq)
      x.close(fd)
      if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
      const other = new Zc(x, ring, ifq)
      const [otherClient, otherServer] = x.pair(1)
      zc.arm(1, server)
      other.arm(2, otherServer)
      zc.send(client, 10)
      zc.see('maker')
      other.send(otherClient, 20)
      other.see('other')
      x.exit(zc.ring)
      other.send(otherClient, 30)
      other.see('goes on')
      other.arm(3, server)
      other.send(client, 5)
      other.see('takes over')
    },
  },
  'queue',
)
