import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, PAGE, WIDE, Zc } from '../zcrx.ts'

const { ZCRX_EVENT_ALLOC_FAIL: ALLOC_FAIL, ZCRX_EVENT_COPY: COPY } = abi
/** Events are told behind everything else. */
const userData = 900
const BOTH = (1 << ALLOC_FAIL) | (1 << COPY)

function counts(zc: Zc): string {
  const { copyStats } = zc.ifq
  return copyStats === null ? 'none' : `${copyStats.copyBytes} bytes`
}

export const zcrxEvents: Scenario[] = scenarios(
  'zcrxEvents',
  {
    copyOnce(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: BOTH } })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('first')
      zc.send(client, 3)
      zc.see('second')
      x.say('arm', answer(zc.ring.armEvent(zc.ifq.zcrxId, COPY)))
      zc.send(client, 3)
      zc.see('armed')
    },
    queued(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: BOTH } })
      zc.send(client, 3)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady())
      zc.see('all', { inOrder: true })
    },
    armErrors(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: 1 << COPY } })
      const arm = (type: number): void => x.say('arm', type, answer(zc.ring.armEvent(zc.ifq.zcrxId, type)))
      for (const type of [ALLOC_FAIL, COPY, 2, 31, 32]) arm(type)
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('told')
      arm(COPY)
      arm(COPY)
    },
    statistics(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: 0 } })
      zc.arm(1, server)
      for (const bytes of [1, 100, PAGE, 5000]) {
        zc.send(client, bytes)
        zc.see(`${bytes}`)
        x.say(counts(zc))
      }
    },
    copyCount(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: 0 } })
      zc.arm(1, server)
      for (let i = 0; i < 3; i++) {
        zc.send(client, 3)
        zc.see(`${i}`)
        x.say('count', zc.ifq.copyStats?.copyCount)
      }
    },
    noMemory(x) {
      const [zc, client, server] = connected(x, { pages: 1, events: { userData, typeMask: BOTH } })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('the last')
      zc.send(client, 3)
      zc.see('no memory')
      x.say(counts(zc))
      zc.refill()
      zc.arm(2, server)
      zc.see('then')
      x.say(counts(zc))
    },
    limits(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: 0 } })
      zc.send(client, 10)
      for (let i = 1; i <= 3; i++) {
        zc.arm(i, server, 3)
        zc.see(`${i}`)
        x.say(counts(zc))
      }
    },
    overflows(x) {
      const [zc, client, server] = connected(x, {
        params: { entries: 2, cqEntries: 2 },
        events: { userData, typeMask: BOTH },
      })
      zc.send(client, 8000)
      zc.arm(1, server)
      x.say('ready', zc.ring.cqReady())
      zc.see('all')
    },
    mixed(x) {
      const [zc, client, server] = connected(x, {
        setup: DEFER | abi.IORING_SETUP_CQE_MIXED,
        events: { userData, typeMask: BOTH },
      })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('all')
    },
    toldAfterTheMaker(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: BOTH } })
      const ring = x.ring(WIDE)
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      const ifq = ring.importIfq(fd, zc.ifq)
      x.close(fd)
      if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
      const other = new Zc(x, ring, ifq)
      x.exit(zc.ring)
      other.see('nothing', { ms: 300 })
      other.arm(1, server)
      for (let i = 0; i < 2; i++) {
        other.send(client, 3)
        other.see('data')
        x.say('arm', answer(ring.armEvent(ifq.zcrxId, COPY)), counts(other))
      }
    },
    ofTheMaker(x) {
      const [zc, client, server] = connected(x, { events: { userData, typeMask: BOTH } })
      const ring = x.ring(WIDE)
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      const ifq = ring.importIfq(fd, zc.ifq)
      x.close(fd)
      if (typeof ifq === 'number') throw new Error(abi.errnoName(ifq))
      const other = new Zc(x, ring, ifq)
      other.arm(1, server)
      other.send(client, 3)
      other.see('data')
      zc.see('event')
      x.say('arm', answer(ring.armEvent(ifq.zcrxId, COPY)))
      other.send(client, 3)
      other.see('data')
      zc.see('event')
      x.exit(zc.ring)
      other.see('nothing', { ms: 300 })
      other.send(client, 3)
      other.see('data')
      x.say('arm', answer(ring.armEvent(ifq.zcrxId, COPY)), counts(other))
    },
  },
  'zcrx',
)
