import type { Observation, WayName } from '../finding.ts'
import { XDP_WAYS } from '../finding.ts'
import type { MachineFacts, Obstacle } from '../machine.ts'
import type { Facts } from '../wanted.ts'

/** Checks of the machine and the process: kernel, addon, capabilities, what was tried. */

/** What is lost without AF_XDP. */
const WITHOUT_XDP = 'no AF_XDP: the kernel copies each frame into a ring, and the payload is copied again'
const NEEDS_ADDON: readonly WayName[] = [...XDP_WAYS, 'packet', 'raw', 'tap']

const NEEDED: readonly [capability: string, ways: readonly WayName[], cost: string][] = [
  ['CAP_NET_RAW', [...XDP_WAYS, 'packet', 'raw'], 'no socket that sees frames'],
  ['CAP_NET_ADMIN', [...XDP_WAYS, 'tap'], 'neither AF_XDP nor a TAP device'],
  ['CAP_BPF', XDP_WAYS, WITHOUT_XDP],
]

export function checkKernel({ machine: { kernel } }: Facts): Observation[] {
  const found = `Linux ${kernel}`
  if (!atLeast(kernel, 5, 18))
    return [
      { check: 'kernel', found: `${found}; AF_XDP here needs 5.18`, closes: XDP_WAYS, cost: WITHOUT_XDP },
    ]
  if (!atLeast(kernel, 6, 6)) {
    const cost =
      'over AF_XDP frames of more than 3840 bytes are dropped: large MTUs, and what the kernel has merged'
    return [
      { check: 'kernel', found: `${found}; 6.6 takes frames of several chunks`, hampers: XDP_WAYS, cost },
    ]
  }
  return [{ check: 'kernel', found }]
}

export function checkCores({ machine: { cores, cpus } }: Facts): Observation[] {
  const of = cores < cpus ? ` of ${cpus}: affinity (taskset) or a cgroup's limit leaves no more` : ''
  const found = `${cores}${of}; each can run a worker with a queue of its own`
  return [
    { check: 'cores', found: cores === 1 && of === '' ? 'one: one worker does as much as several' : found },
  ]
}

export function checkAddon({ machine: { addon } }: Facts): Observation[] {
  if (addon === null) return [{ check: 'native addon', found: 'loaded' }]
  const cost = 'nothing but the memory link and captures'
  return [{ check: 'native addon', found: addon.message, closes: NEEDS_ADDON, cost, fix: addon.fix }]
}

export function checkCapabilities({ machine, wanted }: Facts): Observation[] {
  const { capabilities, node } = machine
  const fix = `sudo setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock=ep ${node}`
  const lacking = NEEDED.filter(([name]) => !capabilities.has(name)).map(
    ([name, closes, cost]): Observation => ({
      check: 'capabilities',
      found: `${name} is missing`,
      closes,
      cost,
      fix,
    }),
  )
  if (wanted.netns !== undefined && !capabilities.has('CAP_SYS_ADMIN')) {
    lacking.push({
      check: 'capabilities',
      found: 'CAP_SYS_ADMIN is missing',
      closes: NEEDS_ADDON,
      cost: `${wanted.netns} can't be entered`,
      fix: `sudo nsenter --net=${wanted.netns} zcrxd …`,
    })
  }
  if (lacking.length > 0) return lacking
  return [{ check: 'capabilities', found: NEEDED.map(([name]) => name).join(', ') }]
}

export function checkXdpSocket({ machine }: Facts): Observation[] {
  if (!holds(machine, 'CAP_NET_RAW', 'CAP_NET_ADMIN', 'CAP_BPF') || machine.addon !== null) return []
  return [
    tried('AF_XDP socket', 'opened', machine.xdpSocket, XDP_WAYS, WITHOUT_XDP),
    tried('XDP program', 'the verifier takes it', machine.xdpProgram, XDP_WAYS, WITHOUT_XDP),
  ]
}

export function checkPacketSocket({ machine }: Facts): Observation[] {
  if (!holds(machine, 'CAP_NET_RAW') || machine.addon !== null) return []
  return [
    tried('AF_PACKET socket', 'opened', machine.packetSocket, ['packet'], 'no way in over packet sockets'),
  ]
}

export function checkRawPackage({ machine: { rawPackage } }: Facts): Observation[] {
  return [tried('raw-socket', 'the package is there', rawPackage, ['raw'], 'no way in over raw sockets')]
}

export function checkTun({ machine: { tun } }: Facts): Observation[] {
  return [tried('/dev/net/tun', 'opened', tun, ['tap'], 'no TAP devices')]
}

function tried(
  check: string,
  good: string,
  obstacle: Obstacle,
  closes: readonly WayName[],
  cost: string,
): Observation {
  if (obstacle === null) return { check, found: good }
  return { check, found: obstacle.message, closes, cost, fix: obstacle.fix }
}

function holds({ capabilities }: MachineFacts, ...names: string[]): boolean {
  return names.every((name) => capabilities.has(name))
}

/** Whether a release such as `6.6.12-generic` is of that version or a later one; true when it can't be read. */
export function atLeast(release: string, major: number, minor: number): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release)
  if (match === null) return true
  const [is, and] = [Number(match[1]), Number(match[2])]
  return is > major || (is === major && and >= minor)
}
