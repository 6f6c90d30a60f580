import { accessSync, constants } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { IpAddress } from '../../address.ts'
import { nativeOrNull } from '../../driver/native/index.ts'
import { inNamespace } from '../../driver/system.ts'
import { DEFAULT_AREA_BYTES, OWN_AREA_BYTES } from '../../pages.ts'
import {
  type Candidate,
  type Facts,
  type Finding,
  interfaceNames,
  judge,
  linkFacts,
  type MachineFacts,
  machineFacts,
  type Observation,
  observe,
  obstacleOf,
  type Wanted,
  type Way,
  XDP_WAYS,
} from '../examine/index.ts'
import { parseDevice } from './parse.ts'
import type { AutoSpec, DeviceSpec, PacketSpec, XdpSpec } from './spec.ts'

export interface ExamineOptions {
  /** Bytes of the area that is to be received into; default 64 MiB. */
  readonly areaBytes?: number
}

/** What opening a device would meet. */
export interface Examination {
  /** The device string; null for the machine alone. */
  readonly device: string | null
  /** It would open; of the machine: some interface would. */
  readonly ok: boolean
  /** The way that would be taken; null when none would, and for the machine alone. */
  readonly chosen: Way | null
  readonly findings: readonly Finding[]
  /** The ways in, best first, with what closes them. */
  readonly ways: readonly Way[]
  /** Of the machine alone: its interfaces, each with its best way. */
  readonly interfaces?: readonly { readonly name: string; readonly chosen: Way | null }[]
}

/**
 * Says whether a device can be opened, which way would be taken, and what is missing for a better one. Opens sockets and
 * loads the XDP program to see whether that is allowed; takes and attaches nothing.
 * @throws DeviceError
 */
export function examineDevice(device: string, options: ExamineOptions = {}): Examination {
  return examineWith(machineFacts(), parseDevice(device), device, options)
}

/** Examines the machine and each of its interfaces. */
export function examineMachine(options: ExamineOptions = {}): Examination {
  const machine = machineFacts()
  const examine = (name: string): Examination =>
    examineWith(machine, { driver: 'auto', name, queue: 0 }, `auto:${name}`, options)
  const interfaces = interfaceNames().map((name) => ({ name, chosen: examine(name).chosen }))
  const wanted = wantedOf('', options)
  const names = [...XDP_WAYS, 'packet', 'raw', 'tap'] as const
  const candidates = names.map((name): Candidate => {
    const [driver = name, ...mode] = name.split(' ')
    return { name, driver, mode: mode.join(' '), device: '' }
  })
  const { findings } = judge(candidates, observe({ machine, wanted, link: null }, names))
  const ok = interfaces.some(({ chosen }) => chosen !== null)
  return { device: null, ok, chosen: null, findings, ways: [], interfaces }
}

function examineWith(
  machine: MachineFacts,
  spec: DeviceSpec,
  device: string,
  options: ExamineOptions,
): Examination {
  const name = spec.driver === 'raw' ? interfaceOf(spec.address) : 'name' in spec ? spec.name : ''
  const wanted: Wanted = {
    ...wantedOf(name, options),
    ...(spec.driver === 'xdp' || spec.driver === 'auto' ? { queue: spec.queue } : {}),
    ...(spec.driver === 'xdp' ? { queues: spec.queues, mode: spec.mode, copy: spec.copy } : {}),
    ...('netns' in spec ? { netns: spec.netns } : {}),
  }
  const { link, refusal } = gather(spec, wanted)
  const facts: Facts = { machine, wanted, link }
  const candidates = candidatesFor(spec, facts)
  const names = candidates.map((candidate) => candidate.name)
  const seen = [...observe(facts, names), ...refusal(names), ...special(spec, facts)]
  const { chosen, findings, ways } = judge(candidates, seen)
  return { device, ok: chosen !== null, chosen, findings, ways }
}

function wantedOf(name: string, { areaBytes = DEFAULT_AREA_BYTES }: ExamineOptions): Wanted {
  const bytes = Math.max(areaBytes, OWN_AREA_BYTES)
  return { name, queue: 0, queues: 1, mode: 'auto', copy: 'auto', netns: undefined, areaBytes: bytes }
}

/** What is known of the interface, and what is seen when its namespace can't be entered. */
function gather(
  spec: DeviceSpec,
  { name, netns }: Wanted,
): { link: Facts['link']; refusal: (closes: Observation['closes'] & {}) => Observation[] } {
  const native = nativeOrNull()
  if (native === null || spec.driver === 'memory' || spec.driver === 'pcap')
    return { link: null, refusal: () => [] }
  if (spec.driver === 'raw' && name === '')
    return { link: { missing: `no interface that is up has ${spec.address}` }, refusal: () => [] }
  let link: Facts['link'] = null
  const obstacle = obstacleOf(() => {
    link = inNamespace(native, netns, () => linkFacts(native, name))
  })
  if (obstacle === null) return { link, refusal: () => [] }
  const found = obstacle.message
  const fix = 'ip netns list'
  return { link: null, refusal: (closes) => [{ check: 'namespace', found, closes, fix }] }
}

