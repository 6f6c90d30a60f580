import * as abi from '../../uapi/abi/index.ts'
import { changeByWords } from './field-words.ts'
import { DEVICE_INDEX } from './machine.ts'
import { BAD_POINTER, HUGE_PAGE, PAGE, UNMAPPED } from './memory.ts'
import { NoTranslation, type Play } from './play.ts'
import { type JsonObject, numberOf, type Scenario } from './record.ts'
import { errnoOf, Registration, type RegistrationOptions } from './registration.ts'
import { hex } from './structs.ts'
import { TestRing, ZC_RING_FLAGS } from './test-ring.ts'

/** What a name changes about a registration that would succeed. */
type Change = (registration: Registration, play: Play, match: RegExpExecArray) => void

/** @param interface by the name that the record calls it */
type CaseOptions = Partial<RegistrationOptions> & { readonly interface?: string }

interface Case {
  readonly name: RegExp
  readonly options?: (match: RegExpExecArray, scenario: Scenario) => CaseOptions
  readonly change?: Change
}

const NO_INTERFACE = 9999
/** Entries that the region of the `rq_entries_` cases has room for. */
const ROOMY_ENTRIES = 65_536
const BAD_FD = 9999

const device = (name: string): CaseOptions => ({ flags: 0, interface: name })
/** What is asked lies in the set-up alone. @throws NoTranslation when it does not */
const asSetUp =
  (key: string) =>
  (_match: RegExpExecArray, { name, setup }: Scenario): Partial<RegistrationOptions> => {
    if (setup[key] === undefined) throw new NoTranslation(`${name} without ${key}`)
    return {}
  }

