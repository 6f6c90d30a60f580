import { networkInterfaces } from 'node:os'
import type { LinkInfo, Native } from '../../driver/native/index.ts'
import { type FlowRule, listRules } from '../../driver/setup/index.ts'
import { ERRNO, errnoName, holdersOfProgram } from '../../driver/system.ts'
import { type DriverFeatures, driverFeatures } from './features.ts'
import { list, read } from './read.ts'
import { holdersOfRings } from './rings.ts'

/** An XDP program that is on the interface already. */
export interface AttachedProgram {
  readonly id: number
  readonly mode: 'native' | 'generic' | 'offloaded'
  /** Empty when it has none, or it can't be asked. */
  readonly name: string
  /** `pid 42 (name)`, as far as /proc lets us see. */
  readonly holders: readonly string[]
}

/** An interrupt of the interface's device. */
export interface QueueInterrupt {
  readonly irq: number
  /** As /proc/interrupts has it: `virtio3-rx`. */
  readonly name: string
  /** CPUs it may run on: `0-3`; empty when not known. */
  readonly cpus: string
}

/** What is known of one interface. */
export interface LinkFacts {
  readonly name: string
  readonly info: LinkInfo
  readonly features: DriverFeatures
  /** Rules that send flows to queues (`ethtool -n`); null when the driver has none, or they can't be asked. */
  readonly rules: readonly FlowRule[] | null
  /** Who may have its queues by io_uring: processes with a ring. Empty when no queue is had so. */
  readonly ringHolders: readonly string[]
  readonly programs: readonly AttachedProgram[]
  /** Empty for virtual devices; null when sysfs shows another namespace than the interface's. */
  readonly interrupts: readonly QueueInterrupt[] | null
  /** The host forwards packets that come in here. */
  readonly forwards: { readonly ipv4: boolean; readonly ipv6: boolean }
  /** The machine's addresses on it, as text, IPv4 first; only those of an interface that is up. */
  readonly addresses: readonly string[]
}

/** Of an interface in the namespace that the thread is in; what is known of its absence otherwise. @throws NicError */
export function linkFacts(native: Native, name: string): LinkFacts | { readonly missing: string } {
  const info = native.linkInfo(name)
  if (typeof info === 'number') {
    const missing = info === -ERRNO.ENODEV ? 'there is no such interface' : `RTM_GETLINK: ${errnoName(-info)}`
    return { missing }
  }
  const features = driverFeatures(native, info.index)
  const rules = listRules(native, name)
  const taken = features.receiveQueues?.some(({ holder }) => holder === 'io_uring') === true
  return {
    name,
    info,
    features,
    rules: typeof rules === 'number' ? null : rules,
    ringHolders: taken ? holdersOfRings() : [],
    programs: info.programs.map(({ id, mode }) => {
      const called = native.bpfProgName(id)
      return { id, mode, name: typeof called === 'string' ? called : '', holders: holdersOfProgram(id) }
    }),
    interrupts: interruptsOf(name, info.index),
    forwards: { ipv4: forwards('ipv4', name), ipv6: forwards('ipv6', name) },
    addresses: addressesOf(name),
  }
}

/** Names of the interfaces in the namespace that sysfs shows. */
export function interfaceNames(): string[] {
  return list('/sys/class/net').filter((name) => read(`/sys/class/net/${name}/ifindex`) !== '')
}

function forwards(version: 'ipv4' | 'ipv6', name: string): boolean {
  return read(`/proc/sys/net/${version}/conf/${name}/forwarding`) === '1'
}

function addressesOf(name: string): string[] {
  const entries = [...(networkInterfaces()[name] ?? [])]
  // Those that only hold on the link come last: they are the least of use.
  const rank = ({ family, address }: { family: string; address: string }): number =>
    family === 'IPv4' ? 0 : address.startsWith('fe80:') ? 2 : 1
  return entries.sort((a, b) => rank(a) - rank(b)).map(({ address }) => address)
}

/** A virtio device's interrupts are those of the PCI function above it. */
function interruptsOf(name: string, index: number): QueueInterrupt[] | null {
  const folder = `/sys/class/net/${name}`
  if (Number(read(`${folder}/ifindex`)) !== index) return null
  const above = read(`${folder}/device/uevent`).includes('DRIVER=virtio') ? '/..' : ''
  const irqs = list(`${folder}/device${above}/msi_irqs`).map(Number)
  if (irqs.length === 0) return []
  const names = interruptNames(read('/proc/interrupts'))
  return irqs
    .sort((a, b) => a - b)
    .map((irq) => ({
      irq,
      name: names.get(irq) ?? '',
      cpus: read(`/proc/irq/${irq}/smp_affinity_list`),
    }))
    .filter((each) => !/-(config|event|ctrl|async)\b/.test(each.name))
}

/** The last word of each line of /proc/interrupts that begins with a number. */
export function interruptNames(text: string): Map<number, string> {
  const names = new Map<number, string>()
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+):.*\s(\S+)$/.exec(line)
    if (match !== null) names.set(Number(match[1]), match[2]!)
  }
  return names
}
