import { NATIVE_WAYS, type Observation, XDP_WAYS } from '../finding.ts'
import type { AttachedProgram, LinkFacts } from '../link.ts'
import { type Facts, presentLink } from '../wanted.ts'

/** Checks of what matters to AF_XDP alone: who has the hook, what the driver can do, queues and their interrupts. */

/** Bytes of a frame that a chunk takes (4096 less the kernel's headroom), and of Ethernet with two VLAN tags. */
const CHUNK_PAYLOAD = 3840
const LINK_HEADER = 22
const WITHOUT_NATIVE = 'generic XDP: the kernel makes a socket buffer of each frame first, and copies'
/** ip-link(8). */
const KEYWORD = { native: 'xdpdrv', generic: 'xdpgeneric', offloaded: 'xdpoffload' } as const

export function checkHook(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const check = 'XDP hook'
  const [program] = link.programs
  if (program === undefined) return [{ check, found: 'free' }]
  const name = program.name === '' ? '' : ` '${program.name}'`
  const by = program.holders.length === 0 ? '' : `, held by ${program.holders.join(', ')}`
  return [
    {
      check,
      found: `taken by program ${program.id}${name} in ${program.mode} mode${by}`,
      closes: XDP_WAYS,
      cost: 'no AF_XDP beside it',
      fix: hookFix(link, program),
    },
  ]
}

/** A link is held by a process and can't be taken off from outside; what netlink attached goes by its own mode. */
export function hookFix({ name }: LinkFacts, { mode, holders }: AttachedProgram): string {
  const pids = holders.map((holder) => /^pid (\d+)/.exec(holder)?.[1]).filter((pid) => pid !== undefined)
  return pids.length > 0 ? `kill ${pids.join(' ')}` : `ip link set dev ${name} ${KEYWORD[mode]} off`
}

export function checkXdpSupport(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const { wanted } = facts
  const { info } = link
  const check = 'XDP support'
  const driver = info.loopback ? 'lo' : info.driver || 'the driver'
  // Of several queues generic XDP on a veth sees one only.
  const several = info.driver === 'veth' && wanted.queues > 1
  if (several && wanted.mode === 'auto') {
    const found = 'native, chosen for several queues of a veth: generic XDP sees the frames of all at queue 0'
    return [{ check, found, closes: ['xdp generic'], meant: true }, ...checkNative(facts, link)]
  }
  if (wanted.mode === 'auto' && (info.loopback || info.driver === 'veth')) {
    const found = `generic, chosen for ${driver}: it leaves the other end's segmentation offload on`
    return [{ check, found, closes: NATIVE_WAYS, meant: true }]
  }
  return checkNative(facts, link)
}

/** Native XDP, and zero-copy. */
function checkNative({ wanted }: Facts, { info, features, name }: LinkFacts): Observation[] {
  const check = 'XDP support'
  const driver = info.loopback ? 'lo' : info.driver || 'the driver'
  if (features.xdp === null) {
    const found = 'not told by this kernel (Linux 6.3 does); opening the queue tries'
    // Whoever asks for native gets it if it is there.
    return wanted.mode === 'native'
      ? [{ check, found, hampers: NATIVE_WAYS }]
      : [{ check, found, closes: NATIVE_WAYS }]
  }
  if (!features.xdp.has('basic') || !features.xdp.has('redirect')) {
    return [
      {
        check,
        found: `${driver} has no native XDP now`,
        closes: NATIVE_WAYS,
        cost: WITHOUT_NATIVE,
      },
    ]
  }
  // What the hypervisor merges, virtio_net has to be able to forbid (virtnet_xdp_set).
  const merges = features.offloads?.has('rx-gro-hw') === true && !features.switchable.has('rx-gro-hw')
  if (info.driver === 'virtio_net' && merges) {
    const found = 'virtio_net refuses native XDP: the host merges segments, and can’t be told not to'
    return [{ check, found, closes: NATIVE_WAYS, cost: WITHOUT_NATIVE }]
  }
  const observations: Observation[] = []
  const segments = Math.ceil((info.mtu + LINK_HEADER) / CHUNK_PAYLOAD)
  const fix = `ip link set dev ${name} mtu ${CHUNK_PAYLOAD - LINK_HEADER}`
  if (segments > 1 && !features.xdp.has('rx-sg')) {
    const found = `${driver} has native XDP for frames of one page, the MTU is ${info.mtu}`
    return [{ check, found, closes: NATIVE_WAYS, cost: WITHOUT_NATIVE, fix }]
  }
  if (!features.xdp.has('xsk-zerocopy')) {
    const found = `${driver} has native XDP, no zero-copy`
    observations.push({ check, found, closes: ['xdp zero-copy'], cost: 'the kernel copies each frame once' })
  } else if (segments > features.zeroCopySegments) {
    const found = `${driver} has zero-copy for frames of ${features.zeroCopySegments} chunks, MTU ${info.mtu} takes ${segments}`
    const cost = 'the kernel copies each frame once'
    observations.push({ check, found, closes: ['xdp zero-copy'], cost, fix })
  } else observations.push({ check, found: `${driver} has native XDP with zero-copy` })
  return observations
}

