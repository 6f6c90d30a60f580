import * as abi from '../../uapi/abi/index.ts'
import { changeFields } from './field-words.ts'
import { CTRL_OP, ctrl, type Handle } from './instance.ts'
import { BAD_POINTER, UNMAPPED } from './memory.ts'
import { NoTranslation, type Play } from './play.ts'
import { numberOf } from './record.ts'
import { type EventOptions, errnoOf, Registration } from './registration.ts'
import { addArea, areaStruct, importInstance, importStruct } from './sharing.ts'
import { hex, type Struct } from './structs.ts'
import { SETUP_CQE_MIXED, SETUP_SQE128, TestRing, ZC_RING_FLAGS } from './test-ring.ts'

/** The instance that a case is about, as its set-up says. */
function instanceOf(play: Play): Handle {
  const { setup } = play.scenario
  if (!play.rings.has(1)) play.addRing(1)
  return play.register(1, {
    rqEntries: numberOf(setup, 'rq_entries', 16),
    areaPages: numberOf(setup, 'area_pages', 8),
  })
}

/** Group `ctrl`: one call of IORING_REGISTER_ZCRX_CTRL. */
export function ctrlCase(play: Play): void {
  const { scenario } = play
  const name = scenario.name.replace(/^ctrl\./, '')
  const handle = instanceOf(play)
  const struct = ctrl(handle.id, opOf(name))
  let arg: Uint8Array | null = struct.bytes
  let nrArgs = 0
  let { ring } = handle
  const event = /^arm_.*?(alloc_fail|copy)/.exec(name)
  if (event !== null) struct.set('zc_arm.event_type', event[1] === 'copy' ? 1 : 0)
  const nr = /^nr_args_(\d+|max)$/.exec(name)
  const op = /^op_(\d+)$|^op_(max)$/.exec(name)
  const reserved = /^resv(\d)$/.exec(name)
  const flush = /^flush_resv(\d?)$/.exec(name)
  const exported = /^export_resv(\d*)$/.exec(name)
  if (/_without_caps$|_no_caps?$/.test(name)) play.machine.setCapable(false)
  if (/_ro_struct$/.test(name)) play.memory.makeReadOnly(struct.bytes)
  if (nr !== null) nrArgs = nr[1] === 'max' ? 0xffff_ffff : Number(nr[1])
  else if (op !== null) struct.set('op', op[2] === 'max' ? -1 : Number(op[1]))
  else if (name === 'id_1') struct.set('zcrx_id', handle.id + 1)
  else if (name === 'id_max') struct.set('zcrx_id', -1)
  else if (/^(id_1|id_max|bad_id)_and/.test(name) || name === 'bad_id_and_op') {
    struct.set('zcrx_id', handle.id + 1)
    struct.set('op', 99)
  } else if (reserved !== null) struct.set(`__resv[${reserved[1]}]`, 1)
  else if (flush !== null) struct.set(`zc_flush.__resv[${flush[1] || 0}]`, 1)
  else if (exported !== null) struct.set(`zc_export.__resv1[${exported[1] || 0}]`, 1)
  else if (name === 'export_fd_nonzero') struct.set('zc_export.zcrx_fd', 5)
  else if (/^arm_(no_desc_)?resv/.test(name)) struct.set('zc_arm.__resv[0]', 1)
  else if (/^arm_(no_desc_)?(unknown|type_2)/.test(name)) struct.set('zc_arm.event_type', 2)
  else if (name === 'arg_null') arg = null
  else if (name === 'arg_bad') arg = new Uint8Array(0)
  else if (name === 'no_zcrx_ring') ring = play.addRing(2)
  else if (name.startsWith('fd_')) {
    const bad = /bad|closed/.test(name)
    const fd = name === 'fd_minus_1' ? -1 : bad ? BAD_FD : play.machine.openOther('memfd')
    struct.remember()
    const ret = play.machine.registerBy(fd, abi.IORING_REGISTER_ZCRX_CTRL, struct.bytes, 0)
    Object.assign(play.result, errnoOf('ret', ret), { struct_changed: !struct.unchanged })
    return
  } else if (!changeFields({ '': struct }, scenario.what, memberOf(name)) && !KNOWN.test(name))
    throw new NoTranslation(name)
  struct.remember()
  const ret = ring.register(abi.IORING_REGISTER_ZCRX_CTRL, arg, nrArgs)
  Object.assign(play.result, errnoOf('ret', ret), { struct_changed: !struct.unchanged })
}

/** The part of the structure that an operation uses. */
function memberOf(name: string): string {
  if (name.startsWith('export')) return 'zc_export'
  if (name.startsWith('arm')) return 'zc_arm'
  return 'zc_flush'
}

