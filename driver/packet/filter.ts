import { NicError } from '../../errors.ts'
import type { FlowAddress } from '../flows.ts'
import { FilterAssembler, INSTRUCTION_BYTES, MOST_INSTRUCTIONS } from './cbpf.ts'

/**
 * The socket's filter: what of an interface's frames a stack gets.
 *
 * - Of a claimed address: every IP packet to it, ARP for it, neighbour solicitations for it, and neighbour advertisements to
 *   all nodes once an IPv6 address is claimed.
 * - Of a steered address and port: TCP to that port, the first fragment of such a segment and the later fragments of any TCP
 *   to the address (a datagram whose first fragment is missing is never complete, so the host's own are not disturbed), and
 *   the ICMP errors to the address, which the stack holds against its connections and the host's kernel against its own; and
 *   the answers to who asks for a neighbour from the address (ARP, neighbour advertisements), which are for both.
 *
 * Segments behind IPv6 extension headers other than a fragment header are the host's, for a steered address.
 */

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_ARP = 0x0806
const ETHERTYPE_IPV6 = 0x86dd
const ETHERTYPE_VLAN = 0x8100
const ETHERTYPE_QINQ = 0x88a8
const PROTOCOL_ICMP = 1
const PROTOCOL_TCP = 6
const PROTOCOL_FRAGMENT = 44
const PROTOCOL_ICMPV6 = 58
const NEIGHBOUR_SOLICITATION = 135
const NEIGHBOUR_ADVERTISEMENT = 136
/** RFC 792: destination unreachable, time exceeded, parameter problem. */
const ICMP_ERRORS = [3, 11, 12]
/** RFC 4443 2.1: types below 128 are errors; those defined end at 4. */
const ICMPV6_LAST_ERROR = 4
/** RFC 4291 2.7.1. */
const ALL_NODES = [0xff02_0000, 0, 0, 1]
/** Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4. */
const ARP_ETHERNET = 0x0001_0800
const ARP_LENGTHS = 0x0604
const ARP_REPLY = 2

// Offsets from the start of the frame, less the bytes of a tag that is still in it (the kernel takes out the outer one).
const TYPE = 12
const NETWORK = 14
const DESTINATION4 = NETWORK + 16
const DESTINATION6 = NETWORK + 24
const TRANSPORT6 = NETWORK + 40
const NDP_TARGET = TRANSPORT6 + 8
const FRAGMENT_HEADER_BYTES = 8

/** Ports compared one after the other where the search ends. */
const LEAF = 16
/** Ports that share an end of the filter, near enough for a short jump. */
const CLUSTER = 128

const WHOLE = 0xffff_ffff

/** A filter that takes nothing. */
export function nothingFilter(): Uint8Array {
  return new FilterAssembler().ret(0).assemble()
}

/**
 * The filter for these addresses, `struct sock_filter[]`.
 * @throws NicError `ZCRX_NIC_UNSUPPORTED` when it would have more instructions than the kernel takes
 */
export function buildFilter(addresses: Iterable<FlowAddress>): Uint8Array {
  const four: FlowAddress[] = []
  const six: FlowAddress[] = []
  for (const entry of addresses) (entry.bytes.length === 4 ? four : six).push(entry)
  const asm = new FilterAssembler()
  asm.setX(0).load(2, TYPE)
  // One tag may be left behind the one that the kernel has taken out.
  asm.jump('eq', ETHERTYPE_VLAN, 'tag').jump('eq', ETHERTYPE_QINQ, 'tag').goto('network')
  asm.label('tag').setX(4).loadAtX(2, TYPE)
  asm.label('network')
  if (four.length > 0) asm.jump('eq', ETHERTYPE_IPV4, 'ipv4').jump('eq', ETHERTYPE_ARP, 'arp')
  if (six.length > 0) asm.jump('eq', ETHERTYPE_IPV6, 'ipv6')
  asm.ret(0)
  if (four.length > 0) {
    arp(asm, four)
    ipv4(asm, four)
  }
  if (six.length > 0) ipv6(asm, six)
  const instructions = asm.assemble()
  if (instructions.length > MOST_INSTRUCTIONS * INSTRUCTION_BYTES) {
    throw new NicError(
      'ZCRX_NIC_UNSUPPORTED',
      `the filter for the steered ports has ${instructions.length / INSTRUCTION_BYTES} instructions, the kernel takes ${MOST_INSTRUCTIONS}`,
      'give the stack an address of its own, or ports that follow each other',
    )
  }
  return instructions
}

