import type { Observation, WayName } from '../finding.ts'
import type { Facts } from '../wanted.ts'
import { checkAddresses, checkForwarding, checkInterface, checkOffloads, checkPeers } from './interface.ts'
import {
  checkAddon,
  checkCapabilities,
  checkCores,
  checkKernel,
  checkPacketSocket,
  checkRawPackage,
  checkTun,
  checkXdpSocket,
} from './machine.ts'
import { checkHugePages, checkMemlock } from './memory.ts'
import { checkDataSplit, checkHook, checkInterrupts, checkQueues, checkXdpSupport } from './xdp.ts'

/** Looks at facts and says what it sees; of what was not gathered, nothing. */
export type Check = (facts: Facts) => Observation[]

const ALL = ['xdp', 'packet', 'raw', 'tap'] as const
type Driver = (typeof ALL)[number]

/** The checks in the order they are shown, each with the drivers it is about. */
const CHECKS: readonly (readonly [Check, readonly Driver[]])[] = [
  [checkKernel, ALL],
  [checkCores, ALL],
  [checkAddon, ALL],
  [checkCapabilities, ALL],
  [checkMemlock, ['xdp']],
  [checkXdpSocket, ['xdp']],
  [checkPacketSocket, ['packet']],
  [checkRawPackage, ['raw']],
  [checkTun, ['tap']],
  [checkHugePages, ['xdp', 'tap']],
  [checkInterface, ['xdp', 'packet', 'raw']],
  [checkAddresses, ['xdp', 'packet', 'raw']],
  [checkPeers, ['xdp', 'packet']],
  [checkQueues, ['xdp']],
  [checkHook, ['xdp']],
  [checkXdpSupport, ['xdp']],
  [checkOffloads, ['xdp', 'packet', 'raw']],
  [checkDataSplit, ['xdp']],
  [checkInterrupts, ['xdp', 'packet']],
  [checkForwarding, ['packet']],
]

/** What the checks that concern these ways see. */
export function observe(facts: Facts, ways: readonly WayName[]): Observation[] {
  const drivers = new Set(ways.map((way) => way.split(' ')[0]))
  return CHECKS.filter(([, about]) => about.some((driver) => drivers.has(driver)))
    .flatMap(([check]) => check(facts))
    .filter(({ closes = [], hampers = [] }) => {
      const concerned = [...closes, ...hampers]
      return concerned.length === 0 || concerned.some((way) => ways.includes(way))
    })
}
