import { checkInterface } from './checks/interface.ts'
import { checkAddon, checkCores } from './checks/machine.ts'
import { checkInterrupts } from './checks/xdp.ts'
import {
  checkGiving,
  checkHolder,
  checkIoUring,
  checkNoProgram,
  checkRules,
  checkSplit,
  checkSpread,
  checkZcrxMemlock,
  checkZcrxRights,
  checkZeroCopyReceive,
  givesQueues,
} from './checks/zcrx.ts'
import { type Candidate, judge, type Observation, type WayName } from './finding.ts'
import { type Facts, presentLink } from './wanted.ts'

/** Zero-copy receive in the kernel, queue by queue: what there is to take, and what is in the way. */

/** The way over ordinary sockets. */
export const LINUX_SOCKETS: WayName = 'linux sockets'

/** The queues that are asked for: `wanted.queues` of them, or all that the interface has. */
export function queuesAskedFor(facts: Facts): number[] {
  const { queue, queues } = facts.wanted
  const count = queues > 0 ? queues : Math.max(1, presentLink(facts)?.info.rxQueues ?? 1)
  return Array.from({ length: count }, (_, i) => queue + i)
}

/** @param settings of the device string, with the `?` */
export function zcrxCandidates(facts: Facts, settings: string): Candidate[] {
  return queuesAskedFor(facts).map((id) => ({
    name: wayOf(id),
    driver: 'linux',
    mode: 'io_uring zero-copy receive',
    device: `linux:${facts.wanted.name}/${id}${settings}`,
  }))
}

/** What is seen of the kernel alone. */
export function observeKernel(facts: Facts): Observation[] {
  return [...checkIoUring(facts, []), ...checkZeroCopyReceive(facts, [])]
}

/** What is seen of ordinary sockets over io_uring. */
export function observeSockets(facts: Facts): Observation[] {
  const ways = [LINUX_SOCKETS]
  return [...checkCores(facts), ...about(checkAddon(facts), ways), ...checkIoUring(facts, ways)]
}

/** What is seen of the queues that are asked for. @param ports that are to come to them */
export function observeZcrx(facts: Facts, ports: readonly number[] = []): Observation[] {
  const ids = queuesAskedFor(facts)
  const ways = ids.map(wayOf)
  const general = [
    ...checkCores(facts),
    ...about(checkAddon(facts), ways),
    ...checkIoUring(facts, ways),
    ...checkZeroCopyReceive(facts, ways),
    ...checkZcrxRights(facts, ways),
    ...checkZcrxMemlock(facts, ways),
    ...about(checkInterface(facts), ways),
    ...checkGiving(facts, ways),
    ...checkSplit(facts, ways),
    ...checkNoProgram(facts, ways),
    ...checkInterrupts(facts),
  ]
  const link = presentLink(facts)
  if (link === null) return general
  const each = ids.map((id): [number, Observation[]] => [
    id,
    [
      ...checkHolder(link, id, [wayOf(id)]),
      // Of a queue that is not there nothing else is to be said.
      ...(id < link.info.rxQueues
        ? [...checkSpread(link, id, [wayOf(id)]), ...checkRules(link, id, [wayOf(id)], ports)]
        : []),
    ],
  ])
  return [...general, ...together(each)]
}

/** A line or two for a report that is about other ways: which queues could be had, and why the others can't. */
export function summarizeZcrx(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const every: Facts = { ...facts, wanted: { ...facts.wanted, queue: 0, queues: 0 } }
  const seen = observeZcrx(every)
  const { ways } = judge(zcrxCandidates(every, ''), seen)
  const groups = new Map<string, number[]>()
  for (const [id, { reasons }] of ways.entries()) {
    const reason = reasons[0] ?? ''
    groups.set(reason, [...(groups.get(reason) ?? []), id])
  }
  return [...groups].map(([reason, ids]): Observation => {
    const check = 'zcrx in Linux'
    const which = named(ids)
    const fix = `zcrxd doctor linux:${link.name}/${ids[0]}`
    if (reason === '') {
      const sure = givesQueues(facts) === true ? '' : `, if ${link.info.driver || 'the driver'} can do it`
      return { check, found: `${which}: nothing is known to be in the way${sure}; ${fix} says more` }
    }
    return {
      check,
      found: `${which}: ${reason}`,
      cost: 'nothing here; Linux can’t receive into memory of ours',
      fix,
    }
  })
}

function wayOf(id: number): WayName {
  return `linux zcrx/${id}`
}

/** What is seen of other ways as well holds for these: what closes or hampers any of them does the same here. */
function about(observations: readonly Observation[], ways: readonly WayName[]): Observation[] {
  return observations.map(({ closes = [], hampers = [], ...rest }) => ({
    ...rest,
    ...(closes.length > 0 ? { closes: ways } : {}),
    ...(hampers.length > 0 ? { hampers: ways } : {}),
  }))
}

/** What several queues have in common. */
interface Group {
  readonly ids: number[]
  readonly first: Observation
  /** Undefined when each has another: it is told when one is asked for. */
  fix: string | undefined
  readonly closes: WayName[]
  readonly hampers: WayName[]
}

/** The same said of several queues is said once. */
function together(each: readonly (readonly [number, readonly Observation[]])[]): Observation[] {
  const groups = new Map<string, Group>()
  for (const [id, observations] of each) {
    for (const observation of observations) {
      const { check, found, fix, closes = [], hampers = [] } = observation
      const key = `${check}\n${found}`
      const group = groups.get(key) ?? { ids: [], first: observation, fix, closes: [], hampers: [] }
      if (group.fix !== fix) group.fix = undefined
      group.ids.push(id)
      group.closes.push(...closes)
      group.hampers.push(...hampers)
      groups.set(key, group)
    }
  }
  return [...groups.values()].map(({ ids, first: { fix: _, ...first }, fix, closes, hampers }) => ({
    ...first,
    ...(fix === undefined ? {} : { fix }),
    found: `${named(ids)}: ${first.found}`,
    ...(closes.length > 0 ? { closes } : {}),
    ...(hampers.length > 0 ? { hampers } : {}),
  }))
}

/** `queue 5`, `queues 0 to 3, 6`. */
function named(ids: readonly number[]): string {
  const runs: string[] = []
  for (let i = 0; i < ids.length; ) {
    let j = i
    while (ids[j + 1] === ids[j]! + 1) j++
    runs.push(i === j ? `${ids[i]}` : `${ids[i]} to ${ids[j]}`)
    i = j + 1
  }
  return `${ids.length === 1 ? 'queue' : 'queues'} ${runs.join(', ')}`
}