function candidatesFor(spec: DeviceSpec, { link }: Facts): Candidate[] {
  switch (spec.driver) {
    case 'xdp':
      return xdpCandidates(spec)
    case 'auto': {
      const addresses = link !== null && !('missing' in link) ? link.addresses : []
      const packet = { driver: 'packet', name: spec.name, guard: 'auto', ...netnsOf(spec) } as const
      return [
        ...xdpCandidates({ ...spec, driver: 'xdp', queues: 1, mode: 'auto', copy: 'auto' }),
        packetCandidate(packet),
        rawCandidate(addresses[0] ?? 'ADDRESS'),
      ]
    }
    case 'packet':
      return [packetCandidate(spec)]
    case 'raw':
      return [rawCandidate(spec.address)]
    case 'tap':
      return [
        {
          name: 'tap',
          driver: 'tap',
          mode: spec.offload ? 'vnet_hdr tso' : 'vnet_hdr',
          device: `tap:${spec.name}${settings(spec, [])}`,
        },
      ]
    case 'memory':
      return [{ name: 'memory', driver: 'memory', mode: 'memory', device: `memory:${spec.name}` }]
    case 'pcap':
      return [{ name: 'pcap', driver: 'pcap', mode: 'replay', device: `pcap:${spec.file}` }]
  }
}

/** Native before generic, zero-copy before copy. `copy: 'zerocopy'` is a wish. */
function xdpCandidates(spec: XdpSpec): Candidate[] {
  const { name, queue, mode, copy } = spec
  const of = (way: Candidate['name'], says: string, ...more: string[]): Candidate => ({
    name: way,
    driver: 'xdp',
    mode: says,
    device: `xdp:${name}/${queue}${settings(spec, more)}`,
  })
  const candidates: Candidate[] = []
  if (mode !== 'generic') {
    if (copy !== 'copy') candidates.push(of('xdp zero-copy', 'native zero-copy', 'mode=zerocopy'))
    candidates.push(of('xdp native', 'native copy', 'mode=native', 'copy=copy'))
  }
  if (mode !== 'native') candidates.push(of('xdp generic', 'generic copy', 'mode=generic'))
  return candidates
}

function packetCandidate(spec: PacketSpec): Candidate {
  const more = spec.fanout === undefined ? [] : [`fanout=${spec.fanout}`]
  const device = `packet:${spec.name}${settings(spec, more)}`
  return { name: 'packet', driver: 'packet', mode: 'tpacket_v3 vnet_hdr copy', device }
}

function rawCandidate(address: string): Candidate {
  return { name: 'raw', driver: 'raw', mode: 'raw sockets copy', device: `raw:${address}` }
}

function settings({ netns }: { readonly netns?: string }, more: readonly string[]): string {
  const all = netns === undefined ? more : [...more, `netns=${netns}`]
  return all.length === 0 ? '' : `?${all.join('&')}`
}

function netnsOf({ netns }: AutoSpec): { netns?: string } {
  return netns === undefined ? {} : { netns }
}

/** What holds for one kind of device only. */
function special(spec: DeviceSpec, { link }: Facts): Observation[] {
  if (spec.driver === 'tap' && link !== null && !('missing' in link) && link.info.driver !== 'tun') {
    const found = `${spec.name} is no TAP device but one of ${link.info.driver || 'another kind'}`
    return [{ check: 'interface', found, closes: ['tap'], fix: `zcrxd doctor auto:${spec.name}` }]
  }
  if (spec.driver === 'tap') {
    const there = link !== null && !('missing' in link)
    return [{ check: 'interface', found: `${spec.name} ${there ? 'is joined' : 'is made'}` }]
  }
  if (spec.driver !== 'pcap') return []
  const unreadable = obstacleOf(() => accessSync(spec.file, constants.R_OK))
  const found = unreadable?.message ?? `${spec.file} can be read`
  return [{ check: 'file', found, ...(unreadable === null ? {} : { closes: ['pcap'] as const }) }]
}

/** The interface that has an address of the machine's; empty when none has. */
function interfaceOf(address: string): string {
  const wanted = IpAddress.parse(address)?.toString()
  for (const [name, entries] of Object.entries(networkInterfaces()))
    if (entries?.some((entry) => IpAddress.parse(entry.address)?.toString() === wanted)) return name
  return ''
}