const CASES: readonly Case[] = [
  { name: /^ok(_basic)?$/ },
  {
    name: /^rq_entries_(\d+)$/,
    options: ([, n]) => ({
      rqEntries: Number(n),
      regionSize: Math.ceil((128 + 16 * ROOMY_ENTRIES) / PAGE) * PAGE,
    }),
  },
  {
    name: /^region_fit_(\d+)_entries_(\d+)_pages?$/,
    options: ([, n, pages]) => ({ rqEntries: Number(n), regionSize: Number(pages) * PAGE }),
  },
  { name: /^region_ptr_null$/, change: (r) => r.reg.set('region_ptr', 0) },
  { name: /^region_ptr_(bad|unmapped)$/, change: (r) => r.reg.set('region_ptr', BAD_POINTER) },
  { name: /^region_addr_null$/, change: (r) => r.region.set('user_addr', 0) },
  {
    name: /^region_addr_unaligned$/,
    change: (r) => r.region.set('user_addr', r.region.get('user_addr') + 64),
  },
  { name: /^region_(addr|memory)_unmapped$/, change: (r) => r.region.set('user_addr', UNMAPPED) },
  { name: /^region_size_larger$/, options: () => ({ regionSize: 5 * PAGE }) },
  { name: /^region_size_beyond_mapping$/, change: (r) => r.region.set('size', r.region.get('size') + PAGE) },
  { name: /^region_(flags_0_)?kernel_memory$|^region_flags_0_kernel_memory$/, change: kernelRegion },
  { name: /^region_flags_0_kernel_memory_(small|too_small|size_0)$/, change: kernelRegion },
  { name: /^region_flags_0_with_addr$/, change: (r) => r.region.set('flags', 0) },
  { name: /^region_flags_(\d+)$/, change: (r, _p, [, n]) => r.region.set('flags', 1 | Number(n)) },
  { name: /^region_readonly(_memory)?$/, change: (r) => r.memory.makeReadOnly(r.regionMemory) },
  { name: /^area_ptr_null$/, change: (r) => r.reg.set('area_ptr', 0) },
  { name: /^area_ptr_(bad|unmapped)$/, change: (r) => r.reg.set('area_ptr', BAD_POINTER) },
  { name: /^area_len_(\d+)$/, change: (r, _p, [, n]) => r.area.set('len', Number(n)) },
  { name: /^area_addr_off_(\d+)$/, change: (r, _p, [, n]) => shiftArea(r, Number(n)) },
  {
    name: /^area_(addr_unmapped|unmapped|unmapped_whole|all_unmapped)$/,
    change: (r) => r.area.set('addr', UNMAPPED),
  },
  {
    name: /^area_unmapped_first(_page)?$|^area_first_page_unmapped$/,
    change: (r) => r.area.set('addr', r.area.get('addr') - PAGE),
  },
  {
    name: /^area_unmapped_last(_page)?$|^area_last_page_unmapped$|^area_(len_)?beyond_mapping$|^area_partly_unmapped$/,
    change: (r) => r.area.set('len', r.area.get('len') + PAGE),
  },
  {
    name: /^area_unmapped_(middle|hole)(_page)?$|^area_(middle_page_unmapped|hole)$/,
    change: hole,
  },
  { name: /^area_readonly(_memory)?$/, change: (r) => r.memory.makeReadOnly(r.areaMemory) },
  { name: /^area_token_nonzero$/, change: (r) => r.area.set('rq_area_token', 1) },
  { name: /^area_resv_nonzero$/, change: (r) => r.area.set('__resv2[0]', 1) },
  { name: /^area_resv(\d)_nonzero$/, change: (r, _p, [, n]) => r.area.set(`__resv2[${n}]`, 1) },
  { name: /^area_flags_(\d+)$/, change: (r, _p, [, n]) => r.area.set('flags', Number(n)) },
  { name: /^area_dmabuf_fd_without_flag$/, change: (r) => r.area.set('dmabuf_fd', 5) },
  { name: /^area_dmabuf_bad_fd$/, change: (r) => dmabuf(r, BAD_FD) },
  { name: /^area_dmabuf_bad_fd_dev$/, options: () => device('lo'), change: (r) => dmabuf(r, BAD_FD) },
  { name: /^area_dmabuf_(udmabuf|memfd)$/, change: (r, p) => dmabuf(r, p.machine.openOther('memfd')) },
  { name: /^area_dmabuf_with_addr$/, change: (r, p) => dmabufKeepsAddress(r, p.machine.openOther('memfd')) },
  { name: /^area_(\d+)_pages?$/, options: ([, n]) => ({ areaPages: Number(n) }) },
  { name: /^area_len_(huge|1_48)$/, change: (r) => r.area.set('len', 2 ** 48) },
  { name: /^area_addr_(overflow|wrap)$|^area_(wrap|overflow)$/, change: wrap },
  {
    name: /^area_is_(\w*(file|shared?|shmem|memfd)\w*)$/,
    change: (r, p) => r.useArea(p.machine.mapFile(r.areaMemory.length)),
  },
  { name: /^area_overlaps_rq$/, change: (r) => r.useArea(r.regionMemory) },
  { name: /^area_hugepage$/, options: () => ({ huge: true, areaPages: 512 }) },
  { name: /^nodev_if_idx_(\d+|lo)$/, options: ([, n]) => ({ ifIdx: n === 'lo' ? 1 : Number(n) }) },
  { name: /^nodev_if_rxq_(\d+)$/, options: ([, n]) => ({ ifRxq: Number(n) }) },
  { name: /^nodev_if_rxq_max$/, options: () => ({ ifRxq: 0xffff_ffff }) },
  { name: /^dev_if_rxq_max$/, options: () => ({ ...device('lo'), ifRxq: 0xffff_ffff }) },
  { name: /^dev_if_idx_0$/, options: () => ({ flags: 0, ifIdx: 0 }) },
  {
    name: /^dev_(if_idx_)?(unknown|none|bad|max|\d{4,})(_if_idx)?$/,
    options: () => ({ flags: 0, ifIdx: NO_INTERFACE }),
  },
  { name: /^event_desc_bad_ptr$/, change: (r) => r.reg.set('event_desc', BAD_POINTER) },
  { name: /^event_desc_unmapped$/, change: (r) => r.reg.set('event_desc', UNMAPPED) },
  {
    name: /^dev_([a-z0-9_]*?[a-z]\d*|veth0|dummy0)(?:_rxq_(\d+|max))?(?:_buf_(\d+))?(_hugepage)?$/,
    options: ([, name, rxq, bytes, huge]) => ({
      ...device(name!),
      ifRxq: rxq === 'max' ? 0xffff_ffff : Number(rxq ?? 0),
      rxBufLen: Number(bytes ?? 0),
      huge: huge !== undefined,
    }),
  },
  {
    name: /^rx_buf_len_(\d+)(?:_(hugepage_area|huge|small_pages))?$/,
    options: ([, n, pages], { name, setup }) => {
      const huge = pages?.startsWith('huge') === true
      const usual =
        name.startsWith('dev_reg.') && !huge ? {} : { areaPages: numberOf(setup, 'area_pages', 512) }
      return { rxBufLen: Number(n), huge, ...usual }
    },
  },
  {
    name: /^rx_buf_len_(\d+)_area_(\d+)_pages(_huge)?$/,
    options: ([, n, pages, huge], scenario) => ({
      rxBufLen: Number(n),
      areaPages: Number(pages),
      huge: huge !== undefined || isHuge(scenario),
    }),
  },
  {
    name: /^rx_buf_len_(\d+)_(?:addr_)?off_page(_huge)?$/,
    options: ([, n, huge], scenario) => ({
      rxBufLen: Number(n),
      areaAt: 1,
      areaPages: numberOf(scenario.setup, 'area_pages', 4),
      huge: huge !== undefined || isHuge(scenario),
    }),
  },
  { name: /^rxq_(\d+)$/, options: ([, n]) => ({ ifRxq: Number(n) }) },
  { name: /^rxq_max$/, options: () => ({ ifRxq: 0xffff_ffff }) },
  { name: /^(ring|clamp)_/, options: asSetUp('ring_flags') },
  { name: /^nr_args_(\d+)$/, change: (r, _p, [, n]) => r.setNrArgs(Number(n)) },
  { name: /^arg_null$/, change: (r) => r.setArg(null) },
  { name: /^arg_bad$/, change: (r) => r.setArg(new Uint8Array(0)) },
  { name: /^(no_caps?(_.*)?|no_net_admin|uid_\w+|userns_\w+)$/, change: withoutCapability },
  { name: /^net_admin_only$/, options: () => ({ areaPages: 16 }) },
  {
    name: /^net_admin_memlock_(\d+)([km])\w*$/,
    options: (_match, { what }) => ({
      rqEntries: 16,
      areaPages: Number(/(\d+) pages/.exec(what)?.[1] ?? 132),
    }),
    change: (_r, play, [, n, unit]) => limitMemory(play, Number(n) * (unit === 'k' ? 2 ** 10 : 2 ** 20)),
  },
  { name: /^(import_and_nodev|flags_import_nodev|flags_3|import_nodev)$/, options: () => ({ flags: 3 }) },
  { name: /^flags_high$/, options: asSetUp('flags') },
  { name: /^flags_(\d+)$/, change: (r, _p, [, n]) => r.reg.set('flags', r.reg.get('flags') | Number(n)) },
  { name: /^(flags_all|flags_max)$/, change: (r) => r.reg.set('flags', 0xffff_ffff) },
  { name: /^resv(\d)_nonzero$/, change: (r, _p, [, n]) => r.reg.set(`__resv[${n}]`, 1) },
  { name: /^zcrx_id_(nonzero|max)$/, change: (r, _p, [, n]) => r.reg.set('zcrx_id', n === 'max' ? -1 : 1) },
  { name: /^offsets_(head|tail|rqes)_nonzero$/, change: (r, _p, [, n]) => r.reg.set(`offsets.${n}`, 64) },
  { name: /^offsets_resv2_nonzero$/, change: (r) => r.reg.set('offsets.__resv2', 1) },
  {
    name: /^offsets_resv(\d?)_nonzero$/,
    change: (r, _p, [, n]) => r.reg.set(`offsets.__resv[${n || 0}]`, 1),
  },
]

