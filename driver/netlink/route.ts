import {
  attributeNumber,
  type NetlinkAttribute,
  type NetlinkMessage,
  NLM_F_CREATE,
  numberAttribute,
  readAttributes,
} from './message.ts'

/**
 * What rtnetlink(7) says of links, addresses, routes and neighbours, and the requests for it. Addresses are 4 or 16 bytes in
 * network order, copies of what came in. A message that is too short or lacks what it must have reads as
 * null.
 */

export const NETLINK_ROUTE = 0

// linux/rtnetlink.h, RTM_*.
export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30

/** Multicast groups as bits for bind: links, neighbours, addresses and routes of both versions (RTMGRP_*). */
export const ROUTE_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400

const AF_UNSPEC = 0
export const AF_INET = 2
export const AF_INET6 = 10

// linux/neighbour.h, states and flags.
export const NUD_INCOMPLETE = 0x01
export const NUD_REACHABLE = 0x02
export const NUD_STALE = 0x04
export const NUD_DELAY = 0x08
export const NUD_PROBE = 0x10
export const NUD_FAILED = 0x20
export const NUD_NOARP = 0x40
export const NUD_PERMANENT = 0x80
/** States in which the hardware address holds (the kernel's NUD_VALID). */
export const NUD_VALID: number = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_NOARP | NUD_PERMANENT
export const NTF_USE = 0x01

/** The main routing table, and the type of routes that lead somewhere. */
export const RT_TABLE_MAIN = 254
const RTN_UNICAST = 1

export const IFF_UP = 0x1
/** Tests for duplicates are not over, or one was found. */
export const IFA_F_TENTATIVE = 0x40
export const IFA_F_DADFAILED = 0x08
export const IFA_F_DEPRECATED = 0x20

const NDA_DST = 1
const NDA_LLADDR = 2
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_METRICS = 8
const RTA_TABLE = 15
const RTAX_MTU = 2
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
const IFLA_ADDRESS = 1
const IFLA_MTU = 4

export interface LinkMessage {
  readonly kind: 'link'
  readonly gone: boolean
  readonly ifIndex: number
  readonly up: boolean
  /** Bytes of layer 3; undefined when not said. */
  readonly mtu: number | undefined
  /** Hardware address, six bytes; null when it has none, or not of that size. */
  readonly mac: Uint8Array | null
}

export interface AddressMessage {
  readonly kind: 'address'
  readonly gone: boolean
  readonly ifIndex: number
  readonly prefixLength: number
  /** RT_SCOPE_*: 0 universe, 253 link, 254 host. */
  readonly scope: number
  /** IFA_F_*. */
  readonly flags: number
  readonly address: Uint8Array
}

export interface RouteMessage {
  readonly kind: 'route'
  readonly gone: boolean
  readonly ifIndex: number
  readonly table: number
  /** It leads somewhere: RTN_UNICAST, neither local, nor multicast, nor a refusal. */
  readonly unicast: boolean
  /** All zero with `prefixLength` 0 for the default route. */
  readonly prefix: Uint8Array
  readonly prefixLength: number
  /** Null = the destinations are on the link. */
  readonly gateway: Uint8Array | null
  /** The lower goes first. */
  readonly priority: number
  /** Bytes of an IP packet, 0 when not said. */
  readonly mtu: number
}

export interface NeighbourMessage {
  readonly kind: 'neighbour'
  readonly gone: boolean
  readonly ifIndex: number
  /** NUD_*. */
  readonly state: number
  readonly address: Uint8Array
  /** Six bytes; null when not known. */
  readonly mac: Uint8Array | null
}

/** What a message of rtnetlink says; null for one of another kind, or malformed. */
export function readRoute(
  message: NetlinkMessage,
): LinkMessage | AddressMessage | RouteMessage | NeighbourMessage | null {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return readLink(message)
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return readAddress(message)
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return readRouteEntry(message)
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return readNeighbour(message)
    default:
      return null
  }
}

/** struct ifinfomsg. Of other families (a bridge tells of its ports that way) it says nothing of the interface itself. */
function readLink({ type, body }: NetlinkMessage): LinkMessage | null {
  if (body.length < 16 || body[0] !== AF_UNSPEC) return null
  const view = viewOf(body)
  const attributes = readAttributes(body, 16)
  const mac = attributes.get(IFLA_ADDRESS)
  return {
    kind: 'link',
    gone: type === RTM_DELLINK,
    ifIndex: view.getInt32(4, true),
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    mtu: attributeNumber(attributes.get(IFLA_MTU)),
    mac: mac !== undefined && mac.length === 6 ? mac.slice() : null,
  }
}

/** struct ifaddrmsg. */
function readAddress({ type, body }: NetlinkMessage): AddressMessage | null {
  if (body.length < 8) return null
  const attributes = readAttributes(body, 8)
  // Of a point-to-point link IFA_ADDRESS is the peer's.
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS)
  const bytes = addressBytes(body[0]!)
  if (address === undefined || address.length !== bytes || body[1]! > bytes * 8) return null
  return {
    kind: 'address',
    gone: type === RTM_DELADDR,
    ifIndex: viewOf(body).getUint32(4, true),
    prefixLength: body[1]!,
    scope: body[3]!,
    flags: attributeNumber(attributes.get(IFA_FLAGS)) ?? body[2]!,
    address: address.slice(),
  }
}

