import { describe, expect, it } from 'vitest'
import type { ReceiveQueue } from '../../../driver/netlink/index.ts'
import type { FlowRule } from '../../../driver/setup/index.ts'
import { type Finding, judge } from '../../../host/examine/index.ts'
import {
  observeKernel,
  observeSockets,
  observeZcrx,
  queuesAskedFor,
  summarizeZcrx,
  zcrxCandidates,
} from '../../../host/examine/zcrx-ways.ts'
import { type Changes, factsWith, MACHINE, without } from './facts.ts'

const queue = (id: number, more: Partial<ReceiveQueue> = {}): ReceiveQueue => ({
  id,
  napiId: 8193 + id,
  holder: null,
  bufferBytes: null,
  ...more,
})
const rule = (queueOf: number | null, port: number | null): FlowRule => ({
  location: 15,
  flow: 'tcp4',
  port,
  narrower: false,
  queue: queueOf,
})

/** Queue 5 of 8, set up as it should be. */
function eightQueues(changes: Changes = {}): Changes {
  return {
    ...changes,
    wanted: { queue: 5, queues: 1, ports: [9000], ...changes.wanted },
    info: { rxQueues: 8, driver: 'bnxt_en', ...changes.info },
    features: {
      dataSplit: 'on',
      splitThreshold: 0,
      indirection: [0, 1, 2, 3, 4, 6, 7, 0],
      receiveQueues: Array.from({ length: 8 }, (_, id) => queue(id)),
      offloads: new Set(['rx-ntuple-filter']),
      ...changes.features,
    },
    link: { rules: [rule(5, 9000)], ...changes.link },
  }
}

function examine(changes: Changes): { open: boolean[]; findings: Finding[] } {
  const facts = factsWith(changes)
  const { ways, findings } = judge(zcrxCandidates(facts, ''), observeZcrx(facts, facts.wanted.ports))
  return { open: ways.map(({ open }) => open), findings: findings.filter(({ status }) => status !== 'ok') }
}

it('finds nothing where everything is as wanted', () => {
  expect(examine(eightQueues())).toEqual({ open: [true], findings: [] })
})