function arp(asm: FilterAssembler, addresses: FlowAddress[]): void {
  asm.label('arp').loadAtX(4, NETWORK).jump('eq', ARP_ETHERNET, 'arp lengths').ret(0)
  asm
    .label('arp lengths')
    .loadAtX(2, NETWORK + 4)
    .jump('eq', ARP_LENGTHS, 'arp target')
    .ret(0)
  asm.label('arp target').loadAtX(4, NETWORK + 24)
  for (const { bytes, claims } of addresses)
    asm.jump('eq', words(bytes)[0]!, claims > 0 ? 'arp taken' : 'arp steered')
  asm
    .ret(0)
    .label('arp steered')
    .loadAtX(2, NETWORK + 6)
    .jump('eq', ARP_REPLY, 'arp taken')
  asm.ret(0).label('arp taken').ret(WHOLE)
}

function ipv4(asm: FilterAssembler, addresses: FlowAddress[]): void {
  asm.label('ipv4').loadAtX(1, NETWORK)
  // Version 4 and at least five words of header.
  asm.jump('gt', 0x4f, 'ipv4 none').jump('ge', 0x45, 'ipv4 address')
  asm.label('ipv4 none').ret(0)
  asm.label('ipv4 address').loadAtX(4, DESTINATION4)
  addresses.forEach(({ bytes, claims }, i) => {
    asm.jump('eq', words(bytes)[0]!, claims > 0 ? 'ipv4 taken' : `ipv4 steered ${i}`)
  })
  asm.ret(0).label('ipv4 taken').ret(WHOLE)
  addresses.forEach(({ claims, ports }, i) => {
    if (claims > 0) return
    asm.label(`ipv4 steered ${i}`).loadAtX(1, NETWORK + 9)
    asm.jump('eq', PROTOCOL_TCP, `ipv4 tcp ${i}`).jump('eq', PROTOCOL_ICMP, 'icmp').ret(0)
    asm.label(`ipv4 tcp ${i}`).loadAtX(2, NETWORK + 6)
    // A later fragment has no ports.
    asm.jump('set', 0x1fff, `ipv4 fragment ${i}`)
    skipHeader4(asm).loadAtX(2, NETWORK + 2)
    search(asm, ports)
    asm.label(`ipv4 fragment ${i}`).ret(WHOLE)
  })
  asm
    .label('icmp')
    .loadAtX(2, NETWORK + 6)
    .jump('set', 0x1fff, 'icmp none')
  skipHeader4(asm).loadAtX(1, NETWORK)
  for (const type of ICMP_ERRORS) asm.jump('eq', type, 'icmp taken')
  asm.label('icmp none').ret(0).label('icmp taken').ret(WHOLE)
}

/** X += bytes of the IPv4 header. */
function skipHeader4(asm: FilterAssembler): FilterAssembler {
  return asm.loadAtX(1, NETWORK).alu('and', 15).alu('lsh', 2).addX().toX()
}

