import * as abi from '../../uapi/abi/index.ts'
import type { Route } from './calls.ts'
import type { Play } from './play.ts'
import { isObject, type Json, numberOf, type Scenario } from './record.ts'
import type { EventOptions, RegistrationOptions } from './registration.ts'
import { SETUP_CQE_MIXED, ZC_RING_FLAGS } from './test-ring.ts'
import type { translationOf } from './translations.ts'

/** Pages of the area and entries of the refill queue where a scenario's set-up says neither, by group. */
const DEFAULTS: Readonly<Record<string, readonly [pages: number, entries: number]>> = {
  cq_overflow: [64, 64],
  data: [16, 128],
  cancel: [8, 16],
  import: [4, 16],
  recvzc_bad: [32, 128],
  dev: [16, 64],
  dev_reg: [64, 64],
}

/** Makes the rings, the instances and the connections that a scenario begins with. @throws SetUpFailed */
export function open(play: Play, translated: ReturnType<typeof translationOf>): void {
  const { scenario } = play
  const { translation, match } = translated ?? { translation: null, match: null }
  play.addRing(
    1,
    translation?.ringFlags ?? ringFlags(scenario),
    translation?.cqEntries ?? cqEntries(scenario),
  )
  if (onDevice(scenario)) {
    play.route = 'dev'
    const { device } = play.machine
    if (scenario.setup.nic_mode === 1 || /NIC packs/.test(scenario.what)) device.place({ pack: true })
  }
  if (translation?.opening !== undefined) {
    translation.opening(play)
    return
  }
  const named = translation?.registration?.(match!) ?? {}
  if (!/without zcrx|no zcrx/.test(scenario.what)) {
    for (let i = 0; i < (translation?.instances ?? 1); i++)
      play.register(1, { ...registrationOf(play), ...named })
  }
  const route =
    translation?.route ?? (/tcp6|ipv6/i.test(scenario.name) ? (`${play.route}6` as Route) : play.route)
  for (const stream of streams(scenario)) play.connection(stream, route)
}

/** The groups that need a NIC's queue. */
export function onDevice({ name }: Scenario): boolean {
  return /^dev(_reg)?\./.test(name)
}

/** Ring set-up flags: as given, or as the words have it. */
function ringFlags({ setup, name, what }: Scenario): number {
  const words = `${name} ${what}`
  let flags = numberOf(setup, 'ring_flags', ZC_RING_FLAGS)
  if (setup.ring_flags !== undefined) return flags
  if (/CQE_MIXED|mixed_ring/.test(words) && !/import/.test(name))
    flags = (flags & ~abi.IORING_SETUP_CQE32) | SETUP_CQE_MIXED
  if (/\bTASKRUN_FLAG\b/.test(words)) flags |= abi.IORING_SETUP_TASKRUN_FLAG
  if (/\bIOPOLL\b/.test(words)) flags |= SETUP_IOPOLL
  return flags
}
const SETUP_IOPOLL = 1

function cqEntries({ setup, what }: Scenario): number | undefined {
  const words = /CQ of (\d+)/.exec(what)
  const entries = numberOf(setup, 'cq_entries', words === null ? 0 : Number(words[1]))
  return entries === 0 ? undefined : entries
}

/** What an instance is asked for: as the set-up says, or as is usual for the group. */
export function registrationOf({ scenario, machine }: Play): RegistrationOptions {
  const { setup, name } = scenario
  const device = onDevice(scenario) ? machine.device : null
  const [pages, entries] = DEFAULTS[name.split('.')[0]!] ?? [16, 64]
  const events = eventsOf(scenario)
  return {
    rqEntries: numberOf(setup, 'rq_entries', entries),
    areaPages: numberOf(setup, 'area_pages', pages),
    ...(device === null ? {} : { flags: 0, ifIdx: device.ifIndex, ifRxq: device.queue }),
    ...(events === undefined ? {} : { events }),
  }
}

function eventsOf({ setup }: Scenario): EventOptions | undefined {
  if (typeof setup.type_mask !== 'number') return undefined
  return {
    typeMask: setup.type_mask,
    stats: setup.stats === true,
    userData: numberOf(setup, 'event_user_data', 1000),
  }
}

/** Connections that the scenario speaks of, at least one: by the streams that are sent and the requests that are submitted. */
function streams(scenario: Scenario): number[] {
  const named = new Set<number>([1])
  for (const step of scenario.steps) {
    if (typeof step.stream === 'number') named.add(step.stream)
    if (isObject(step.cqe as Json | undefined)) continue
  }
  return [...named].sort((a, b) => a - b)
}