export function checkDataSplit(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const check = 'header/data split'
  const { dataSplit } = link.features
  if (dataSplit === 'none') return [{ check, found: 'the driver has none; AF_XDP needs none' }]
  const found = `${dataSplit}; AF_XDP needs none, headers and payload share a chunk`
  if (dataSplit === 'on') return [{ check, found }]
  const cost = 'nothing here; zero-copy receive in the kernel would need it'
  return [{ check, found, cost, fix: `ethtool -G ${link.name} tcp-data-split on` }]
}

export function checkQueues(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const { wanted } = facts
  const { name, info, features } = link
  const check = 'queues'
  const there = info.rxQueues === 1 ? 'one receive queue, number 0' : `${info.rxQueues} receive queues`
  const { channels } = features
  const resize = (queues: number): string => `ethtool -L ${name} ${channels?.kind ?? 'combined'} ${queues}`
  const last = wanted.queue + wanted.queues - 1
  if (last >= info.rxQueues) {
    return [
      {
        check,
        found: `${there}; not ${last}`,
        closes: XDP_WAYS,
        cost: 'no such queue',
        fix: (channels?.most ?? 0) > last ? resize(last + 1) : `zcrxd run --device xdp:${name}/0`,
      },
    ]
  }
  if (wanted.queues === info.rxQueues && wanted.queues > 1)
    return [{ check, found: `${there}, all of them are taken` }]
  if (info.rxQueues === 1) return [{ check, found: there }]
  // Generic XDP sees what comes to a veth at queue 0, all of it.
  const veth = info.driver === 'veth'
  const lost = 'connections that come to the other queues go to Linux, which resets them'
  return [
    {
      check,
      found: `${there}, ${wanted.queues === 1 ? `${wanted.queue} is` : `${wanted.queue} to ${last} are`} taken`,
      hampers: veth && wanted.queue === 0 ? NATIVE_WAYS : XDP_WAYS,
      cost: `${veth ? `in native mode ${lost}` : lost}; --workers queues takes them all`,
      fix: resize(1),
    },
  ]
}

export function checkInterrupts(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const { interrupts } = link
  const check = 'interrupts'
  if (interrupts === null) return [{ check, found: 'not known: sysfs shows another network namespace' }]
  if (interrupts.length === 0) return [{ check, found: 'none: a virtual device' }]
  const shown = interrupts
    .slice(0, 4)
    .map(({ irq, name, cpus }) => `${irq}${name && ` ${name}`} on CPU ${cpus || '?'}`)
  const more = interrupts.length > 4 ? `, and ${interrupts.length - 4} more` : ''
  const found = shown.join(', ') + more
  const roaming = interrupts.find(({ cpus }) => /[-,]/.test(cpus))
  if (roaming === undefined || facts.machine.cpus < 2) return [{ check, found }]
  const last = facts.machine.cpus - 1
  return [
    {
      check,
      found,
      cost: 'the kernel’s part of the work may land on the CPU that the stack runs on',
      fix: `echo ${last} > /proc/irq/${roaming.irq}/smp_affinity_list`,
    },
  ]
}