/** struct rtmsg. Routes of several next hops (RTA_MULTIPATH) have no interface of their own and read as null. */
function readRouteEntry({ type, body }: NetlinkMessage): RouteMessage | null {
  if (body.length < 12) return null
  const attributes = readAttributes(body, 12)
  const bytes = addressBytes(body[0]!)
  const prefixLength = body[1]!
  const prefix = attributes.get(RTA_DST) ?? new Uint8Array(bytes)
  const gateway = attributes.get(RTA_GATEWAY) ?? null
  const ifIndex = attributeNumber(attributes.get(RTA_OIF))
  if (bytes === 0 || prefixLength > bytes * 8 || prefix.length !== bytes || ifIndex === undefined) return null
  if (gateway !== null && gateway.length !== bytes) return null
  const metrics = attributes.get(RTA_METRICS)
  return {
    kind: 'route',
    gone: type === RTM_DELROUTE,
    ifIndex,
    table: attributeNumber(attributes.get(RTA_TABLE)) ?? body[4]!,
    unicast: body[7] === RTN_UNICAST,
    prefix: prefix.slice(),
    prefixLength,
    gateway: gateway?.slice() ?? null,
    priority: attributeNumber(attributes.get(RTA_PRIORITY)) ?? 0,
    mtu: (metrics && attributeNumber(readAttributes(metrics).get(RTAX_MTU))) ?? 0,
  }
}

/** struct ndmsg. */
function readNeighbour({ type, body }: NetlinkMessage): NeighbourMessage | null {
  if (body.length < 12) return null
  const attributes = readAttributes(body, 12)
  const address = attributes.get(NDA_DST)
  const mac = attributes.get(NDA_LLADDR)
  if (address === undefined || address.length !== addressBytes(body[0]!)) return null
  const view = viewOf(body)
  return {
    kind: 'neighbour',
    gone: type === RTM_DELNEIGH,
    ifIndex: view.getInt32(4, true),
    state: view.getUint16(8, true),
    address: address.slice(),
    mac: mac !== undefined && mac.length === 6 ? mac.slice() : null,
  }
}

/** A request: the fixed structure and the attributes of a message. */
export interface RouteRequest {
  readonly type: number
  /** NLM_F_* beside those of every request. */
  readonly flags?: number
  readonly body: Uint8Array
  readonly attributes: readonly NetlinkAttribute[]
}

/** Asks (with NLM_F_DUMP) for every address of an interface. */
export function addressesOf(ifIndex: number): RouteRequest {
  const body = new Uint8Array(8)
  viewOf(body).setUint32(4, ifIndex, true)
  return { type: RTM_GETADDR, body, attributes: [] }
}

/** The same for routes of the main table through an interface. @param family AF_INET or AF_INET6 */
export function routesThrough(ifIndex: number, family: number): RouteRequest {
  const body = new Uint8Array(12)
  body[0] = family
  body[4] = RT_TABLE_MAIN
  return { type: RTM_GETROUTE, body, attributes: [numberAttribute(RTA_OIF, ifIndex)] }
}

/** The same for neighbours on an interface. */
export function neighboursOn(ifIndex: number): RouteRequest {
  const NDA_IFINDEX = 8
  return { type: RTM_GETNEIGH, body: new Uint8Array(12), attributes: [numberAttribute(NDA_IFINDEX, ifIndex)] }
}

/** Asks (without NLM_F_DUMP) for one neighbour; `-ENOENT` when the kernel knows of none. Linux 5.0. */
export function neighbourAt(ifIndex: number, address: Uint8Array): RouteRequest {
  const body = new Uint8Array(12)
  body[0] = familyOf(address)
  viewOf(body).setInt32(4, ifIndex, true)
  return { type: RTM_GETNEIGH, body, attributes: [[NDA_DST, address]] }
}

/** Asks (without NLM_F_DUMP) for one interface. */
export function linkOf(ifIndex: number): RouteRequest {
  const body = new Uint8Array(16)
  viewOf(body).setInt32(4, ifIndex, true)
  return { type: RTM_GETLINK, body, attributes: [] }
}

/**
 * Makes the kernel look for a neighbour, or verify the one it knows, as if it had a packet for it (NTF_USE; ip-neighbour(8)
 * `use`). What it finds out it tells with RTM_NEWNEIGH. @param address 4 or 16 bytes
 */
export function useNeighbour(ifIndex: number, address: Uint8Array): RouteRequest {
  const body = new Uint8Array(12)
  const view = viewOf(body)
  body[0] = familyOf(address)
  view.setInt32(4, ifIndex, true)
  body[10] = NTF_USE
  return { type: RTM_NEWNEIGH, flags: NLM_F_CREATE, body, attributes: [[NDA_DST, address]] }
}

function familyOf(address: Uint8Array): number {
  return address.length === 4 ? AF_INET : AF_INET6
}

function addressBytes(family: number): number {
  if (family === AF_INET) return 4
  return family === AF_INET6 ? 16 : 0
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
