import * as abi from '../../../uapi/abi/index.ts'
import type { Ring } from '../../../uapi/ring/ring.ts'
import { answer, DEFER, type Run } from '../run.ts'
import { type Scenario, scenarios } from '../scenario.ts'
import { instance, PAGE, WIDE } from '../zcrx.ts'

/** The structures of a registration that succeeds as they are. */
interface Registration {
  readonly reg: abi.ZcrxIfqReg
  readonly area: abi.ZcrxAreaReg
  readonly region: abi.RegionDesc
  readonly event: abi.ZcrxEventDesc
}

const REGION = 2 * PAGE
const STATS_AT = PAGE
const AREA = 4 * PAGE

/** Asks for an instance with something changed: an errno, or what was written back. Returns whether there is one now. */
function ask(x: Run, what: string, change: (r: Registration) => void, ring: Ring = x.r): boolean {
  const registration: Registration = {
    reg: new abi.ZcrxIfqReg(x.bytes(abi.ZcrxIfqReg.SIZE)),
    area: new abi.ZcrxAreaReg(x.bytes(abi.ZcrxAreaReg.SIZE)),
    region: new abi.RegionDesc(x.bytes(abi.RegionDesc.SIZE)),
    event: new abi.ZcrxEventDesc(x.bytes(abi.ZcrxEventDesc.SIZE)),
  }
  const { reg, area, region } = registration
  const { arena } = ring
  area.addr = arena.addressOf(x.pages(AREA))
  area.len = AREA
  region.userAddr = arena.addressOf(x.pages(REGION))
  region.size = REGION
  region.flags = abi.IORING_MEM_REGION_TYPE_USER
  reg.flags = abi.ZCRX_REG_NODEV
  reg.rqEntries = 8
  reg.areaPtr = arena.addressOf(area.bytes)
  reg.regionPtr = arena.addressOf(region.bytes)
  change(registration)
  const result = x.backend(ring).register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
  if (result < 0) {
    x.say(what, answer(result))
    return false
  }
  const { head, tail, rqes } = reg.offsets
  x.say(what, result, 'id', reg.zcrxId, 'entries', reg.rqEntries, 'buffer', reg.rxBufLen)
  x.say('offsets', head, tail, rqes, 'token', area.rqAreaToken, 'mmap', region.mmapOffset)
  return true
}

/** As `ask`, with an event descriptor. */
function askEvents(x: Run, what: string, change: (event: abi.ZcrxEventDesc) => void): void {
  ask(x, what, ({ reg, event }) => {
    event.userData = 9
    change(event)
    reg.eventDesc = x.r.arena.addressOf(event.bytes)
  })
}