const BAD_FD = 9999

/** Names whose operation alone says everything. */
const KNOWN = /^(flush|export)(_ok|_without_caps|_no_caps?|_ro_struct)?$|^arm_no_desc_(alloc_fail|copy)$/

function opOf(name: string): number {
  if (name.startsWith('export')) return CTRL_OP.EXPORT
  if (name.startsWith('arm')) return CTRL_OP.ARM_EVENT
  if (name.startsWith('add_area')) return CTRL_OP.ADD_AREA
  return CTRL_OP.FLUSH_RQ
}

/** Group `event_reg`: a registration with an event descriptor. */
export function eventCase(play: Play): void {
  const { scenario } = play
  const { setup } = scenario
  const name = scenario.name.replace(/^event_reg\./, '')
  const events: EventOptions = {
    typeMask: numberOf(setup, 'type_mask', 3),
    stats: setup.stats === true,
    userData: numberOf(setup, 'event_user_data', 1000),
  }
  const entries = numberOf(setup, 'rq_entries', 16)
  const registration = new Registration(play.memory, {
    rqEntries: entries,
    areaPages: numberOf(setup, 'area_pages', 4),
    filled: true,
    events: { ...events, userData: Number(/^user_data_(\d+)$/.exec(name)?.[1] ?? events.userData) },
  })
  const { event, region, reg, regionMemory } = registration
  const behind = 128 + 16 * 2 ** Math.ceil(Math.log2(entries))
  const size = region.get('size')
  const flags = /^flags_(\d+)$/.exec(name)
  const reserved = /^resv(\d?)$/.exec(name)
  if (flags !== null) event.set('flags', Number(flags[1]))
  else if (reserved !== null) event.set(`__resv2[${reserved[1] || 0}]`, 1)
  else if (name === 'stats_off_unaligned') event.set('stats_offset', event.get('stats_offset') + 4)
  else if (name === 'stats_off_in_rqes') event.set('stats_offset', 128)
  else if (/^stats_off_(in_header|0)$/.test(name)) event.set('stats_offset', 0)
  else if (/^stats_off_(last_rqe|overlaps_last_rqe|before_end_of_rqes)$/.test(name))
    event.set('stats_offset', behind - 16)
  else if (name === 'stats_off_after_rqes') event.set('stats_offset', behind)
  else if (name === 'stats_off_last_fit') event.set('stats_offset', size - 16)
  else if (name === 'stats_off_too_far') event.set('stats_offset', size - 8)
  else if (name === 'stats_off_beyond') event.set('stats_offset', size)
  else if (name === 'stats_off_huge') event.set('stats_offset', ~7n)
  else if (/^stats_off(set)?_without_flag$/.test(name)) {
    event.set('flags', 0)
    event.set('stats_offset', size - 16)
  } else if (name === 'desc_readonly') play.memory.makeReadOnly(event.bytes)
  else if (/^desc_(bad_ptr|ptr_bad)$/.test(name)) reg.set('event_desc', BAD_POINTER)
  else if (statsOffset(scenario.what) >= 0) event.set('stats_offset', statsOffset(scenario.what))
  else if (!/^(both|mask|user_data|ok|stats_only)(_|$)/.test(name)) {
    if (!changeFields({ '': event }, scenario.what)) throw new NoTranslation(name)
  }
  const ret = registration.perform(play.addRing(1))
  Object.assign(play.result, registration.outcome(ret))
  for (const step of scenario.steps) {
    if (step.stats === undefined) throw new NoTranslation(JSON.stringify(step))
    const view = new DataView(regionMemory.buffer, regionMemory.byteOffset)
    const at = event.get('stats_offset')
    play.expect(
      String(step.stats),
      [step.copy_count!, step.copy_bytes!],
      [Number(view.getBigUint64(at, true)), Number(view.getBigUint64(at + 8, true))],
    )
  }
}

/** `stats_offset 128`, or a sum in parentheses such as `(128 + 15*16)`; -1 for other words. */
function statsOffset(what: string): number {
  const sum = /\((\d+) \+ (\d+) ?\* ?(\d+)\)/.exec(what)
  if (sum !== null) return Number(sum[1]) + Number(sum[2]) * Number(sum[3])
  const plain = /stats_offset (\d+)/.exec(what)
  return plain === null ? -1 : Number(plain[1])
}