/** Group `register`, the cases that are one call, and `dev_reg` of the same kind. */
export function registerCase(play: Play, defaults: Partial<RegistrationOptions> = {}): void {
  const { scenario } = play
  const { setup } = scenario
  const name = scenario.name.replace(/^[^.]*\./, '')
  const found = CASES.map((one) => ({ one, match: one.name.exec(name) })).find(({ match }) => match !== null)
  const ring = TestRing.create(play.machine, numberOf(setup, 'ring_flags', ZC_RING_FLAGS))
  Object.assign(play.result, errnoOf('io_uring_setup_ret', typeof ring === 'number' ? ring : 0))
  if (typeof ring === 'number') {
    if (!('io_uring_setup_ret' in scenario.result)) play.differs('io_uring_setup', 0, abi.errnoName(ring))
    return
  }
  play.rings.set(1, ring)
  const { interface: own, ...named } = found?.one.options?.(found.match!, scenario) ?? {}
  const base: RegistrationOptions = {
    rqEntries: 128,
    areaPages: 132,
    filled: true,
    ...definedOptions(setup),
    ...defaults,
    ...named,
    ...(own === undefined ? {} : { ifIdx: play.machine.interfaceIndex(own) }),
  }
  const registration = new Registration(play.memory, base)
  if (typeof setup.flags === 'number') registration.reg.set('flags', setup.flags)
  if (found !== undefined) found.one.change?.(registration, play, found.match!)
  // A name that says no more, but words that say which field gets which value.
  const understood =
    found !== undefined && (found.one.change !== undefined || found.one.options !== undefined)
  if (!understood && !changeByWords(registration, scenario.what) && found === undefined)
    throw new NoTranslation(name)
  const ret = registration.perform(ring)
  const outcome = registration.outcome(ret)
  // Every machine numbers its interfaces by itself.
  if (base.ifIdx !== undefined && base.ifIdx === defaults.ifIdx)
    Object.assign(outcome.reg as JsonObject, { if_idx: DEVICE_INDEX })
  Object.assign(play.result, outcome)
}

