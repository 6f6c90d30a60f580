import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { XdpNic } from '../../../driver/xdp/index.ts'
import { steeringKey } from '../../../driver/xdp/program.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import {
  address6,
  arp,
  ethernet,
  hex,
  ipv4,
  ipv6,
  OURS,
  OURS6,
  PEER,
  PEER6,
  solicitation,
  tcp,
} from './frames.ts'
import { memoryFor, obstacle, script } from './setup.ts'

test('a steering key is a v4-mapped address, a port in network order, the protocol and the queue', () => {
  expect(hex(steeringKey(OURS, 0x1234, 0))).toBe(
    '00000000000000000000ffff0a4d0002' + '1234' + '0600' + '00000000',
  )
  expect(hex(steeringKey(OURS, 0, 258))).toBe(
    '00000000000000000000ffff0a4d0002' + '0000' + '0000' + '02010000',
  )
  expect(hex(steeringKey(OURS6, 0x1234, 0))).toBe(
    'fd000077000000000000000000000002' + '1234' + '0600' + '00000000',
  )
})

const PASS = 2
const REDIRECT = 4
const VLAN = 0x8100
const QINQ = 0x88a8
const PORT = 9000
const CLAIMED = Uint8Array.of(10, 77, 0, 99)
const CLAIMED6 = address6('fd00:77::99')
const GROUP6 = address6('ff02::1:ff00:99')
const ALL_NODES = address6('ff02::1')
const NOBODY = new Uint8Array(4)
const redirect = solicitation(CLAIMED6).with(0, 137)
const MORE_FRAGMENTS = 0x2000
const DONT_FRAGMENT = 0x4000

const steered = ipv4(tcp(PORT))
const cases: [string, Uint8Array, number][] = [
  ['our port', ethernet(0x800, steered), REDIRECT],
  ['our port, with IP options', ethernet(0x800, ipv4(tcp(PORT), { options: 40 })), REDIRECT],
  ["our port, don't fragment", ethernet(0x800, ipv4(tcp(PORT), { fragment: DONT_FRAGMENT })), REDIRECT],
  ['our port in a VLAN', ethernet(0x800, steered, [VLAN]), REDIRECT],
  ['our port in two VLANs', ethernet(0x800, steered, [QINQ, VLAN]), REDIRECT],
  ['our port in three VLANs', ethernet(0x800, steered, [QINQ, VLAN, VLAN]), PASS],
  ['another port', ethernet(0x800, ipv4(tcp(PORT + 1))), PASS],
  ['our port on another address', ethernet(0x800, ipv4(tcp(PORT), { destination: PEER })), PASS],
  ['our port over UDP', ethernet(0x800, ipv4(tcp(PORT), { protocol: 17 })), PASS],
  ['ICMP', ethernet(0x800, ipv4(tcp(PORT), { protocol: 1 })), PASS],
  ['a first fragment', ethernet(0x800, ipv4(tcp(PORT), { fragment: MORE_FRAGMENTS })), PASS],
  ['a later fragment', ethernet(0x800, ipv4(tcp(PORT), { fragment: 185 })), PASS],
  ['a header length below 5', ethernet(0x800, steered.with(0, 0x44)), PASS],
  ['version 6 in an IPv4 frame', ethernet(0x800, ipv4(tcp(PORT), { version: 6 })), PASS],
  ['IPv6 of version 0', ethernet(0x86dd, new Uint8Array(60)), PASS],
  ['our port over IPv6', ethernet(0x86dd, ipv6(tcp(PORT))), REDIRECT],
  ['our port over IPv6 in two VLANs', ethernet(0x86dd, ipv6(tcp(PORT)), [QINQ, VLAN]), REDIRECT],
  ['another port over IPv6', ethernet(0x86dd, ipv6(tcp(PORT + 1))), PASS],
  ['our port on another IPv6 address', ethernet(0x86dd, ipv6(tcp(PORT), { destination: PEER6 })), PASS],
  ['our port behind options', ethernet(0x86dd, ipv6(tcp(PORT), {}, [[60, new Uint8Array(8)]])), PASS],
  ['our port in a fragment of IPv6', ethernet(0x86dd, ipv6(tcp(PORT), {}, [[44, new Uint8Array(8)]])), PASS],
  ['ICMPv6', ethernet(0x86dd, ipv6(tcp(PORT), { protocol: 58 })), PASS],
  ['TCP to a claimed IPv6 address', ethernet(0x86dd, ipv6(tcp(1), { destination: CLAIMED6 })), REDIRECT],
  [
    'a fragment to a claimed IPv6 address',
    ethernet(0x86dd, ipv6(tcp(1), { destination: CLAIMED6 }, [[44, new Uint8Array(8)]])),
    REDIRECT,
  ],
  [
    'ICMPv6 to a claimed address',
    ethernet(0x86dd, ipv6(tcp(1), { destination: CLAIMED6, protocol: 58 })),
    REDIRECT,
  ],
  [
    'a solicitation for a claimed address',
    ethernet(0x86dd, ipv6(solicitation(CLAIMED6), { destination: GROUP6, protocol: 58 })),
    REDIRECT,
  ],
  [
    'a solicitation for an address of the kernel',
    ethernet(0x86dd, ipv6(solicitation(OURS6), { destination: GROUP6, protocol: 58 })),
    PASS,
  ],
  [
    'an advertisement of a claimed address to all',
    ethernet(0x86dd, ipv6(solicitation(CLAIMED6).with(0, 136), { destination: GROUP6, protocol: 58 })),
    REDIRECT,
  ],
  [
    'an advertisement of an address of the kernel',
    ethernet(0x86dd, ipv6(solicitation(OURS6).with(0, 136), { destination: GROUP6, protocol: 58 })),
    PASS,
  ],
  [
    'what a router says to a group that is not claimed',
    ethernet(0x86dd, ipv6(solicitation(CLAIMED6).with(0, 134), { destination: GROUP6, protocol: 58 })),
    PASS,
  ],
  [
    'what a router says to all nodes, which are claimed',
    ethernet(0x86dd, ipv6(new Uint8Array(16).with(0, 134), { destination: ALL_NODES, protocol: 58 })),
    REDIRECT,
  ],
  [
    'a redirect to all nodes',
    ethernet(0x86dd, ipv6(redirect, { destination: ALL_NODES, protocol: 58 })),
    PASS,
  ],
  ['ARP from who has a claimed address', ethernet(0x806, arp(NOBODY, CLAIMED)), REDIRECT],
  ['ARP from who has an address of the kernel', ethernet(0x806, arp(NOBODY, OURS)), PASS],
  ['ARP from a claimed address in two VLANs', ethernet(0x806, arp(NOBODY, CLAIMED), [QINQ, VLAN]), REDIRECT],
  ['TCP to a group', ethernet(0x86dd, ipv6(tcp(PORT), { destination: GROUP6 })), PASS],
  ['an IPv6 header alone', ethernet(0x86dd, ipv6(new Uint8Array(0))), PASS],
  ['half an IPv6 header', ethernet(0x86dd, ipv6(new Uint8Array(0)).slice(0, 20)), PASS],
  [
    'half a solicitation',
    ethernet(0x86dd, ipv6(solicitation(CLAIMED6), { destination: GROUP6, protocol: 58 }).slice(0, 60)),
    PASS,
  ],
  ['ARP for an address of the kernel', ethernet(0x806, arp(OURS)), PASS],
  ['ARP for a claimed address', ethernet(0x806, arp(CLAIMED)), REDIRECT],
  ['ARP for a claimed address in a VLAN', ethernet(0x806, arp(CLAIMED), [VLAN]), REDIRECT],
  ['ARP of another kind', ethernet(0x806, arp(CLAIMED).with(5, 8)), PASS],
  ['TCP to a claimed address', ethernet(0x800, ipv4(tcp(1), { destination: CLAIMED })), REDIRECT],
  [
    'ICMP to a claimed address',
    ethernet(0x800, ipv4(tcp(1), { destination: CLAIMED, protocol: 1 })),
    REDIRECT,
  ],
  [
    'a fragment to a claimed address',
    ethernet(0x800, ipv4(tcp(1), { destination: CLAIMED, fragment: 9 })),
    REDIRECT,
  ],
  ['an Ethernet header alone', ethernet(0x800, new Uint8Array(0)), PASS],
  ['half an IPv4 header', ethernet(0x800, steered.slice(0, 10)), PASS],
  ['an IPv4 header without ports', ethernet(0x800, steered.slice(0, 20)), PASS],
  ['ports alone', ethernet(0x800, steered.slice(0, 24)), REDIRECT],
  ['half an ARP packet', ethernet(0x806, arp(CLAIMED).slice(0, 20)), PASS],
]

