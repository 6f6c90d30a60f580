import type { ReceiveQueue } from '../../../driver/netlink/index.ts'
import { NTUPLE, queuesOf, ruleCommand, spreadCommand, withoutQueue } from '../../../driver/setup/index.ts'
import type { Observation } from '../finding.ts'
import type { LinkFacts } from '../link.ts'
import { type Facts, presentLink } from '../wanted.ts'
import { atLeast } from './machine.ts'
import { XDP_TAIL_BYTES } from './memory.ts'
import { hookFix } from './xdp.ts'

/**
 * Checks of what zero-copy receive in the kernel asks for (Documentation/networking/iou-zcrx.rst; `__net_mp_open_rxq` in
 * net/core/netdev_rx_queue.c). Here an observation closes or hampers the ways that it is given.
 */

/**
 * Drivers whose queues take memory from elsewhere: those with netdev_queue_mgmt_ops in Linux 7.3, and netkit, which passes on what it
 * was lent. Nothing tells a program so before it tries.
 */
const GIVING = ['bnxt_en', 'fbnic', 'gve', 'mlx5_core', 'netkit'] as const
/** Interfaces of software that have no queues to give. */
const NOT_GIVING = ['veth', 'tun', 'bridge', 'dummy', 'bonding', 'macvlan', 'ipvlan'] as const
/** Drivers without netdev_queue_mgmt_ops in Linux 7.3; what later kernels have, nobody here knows. */
const NOT_YET_GIVING = [
  'virtio_net',
  'igb',
  'igc',
  'ixgbe',
  'i40e',
  'ice',
  'ena',
  'e1000e',
  'r8169',
  'vmxnet3',
] as const
/** A port for commands that are to be filled in. */
const SOME_PORT = 9000
const BREAKS = 'connections of others that come to it break: their data lies in memory they can’t read'

type Ways = readonly string[]

export function checkIoUring({ machine: { zcrx } }: Facts, ways: Ways): Observation[] {
  const check = 'io_uring'
  if (zcrx.ioUring === null) return [{ check, found: 'rings can be had' }]
  return [{ check, found: zcrx.ioUring.message, closes: ways, cost: 'no rings', fix: zcrx.ioUring.fix }]
}

export function checkZeroCopyReceive({ machine: { zcrx, kernel } }: Facts, ways: Ways): Observation[] {
  const check = 'zero-copy receive'
  if (zcrx.ioUring !== null) return []
  if (zcrx.zeroCopy === null) return [{ check, found: `Linux ${kernel} has it` }]
  const { message, fix } = zcrx.zeroCopy
  return [{ check, found: message, closes: ways, cost: 'ordinary sockets only: device linux:', fix }]
}

export function checkZcrxRights({ machine }: Facts, ways: Ways): Observation[] {
  const check = 'capabilities'
  if (machine.capabilities.has('CAP_NET_ADMIN')) return [{ check, found: 'CAP_NET_ADMIN' }]
  const fix = `sudo setcap cap_net_admin,cap_ipc_lock=ep ${machine.node}`
  return [{ check, found: 'CAP_NET_ADMIN is missing', closes: ways, cost: 'no queue can be taken', fix }]
}

export function checkZcrxMemlock({ machine, wanted }: Facts, ways: Ways): Observation[] {
  const check = 'locked memory'
  const { soft } = machine.memlock
  const need = wanted.areaBytes + XDP_TAIL_BYTES
  if (machine.capabilities.has('CAP_IPC_LOCK')) return [{ check, found: 'CAP_IPC_LOCK: no limit' }]
  const kib = Math.ceil(need / 1024)
  if (soft >= need) return [{ check, found: `enough for ${kib} KiB` }]
  const found = `limit of ${Math.floor(soft / 1024)} KiB, ${kib} needed`
  const cost = 'the kernel can’t pin the area: a smaller --area'
  return [
    { check, found, closes: ways, cost, fix: `sudo prlimit --pid $$ --memlock=${kib * 1024}:${kib * 1024}` },
  ]
}

