import { type Facts, type Finding, presentLink, type Way } from '../examine/index.ts'
import { namedQueues, parseDevice } from './open.ts'
import { type DeviceSpec, kindOf } from './table.ts'

/** What an examination says of threads with a queue each: how many there would be, what comes to which, and what changes that. */
export function workersFinding(
  device: string,
  spec: DeviceSpec,
  chosen: Way | null,
  facts: Facts,
): Finding | null {
  const link = presentLink(facts)
  if (chosen === null) return null
  const taken = spec.driver === 'auto' ? parseDevice(plain(chosen, spec.name)) : spec
  const { several, wanted } = kindOf(taken.driver)!
  if (several === undefined || wanted === undefined) return null
  const check = 'workers'
  if (typeof several === 'string') return { check, status: 'ok', found: `'queues' takes one: ${several}` }
  const { cores } = facts.machine
  const ground = { link: link?.info ?? null, cores }
  const named = namedQueues(device, spec)
  const count = named || several.all(taken, ground)
  if (count === 1 && cores === 1 && taken.driver !== 'xdp')
    return { check, status: 'ok', found: "'queues' takes one: there is one core" }
  const { what, spread } = several.words(taken, ground)
  const which = named > 0 ? (named === 1 ? 'the one that is named' : 'those that are named') : what
  const found = `'queues' takes ${count === 1 ? '' : `${count}, `}${which}${count === 1 ? '' : `; ${spread}`}`
  const change = named === 0 && taken.driver === 'xdp' ? changeOf(facts, count) : null
  return change === null ? { check, status: 'ok', found } : { check, status: 'note', found, ...change }
}

/** Without the settings that chose among the ways of one driver. */
function plain({ driver, device }: Way, name: string): string {
  return driver === 'raw' ? device : `${driver}:${name}`
}

/** When the interface has fewer receive queues than workers could have, or more than there are cores. */
function changeOf(facts: Facts, count: number): { cost: string; fix: string } | null {
  const link = presentLink(facts)
  const { cores } = facts.machine
  if (link === null || count === cores) return null
  const { name, info, features } = link
  const { channels } = features
  const resize = (queues: number): string => `ethtool -L ${name} ${channels?.kind ?? 'combined'} ${queues}`
  if (count > cores)
    return {
      cost: `${count} workers would share ${cores === 1 ? 'one core' : `${cores} cores`}`,
      fix: resize(cores),
    }
  const cost = `${count === 1 ? 'one worker' : `${count} workers`}, where ${cores} cores could work`
  const most = Math.min(cores, channels?.most ?? 0)
  if (most > count) return { cost, fix: `${resize(most)}; ethtool -X ${name} equal ${most}` }
  if (info.driver !== 'veth') return null
  return { cost, fix: `ip link add ${name} numrxqueues ${cores} numtxqueues ${cores} type veth …` }
}