describe.skipIf(obstacle !== '').each([1, 2])('verdicts, of %i queues', (queues) => {
  let pair: VethPair
  let nic: XdpNic
  beforeAll(() => {
    pair = new VethPair({ queues })
    nic = XdpNic.open({ device: pair.device, netns: pair.oursPath })
    nic.attach(memoryFor(nic))
    nic.steer(OURS, PORT)
    nic.steer(OURS6, PORT)
    nic.claim(CLAIMED)
    nic.claim(CLAIMED6)
    nic.claim(ALL_NODES)
  })
  afterAll(() => {
    nic?.close()
    pair?.destroy()
  })

  /** What the loaded program returns for each frame. */
  function verdicts(frames: Uint8Array[], linear: number): number[] {
    const input = frames.map((frame) => `${Math.min(linear, frame.length)} ${hex(frame)}`).join('\n')
    const id = String(pair.xdpProgram()!.id)
    const output = execFileSync(PYTHON, [script('bpf.py'), id], { input, encoding: 'utf8' })
    return output.trim().split('\n').map(Number)
  }

  const expected = cases.map(([name, , verdict]) => [name, verdict])
  const frames = cases.map(([, frame]) => frame)
  const named = (results: number[]): unknown[] => cases.map(([name], i) => [name, results[i]])

  test('with the headers in the linear part', () => {
    expect(named(verdicts(frames, 0))).toEqual(expected)
  })

  test('with no more than the Ethernet header in the linear part', () => {
    expect(named(verdicts(frames, 14))).toEqual(expected)
  })

  test('without a socket everything passes', () => {
    nic.detach()
    expect(new Set(verdicts(frames, 0))).toEqual(new Set([PASS]))
    nic.attach(memoryFor(nic))
    expect(named(verdicts(frames, 0))).toEqual(expected)
  })

  test('entries are counted', () => {
    const [frame] = frames
    nic.steer(OURS, PORT)
    nic.unsteer(OURS, PORT)
    expect(verdicts([frame!], 0)).toEqual([REDIRECT])
    nic.unsteer(OURS, PORT)
    expect(verdicts([frame!], 0)).toEqual([PASS])
    nic.unsteer(OURS, PORT)
    nic.steer(OURS, PORT)
    expect(verdicts([frame!], 0)).toEqual([REDIRECT])
  })
})