function isHuge({ what }: Scenario): boolean {
  return /huge[- ]page/.test(what)
}

function definedOptions(setup: JsonObject): Partial<RegistrationOptions> {
  return {
    ...(typeof setup.rq_entries === 'number' ? { rqEntries: setup.rq_entries } : {}),
    ...(typeof setup.area_pages === 'number' ? { areaPages: setup.area_pages } : {}),
    ...(typeof setup.region_size === 'number' ? { regionSize: setup.region_size } : {}),
  }
}

function kernelRegion(r: Registration, _play: Play, match: RegExpExecArray): void {
  r.region.set('flags', 0)
  r.region.set('user_addr', 0)
  if (match[1] === 'size_0') r.region.set('size', 0)
}

function shiftArea(r: Registration, bytes: number): void {
  r.area.set('addr', r.area.get('addr') + bytes)
  r.area.set('len', r.area.get('len') - PAGE)
}

function dmabuf(r: Registration, fd: number): void {
  r.area.set('flags', abi.IORING_ZCRX_AREA_DMABUF)
  r.area.set('dmabuf_fd', fd)
  r.area.set('addr', 0)
}

function dmabufKeepsAddress(r: Registration, fd: number): void {
  const addr = r.area.big('addr')
  dmabuf(r, fd)
  r.area.set('addr', addr)
}

/** Two mappings: between those that are made one behind the other a page is unmapped. */
function hole(r: Registration): void {
  const pages = Math.ceil(r.area.get('len') / PAGE / 2)
  const [first, second] = [r.memory.map(pages), r.memory.map(pages)].map((one) => r.memory.address(one))
  r.area.set('addr', first!)
  r.area.set('len', second! - first! + pages * PAGE)
}

function wrap(r: Registration): void {
  r.area.set('addr', 2n ** 64n - BigInt(PAGE))
  r.area.set('len', 2 * PAGE)
}

function withoutCapability(r: Registration, play: Play, match: RegExpExecArray): void {
  play.machine.setCapable(false)
  if (/bad_args|junk/.test(match[1] ?? '')) r.reg.set('flags', 0xffff_ff00)
}

function limitMemory(play: Play, bytes: number): void {
  play.machine.limitLockedMemory(bytes)
}

/** Cases of `register` that are more than one call, by name. Their result is all there is. */
export const REGISTER_SEQUENCES: readonly [RegExp, (play: Play, match: RegExpExecArray) => void][] = [
  [
    /^register\.ro_(ifq|area|region)_struct$/,
    (play, match) => readOnlyStruct(play, match[1] as 'ifq' | 'area' | 'region'),
  ],
  [
    /^register\.fd_minus_1$/,
    (play) => {
      const { reg } = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
      Object.assign(
        play.result,
        errnoOf('ret', play.machine.registerBy(-1, abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)),
      )
    },
  ],
  [/^register\.second_ifq_same_ring$/, threeInstances],
  [/^dev_reg\.same_queue_twice$/, sameQueueTwice],
  [
    /^register\.limit_of_instances(_kernel_region)?$/,
    (play, match) => limitOfInstances(play, match[1] !== undefined),
  ],
  [/^register\.same_area_twice$/, (play) => twice(play, (first, second) => second.useArea(first.areaMemory))],
  [
    /^register\.same_rq_memory_twice$/,
    (play) => twice(play, (first, second) => second.useRegion(first.regionMemory)),
  ],
  [
    /^register\.unregister_by_ring_exit$/,
    (play) => {
      const registration = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
      const first = registration.perform(play.addRing(1))
      if (first !== 0) play.differs('first registration', 0, first)
      play.ring(1).close()
      const again = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
      again.useArea(registration.areaMemory)
      again.useRegion(registration.regionMemory)
      Object.assign(play.result, errnoOf('ret', again.perform(play.addRing(2))))
    },
  ],
]