/** Whether the driver can give a queue away shows when it is asked to: it is said what is known. */
export function checkGiving(facts: Facts, ways: Ways): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const check = 'queue memory'
  const { driver, loopback } = link.info
  const known = givesQueues(facts)
  if (known === false) {
    const found = `${loopback ? 'lo' : driver} has no queues that take memory from a program`
    return [{ check, found, closes: ways, cost: 'the kernel refuses the queue: EOPNOTSUPP' }]
  }
  if (known === true)
    return [{ check, found: `${driver} is known for queues that take memory from a program` }]
  const found = `Linux does not tell whether queues of ${driver || 'this driver'} take memory from a program`
  const cost = `if they don’t, the kernel refuses with EOPNOTSUPP; known for it are ${GIVING.join(', ')}`
  return [{ check, found, cost }]
}

/** Whether queues of the interface take memory from a program; null when it is not known. */
export function givesQueues(facts: Facts): boolean | null {
  const { driver = '', loopback = false } = presentLink(facts)?.info ?? {}
  const among = (drivers: readonly string[]): boolean => drivers.includes(driver)
  if (loopback || among(NOT_GIVING)) return false
  if (among(NOT_YET_GIVING) && !atLeast(facts.machine.kernel, 7, 4)) return false
  return among(GIVING) ? true : null
}

export function checkSplit(facts: Facts, ways: Ways): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const check = 'header/data split'
  const { dataSplit, splitThreshold } = link.features
  const refuses = 'the kernel refuses the queue: EINVAL'
  const fix = `ethtool -G ${link.name} tcp-data-split on`
  if (dataSplit === 'off') return [{ check, found: 'off', closes: ways, cost: refuses, fix }]
  if (dataSplit === 'none') {
    const cost = 'if it has none, or none was asked for, the kernel refuses the queue: EINVAL'
    return [{ check, found: 'the driver says nothing of it', cost, fix }]
  }
  if (splitThreshold === null || splitThreshold === 0) return [{ check, found: 'on' }]
  return [
    {
      check,
      found: `on, for packets of more than ${splitThreshold} bytes`,
      closes: ways,
      cost: refuses,
      fix: `ethtool -G ${link.name} hds-thresh 0`,
    },
  ]
}

export function checkNoProgram(facts: Facts, ways: Ways): Observation[] {
  const link = presentLink(facts)
  const [program] = link?.programs ?? []
  const check = 'XDP hook'
  if (link === null) return []
  if (program === undefined) return [{ check, found: 'free' }]
  const by = program.holders.length === 0 ? '' : `, held by ${program.holders.join(', ')}`
  const found = `taken by program ${program.id} in ${program.mode} mode${by}`
  const cost = 'the kernel refuses the queue: EEXIST'
  return [{ check, found, closes: ways, cost, fix: hookFix(link, program) }]
}

/** Who has the queue. @param ways of this queue */
export function checkHolder(link: LinkFacts, id: number, ways: Ways): Observation[] {
  const check = 'holder'
  const { receiveQueues } = link.features
  if (id >= link.info.rxQueues) {
    const { channels } = link.features
    const most = channels?.most ?? 0
    const fix = most > id ? `ethtool -L ${link.name} ${channels!.kind} ${id + 1}` : ''
    return [{ check, found: `not one of ${link.info.rxQueues}`, closes: ways, cost: 'no such queue', fix }]
  }
  if (receiveQueues === null)
    return [{ check, found: 'who has it is not known: Linux 6.8 tells', cost: 'it may be taken: EEXIST' }]
  const queue = receiveQueues.find((each) => each.id === id)
  if (queue === undefined || queue.holder === null) return [{ check, found: 'free' }]
  return [{ check, closes: ways, ...heldBy(link, queue.holder) }]
}

