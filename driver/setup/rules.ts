import type { Native } from '../native/index.ts'
import { ERRNO } from '../system.ts'

/**
 * Rules that send flows to a queue (`ethtool -N`): struct ethtool_rxnfc of linux/ethtool.h, with the layout that 64-bit machines
 * give it. They are asked for and changed by ioctl: netlink has none of it.
 */

const ETHTOOL_GRXCLSRLCNT = 0x2e
const ETHTOOL_GRXCLSRULE = 0x2f
const ETHTOOL_GRXCLSRLALL = 0x30
const ETHTOOL_SRXCLSRLDEL = 0x31
const ETHTOOL_SRXCLSRLINS = 0x32

/** sizeof(struct ethtool_rxnfc), and where its parts are. */
export const RXNFC_BYTES = 192
const DATA_AT = 8
const SPEC_AT = 16
const COUNT_AT = 184
const LOCATIONS_AT = 188
// struct ethtool_rx_flow_spec, from SPEC_AT.
const VALUES_AT = SPEC_AT + 4
const MASKS_AT = SPEC_AT + 76
const COOKIE_AT = SPEC_AT + 152
const LOCATION_AT = SPEC_AT + 160
/** Both unions, values and masks, with their extensions. */
const MATCH_BYTES = 72

const FLOW_EXT = 0x8000_0000
const FLOW_MAC_EXT = 0x4000_0000
const FLOW_RSS = 0x2000_0000
const FLOW_FLAGS = FLOW_EXT | FLOW_MAC_EXT | FLOW_RSS
const RX_CLS_LOC_SPECIAL = 0x8000_0000
const RX_CLS_LOC_ANY = 0xffff_ffff

/** Rules are many in no device; more are counted, not read. */
const MAX_RULES = 4096
/** `ethtool -N … flow-type`, those that have a port: number, and where the port is in the union. */
const PORT_FLOWS = {
  tcp4: { type: 1, portAt: 10 },
  tcp6: { type: 5, portAt: 34 },
} as const
const FLOW_NAMES: Readonly<Record<number, string>> = {
  1: 'tcp4',
  2: 'udp4',
  3: 'sctp4',
  5: 'tcp6',
  6: 'udp6',
  7: 'sctp6',
  9: 'ah4',
  10: 'esp4',
  11: 'ah6',
  12: 'esp6',
  13: 'ip4',
  14: 'ip6',
  18: 'ether',
}

/** A rule that is to be: TCP to a port, whatever the addresses. */
export interface PortRule {
  readonly flow: keyof typeof PORT_FLOWS
  readonly port: number
  readonly queue: number
}

/** A rule that is there. */
export interface FlowRule {
  readonly location: number
  /** As `flow-type` has it; `type 19` for others. */
  readonly flow: string
  /** Destination port of TCP if the rule is for one, else null. */
  readonly port: number | null
  /** It looks at more than the port. */
  readonly narrower: boolean
  /** Receive queue; null when it drops, wakes, or sends to a context or a virtual function. */
  readonly queue: number | null
}

/** The command that makes the rule. */
export function ruleCommand(device: string, { flow, port, queue }: PortRule): string {
  return `ethtool -N ${device} flow-type ${flow} dst-port ${port} action ${queue}`
}

/** struct ethtool_rxnfc that inserts a rule. @param location where in the table; RX_CLS_LOC_ANY lets the driver choose */
export function writeRule({ flow, port, queue }: PortRule, location: number): Uint8Array {
  const { bytes, view } = request(ETHTOOL_SRXCLSRLINS)
  const { type, portAt } = PORT_FLOWS[flow]
  view.setUint32(SPEC_AT, type, true)
  view.setUint16(VALUES_AT + portAt, port)
  view.setUint16(MASKS_AT + portAt, 0xffff)
  view.setBigUint64(COOKIE_AT, BigInt(queue), true)
  view.setUint32(LOCATION_AT, location, true)
  return bytes
}