/** Group `add_area`, the cases that are one call. */
export function addAreaCase(play: Play): void {
  const { scenario, memory } = play
  const name = scenario.name.replace(/^add_area\./, '')
  const handle = instanceOf(play)
  const first = handle.instance.areas[0]!
  const pages = first.length / 4096
  if (name === 'limit_of_areas') {
    limitOfAreas(play, handle)
    return
  }
  if (name === 'failed_then_ok') {
    const { area } = areaStruct(memory, 1)
    area.set('len', 0)
    Object.assign(play.result, errnoOf('first', callAddArea(handle, memory.address(area.bytes))))
    const second = addArea(handle, memory, 1)
    Object.assign(play.result, errnoOf('second', second.ret), {
      token: hex(second.area.big('rq_area_token')),
    })
    return
  }
  if (name === 'on_imported') {
    const fd = exportFd(handle)
    importInstance(play, 2, fd)
    const { ret, area } = addArea(play.handle(2), memory, pages)
    Object.assign(play.result, errnoOf('ret', ret), { token: hex(area.big('rq_area_token')) })
    return
  }
  const { area } = areaStruct(memory, pages)
  const struct = ctrl(handle.id, CTRL_OP.ADD_AREA)
  struct.set('zc_area.area_ptr', memory.address(area.bytes))
  const before = area.big('addr')
  changeArea(play, name, area, struct, memory.address(first))
  area.remember()
  const ret = handle.ring.register(abi.IORING_REGISTER_ZCRX_CTRL, struct.bytes, 0)
  Object.assign(play.result, errnoOf('ret', ret), {
    rq_area_token: hex(area.big('rq_area_token')),
    len: area.get('len'),
    addr_unchanged: area.big('addr') === before,
  })
}

function changeArea(play: Play, name: string, area: Struct, struct: Struct, firstAddress: number): void {
  const { memory, scenario } = play
  const addr = area.get('addr')
  const len = area.get('len')
  const reserved = /^resv(\d?)$/.exec(name)
  const ctrlReserved = /^ctrl_resv(\d?)$/.exec(name)
  if (name === 'ptr_null') struct.set('zc_area.area_ptr', 0)
  else if (name === 'ptr_bad') struct.set('zc_area.area_ptr', BAD_POINTER)
  else if (ctrlReserved !== null) struct.set(`zc_area.__resv[${ctrlReserved[1] || 0}]`, 1)
  else if (name === 'len_0') area.set('len', 0)
  else if (name === 'addr_null') area.set('addr', 0)
  else if (name === 'addr_unaligned') {
    area.set('addr', addr + 64)
    area.set('len', len - 4096)
  } else if (name === 'len_unaligned') area.set('len', len - 2048)
  else if (name === 'unmapped') area.set('len', len + 4096)
  else if (/^addr_(overflow|wrap)$/.test(name)) {
    area.set('addr', 2n ** 64n - 4096n)
    area.set('len', 8192)
  } else if (name === 'len_huge') area.set('len', 2 ** 48)
  else if (name === 'token_nonzero') area.set('rq_area_token', 1)
  else if (name === 'dmabuf') {
    area.set('flags', abi.IORING_ZCRX_AREA_DMABUF)
    area.set('dmabuf_fd', 9999)
    area.set('addr', 0)
  } else if (name === 'dmabuf_fd_without_flag') area.set('dmabuf_fd', 5)
  else if (/^flags_(\d+)$/.test(name)) area.set('flags', Number(name.slice(6)))
  else if (reserved !== null) area.set(`__resv2[${reserved[1] || 0}]`, 1)
  else if (name === 'same_memory') area.set('addr', firstAddress)
  else if (/^no_caps?$/.test(name)) play.machine.setCapable(false)
  else if (/^ro_struct$|^readonly_struct$/.test(name)) memory.makeReadOnly(area.bytes)
  else if (/^readonly(_memory)?$|^ro_memory$/.test(name))
    memory.space.makeReadOnly(memory.space.find(addr)!.buffer)
  else if (/hugepage|huge_page/.test(name)) area.set('addr', memory.address(memory.map(512, true)))
  else if (/^one_page$|^(\d+)_pages?$/.test(name)) area.set('len', Number(/\d+/.exec(name)?.[0] ?? 1) * 4096)
  else if (/unmapped/.test(name)) area.set('addr', UNMAPPED)
  else if (/wrap|overflow/.test(name)) {
    area.set('addr', 2n ** 64n - 4096n)
    area.set('len', 8192)
  } else if (name !== 'ok' && !changeFields({ '': area, area, zc_area: struct }, scenario.what)) {
    if (!changeFields({ '': struct }, scenario.what)) throw new NoTranslation(name)
  }
}

function callAddArea(handle: Handle, address: number): number {
  const struct = ctrl(handle.id, CTRL_OP.ADD_AREA)
  struct.set('zc_area.area_ptr', address)
  return handle.ring.register(abi.IORING_REGISTER_ZCRX_CTRL, struct.bytes, 0)
}