function heldBy(
  { programs, ringHolders }: LinkFacts,
  holder: NonNullable<ReceiveQueue['holder']>,
): Pick<Observation, 'found' | 'cost' | 'fix'> {
  switch (holder) {
    case 'io_uring': {
      const refused = 'the kernel refuses it: EEXIST'
      if (ringHolders.length === 0) {
        const found =
          'held by an io_uring that no process here has: a stale binding, or another PID namespace’s'
        return {
          found,
          cost: `${refused}; one that is being closed is gone in seconds, others with the interface`,
        }
      }
      const pids = ringHolders.map((each) => /^pid (\d+)/.exec(each)?.[1] ?? '').join(' ')
      return {
        found: `held by an io_uring; these have one: ${ringHolders.join(', ')}`,
        cost: refused,
        ...(ringHolders.length === 1 ? { fix: `kill ${pids}` } : {}),
      }
    }
    case 'af_xdp': {
      const by = programs.flatMap(({ holders }) => holders)
      const found = `held by an AF_XDP socket: ${by.length === 0 ? 'ss --xdp shows whose' : by.join(', ')}`
      return { found, cost: 'the kernel refuses it: EBUSY' }
    }
    case 'dmabuf':
      return { found: 'bound to a dma-buf (device memory TCP)', cost: 'the kernel refuses it: EEXIST' }
    case 'lease':
      return {
        found: 'lent to a virtual interface',
        cost: 'it is had there: the kernel refuses it here, EBUSY',
      }
  }
}

/** Whether the hash of RSS sends to it. */
export function checkSpread(link: LinkFacts, id: number, ways: Ways): Observation[] {
  const check = 'RSS'
  const { indirection } = link.features
  if (indirection === null) {
    if (link.info.rxQueues > 1)
      return [{ check, found: 'the driver has no table that says what comes to it' }]
    return [{ check, found: 'everything comes to it: it is the only queue', hampers: ways, cost: BREAKS }]
  }
  if (!indirection.includes(id)) return [{ check, found: 'sends nothing to it' }]
  const without = withoutQueue(indirection, id)
  const fix =
    without === null ? `ethtool -L ${link.name} combined 2` : spreadCommand(link.name, queuesOf(without))
  return [{ check, found: 'sends to it by hash', hampers: ways, cost: BREAKS, fix }]
}

/** Whether rules send flows to it; those for `ports` when any are asked for. */
export function checkRules(
  { name, rules, features }: LinkFacts,
  id: number,
  ways: Ways,
  ports: readonly number[],
): Observation[] {
  const check = 'rules'
  if (rules === null) {
    const cost = 'which connections come to the queue is the driver’s choice'
    return [{ check, found: 'the driver has no rules for flows', cost }]
  }
  const here = rules.filter(({ queue }) => queue === id)
  const shown = here.map(
    ({ flow, port, location }) => `${flow}${port === null ? '' : ` port ${port}`} (${location})`,
  )
  const missing = ports.filter((port) => !here.some((rule) => rule.port === port && !rule.narrower))
  const found =
    here.length === 0 ? 'none sends to it' : `${here.length} send to it: ${shown.slice(0, 4).join(', ')}`
  if (missing.length === 0 && here.length > 0) return [{ check, found }]
  const off = features.offloads?.has(NTUPLE) === false
  const [port = SOME_PORT] = missing
  const rule = ruleCommand(name, { flow: 'tcp4', port, queue: id })
  const fix = off ? `ethtool -K ${name} ntuple on; ${rule}` : rule
  const which = missing.length === 0 ? 'connections' : `those to port ${missing.join(', ')}`
  const reached = here.length > 0 || features.indirection?.includes(id) !== false
  const cost = reached ? `${which} come to other queues as well, and are copied there` : 'nothing comes to it'
  return [{ check, found, hampers: ways, cost, fix }]
}