function ipv6(asm: FilterAssembler, addresses: FlowAddress[]): void {
  const claimed = addresses.filter(({ claims }) => claims > 0)
  asm
    .label('ipv6')
    .loadAtX(1, NETWORK)
    .alu('rsh', 4)
    .jump('eq', 6, 'ipv6 address')
    .ret(0)
    .label('ipv6 address')
  if (claimed.length > 0) asm.loadAtX(1, DESTINATION6).jump('eq', 0xff, 'ipv6 group')
  addresses.forEach(({ bytes, claims }, i) => {
    match6(asm, DESTINATION6, words(bytes), claims > 0 ? 'ipv6 taken' : `ipv6 steered ${i}`)
  })
  asm.ret(0).label('ipv6 taken').ret(WHOLE)
  if (claimed.length > 0) {
    // Who asks for the hardware address of an address does so at a group that several can share: the target counts.
    asm.label('ipv6 group').loadAtX(1, NETWORK + 6)
    asm.jump('eq', PROTOCOL_ICMPV6, 'ipv6 ndp').ret(0).label('ipv6 ndp').loadAtX(1, TRANSPORT6)
    asm
      .jump('eq', NEIGHBOUR_SOLICITATION, 'ipv6 asked')
      .jump('eq', NEIGHBOUR_ADVERTISEMENT, 'ipv6 told')
      .ret(0)
    asm.label('ipv6 asked')
    for (const { bytes } of claimed) match6(asm, NDP_TARGET, words(bytes), 'ipv6 group taken')
    asm.ret(0).label('ipv6 told')
    match6(asm, DESTINATION6, ALL_NODES, 'ipv6 group taken')
    asm.ret(0).label('ipv6 group taken').ret(WHOLE)
  }
  addresses.forEach(({ claims, ports }, i) => {
    if (claims > 0) return
    asm.label(`ipv6 steered ${i}`).loadAtX(1, NETWORK + 6)
    asm.jump('eq', PROTOCOL_TCP, `ipv6 tcp ${i}`).jump('eq', PROTOCOL_FRAGMENT, `ipv6 fragment ${i}`)
    asm.jump('eq', PROTOCOL_ICMPV6, 'icmpv6').ret(0)
    asm.label(`ipv6 fragment ${i}`).loadAtX(1, TRANSPORT6)
    asm.jump('eq', PROTOCOL_TCP, `ipv6 piece ${i}`).ret(0)
    asm.label(`ipv6 piece ${i}`).loadAtX(2, TRANSPORT6 + 2)
    asm.jump('ge', FRAGMENT_HEADER_BYTES, `ipv6 later ${i}`)
    asm.loadAtX(2, TRANSPORT6 + FRAGMENT_HEADER_BYTES + 2).goto(`ipv6 port ${i}`)
    asm.label(`ipv6 later ${i}`).ret(WHOLE)
    asm.label(`ipv6 tcp ${i}`).loadAtX(2, TRANSPORT6 + 2)
    asm.label(`ipv6 port ${i}`)
    search(asm, ports)
  })
  asm.label('icmpv6').loadAtX(1, TRANSPORT6)
  asm.jump('eq', NEIGHBOUR_ADVERTISEMENT, 'icmpv6 taken')
  asm.jump('gt', ICMPV6_LAST_ERROR, 'icmpv6 none').jump('ge', 1, 'icmpv6 taken')
  asm.label('icmpv6 none').ret(0).label('icmpv6 taken').ret(WHOLE)
}

/** Goes to `target` when the 16 bytes there are this address, else on. */
function match6(asm: FilterAssembler, offset: number, address: readonly number[], target: string): void {
  const next = asm.fresh()
  for (let i = 0; i < 4; i++) {
    const same = asm.fresh()
    asm.loadAtX(4, offset + 4 * i)
    if (i === 3) asm.jump('eq', address[i]!, target)
    else asm.jump('eq', address[i]!, same).goto(next).label(same)
  }
  asm.label(next)
}

/** Ends with the whole packet when A is one of the ports, else with nothing: a binary search. */
function search(asm: FilterAssembler, ports: Map<number, number>): void {
  const ranges = rangesOf([...ports.keys()].sort((a, b) => a - b))
  const split = (from: number, to: number, taken: string | null): void => {
    let end = taken
    if (end === null && to - from <= CLUSTER) end = asm.fresh()
    if (to - from <= LEAF) {
      for (let i = from; i < to; i++) {
        const { first, last } = ranges[i]!
        if (first === last) asm.jump('eq', first, end!)
        else {
          const above = asm.fresh()
          asm.jump('gt', last, above).jump('ge', first, end!).label(above)
        }
      }
      asm.ret(0)
    } else {
      const middle = (from + to) >>> 1
      const upper = asm.fresh()
      asm.jump('ge', ranges[middle]!.first, upper)
      split(from, middle, end)
      asm.label(upper)
      split(middle, to, end)
    }
    if (taken === null && end !== null) asm.label(end).ret(WHOLE)
  }
  split(0, ranges.length, null)
}

function rangesOf(ports: number[]): { first: number; last: number }[] {
  const ranges: { first: number; last: number }[] = []
  for (const port of ports) {
    const latest = ranges.at(-1)
    if (latest !== undefined && latest.last + 1 === port) latest.last = port
    else ranges.push({ first: port, last: port })
  }
  return ranges
}

/** An address as 32-bit numbers. */
function words(address: Uint8Array): number[] {
  const view = new DataView(address.buffer, address.byteOffset, address.length)
  return Array.from({ length: address.length / 4 }, (_, i) => view.getUint32(i * 4))
}