function limitOfAreas(play: Play, handle: Handle): void {
  const most = Number(/at most (\d+)/.exec(play.scenario.what)?.[1] ?? 70_000)
  const tokens: string[] = []
  let error = 0
  while (tokens.length < most) {
    const { ret, area } = addArea(handle, play.memory, 1)
    error = ret
    if (ret !== 0) break
    tokens.push(hex(area.big('rq_area_token')))
  }
  Object.assign(play.result, { added: tokens.length }, errnoOf('first_error', error), {
    tokens: tokens.slice(0, 3),
    last_token: tokens.at(-1) ?? '',
  })
}

function exportFd(handle: Handle): number {
  const struct = ctrl(handle.id, CTRL_OP.EXPORT)
  const ret = handle.ring.register(abi.IORING_REGISTER_ZCRX_CTRL, struct.bytes, 0)
  return ret < 0 ? ret : struct.get('zc_export.zcrx_fd')
}

/** Rings that an import is tried on, by name. */
const IMPORT_RINGS: readonly [RegExp, number][] = [
  [/^ring_no_cqe32$/, ZC_RING_FLAGS & ~abi.IORING_SETUP_CQE32],
  [
    /^ring_no_single_issuer$/,
    ZC_RING_FLAGS & ~abi.IORING_SETUP_DEFER_TASKRUN & ~abi.IORING_SETUP_SINGLE_ISSUER,
  ],
  [/^ring_sqe128$/, ZC_RING_FLAGS | SETUP_SQE128],
  [/^ring_no_defer/, ZC_RING_FLAGS & ~abi.IORING_SETUP_DEFER_TASKRUN],
  [/^ring_(cqe_)?mixed$/, (ZC_RING_FLAGS & ~abi.IORING_SETUP_CQE32) | SETUP_CQE_MIXED],
]

/** Group `import`, the cases that are one wrong import behind the steps: returns false when the steps are all there is. */
export function importCase(play: Play): boolean {
  const { scenario, memory } = play
  const name = scenario.name.replace(/^import\./, '')
  const fd = play.marks.get('exported fd') ?? -1
  const reg = importStruct(fd)
  const flags = IMPORT_RINGS.find(([pattern]) => pattern.test(name))?.[1] ?? ZC_RING_FLAGS
  let number = 2
  const resv = /^resv(?:_set|(\d)(?:_set)?)$/.exec(name)
  if (/^bad_fd$|^fd_minus_1$/.test(name)) reg.set('if_idx', -1)
  else if (/^(fd_)?closed(_fd)?$/.test(name)) reg.set('if_idx', 9999)
  else if (/^(memfd|pipe|pipe_fd|socket|socket_fd|tcp_socket)$/.test(name))
    reg.set(
      'if_idx',
      /socket/.test(name)
        ? play.machine.socket(abi.AF_INET)
        : play.machine.openOther(name === 'memfd' ? 'memfd' : 'file'),
    )
  else if (name === 'ring_fd') reg.set('if_idx', ringFd(play))
  else if (resv !== null) reg.set(`__resv[${resv[1] ?? 0}]`, 1)
  else if (name === 'if_rxq_set') reg.set('if_rxq', 1)
  else if (/_ptr_set$|^event_desc_set$/.test(name))
    reg.set(name.replace(/_set$/, ''), memory.address(memory.map(1)))
  else if (name === 'with_nodev') reg.set('flags', 3)
  else if (/^(rx_buf_len|rq_entries|zcrx_id|flags|if_rxq)_set$/.test(name))
    reg.set(name.replace(/_set$/, ''), name === 'rx_buf_len_set' ? 4096 : name === 'flags_set' ? 5 : 1)
  else if (/^(arg_)?ro_struct$/.test(name)) memory.makeReadOnly(reg.bytes)
  else if (name === 'offsets_set') reg.set('offsets.head', 1)
  else if (/^(own_instance|same_ring|own_ring|self)$/.test(name)) number = 1
  else if (!/^ring_/.test(name)) {
    if (!('ret' in scenario.result) || !changeFields({ '': reg }, scenario.what)) return false
  }
  const ring = play.rings.get(number) ?? TestRing.of(play.machine, flags)
  play.rings.set(number, ring)
  reg.remember()
  const ret = ring.register(abi.IORING_REGISTER_ZCRX_IFQ, reg.bytes, 1)
  Object.assign(play.result, errnoOf('ret', ret), { zcrx_id: reg.get('zcrx_id') })
  return true
}

function ringFd(play: Play): number {
  return play.ring(1).descriptor()
}