function readOnlyStruct(play: Play, which: 'ifq' | 'area' | 'region'): void {
  const ring = play.addRing(1)
  const registration = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
  const struct = { ifq: registration.reg, area: registration.area, region: registration.region }[which]
  play.memory.address(struct.bytes)
  play.memory.makeReadOnly(struct.bytes)
  Object.assign(play.result, errnoOf('ret', registration.perform(ring)))
  const proper = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
  Object.assign(play.result, errnoOf('second_ret', proper.perform(ring)))
  play.result.second_zcrx_id = proper.reg.get('zcrx_id')
}

function sameQueueTwice(play: Play): void {
  const { machine, result } = play
  const { device } = machine
  device.need(2)
  const attempt = (key: string, ring: TestRing, queue: number): Registration => {
    const registration = new Registration(play.memory, {
      rqEntries: 64,
      areaPages: 64,
      flags: 0,
      ifIdx: device.ifIndex,
      ifRxq: queue,
    })
    Object.assign(result, errnoOf(key, registration.perform(ring)))
    return registration
  }
  const ring = play.addRing(1)
  const other = play.addRing(2)
  attempt('first', ring, 1)
  attempt('same_ring', ring, 1)
  attempt('other_ring', other, 1)
  result.queue_2_id = attempt('queue_2_same_ring', ring, 2).reg.get('zcrx_id')
  ring.close()
  attempt('other_ring_after_exit', other, 1)
}

function threeInstances(play: Play): void {
  const ring = play.addRing(1)
  const ids: number[] = []
  for (const step of play.scenario.steps) {
    const registration = new Registration(play.memory, { rqEntries: 128, areaPages: 16 })
    const ret = registration.perform(ring)
    const id = registration.reg.get('zcrx_id')
    ids.push(id)
    play.expect(`register ${String(step.n)}, ret`, step.ret, ret)
    play.expect(`register ${String(step.n)}, zcrx_id`, step.zcrx_id, id)
    play.expect('rq_area_token', step.rq_area_token, hex(registration.area.big('rq_area_token')))
    play.expect('mmap_offset', step.mmap_offset, hex(registration.region.big('mmap_offset')))
  }
  play.result.ids = ids
}

function limitOfInstances(play: Play, kernelRegions: boolean): void {
  const ring = play.addRing(1)
  const most = Number(/at most (\d+)/.exec(play.scenario.what)?.[1] ?? 70_000)
  const registration = new Registration(play.memory, { rqEntries: 1, areaPages: 1 })
  let registered = 0
  let error = 0
  let lastId = 0
  let lastOffset = 0n
  while (registered < most && error === 0) {
    registration.reg.set('rq_entries', 1)
    registration.reg.set('zcrx_id', 0)
    registration.area.set('rq_area_token', 0)
    if (kernelRegions) {
      registration.region.set('flags', 0)
      registration.region.set('user_addr', 0)
      registration.region.set('mmap_offset', 0)
    }
    error = ring.backend.register(abi.IORING_REGISTER_ZCRX_IFQ, registration.reg.bytes, 1)
    if (error !== 0) break
    registered++
    lastId = registration.reg.get('zcrx_id')
    lastOffset = registration.region.big('mmap_offset')
  }
  play.result.registered = registered
  Object.assign(play.result, errnoOf('first_error', error))
  play.result.last_id = lastId
  play.result.last_mmap_offset = hex(lastOffset)
}

function twice(play: Play, share: (first: Registration, second: Registration) => void): void {
  const ring = play.addRing(1)
  const options = { rqEntries: 128, areaPages: 16 }
  const first = new Registration(play.memory, options)
  Object.assign(play.result, errnoOf('first', first.perform(ring)))
  const second = new Registration(play.memory, options)
  share(first, second)
  Object.assign(play.result, errnoOf('second', second.perform(ring)))
}

/** Pages of one huge page. */
export const HUGE_PAGES = HUGE_PAGE / PAGE
