import { afterEach, describe, expect, it } from 'vitest'
import * as abi from '../../uapi/abi/index.ts'
import { CompletionQueue } from '../../uapi/kernel/completion-queue.ts'
import { RingContext } from '../../uapi/kernel/context.ts'
import { ZcrxEvents } from '../../uapi/kernel/events.ts'
import { RecvZcRequest } from '../../uapi/kernel/ops/recv-zc.ts'
import { ZcrxIfq } from '../../uapi/kernel/zcrx.ts'
import { Instance } from './instance.ts'
import { type JsonObject, loadRecord, ownRecord, type Scenario } from './record.ts'
import { runScenario } from './run.ts'

const scenarios = new Map(loadRecord(ownRecord()).map((scenario) => [scenario.name, scenario]))

function named(name: string): Scenario {
  const scenario = scenarios.get(name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return scenario
}

/** Takes what was broken back. */
const repairs: (() => void)[] = []
afterEach(() => {
  for (const repair of repairs.splice(0).reverse()) repair()
})

/** Has a method of the implementation do something else, which may ask the right one. */
function breakMethod<T extends object>(
  owner: T,
  name: keyof T & string,
  wrong: (right: (...args: unknown[]) => unknown, self: T, args: unknown[]) => unknown,
): void {
  const right = owner[name] as (...args: unknown[]) => unknown
  repairs.push(() => void Object.assign(owner, { [name]: right }))
  Object.assign(owner, {
    [name](this: T, ...args: unknown[]): unknown {
      return wrong((...given) => right.apply(this, given), this, args)
    },
  })
}

/** Answers calls of IORING_REGISTER_ZCRX_IFQ or _CTRL that this picks. */
function answer(
  opcode: number,
  picks: (arg: Uint8Array, nth: number) => boolean,
  ret: (real: () => number) => number,
): void {
  let nth = 0
  breakMethod(RingContext.prototype, 'register', (right, _self, args) => {
    const [op, arg] = args as [number, Uint8Array | null]
    const picked = op === opcode && arg !== null && picks(arg, ++nth)
    return picked ? ret(() => right(...args) as number) : right(...args)
  })
}

const isImport = (arg: Uint8Array): boolean => (new abi.ZcrxIfqReg(arg).flags & abi.ZCRX_REG_IMPORT) !== 0
const isExport = (arg: Uint8Array): boolean => new abi.ZcrxCtrl(arg).op === abi.ZCRX_CTRL_EXPORT

/** What is broken, and scenarios that must notice. */
const MUTATIONS: readonly (readonly [string, () => void, readonly string[]])[] = [
  [
    'a request ends with 0 as soon as it has delivered something',
    () =>
      breakMethod(RecvZcRequest.prototype, 'run', (right, self) => {
        right()
        if ((self.context as RingContext).cq.tail !== 0) self.finish(0)
      }),
    [
      'data.one_send_after_100',
      'data.one_send_after_65536',
      'data.many_sends_after_1000_by_10',
      'data.stream_4MiB_refill_each',
      'end.rearm_after_final',
      'end.close_after_data_drained',
      'cancel.linked_nop_unlimited',
      'cancel.cqe_skip_success',
      'cancel.after_data',
      'dev.one_send_after_5000',
      'dev.steady_refill_no_flush',
      'import.data_both_rings',
      'event.copy_only',
    ],
  ],
  [
    'an armed request ends with 0 before its stream does',
    () =>
      breakMethod(RecvZcRequest.prototype, 'wait', (right, self) => {
        right()
        self.finish(0)
      }),
    [
      'end.eof_no_data',
      'end.shut_wr',
      'end.close_before_submit',
      'end.limit_larger_eof_before',
      'cancel.by_fd',
    ],
  ],
  [
    'a reset counts as the end of the stream',
    () =>
      breakMethod(RecvZcRequest.prototype, 'finish', (right, _self, [res, flags]) =>
        right(res === -abi.ECONNRESET ? 0 : res, flags),
      ),
    ['end.rst_no_data', 'end.rst_after_data', 'end.rst_after_data_drained', 'dev.eof_and_reset'],
  ],
  [
    'no import succeeds',
    () => answer(abi.IORING_REGISTER_ZCRX_IFQ, isImport, () => -abi.EINVAL),
    [
      'import.ok',
      'import.import_twice_one_ring',
      'import.re_export',
      'import.fd_outlives_rings',
      'dev.import',
    ],
  ],
  [
    'a descriptor can be imported once',
    () => {
      let imports = 0
      answer(
        abi.IORING_REGISTER_ZCRX_IFQ,
        (arg) => isImport(arg) && ++imports > 1,
        () => -abi.EBADF,
      )
    },
    ['import.import_twice_one_ring'],
  ],
  [
    'an instance can be exported once',
    () => {
      let exports = 0
      answer(
        abi.IORING_REGISTER_ZCRX_CTRL,
        (arg) => isExport(arg) && ++exports > 1,
        () => -abi.EMFILE,
      )
    },
    ['import.ok', 'import.re_export'],
  ],
  [
    'every registration is answered with 0 and does nothing',
    () =>
      answer(
        abi.IORING_REGISTER_ZCRX_IFQ,
        () => true,
        () => 0,
      ),
    [
      'register.ok_basic',
      'register.rq_entries_0',
      'register.dev_veth',
      'import.bad_fd',
      'event_reg.both_stats',
    ],
  ],
  [
    'a queue stays taken when its ring is closed',
    () => breakMethod(ZcrxIfq.prototype, 'release', () => {}),
    ['dev.ring_exit_queued', 'dev_reg.same_queue_twice'],
  ],
  [
    'the refill queue is never read',
    () => breakMethod(ZcrxIfq.prototype, 'takeRefills', () => 0),
    [
      'refill.control_all',
      'refill.many_200',
      'refill.bad_at_50_of_100',
      'exhaust.area_4_before',
      'dev.import',
    ],
  ],
  [
    'completions name the byte behind',
    () =>
      breakMethod(RingContext.prototype, 'postData', (right, _self, [request, res, low, high]) =>
        right(request, res, (low as number) + 1, high),
      ),
    ['data.one_send_before_1', 'data.many_sends_before_65536_by_1000', 'dev.payload_offset_100'],
  ],
  [
    'completions that find no room are thrown away',
    () => breakMethod(CompletionQueue.prototype, 'post', (_right, self, [one]) => self.tryPost(one as never)),
    [
      'cq_overflow.cq8_full_then_data',
      'cq_overflow.cq8_eof_when_full',
      'event.copy_cq_full',
      'event.cq_full',
    ],
  ],
  [
    'no event is told',
    () => breakMethod(ZcrxEvents.prototype, 'fire', () => {}),
    ['event.alloc_fail', 'event.copy_only', 'event.two_rings', 'dev.exhaust_then_refill_no_flush'],
  ],
  [
    'memory of the user is mapped through the ring',
    () => breakMethod(RingContext.prototype, 'mmap', () => new Uint8Array(4096)),
    ['import.user_region_mmap'],
  ],
  [
    'bytes are not those that were sent',
    () =>
      breakMethod(Instance.prototype, 'bytes', (right, _self, args) => {
        const bytes = right(...args) as Uint8Array | null
        return bytes?.map((byte) => byte ^ 1) ?? null
      }),
    ['data.one_send_before_1', 'data.one_send_before_1048576', 'dev.shared_buffer', 'refill.control_none'],
  ],
]

describe('the runner notices when', () => {
  it.each(MUTATIONS)('%s', (_what, breakIt, names) => {
    breakIt()
    const outcomes = names.map((name) => `${name}: ${runScenario(named(name)).outcome}`)
    expect(outcomes).toEqual(names.map((name) => `${name}: fail`))
  })
})

describe('the runner does by itself', () => {
  const end: JsonObject = { cqe: { ud: 1, res: 0, flags: [], extra: ['0x0', '0x0'] } }
  const base = named('data.one_send_after_100')
  const without = (name: string, kind: string): readonly JsonObject[] =>
    named(name).steps.filter((step) => step.do !== kind)

  it('nothing that the record expects: an end, data or NOPs that no step brings about', () => {
    const ended = [...base.steps.slice(0, -1), end, { do: 'drain', cqes: 2 }]
    const more = structuredClone(base.steps) as Record<string, JsonObject[string]>[]
    for (const step of more) if (step.cqe !== undefined) step.cqe = { ...(step.cqe as JsonObject), res: 101 }
    const nop = [...base.steps.slice(0, -1), { cqe: { ud: 90, res: 0, flags: [] } }, base.steps.at(-1)!]
    for (const steps of [ended, more, nop]) expect(runScenario({ ...base, steps }).outcome).toBe('fail')
    // Under a name that nobody knows it may be that the name tells of it.
    const other = (steps: readonly JsonObject[]): string =>
      runScenario({ ...base, name: 'data.one_send_and_more', steps }).reason
    expect(other(ended)).toBe('no translation: no step ends the stream of request 1')
    expect(other(more)).toBe('no translation: no step sends what is received: 101 bytes of 100')
    expect(other(nop)).toBe('no translation: no step submits NOP 90')
  })

  it.each<[string, string, string]>([
    ['end.shut_wr', 'peer SHUT_WR', 'no step ends the stream of request 1'],
    ['end.rst_no_data', 'peer reset', 'no step resets what request 1 reads'],
    ['refill.control_all', 'refill', 'no step puts entry 0 of 3 into the refill queue'],
    ['data.two_sockets_one_ifq', 'submit RECV_ZC', 'no step submits request 1'],
    ['add_area.use_fresh', 'ADD_AREA', 'no step adds area 1'],
  ])('nothing that is missing: %s without "%s"', (name, kind, reason) => {
    const scenario = { ...named(name), steps: without(name, kind) }
    expect(runScenario(scenario).outcome).toBe('fail')
    expect(runScenario({ ...scenario, name: `${name}_again` })).toMatchObject({
      outcome: 'skip',
      reason: `no translation: ${reason}`,
    })
  })

  it('nothing that only a name tells: what comes otherwise then is no failure', () => {
    // SO_RCVLOWAT is set by the name alone.
    const scenario = { ...named('data.rcvlowat_2000'), name: 'data.low_water_2000' }
    expect(runScenario(scenario)).toMatchObject({
      outcome: 'skip',
      reason: expect.stringMatching(/^no translation of "low", "water" in its name; by its steps: collect 1/),
    })
    // Words that are known carry no act.
    const known = { ...base, name: 'data.one_send_after', result: { ...base.result, bytes: 99 } }
    expect(runScenario(known).outcome).toBe('fail')
  })

  it('no act where its place is missing', () => {
    const scenario = { ...named('import.no_caps'), steps: without('import.no_caps', 'IMPORT') }
    expect(runScenario(scenario).outcome).toBe('skip')
  })

  it.each<[string, JsonObject, string]>([
    ['register.ring_of_glass', {}, 'ring_of_glass without ring_flags'],
    ['register.dev_bond0', { flags: 0 }, 'interface bond0'],
    ['register.ok_somehow', {}, 'ok_somehow'],
  ])('no usual registration for a name that asks for another: %s', (name, setup, reason) => {
    const scenario = { ...named('register.ok_basic'), name, what: 'prose', setup }
    expect(runScenario(scenario)).toMatchObject({ outcome: 'skip', reason: expect.stringContaining(reason) })
  })

  it('a hole in the middle of an area, where a name asks for one', () => {
    const { result } = named('register.area_readonly_memory')
    const scenario = { ...named('register.ok_basic'), name: 'register.area_unmapped_middle', result }
    expect(runScenario(scenario)).toMatchObject({ outcome: 'pass', differences: [] })
  })
})

it('every result of a scenario that passes was compared, or it is said why not', () => {
  for (const name of [
    'import.ok',
    'dev_reg.interface_down',
    'data.one_send_before_1048576',
    'refill.many_200',
  ]) {
    const scenario = named(name)
    const { outcome, notCompared } = runScenario(scenario)
    expect(outcome).toBe('pass')
    for (const [key, value] of Object.entries(scenario.result)) {
      const other = typeof value === 'number' ? value + 1 : 'something else'
      const changed = runScenario({ ...scenario, result: { ...scenario.result, [key]: other } })
      expect([name, key, changed.outcome]).toEqual([name, key, key in notCompared ? 'pass' : 'fail'])
    }
  }
})