/** What is changed, and the finding that says so; whether the queue can be had all the same. */
const CASES: [string, Changes, boolean, Partial<Finding>][] = [
  [
    'no addon',
    { machine: { addon: { message: 'no build', fix: 'npm run build:native' } } },
    false,
    { check: 'native addon', status: 'blocks', fix: 'npm run build:native' },
  ],
  [
    'io_uring switched off',
    { machine: { zcrx: { ioUring: { message: 'off', fix: 'sysctl' }, zeroCopy: { message: '', fix: '' } } } },
    false,
    { check: 'io_uring', status: 'blocks', found: 'off', fix: 'sysctl' },
  ],
  [
    'a kernel without zero-copy receive',
    { machine: { zcrx: { ioUring: null, zeroCopy: { message: 'too old', fix: 'a newer kernel' } } } },
    false,
    { check: 'zero-copy receive', status: 'blocks', found: 'too old', fix: 'a newer kernel' },
  ],
  [
    'no CAP_NET_ADMIN',
    { machine: { capabilities: without('CAP_NET_ADMIN') } },
    false,
    {
      check: 'capabilities',
      status: 'blocks',
      fix: 'sudo setcap cap_net_admin,cap_ipc_lock=ep /usr/bin/node',
    },
  ],
  [
    'a small limit of locked memory',
    { machine: { capabilities: without('CAP_IPC_LOCK'), memlock: { soft: 65536, hard: 65536 } } },
    false,
    { check: 'locked memory', status: 'blocks', fix: 'sudo prlimit --pid $$ --memlock=68157440:68157440' },
  ],
  ['an interface that is down', { info: { up: false } }, false, { check: 'interface', status: 'blocks' }],
  [
    'an interface without queues to give',
    { info: { driver: 'veth' } },
    false,
    { check: 'queue memory', status: 'blocks', cost: 'the kernel refuses the queue: EOPNOTSUPP' },
  ],
  [
    'a card that has none',
    { info: { driver: 'ice' }, machine: { kernel: '7.3.4' } },
    false,
    { check: 'queue memory', status: 'blocks', found: expect.stringContaining('ice has no queues') },
  ],
  [
    'one that may have learnt it since',
    { info: { driver: 'ice' }, machine: { kernel: '7.4.0' } },
    true,
    { check: 'queue memory', status: 'note', cost: expect.stringContaining('bnxt_en') },
  ],
  [
    'a driver of which nothing is known',
    { info: { driver: 'xyz' } },
    true,
    { check: 'queue memory', status: 'note', cost: expect.stringContaining('bnxt_en') },
  ],
  [
    'header split off',
    { features: { dataSplit: 'off' } },
    false,
    { check: 'header/data split', status: 'blocks', fix: 'ethtool -G eth0 tcp-data-split on' },
  ],
  [
    'header split that nothing is said of',
    { features: { dataSplit: 'none', splitThreshold: null } },
    true,
    { check: 'header/data split', status: 'note', fix: 'ethtool -G eth0 tcp-data-split on' },
  ],
  [
    'header split of large packets only',
    { features: { splitThreshold: 256 } },
    false,
    { check: 'header/data split', status: 'blocks', fix: 'ethtool -G eth0 hds-thresh 0' },
  ],
  [
    'an XDP program',
    { link: { programs: [{ id: 41, mode: 'native', name: 'f', holders: ['pid 812 (f)'] }] } },
    false,
    { check: 'XDP hook', status: 'blocks', fix: 'kill 812' },
  ],
  [
    'a queue that is not there',
    { wanted: { queue: 8 }, features: { channels: { kind: 'combined', most: 16 } } },
    false,
    { check: 'holder', status: 'blocks', found: 'queue 8: not one of 8', fix: 'ethtool -L eth0 combined 9' },
  ],
  [
    'a queue of which nothing is told',
    { features: { receiveQueues: null } },
    true,
    { check: 'holder', status: 'note', found: 'queue 5: who has it is not known: Linux 6.8 tells' },
  ],
  [
    'a queue that an io_uring has',
    {
      features: { receiveQueues: [queue(5, { holder: 'io_uring' })] },
      link: { ringHolders: ['pid 7 (server)'] },
    },
    false,
    {
      check: 'holder',
      status: 'blocks',
      found: 'queue 5: held by an io_uring; these have one: pid 7 (server)',
      fix: 'kill 7',
    },
  ],
  [
    'one of several that have rings open',
    {
      features: { receiveQueues: [queue(5, { holder: 'io_uring' })] },
      link: { ringHolders: ['pid 7 (server)', 'pid 8 (other)'] },
    },
    false,
    { check: 'holder', found: expect.stringContaining('pid 7 (server), pid 8 (other)') },
  ],
  [
    'a stale binding',
    { features: { receiveQueues: [queue(5, { holder: 'io_uring' })] } },
    false,
    { check: 'holder', status: 'blocks', found: expect.stringContaining('a stale binding') },
  ],
  [
    'a queue of AF_XDP',
    { features: { receiveQueues: [queue(5, { holder: 'af_xdp' })] } },
    false,
    { check: 'holder', status: 'blocks', cost: 'the kernel refuses it: EBUSY' },
  ],
  [
    'a queue of a dma-buf',
    { features: { receiveQueues: [queue(5, { holder: 'dmabuf' })] } },
    false,
    { check: 'holder', status: 'blocks', found: expect.stringContaining('dma-buf') },
  ],
  [
    'a queue that is lent',
    { features: { receiveQueues: [queue(5, { holder: 'lease' })] } },
    false,
    { check: 'holder', status: 'blocks', found: expect.stringContaining('lent') },
  ],
  [
    'RSS that sends to it',
    { features: { indirection: [0, 1, 2, 3, 4, 5, 6, 7] } },
    true,
    { check: 'RSS', status: 'costs', fix: 'ethtool -X eth0 weight 1 1 1 1 1 0 1 1' },
  ],
  [
    'the only queue',
    { wanted: { queue: 0 }, info: { rxQueues: 1 }, features: { indirection: null }, link: { rules: null } },
    true,
    { check: 'RSS', status: 'costs', cost: expect.stringContaining('break') },
  ],
  [
    'no rule, and no RSS',
    { link: { rules: [] } },
    true,
    {
      check: 'rules',
      status: 'costs',
      cost: 'nothing comes to it',
      fix: 'ethtool -N eth0 flow-type tcp4 dst-port 9000 action 5',
    },
  ],
  [
    'a rule for another port, and rules switched off',
    { link: { rules: [rule(5, 22), rule(null, 9000)] }, features: { offloads: new Set() } },
    true,
    {
      check: 'rules',
      status: 'costs',
      found: 'queue 5: 1 send to it: tcp4 port 22 (15)',
      fix: 'ethtool -K eth0 ntuple on; ethtool -N eth0 flow-type tcp4 dst-port 9000 action 5',
    },
  ],
  ['a driver without rules', { link: { rules: null } }, true, { check: 'rules', status: 'note' }],
]