export const zcrx: Scenario[] = scenarios(
  'zcrx',
  {
    entries(x) {
      x.ring(WIDE)
      for (const entries of [1, 2, 3, 5, 8, 100, 256])
        ask(x, `${entries}`, ({ reg }) => {
          reg.rqEntries = entries
        })
    },
    entriesErrors(x) {
      x.ring(WIDE)
      for (const entries of [0, 512, 32_768, 32_769, 0xffff_ffff])
        ask(x, `${entries}`, ({ reg }) => {
          reg.rqEntries = entries
        })
    },
    entriesClamped(x) {
      x.ring(WIDE | abi.IORING_SETUP_CLAMP)
      ask(x, 'many', ({ reg, region }) => {
        reg.rqEntries = 40_000
        region.userAddr = x.r.arena.addressOf(x.pages(136 * PAGE))
        region.size = 136 * PAGE
      })
    },
    rings(x) {
      const setups: Readonly<Record<string, number>> = {
        plain: 0,
        'CQE32 alone': abi.IORING_SETUP_CQE32,
        'DEFER alone': DEFER,
        'SINGLE_ISSUER and CQE32': abi.IORING_SETUP_SINGLE_ISSUER | abi.IORING_SETUP_CQE32,
        'COOP and CQE32': abi.IORING_SETUP_COOP_TASKRUN | abi.IORING_SETUP_CQE32,
        mixed: DEFER | abi.IORING_SETUP_CQE_MIXED,
        disabled: WIDE | abi.IORING_SETUP_R_DISABLED,
        SQE128: WIDE | abi.IORING_SETUP_SQE128,
        TASKRUN_FLAG: WIDE | abi.IORING_SETUP_TASKRUN_FLAG,
        IOPOLL: WIDE | abi.IORING_SETUP_IOPOLL,
      }
      for (const [what, flags] of Object.entries(setups)) ask(x, what, () => {}, x.ring(flags))
    },
    arguments(x) {
      const ring = x.ring(WIDE)
      const raw = (what: string, arg: Uint8Array | null, count: number): void =>
        x.say(what, answer(x.backend(ring).register(abi.IORING_REGISTER_ZCRX_IFQ, arg, count)))
      raw('none', null, 1)
      raw('count 0', x.bytes(96), 0)
      raw('count 2', x.bytes(96), 2)
      raw('empty', x.bytes(96), 1)
    },
    flags(x) {
      x.ring(WIDE)
      for (const flags of [4, 8, 1 << 31, abi.ZCRX_REG_NODEV | abi.ZCRX_REG_IMPORT, abi.ZCRX_REG_NODEV | 4])
        ask(x, `0x${(flags >>> 0).toString(16)}`, ({ reg }) => {
          reg.flags = flags
        })
    },
    topLevel(x) {
      x.ring(WIDE)
      ask(x, 'id', ({ reg }) => {
        reg.zcrxId = 1
      })
      for (const at of [80, 88, 95])
        ask(x, `reserved ${at}`, ({ reg }) => {
          reg.bytes[at] = 1
        })
      ask(x, 'interface', ({ reg }) => {
        reg.ifIdx = 1
      })
      ask(x, 'queue', ({ reg }) => {
        reg.ifRxq = 1
      })
      ask(x, 'offsets', ({ reg }) => {
        reg.setOffsets(1, 2, 3)
      })
      ask(x, 'no area', ({ reg }) => {
        reg.areaPtr = 0
      })
      ask(x, 'bad area', ({ reg }) => {
        reg.areaPtr = 8
      })
      ask(x, 'no region', ({ reg }) => {
        reg.regionPtr = 0
      })
      ask(x, 'bad region', ({ reg }) => {
        reg.regionPtr = 8
      })
    },
    devices(x) {
      x.ring(WIDE)
      ask(x, 'no interface', ({ reg }) => {
        reg.flags = 0
      })
      ask(x, 'unknown interface', ({ reg }) => {
        reg.flags = 0
        reg.ifIdx = 54_321
      })
      ask(x, 'no queue', ({ reg }) => {
        reg.flags = 0
        reg.ifIdx = 54_321
        reg.ifRxq = 0xffff_ffff
      })
    },
    region(x) {
      x.ring(WIDE)
      for (const size of [0, 100, PAGE, PAGE + 1])
        ask(x, `size ${size}`, ({ region }) => {
          region.size = size
        })
      ask(x, 'too small', ({ reg, region }) => {
        reg.rqEntries = 256
        region.size = PAGE
      })
      ask(x, 'just fits', ({ reg, region }) => {
        reg.rqEntries = 128
        region.size = PAGE
      })
      ask(x, 'unaligned', ({ region }) => {
        region.userAddr += 64
      })
      ask(x, 'no address', ({ region }) => {
        region.userAddr = 0
      })
      ask(x, 'unmapped', ({ region }) => {
        region.userAddr = PAGE
      })
      for (const flags of [2, 4, 1 << 31])
        ask(x, `flags ${flags}`, ({ region }) => {
          region.flags = flags | abi.IORING_MEM_REGION_TYPE_USER
        })
      ask(x, 'id', ({ region }) => {
        region.bytes[20] = 1
      })
      ask(x, 'mmap offset', ({ region }) => {
        region.mmapOffset = PAGE
      })
      for (const at of [32, 63])
        ask(x, `reserved ${at}`, ({ region }) => {
          region.bytes[at] = 1
        })
    },
    regionOfRing(x) {
      x.ring(WIDE)
      const own = ({ region }: Registration): void => {
        region.flags = 0
        region.userAddr = 0
      }
      ask(x, 'first', own)
      ask(x, 'second', own)
      ask(x, 'with an address', ({ region }) => {
        region.flags = 0
      })
      ask(x, 'too small', (r) => {
        own(r)
        r.reg.rqEntries = 1024
      })
      const mapped = x.backend(x.r).mmap(0x3000_0000, REGION)
      x.say('mapped', typeof mapped === 'number' ? answer(mapped) : mapped.length)
      const none = x.backend(x.r).mmap(0x3000_0000 + (5 << 16), REGION)
      x.say('none', typeof none === 'number' ? answer(none) : none.length)
    },
    area(x) {
      x.ring(WIDE)
      for (const len of [0, 1, 100, PAGE, PAGE + 1, 3 * PAGE])
        ask(x, `length ${len}`, ({ area }) => {
          area.len = len
        })
      ask(x, 'no address', ({ area }) => {
        area.addr = 0
      })
      ask(x, 'unaligned', ({ area }) => {
        area.addr += 64
        area.len = PAGE
      })
      ask(x, 'unmapped', ({ area }) => {
        area.addr = PAGE
        area.len = PAGE
      })
      ask(x, 'too long', ({ area }) => {
        area.len = 2 ** 48
      })
      const wraps: Readonly<Record<string, readonly [high: number, bytes: number]>> = {
        'a page at the end': [0xffff_ffff, PAGE],
        'two pages at the end': [0xffff_ffff, 2 * PAGE],
        'many at the end': [0xffff_ffff, 2 ** 40],
        'very many at the end': [0xffff_ffff, 2 ** 44],
        'in the middle': [0x8000_0000, 2 ** 30],
      }
      for (const [what, [high, bytes]] of Object.entries(wraps))
        ask(x, what, ({ area }) => {
          new Uint32Array(area.bytes.buffer, area.bytes.byteOffset, 2).set([0xffff_f000, high])
          area.len = bytes
        })
      // From where nothing is mapped: what is would be pinned, all of it.
      for (const power of [31, 32, 40])
        ask(x, `length 2^${power}`, ({ area }) => {
          area.addr = PAGE
          area.len = 2 ** power
        })
      for (const power of [42, 43, 44, 47, 52])
        ask(x, `length 2^${power}`, ({ area }) => {
          area.len = 2 ** power
        })
      for (const [high, low] of [
        [0xffff_ffff, 0xffff_f000],
        [0xffff_f000, 0],
        [0xf000_0000, 0],
        [0x8000_0000, 0],
      ])
        ask(x, `length ${high!.toString(16)}:${low!.toString(16)}`, ({ area }) => {
          new Uint32Array(area.bytes.buffer, area.bytes.byteOffset + 8, 2).set([low!, high!])
        })
      ask(x, 'token', ({ area }) => {
        area.bytes[16] = 1
      })
      for (const flags of [1, 2, 4])
        ask(x, `flags ${flags}`, ({ area }) => {
          area.flags = flags
        })
      ask(x, 'descriptor without flag', ({ area }) => {
        area.dmabufFd = 3
      })
      for (const at of [32, 47])
        ask(x, `reserved ${at}`, ({ area }) => {
          area.bytes[at] = 1
        })
    },
    bufferLengths(x) {
      x.ring(WIDE)
      for (const length of [0, PAGE, 1, 100, 2048, 6000, 8192, 65_536, 1 << 30, 2 ** 31])
        ask(x, `${length}`, ({ reg }) => {
          reg.rxBufLen = length
        })
    },
    ids(x) {
      x.ring(WIDE)
      ask(x, 'first', () => {})
      ask(x, 'refused', ({ reg }) => {
        reg.rqEntries = 0
      })
      ask(x, 'second', () => {})
      const other = x.ring(WIDE)
      ask(x, 'other ring', () => {}, other)
    },
    sameMemory(x) {
      x.ring(WIDE)
      const address = x.r.arena.addressOf(x.pages(AREA))
      const same = ({ area }: Registration): void => {
        area.addr = address
      }
      ask(x, 'first', same)
      ask(x, 'second', same)
      ask(x, 'the queue itself', ({ area, region }) => {
        area.addr = region.userAddr
        area.len = REGION
      })
    },
    headerIsZeroed(x) {
      x.ring(WIDE)
      const memory = x.pages(REGION).fill(0xcc)
      const data = x.pages(AREA).fill(0xcc)
      ask(x, 'filled', ({ region, area }) => {
        region.userAddr = x.r.arena.addressOf(memory)
        area.addr = x.r.arena.addressOf(data)
      })
      x.say('zeroes', memory.filter((byte) => byte === 0).length, data.filter((byte) => byte === 0).length)
    },
    refusedWrites(x) {
      x.ring(WIDE)
      const refused = (what: string, change: (r: Registration) => void): void => {
        const memory = x.pages(REGION).fill(0xcc)
        ask(x, what, (r) => {
          r.region.userAddr = x.r.arena.addressOf(memory)
          change(r)
        })
        x.say('written', memory.filter((byte) => byte !== 0xcc).length)
      }
      refused('area', ({ area }) => {
        area.len = 1
      })
      refused('token', ({ area }) => {
        area.bytes[16] = 1
      })
      refused('no area', ({ reg }) => {
        reg.areaPtr = 0
      })
      refused('buffers', ({ reg }) => {
        reg.rxBufLen = 5000
      })
      refused('large buffers', ({ reg }) => {
        reg.rxBufLen = 8192
      })
      refused('entries', ({ reg }) => {
        reg.rqEntries = 0
      })
      refused('too many entries', ({ reg }) => {
        reg.rqEntries = 512
      })
      refused('events', ({ reg }) => {
        reg.eventDesc = 8
      })
      refused('statistics', ({ reg, event }) => {
        event.flags = abi.ZCRX_EVENT_DESC_FLAG_STATS
        event.statsOffset = REGION
        reg.eventDesc = x.r.arena.addressOf(event.bytes)
      })
      refused('interface', ({ reg }) => {
        reg.flags = 0
        reg.ifIdx = 54_321
      })
    },
    order(x) {
      x.ring(WIDE)
      const wrong: Readonly<Record<string, (r: Registration) => void>> = {
        'unknown flags': ({ reg }) => {
          reg.flags = 8
        },
        reserved: ({ reg }) => {
          reg.bytes[80] = 1
        },
        id: ({ reg }) => {
          reg.zcrxId = 1
        },
        interface: ({ reg }) => {
          reg.ifIdx = 1
        },
        'queue ~0': ({ reg }) => {
          reg.flags = 0
          reg.ifRxq = 0xffff_ffff
        },
        'no entries': ({ reg }) => {
          reg.rqEntries = 0
        },
        'too many': ({ reg }) => {
          reg.rqEntries = 40_000
        },
        'odd buffers': ({ reg }) => {
          reg.rxBufLen = 5000
        },
        'large buffers': ({ reg }) => {
          reg.rxBufLen = 8192
        },
        'bad events': ({ reg }) => {
          reg.eventDesc = 8
        },
        'area flags': ({ area }) => {
          area.flags = 8
        },
        'unknown interface': ({ reg }) => {
          reg.flags = 0
          reg.ifIdx = 54_321
        },
      }
      const pointers: Readonly<Record<string, (r: Registration) => void>> = {
        'no region': ({ reg }) => {
          reg.regionPtr = 0
        },
        'no area': ({ reg }) => {
          reg.areaPtr = 0
        },
        'region unmapped': ({ region }) => {
          region.userAddr = PAGE
        },
        'area unmapped': ({ area }) => {
          area.addr = PAGE
        },
      }
      for (const [one, change] of Object.entries(wrong))
        for (const [other, also] of Object.entries(pointers))
          ask(x, `${one} and ${other}`, (r) => {
            change(r)
            also(r)
          })
    },
    events(x) {
      x.ring(WIDE)
      for (const mask of [0, 1, 2, 3, 4, 1 << 31])
        askEvents(x, `mask ${mask}`, (event) => {
          event.typeMask = mask
        })
      for (const at of [24, 95])
        askEvents(x, `reserved ${at}`, (event) => {
          event.bytes[at] = 1
        })
      ask(x, 'pointer', ({ reg }) => {
        reg.eventDesc = 8
      })
    },
    statistics(x) {
      x.ring(WIDE)
      for (const at of [STATS_AT, STATS_AT + 8, STATS_AT + 4, 0, 128, 256, REGION - 16, REGION - 8, REGION])
        askEvents(x, `at ${at}`, (event) => {
          event.flags = abi.ZCRX_EVENT_DESC_FLAG_STATS
          event.statsOffset = at
        })
      askEvents(x, 'offset without flag', (event) => {
        event.statsOffset = STATS_AT
      })
      askEvents(x, 'flags', (event) => {
        event.flags = 2
      })
    },
    many(x) {
      const ring = x.ring(WIDE)
      for (let i = 0; i < 20; i++) x.say('id', instance(x, { ring, pages: 1, entries: 1 }).ifq.zcrxId)
    },
    again(x) {
      for (let i = 0; i < 3; i++) {
        const zc = instance(x)
        x.say('id', zc.ifq.zcrxId)
        x.exit(zc.ring)
      }
    },
  },
  'zcrx',
)