/** The rule in an answer; null when there are too few bytes. */
export function readRule(bytes: Uint8Array): FlowRule | null {
  if (bytes.length < RXNFC_BYTES) return null
  const view = viewOf(bytes)
  const flags = view.getUint32(SPEC_AT, true)
  const type = (flags & ~FLOW_FLAGS) >>> 0
  const spec = Object.values(PORT_FLOWS).find((each) => each.type === type)
  const whole = spec !== undefined && view.getUint16(MASKS_AT + spec.portAt) === 0xffff
  let narrower = (flags & (FLOW_EXT | FLOW_MAC_EXT)) !== 0
  for (let i = 0; i < MATCH_BYTES - 20; i++) {
    if (bytes[MASKS_AT + i] !== 0 && !(whole && (i === spec.portAt || i === spec.portAt + 1))) narrower = true
  }
  const cookie = view.getBigUint64(COOKIE_AT, true)
  const plain = cookie <= 0xffff_ffffn && (flags & FLOW_RSS) === 0
  return {
    location: view.getUint32(LOCATION_AT, true),
    flow: FLOW_NAMES[type] ?? `type ${type}`,
    port: whole ? view.getUint16(VALUES_AT + spec.portAt) : null,
    narrower,
    queue: plain ? Number(cookie) : null,
  }
}

/** All rules of an interface in the thread's network namespace, or a negative errno; `-EOPNOTSUPP` when the driver has none. */
export function listRules(native: Native, device: string): FlowRule[] | number {
  const locations = ruleLocations(native, device)
  if (typeof locations === 'number') return locations
  const rules: FlowRule[] = []
  for (const location of locations) {
    const { bytes, view } = request(ETHTOOL_GRXCLSRULE)
    view.setUint32(LOCATION_AT, location, true)
    // One that went meanwhile is not there any more.
    const rule = native.ethtool(device, bytes) < 0 ? null : readRule(bytes)
    if (rule !== null) rules.push({ ...rule, location })
  }
  return rules
}

/** Inserts a rule. Returns its location, or a negative errno; `-ENOSPC` when the table is full. */
export function insertRule(native: Native, device: string, rule: PortRule): number {
  const count = request(ETHTOOL_GRXCLSRLCNT)
  const counted = native.ethtool(device, count.bytes)
  if (counted < 0) return counted
  const chooses = (count.view.getUint32(DATA_AT, true) & RX_CLS_LOC_SPECIAL) !== 0
  const location = chooses ? RX_CLS_LOC_ANY : freeLocation(native, device)
  if (location < 0) return location
  const bytes = writeRule(rule, location)
  const result = native.ethtool(device, bytes)
  return result < 0 ? result : viewOf(bytes).getUint32(LOCATION_AT, true)
}

/** 0 or a negative errno; `-ENOENT` when it is not there. */
export function removeRule(native: Native, device: string, location: number): number {
  const { bytes, view } = request(ETHTOOL_SRXCLSRLDEL)
  view.setUint32(LOCATION_AT, location, true)
  return native.ethtool(device, bytes)
}

/** As ethtool(8) does it: rules in front come first, so a new one goes to the last place that is free. */
function freeLocation(native: Native, device: string): number {
  const taken = ruleTable(native, device)
  if (typeof taken === 'number') return taken
  const locations = new Set(taken.locations)
  for (let location = taken.size - 1; location >= 0; location--) if (!locations.has(location)) return location
  return -ERRNO.ENOSPC
}

function ruleLocations(native: Native, device: string): readonly number[] | number {
  const table = ruleTable(native, device)
  return typeof table === 'number' ? table : table.locations
}

/** Places of rules, and how many the table has. */
function ruleTable(native: Native, device: string): { locations: readonly number[]; size: number } | number {
  const count = request(ETHTOOL_GRXCLSRLCNT)
  const counted = native.ethtool(device, count.bytes)
  if (counted < 0) return counted
  const rules = Math.min(count.view.getUint32(COUNT_AT, true), MAX_RULES)
  const bytes = new Uint8Array(Math.max(RXNFC_BYTES, LOCATIONS_AT + 4 * rules))
  const view = viewOf(bytes)
  view.setUint32(0, ETHTOOL_GRXCLSRLALL, true)
  view.setUint32(COUNT_AT, rules, true)
  const listed = native.ethtool(device, bytes)
  if (listed < 0) return listed
  // Fewer than there were, never more than there is room for.
  const there = Math.min(view.getUint32(COUNT_AT, true), rules)
  return {
    locations: Array.from({ length: there }, (_, i) => view.getUint32(LOCATIONS_AT + 4 * i, true)),
    size: view.getUint32(DATA_AT, true) & ~RX_CLS_LOC_SPECIAL,
  }
}

function request(command: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(RXNFC_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, command, true)
  return { bytes, view }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
