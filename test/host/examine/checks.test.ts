import { describe, expect, it } from 'vitest'
import { atLeast } from '../../../host/examine/checks/machine.ts'
import {
  type Candidate,
  type Facts,
  type Finding,
  judge,
  observe,
  type WayName,
} from '../../../host/examine/index.ts'
import { type Changes, factsWith, without } from './facts.ts'

const INTERFACE_WAYS: readonly WayName[] = ['xdp zero-copy', 'xdp native', 'xdp generic', 'packet', 'raw']

function examine(facts: Facts, ways = INTERFACE_WAYS): { chosen: string | null; findings: Finding[] } {
  const candidates = ways.map((name): Candidate => ({ name, driver: name, mode: '', device: name }))
  const { chosen, findings } = judge(candidates, observe(facts, ways))
  return { chosen: chosen?.device ?? null, findings: findings.filter(({ status }) => status !== 'ok') }
}

it('finds nothing where everything is as wanted, and takes the best way', () => {
  expect(examine(factsWith())).toEqual({ chosen: 'xdp zero-copy', findings: [] })
})

it('finds nothing where a range takes every queue', () => {
  const all = { info: { rxQueues: 4 }, wanted: { queues: 4 } }
  expect(examine(factsWith(all))).toEqual({ chosen: 'xdp zero-copy', findings: [] })
  const some = examine(factsWith({ ...all, wanted: { queues: 2 } }))
  expect(some.findings).toMatchObject([{ check: 'queues', found: '4 receive queues, 0 to 1 are taken' }])
})

it('takes native XDP for several queues of a veth, and never generic', () => {
  const veth = { info: { driver: 'veth', rxQueues: 2 } }
  const native = { ...veth, features: { xdp: new Set(['basic', 'redirect', 'rx-sg'] as const) } }
  const both = examine(factsWith({ ...native, wanted: { queues: 2 } }))
  expect(both.chosen).toBe('xdp native')
  expect(both.findings).toContainEqual(
    expect.objectContaining({
      check: 'XDP support',
      status: 'note',
      found: expect.stringMatching(/^native, chosen/),
    }),
  )
  const none = examine(factsWith({ ...veth, features: { xdp: new Set() }, wanted: { queues: 2 } }), [
    'xdp zero-copy',
    'xdp native',
    'xdp generic',
  ])
  expect(none.chosen).toBeNull()
  // Of one, generic has the frames of all.
  const one = examine(factsWith(native))
  expect(one.chosen).toBe('xdp generic')
  expect(one.findings).toMatchObject([
    { check: 'queues', status: 'note' },
    { check: 'XDP support', status: 'note' },
  ])
})

it('tells of the cores', () => {
  const told = (machine: Partial<Facts['machine']>): string | undefined =>
    observe(factsWith({ machine }), ['tap']).find(({ check }) => check === 'cores')?.found
  expect(told({})).toMatch(/^4; each can run a worker/)
  expect(told({ cores: 2 })).toMatch(/^2 of 4: affinity/)
  expect(told({ cores: 1, cpus: 1 })).toMatch(/^one: one worker/)
})