describe('a queue', () => {
  it.each(CASES)('%s', (_name, changes, open, finding) => {
    const seen = examine(eightQueues(changes))
    expect(seen.open).toEqual([open])
    expect(seen.findings).toContainEqual(expect.objectContaining(finding))
  })

  it('of an interface that is not there', () => {
    const facts = { ...factsWith(), link: { missing: 'there is no such interface' } }
    const { ways } = judge(zcrxCandidates(facts, ''), observeZcrx(facts))
    expect(ways).toMatchObject([{ open: false, reasons: ['interface: eth0: there is no such interface'] }])
  })
})

describe('all queues of an interface', () => {
  const all = (changes: Changes = {}): Changes =>
    eightQueues({ ...changes, wanted: { queue: 0, queues: 0, ...changes.wanted } })

  it('are as many as there are, and have a way each', () => {
    const facts = factsWith(all())
    expect(queuesAskedFor(facts)).toHaveLength(8)
    expect(zcrxCandidates(facts, '?netns=x')[7]).toMatchObject({ device: 'linux:eth0/7?netns=x' })
    expect(queuesAskedFor(factsWith(all({ wanted: { queue: 2, queues: 3 } })))).toEqual([2, 3, 4])
  })

  it('have said once what they have in common', () => {
    const receiveQueues = Array.from({ length: 8 }, (_, id) =>
      queue(id, { holder: id === 3 ? 'af_xdp' : null }),
    )
    const { open, findings } = examine(all({ features: { receiveQueues } }))
    expect(open).toEqual([true, true, true, false, true, true, true, true])
    const told = findings.map(({ check, found }) => `${check}: ${found}`)
    expect(told).toContain('RSS: queues 0 to 4, 6 to 7: sends to it by hash')
    expect(told).toContain('holder: queue 3: held by an AF_XDP socket: ss --xdp shows whose')
    // What takes one off RSS does not take another.
    expect(findings.find(({ check }) => check === 'RSS')?.fix).toBeUndefined()
  })

  it('have a line in the report about other ways', () => {
    expect(summarizeZcrx(factsWith(all()))).toEqual([
      {
        check: 'zcrx in Linux',
        found: 'queues 0 to 7: nothing is known to be in the way; zcrxd doctor linux:eth0/0 says more',
      },
    ])
    const receiveQueues = Array.from({ length: 8 }, (_, id) =>
      queue(id, { holder: id < 2 ? 'dmabuf' : null }),
    )
    expect(summarizeZcrx(factsWith(all({ features: { receiveQueues } })))).toMatchObject([
      { found: expect.stringMatching(/^queues 0 to 1: holder: .*dma-buf/), fix: 'zcrxd doctor linux:eth0/0' },
      { found: expect.stringMatching(/^queues 2 to 7: nothing/) },
    ])
    expect(summarizeZcrx(factsWith(all({ info: { driver: 'xyz' } })))).toMatchObject([
      { found: expect.stringContaining('in the way, if xyz can do it; zcrxd') },
    ])
    expect(summarizeZcrx({ ...factsWith(), link: null })).toEqual([])
  })
})

it('tells of the kernel alone, and of ordinary sockets', () => {
  const off = { ioUring: { message: 'off', fix: 'sysctl' }, zeroCopy: { message: '', fix: '' } }
  expect(observeKernel(factsWith()).map(({ check }) => check)).toEqual(['io_uring', 'zero-copy receive'])
  expect(observeKernel(factsWith({ machine: { zcrx: off } }))).toMatchObject([
    { check: 'io_uring', closes: [] },
  ])
  const facts = factsWith({ machine: { ...MACHINE, zcrx: off } })
  const candidate = { name: 'linux sockets', driver: 'linux', mode: '', device: 'linux:' }
  expect(judge([candidate], observeSockets(facts)).chosen).toBeNull()
  expect(judge([candidate], observeSockets(factsWith())).chosen).not.toBeNull()
})
