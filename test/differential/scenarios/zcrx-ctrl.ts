import * as abi from '../../../uapi/abi/index.ts'
import type { Ring } from '../../../uapi/ring/ring.ts'
import { answer, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { connected, instance, PAGE, WIDE, Zc } from '../zcrx.ts'

/** IORING_REGISTER_ZCRX_CTRL with something changed. */
function control(x: Run, what: string, op: number, change: (ctrl: abi.ZcrxCtrl) => void = () => {}): void {
  const ctrl = new abi.ZcrxCtrl(x.bytes(abi.ZcrxCtrl.SIZE))
  ctrl.op = op
  change(ctrl)
  x.say(what, answer(x.backend(x.r).register(abi.IORING_REGISTER_ZCRX_CTRL, ctrl.bytes, 0)))
}

export const zcrxCtrl: Scenario[] = scenarios(
  'zcrxCtrl',
  {
    arguments(x) {
      const zc = instance(x)
      const raw = (what: string, arg: Uint8Array | null, count: number): void =>
        x.say(what, answer(x.backend(zc.ring).register(abi.IORING_REGISTER_ZCRX_CTRL, arg, count)))
      raw('none', null, 0)
      raw('count', x.bytes(abi.ZcrxCtrl.SIZE), 1)
      raw('flush', x.bytes(abi.ZcrxCtrl.SIZE), 0)
    },
    ids(x) {
      instance(x)
      for (const id of [1, 255, 0xffff_ffff])
        control(x, `${id}`, abi.ZCRX_CTRL_FLUSH_RQ, (ctrl) => {
          ctrl.zcrxId = id
        })
      control(x, 'neither', 77, (ctrl) => {
        ctrl.zcrxId = 1
      })
    },
    noInstance(x) {
      x.ring(WIDE)
      for (const op of [0, 1, 2, 3, 77]) control(x, `${op}`, op)
    },
    plainRing(x) {
      x.ring(0)
      for (const op of [0, 3]) control(x, `${op}`, op)
    },
    operations(x) {
      instance(x)
      for (const op of [4, 5, 100, 0x7fff_ffff]) control(x, `${op}`, op)
    },
    reserved(x) {
      instance(x)
      for (const at of [8, 16, 23, 24, 32, 71])
        control(x, `flush ${at}`, abi.ZCRX_CTRL_FLUSH_RQ, (ctrl) => {
          ctrl.bytes[at] = 1
        })
      for (const at of [8, 24, 28, 71])
        control(x, `export ${at}`, abi.ZCRX_CTRL_EXPORT, (ctrl) => {
          ctrl.bytes[at] = 1
        })
      for (const at of [8, 32, 71])
        for (const good of [false, true]) {
          const area = new abi.ZcrxAreaReg(x.bytes(abi.ZcrxAreaReg.SIZE))
          area.addr = x.r.arena.addressOf(x.pages(PAGE))
          area.len = PAGE
          control(x, `area ${at} ${good}`, abi.ZCRX_CTRL_ADD_AREA, (ctrl) => {
            if (good) ctrl.areaPtr = x.r.arena.addressOf(area.bytes)
            ctrl.bytes[at] = 1
          })
          x.say('token', area.rqAreaToken)
        }
    },
    armWithout(x) {
      instance(x)
      for (const type of [0, 1, 2])
        control(x, `${type}`, abi.ZCRX_CTRL_ARM_EVENT, (ctrl) => {
          ctrl.eventType = type
        })
    },
    addArea(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      x.say('area', zc.ring.addArea(zc.ifq, zc.ring.allocateArea(2 * PAGE)))
      zc.arm(1, server)
      for (let i = 0; i < 5; i++) {
        zc.send(client, 3)
        zc.see(`${i}`, { places: true })
      }
      zc.refill()
      x.say('head', zc.head)
      zc.arm(2, server)
      zc.see('again', { places: true })
    },
    addAreaWhileExhausted(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('the last', { places: true })
      x.say('area', zc.ring.addArea(zc.ifq, zc.ring.allocateArea(PAGE)))
      zc.send(client, 3)
      zc.see('goes on', { places: true })
      zc.send(client, 3)
      zc.see('no memory')
    },
    addAreas(x) {
      const zc = instance(x, { pages: 1 })
      for (let i = 0; i < 6; i++) x.say('area', zc.ring.addArea(zc.ifq, zc.ring.allocateArea(PAGE)))
    },
    addAreaErrors(x) {
      const zc = instance(x)
      const add = (what: string, change: (area: abi.ZcrxAreaReg) => void): void => {
        const area = new abi.ZcrxAreaReg(x.bytes(abi.ZcrxAreaReg.SIZE))
        area.addr = zc.ring.arena.addressOf(x.pages(2 * PAGE))
        area.len = 2 * PAGE
        change(area)
        control(x, what, abi.ZCRX_CTRL_ADD_AREA, (ctrl) => {
          ctrl.areaPtr = zc.ring.arena.addressOf(area.bytes)
        })
        x.say('token', area.rqAreaToken)
      }
      for (const len of [0, 1, PAGE + 1, 2 ** 48])
        add(`length ${len}`, (area) => {
          area.len = len
        })
      add('no address', (area) => {
        area.addr = 0
      })
      add('unaligned', (area) => {
        area.addr += 64
        area.len = PAGE
      })
      add('token', (area) => {
        area.bytes[16] = 1
      })
      for (const flags of [1, 2])
        add(`flags ${flags}`, (area) => {
          area.flags = flags
        })
      add('reserved', (area) => {
        area.bytes[40] = 1
      })
      control(x, 'pointer', abi.ZCRX_CTRL_ADD_AREA, (ctrl) => {
        ctrl.areaPtr = 8
      })
      add('good', () => {})
    },
    disabled(x) {
      const ring = x.ring(WIDE | abi.IORING_SETUP_R_DISABLED)
      const zc = instance(x, { ring })
      zc.flush()
      x.say('area', ring.addArea(zc.ifq, ring.allocateArea(PAGE)))
      x.say('enable', ring.enableRings())
      const [client, server] = x.pair()
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('data')
    },
  },
  'zcrx',
)

/** The instance on another ring; an errno is said. */
function imported(x: Run, zc: Zc, ring: Ring = x.ring(WIDE)): Zc {
  const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
  if (fd < 0) throw new Error(`export: ${abi.errnoName(fd)}`)
  const ifq = ring.importIfq(fd, zc.ifq)
  x.say('closed', x.close(fd))
  if (typeof ifq === 'number') throw new Error(`import: ${abi.errnoName(ifq)}`)
  x.say('imported as', ifq.zcrxId)
  return new Zc(x, ring, ifq)
}

export const zcrxShare: Scenario[] = scenarios(
  'zcrxShare',
  {
    both(x) {
      const [zc, client, server] = connected(x, { pages: 4 })
      const other = imported(x, zc)
      const [otherClient, otherServer] = x.pair(1)
      zc.arm(1, server)
      other.arm(2, otherServer)
      zc.send(client, 3)
      zc.see('maker', { places: true })
      other.send(otherClient, 5)
      other.see('other', { places: true })
      zc.send(client, 7)
      zc.see('maker', { places: true })
      other.see('nothing of it')
    },
    oneQueue(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      const other = imported(x, zc)
      zc.arm(1, server)
      for (let i = 0; i < 2; i++) {
        zc.send(client, 3)
        zc.see(`${i}`, { places: true })
      }
      other.give(zc.held.splice(0))
      other.flush()
      x.say('head', zc.head)
      zc.send(client, 3)
      zc.see('again', { places: true })
    },
    exhaustedTogether(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      const other = imported(x, zc)
      const [otherClient, otherServer] = x.pair(1)
      zc.arm(1, server)
      other.arm(2, otherServer)
      zc.send(client, 3)
      zc.see('the last')
      other.send(otherClient, 3)
      other.see('none')
      zc.refill()
      other.arm(3, otherServer)
      other.see('again')
    },
    makerExits(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      const other = imported(x, zc)
      zc.arm(1, server)
      zc.send(client, 3)
      zc.see('maker')
      x.exit(zc.ring)
      other.arm(2, server)
      other.send(client, 4)
      other.see('the last')
      other.send(client, 4)
      other.see('none: the maker has one')
      other.give(zc.held.splice(0))
      other.flush()
      other.arm(3, server)
      other.see('given back for it')
    },
    otherExits(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      const other = imported(x, zc)
      other.arm(1, server)
      other.send(client, 3)
      other.see('other')
      x.exit(other.ring)
      zc.arm(2, server)
      zc.send(client, 4)
      zc.see('the last')
      zc.send(client, 4)
      zc.see('none')
    },
    intoItself(x) {
      const zc = instance(x)
      const same = imported(x, zc, zc.ring)
      const [client, server] = x.pair()
      same.arm(1, server)
      same.send(client, 3)
      same.see('data')
    },
    twice(x) {
      const zc = instance(x)
      const ring = x.ring(WIDE)
      imported(x, zc, ring)
      const second = imported(x, zc, ring)
      const [client, server] = x.pair()
      second.arm(1, server)
      second.send(client, 3)
      second.see('data')
    },
    addedArea(x) {
      const [zc, client, server] = connected(x, { pages: 1 })
      const other = imported(x, zc)
      x.say('area', other.ring.addArea(other.ifq, other.ring.allocateArea(PAGE)))
      zc.arm(1, server)
      for (let i = 0; i < 3; i++) {
        zc.send(client, 3)
        zc.see(`${i}`, { places: true })
      }
    },
    keptByDescriptor(x) {
      const [zc, client, server] = connected(x, { pages: 2 })
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      x.exit(zc.ring)
      const ring = x.ring(WIDE)
      const ifq = ring.importIfq(fd, zc.ifq)
      x.close(fd)
      if (typeof ifq === 'number') {
        x.say('import', answer(ifq))
        return
      }
      const other = new Zc(x, ring, ifq)
      other.arm(1, server)
      other.send(client, 3)
      other.see('data')
    },
    errors(x) {
      const zc = instance(x)
      const ring = x.ring(WIDE)
      const bring = (what: string, fd: number, on: Ring = ring): void => {
        const ifq = on.importIfq(fd, zc.ifq)
        x.say(what, typeof ifq === 'number' ? answer(ifq) : 'is there')
      }
      bring('no descriptor', 9999)
      bring('a ring', ring.ringFd)
      bring('a socket', x.socket())
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      bring('a plain ring', fd, x.ring(0))
      bring('good', fd)
      x.say('close', x.close(fd))
      bring('closed', fd)
    },
    structure(x) {
      const zc = instance(x)
      const ring = x.ring(WIDE)
      const fd = zc.ring.exportIfq(zc.ifq.zcrxId)
      const bring = (what: string, change: (reg: abi.ZcrxIfqReg) => void): void => {
        const reg = new abi.ZcrxIfqReg(x.bytes(abi.ZcrxIfqReg.SIZE))
        reg.ifIdx = fd
        reg.flags = abi.ZCRX_REG_IMPORT
        change(reg)
        const result = x.backend(ring).register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
        x.say(what, answer(result), 'id', reg.zcrxId, 'entries', reg.rqEntries, 'buffer', reg.rxBufLen)
      }
      bring('queue', (reg) => {
        reg.ifRxq = 1
      })
      bring('entries', (reg) => {
        reg.rqEntries = 8
      })
      bring('area', (reg) => {
        reg.areaPtr = PAGE
      })
      bring('region', (reg) => {
        reg.regionPtr = PAGE
      })
      bring('events', (reg) => {
        reg.eventDesc = PAGE
      })
      bring('buffer', (reg) => {
        reg.rxBufLen = 100
      })
      bring('flags', (reg) => {
        reg.flags |= 4
      })
      bring('good', () => {})
      x.close(fd)
    },
  },
  'zcrx',
)