/** What is changed, the way that is taken then, and the finding that says so. */
const CASES: [string, Changes, string | null, Partial<Finding>][] = [
  [
    'the loopback interface',
    { info: { loopback: true }, link: { addresses: ['127.0.0.1', '::1'] } },
    null,
    {
      check: 'interface',
      status: 'blocks',
      cost: expect.stringContaining('nobody could connect'),
      fix: expect.stringContaining('--device tap:tap0 --address'),
    },
  ],
  ['an old kernel', { machine: { kernel: '5.17.9' } }, 'packet', { check: 'kernel', status: 'costs' }],
  [
    'a kernel without multi-buffer AF_XDP',
    { machine: { kernel: '6.5.0' } },
    'xdp zero-copy',
    { check: 'kernel', status: 'costs' },
  ],
  [
    'no addon',
    { machine: { addon: { message: 'no build', fix: 'npm run build:native' } } },
    null,
    { check: 'native addon', status: 'blocks', fix: 'npm run build:native' },
  ],
  [
    'no CAP_NET_RAW',
    { machine: { capabilities: without('CAP_NET_RAW') } },
    null,
    {
      check: 'capabilities',
      status: 'blocks',
      fix: 'sudo setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock=ep /usr/bin/node',
    },
  ],
  [
    'no CAP_BPF',
    { machine: { capabilities: without('CAP_BPF') } },
    'packet',
    { check: 'capabilities', status: 'costs', found: 'CAP_BPF is missing' },
  ],
  [
    'no way into the namespace',
    { machine: { capabilities: without('CAP_SYS_ADMIN') }, wanted: { netns: '/run/netns/x' } },
    null,
    { check: 'capabilities', status: 'blocks', fix: 'sudo nsenter --net=/run/netns/x zcrxd …' },
  ],
  [
    'a small limit of locked memory that may be raised',
    { machine: { capabilities: without('CAP_IPC_LOCK'), memlock: { soft: 65536, hard: 1 << 30 } } },
    'packet',
    { check: 'locked memory', status: 'costs', fix: 'ulimit -l 66560' },
  ],
  [
    'a small limit of locked memory',
    { machine: { capabilities: without('CAP_IPC_LOCK') } },
    'packet',
    { check: 'locked memory', fix: 'sudo prlimit --pid $$ --memlock=68157440:68157440' },
  ],
  [
    'no AF_XDP',
    { machine: { xdpSocket: { message: 'none', fix: 'another kernel' } } },
    'packet',
    { check: 'AF_XDP socket', status: 'costs', found: 'none' },
  ],
  [
    'a verifier that refuses',
    { machine: { xdpProgram: { message: 'refused', fix: '' } } },
    'packet',
    { check: 'XDP program', status: 'costs' },
  ],
  [
    'no AF_PACKET, which is not needed',
    { machine: { packetSocket: { message: 'none', fix: '' } } },
    'xdp zero-copy',
    { check: 'AF_PACKET socket', status: 'note' },
  ],
  [
    'no raw-socket, which is not needed',
    { machine: { rawPackage: { message: 'none', fix: 'npm install raw-socket' } } },
    'xdp zero-copy',
    { check: 'raw-socket', status: 'note', fix: 'npm install raw-socket' },
  ],
  [
    'too few huge pages',
    { machine: { hugePages: { total: 10, free: 4, bytes: 2 << 20 } } },
    'xdp zero-copy',
    { check: 'huge pages', status: 'note', fix: 'sysctl -w vm.nr_hugepages=39' },
  ],
  [
    'no transparent huge pages',
    { machine: { transparentHugePages: 'never' } },
    'xdp zero-copy',
    { check: 'huge pages', fix: 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' },
  ],
  [
    'an interface that is down',
    { info: { up: false } },
    null,
    { check: 'interface', status: 'blocks', fix: 'ip link set dev eth0 up' },
  ],
  ['no carrier', { info: { running: false } }, 'xdp zero-copy', { check: 'interface', status: 'costs' }],
  [
    'no Ethernet',
    { info: { mac: new Uint8Array(6) } },
    'raw',
    { check: 'interface', status: 'costs', found: 'eth0 has no Ethernet address' },
  ],
  [
    'no address',
    { link: { addresses: [] } },
    'xdp zero-copy',
    { check: 'addresses', status: 'note', fix: 'ip address add 192.0.2.1/24 dev eth0' },
  ],
  [
    'no such queue, but room for it',
    { wanted: { queue: 3 } },
    'packet',
    { check: 'queues', status: 'costs', fix: 'ethtool -L eth0 combined 4' },
  ],
  [
    'no such queue, and no room',
    { wanted: { queue: 8 } },
    'packet',
    { check: 'queues', status: 'costs', fix: 'zcrxd run --device xdp:eth0/0' },
  ],
  [
    'more queues than are taken',
    { info: { rxQueues: 4 } },
    'xdp zero-copy',
    { check: 'queues', status: 'costs', fix: 'ethtool -L eth0 combined 1' },
  ],
  [
    'a program that nobody holds',
    { link: { programs: [{ id: 7, mode: 'generic', name: 'theirs', holders: [] }] } },
    'packet',
    {
      check: 'XDP hook',
      status: 'costs',
      found: "taken by program 7 'theirs' in generic mode",
      fix: 'ip link set dev eth0 xdpgeneric off',
    },
  ],
  [
    'a program that a process holds',
    { link: { programs: [{ id: 7, mode: 'native', name: '', holders: ['pid 42 (node)'] }] } },
    'packet',
    { check: 'XDP hook', fix: 'kill 42' },
  ],
  [
    'a driver without XDP',
    { features: { xdp: new Set() } },
    'xdp generic',
    { check: 'XDP support', status: 'costs', found: 'ice has no native XDP now' },
  ],
  [
    'a hypervisor that merges segments',
    {
      info: { driver: 'virtio_net' },
      features: { offloads: new Set(['rx-gro', 'rx-checksum', 'rx-gro-hw']), switchable: new Set() },
    },
    'xdp generic',
    { check: 'XDP support', status: 'costs', found: expect.stringContaining('virtio_net refuses') },
  ],
  [
    'a driver without zero-copy',
    { features: { xdp: new Set(['basic', 'redirect', 'rx-sg']) } },
    'xdp native',
    { check: 'XDP support', status: 'costs', found: 'ice has native XDP, no zero-copy' },
  ],
  [
    'a driver of which nothing is known',
    { features: { xdp: null } },
    'xdp generic',
    { check: 'XDP support', status: 'costs' },
  ],
  [
    'a driver of which nothing is known, wanted native',
    { features: { xdp: null }, wanted: { mode: 'native' } },
    'xdp zero-copy',
    { check: 'XDP support', status: 'costs' },
  ],
  [
    'an MTU beyond a page without multi-buffer',
    { info: { mtu: 9000 }, features: { xdp: new Set(['basic', 'redirect', 'xsk-zerocopy']) } },
    'xdp generic',
    { check: 'XDP support', status: 'costs', fix: 'ip link set dev eth0 mtu 3818' },
  ],
  [
    'an MTU beyond the chunks of zero-copy',
    { info: { mtu: 9000 }, features: { zeroCopySegments: 1 } },
    'xdp native',
    { check: 'XDP support', status: 'costs', fix: 'ip link set dev eth0 mtu 3818' },
  ],
  [
    'a veth',
    { info: { driver: 'veth' }, features: { xdp: new Set(['basic', 'redirect', 'rx-sg']) } },
    'xdp generic',
    { check: 'XDP support', status: 'note' },
  ],
  [
    'LRO',
    { features: { offloads: new Set(['rx-gro', 'rx-lro', 'rx-checksum']) } },
    'xdp generic',
    { check: 'offloads', status: 'costs', fix: 'ethtool -K eth0 lro off' },
  ],
  [
    'no GRO, which native XDP does not use',
    { features: { offloads: new Set(['rx-checksum']) } },
    'xdp zero-copy',
    { check: 'offloads', status: 'note', fix: 'ethtool -K eth0 gro on' },
  ],
  [
    'no GRO under generic XDP',
    { features: { offloads: new Set(['rx-checksum']), xdp: new Set() } },
    'xdp generic',
    { check: 'offloads', status: 'costs', fix: 'ethtool -K eth0 gro on' },
  ],
  [
    'stripped VLAN tags',
    { features: { offloads: new Set(['rx-gro', 'rx-checksum', 'rx-vlan-hw-parse']) } },
    'xdp zero-copy',
    { check: 'offloads', status: 'note', fix: 'ethtool -K eth0 rxvlan off' },
  ],
  [
    'header/data split that is off',
    { features: { dataSplit: 'off' } },
    'xdp zero-copy',
    { check: 'header/data split', status: 'note', fix: 'ethtool -G eth0 tcp-data-split on' },
  ],
  [
    'interrupts on every CPU',
    { link: { interrupts: [{ irq: 41, name: 'ice-0', cpus: '0-3' }] } },
    'xdp zero-copy',
    { check: 'interrupts', status: 'note', fix: 'echo 3 > /proc/irq/41/smp_affinity_list' },
  ],
  [
    'forwarding',
    { link: { forwards: { ipv4: true, ipv6: false } } },
    'xdp zero-copy',
    { check: 'forwarding', status: 'note', fix: 'sysctl -w net.ipv4.conf.eth0.forwarding=0' },
  ],
]

it.each(CASES)('%s', (_what, changes, way, finding) => {
  const { chosen, findings } = examine(factsWith(changes))
  expect(chosen).toBe(way)
  expect(findings).toContainEqual(expect.objectContaining(finding))
  // Whatever is worse than fine says what it costs or what to do.
  for (const each of findings)
    expect(
      Boolean(each.cost) || Boolean(each.fix) || each.status === 'note' || /not told/.test(each.found),
    ).toBe(true)
})

describe('a missing interface', () => {
  it('blocks every way', () => {
    const { chosen, findings } = examine({ ...factsWith(), link: { missing: 'there is no such interface' } })
    expect(chosen).toBeNull()
    expect(findings).toEqual([
      { check: 'interface', status: 'blocks', found: 'eth0: there is no such interface', fix: 'ip link' },
    ])
  })
})

describe('one way alone', () => {
  it('is what the findings are about', () => {
    const facts = factsWith({
      machine: { capabilities: without('CAP_BPF'), tun: { message: 'none', fix: 'modprobe tun' } },
    })
    expect(examine(facts, ['packet'])).toEqual({ chosen: 'packet', findings: [] })
    expect(examine(facts, ['raw'])).toEqual({ chosen: 'raw', findings: [] })
    expect(examine(facts, ['tap'])).toMatchObject({
      chosen: null,
      findings: [{ check: '/dev/net/tun', status: 'blocks', fix: 'modprobe tun' }],
    })
  })

  it('without CAP_NET_ADMIN is no TAP', () => {
    const facts = factsWith({ machine: { capabilities: without('CAP_NET_ADMIN') } })
    expect(examine(facts, ['tap'])).toMatchObject({ chosen: null, findings: [{ status: 'blocks' }] })
  })
})

it('blocks by what is nearest: without the socket the hook is beside the point', () => {
  const facts = factsWith({
    machine: { capabilities: without('CAP_NET_RAW') },
    link: { programs: [{ id: 7, mode: 'native', name: '', holders: [] }] },
  })
  const { findings } = examine(facts)
  expect(findings.map(({ check, status }) => [check, status])).toEqual([
    ['capabilities', 'blocks'],
    ['XDP hook', 'costs'],
  ])
})

it('reads releases', () => {
  expect([
    atLeast('6.6.0', 6, 6),
    atLeast('6.10-rc1', 6, 6),
    atLeast('7.0', 6, 6),
    atLeast('odd', 6, 6),
  ]).toEqual(Array(4).fill(true))
  expect([atLeast('6.5.99', 6, 6), atLeast('5.18', 6, 6)]).toEqual([false, false])
})
