import { NATIVE_WAYS, type Observation, type WayName, XDP_WAYS } from '../finding.ts'
import { type Facts, presentLink } from '../wanted.ts'

/** Checks of an interface whatever the way in: whether it is there and up, its addresses, its offloads. */

const INTO_INTERFACE: readonly WayName[] = [...XDP_WAYS, 'packet', 'raw']

/** Why nothing is opened on the loopback interface, and what does instead. */
export const LOOPBACK_COST =
  'nobody could connect, the kernel takes and answers by itself what programs of the host send one another'
export const LOOPBACK_FIX = 'zcrxd run --device tap:tap0 --address 192.0.2.2/24 --listen :9000'
export const LOOPBACK_REMEDY = `for peers on this host take raw:ADDRESS with an address of another interface, or a TAP device: ${LOOPBACK_FIX}`

export function checkInterface(facts: Facts): Observation[] {
  const { link, wanted } = facts
  const check = 'interface'
  if (link === null) return []
  if ('missing' in link) {
    const place = wanted.netns === undefined ? '' : ` in ${wanted.netns}`
    const fix = wanted.netns === undefined ? 'ip link' : `ip -n ${wanted.netns.split('/').at(-1)} link`
    const who = wanted.name === '' ? '' : `${wanted.name}: `
    return [{ check, found: `${who}${link.missing}${place}`, closes: INTO_INTERFACE, fix }]
  }
  const { name, info } = link
  const kind = info.loopback ? 'loopback' : info.driver || 'driver unknown'
  const found = `${name}, ${kind}, MTU ${info.mtu}`
  const observations: Observation[] = []
  if (!info.up) {
    const fix = `ip link set dev ${name} up`
    observations.push({
      check,
      found: `${found}, down`,
      closes: INTO_INTERFACE,
      cost: 'nothing arrives',
      fix,
    })
  } else if (!info.running) {
    const cost = 'nothing arrives as long as the other end is not there'
    observations.push({ check, found: `${found}, no carrier`, hampers: INTO_INTERFACE, cost })
  } else if (info.loopback) {
    // Raw sockets get what the host sends to another address that it has there.
    const others = link.addresses.some((address) => !address.startsWith('127.') && address !== '::1')
    const closes = others ? INTO_INTERFACE.filter((way) => way !== 'raw') : INTO_INTERFACE
    observations.push({ check, found, closes, cost: LOOPBACK_COST, fix: LOOPBACK_FIX })
  } else observations.push({ check, found: `${found}, up` })
  if (!info.loopback && info.mac.every((byte) => byte === 0)) {
    const closes: readonly WayName[] = [...XDP_WAYS, 'packet']
    observations.push({ check, found: `${name} has no Ethernet address`, closes, cost: 'raw sockets only' })
  }
  return observations
}

export function checkAddresses(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null || !link.info.up) return []
  const check = 'addresses'
  if (link.addresses.length > 0) return [{ check, found: link.addresses.join(', ') }]
  const cost = 'zcrxd run needs an --address of its own; raw sockets have none'
  const fix = `ip address add 192.0.2.1/24 dev ${link.name}`
  return [{ check, found: `none on ${link.name}`, closes: ['raw'], cost, fix }]
}

/** Who can connect, and who can't although the address is listened at. */
export function checkPeers(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null || !link.info.up || link.info.loopback || link.addresses.length === 0) return []
  const found =
    'those on the link; programs of this host itself over raw only, or to a TAP device: what they send to an address of the ' +
    "host's goes over lo"
  return [{ check: 'peers', found }]
}

export function checkForwarding(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const on = (['ipv4', 'ipv6'] as const).filter((version) => link.forwards[version])
  if (on.length === 0) return [{ check: 'forwarding', found: 'off' }]
  const cost = 'over packet, packets for addresses of the stack’s own are sent on by the host as well'
  const fix = `sysctl -w ${on.map((version) => `net.${version}.conf.${link.name}.forwarding=0`).join(' ')}`
  return [{ check: 'forwarding', found: `on for ${on.join(' and ')}`, cost, fix }]
}

export function checkOffloads(facts: Facts): Observation[] {
  const link = presentLink(facts)
  if (link === null) return []
  const { name, features } = link
  const { offloads } = features
  const check = 'offloads'
  if (offloads === null) return [{ check, found: 'not known: the kernel has no ethtool over netlink' }]
  /** The command that switches an offload; none when the driver has it fixed. */
  const fix = (feature: string, words: string): { fix?: string } =>
    features.switchable.has(feature) ? { fix: `ethtool -K ${name} ${words}` } : {}
  const state = (feature: string): string => (offloads.has(feature) ? 'on' : 'off')
  const found = `GRO ${state('rx-gro')}, LRO ${state('rx-lro')}, receive checksums ${state('rx-checksum')}, TSO ${state(
    'tx-tcp-segmentation',
  )}, VLAN stripping ${state('rx-vlan-hw-parse')}`
  const observations: Observation[] = [{ check, found }]
  if (!offloads.has('rx-gro')) {
    observations.push({
      check,
      found: 'GRO off',
      hampers: ['xdp generic', 'packet', 'raw'],
      cost: 'segments come one by one, each with its own work',
      ...fix('rx-gro', 'gro on'),
    })
  }
  if (offloads.has('rx-lro')) {
    observations.push({
      check,
      found: 'LRO on',
      closes: NATIVE_WAYS,
      cost: 'the driver refuses native XDP',
      ...fix('rx-lro', 'lro off'),
    })
  }
  if (!offloads.has('rx-checksum') && !link.info.loopback) {
    observations.push({
      check,
      found: 'receive checksums off',
      hampers: ['packet', 'raw'],
      cost: 'the processor computes them',
      ...fix('rx-checksum', 'rx on'),
    })
  }
  if (offloads.has('rx-vlan-hw-parse')) {
    observations.push({
      check,
      found: 'VLAN stripping on',
      cost: 'the XDP program does not see the tags: --vlan takes nothing',
      ...fix('rx-vlan-hw-parse', 'rxvlan off'),
    })
  }
  return observations
}
