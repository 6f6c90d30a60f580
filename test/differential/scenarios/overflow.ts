import * as abi from '../../../uapi/abi/index.ts'
import { answer, DEFER, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'

/** Submits so many NOPs, and says how the queue is afterwards. */
function nops(x: Run, first: number, count: number): void {
  for (let i = 0; i < count; i++) x.put(first + i, (s) => s.prepNop())
  x.say('submit', answer(x.r.submit()), 'ready', x.r.cqReady(), 'work', x.r.hasWork())
}

export const overflow: Scenario[] = scenarios('overflow', {
  plain(x) {
    x.ring(0, { entries: 4, cqEntries: 4 })
    for (let lap = 0; lap < 3; lap++) nops(x, lap * 4, 4)
    x.see('all', { inOrder: true })
    nops(x, 20, 2)
    x.see('then', { inOrder: true })
  },
  deferred(x) {
    x.ring(DEFER, { entries: 4, cqEntries: 4 })
    for (let lap = 0; lap < 3; lap++) nops(x, lap * 4, 4)
    x.see('all', { inOrder: true })
  },
  bitByBit(x) {
    x.ring(0, { entries: 2, cqEntries: 2 })
    for (let lap = 0; lap < 4; lap++) nops(x, lap * 2, 2)
    for (let i = 0; i < 9; i++) {
      const cqe = x.r.peekCqe()
      x.say('next', cqe === null ? 'none' : cqe.userData, 'work', x.r.hasWork())
      if (cqe !== null) x.r.cqeSeen(cqe)
    }
  },
  multishot(x) {
    const r = x.ring(DEFER, { entries: 4, cqEntries: 4 })
    const [client, server] = x.pair()
    const group = r.setupBufRing(16, 1)
    if (typeof group === 'number') throw new Error(abi.errnoName(group))
    for (let i = 0; i < 16; i++) group.bufRingAdd(x.bytes(4), i)
    group.bufRingAdvance()
    x.send(client, 40)
    x.go(1, (s) => s.prepRecvMultishot(server, 1))
    x.say('get events', r.getEvents(), 'ready', r.cqReady())
    x.say('again', r.getEvents(), 'ready', r.cqReady(), 'work', r.hasWork())
    x.see('all')
    x.send(client, 3)
    x.see('then')
  },
  multishotAccept(x) {
    const r = x.ring(DEFER, { entries: 2, cqEntries: 2 })
    const listener = x.listen()
    x.go(1, (s) => s.prepMultishotAccept(listener))
    for (let i = 0; i < 4; i++) {
      const client = x.client()
      x.call((s) => s.prepConnect(client, x.server()))
    }
    x.say('ready', r.cqReady())
    x.see('all')
  },
  messages(x) {
    const target = x.ring(0, { entries: 2, cqEntries: 2 })
    const from = x.ring()
    for (let i = 0; i < 4; i++) x.put(i, (s) => s.prepMsgRing(target.ringFd, i, 100 + i), from)
    x.say('submit', from.submit())
    x.see('sender', { ring: from })
    x.see('target', { ring: target, inOrder: true })
  },
  counter(x) {
    x.ring(0, { entries: 2, cqEntries: 2 })
    for (let lap = 0; lap < 3; lap++) nops(x, lap * 2, 2)
    const { control, cqOverflowAt } = x.r.memory
    x.say('overflow', control[cqOverflowAt])
    x.see('all')
    x.say('overflow', control[cqOverflowAt])
  },
})
