import type { Facts, LinkFacts, MachineFacts, Wanted } from '../../../host/examine/index.ts'

/** A machine where everything is as wanted. */
export const MACHINE: MachineFacts = {
  kernel: '6.12.9',
  node: '/usr/bin/node',
  addon: null,
  capabilities: new Set(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF', 'CAP_IPC_LOCK', 'CAP_SYS_ADMIN']),
  memlock: { soft: 8 << 20, hard: 8 << 20 },
  xdpSocket: null,
  xdpProgram: null,
  packetSocket: null,
  rawPackage: null,
  tun: null,
  zcrx: { ioUring: null, zeroCopy: null },
  hugePages: { total: 64, free: 64, bytes: 2 << 20 },
  transparentHugePages: 'madvise',
  cpus: 4,
  cores: 4,
}

/** An interface where everything is as wanted. */
export const LINK: LinkFacts = {
  name: 'eth0',
  info: {
    index: 2,
    up: true,
    running: true,
    loopback: false,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    mtu: 1500,
    rxQueues: 1,
    driver: 'ice',
    programs: [],
  },
  features: {
    offloads: new Set(['rx-gro', 'rx-checksum', 'tx-tcp-segmentation']),
    switchable: new Set(['rx-gro', 'rx-lro', 'rx-gro-hw', 'rx-checksum', 'rx-vlan-hw-parse']),
    dataSplit: 'none',
    splitThreshold: null,
    channels: { kind: 'combined', most: 8 },
    indirection: null,
    receiveQueues: [{ id: 0, napiId: 8193, holder: null, bufferBytes: null }],
    xdp: new Set(['basic', 'redirect', 'xsk-zerocopy', 'rx-sg']),
    zeroCopySegments: 5,
  },
  rules: null,
  ringHolders: [],
  programs: [],
  interrupts: [{ irq: 41, name: 'ice-eth0-0', cpus: '3' }],
  forwards: { ipv4: false, ipv6: false },
  addresses: ['192.0.2.2'],
}

export const WANTED: Wanted = {
  name: 'eth0',
  queue: 0,
  queues: 1,
  mode: 'auto',
  copy: 'auto',
  netns: undefined,
  areaBytes: 64 << 20,
}

export interface Changes {
  machine?: Partial<MachineFacts>
  wanted?: Partial<Wanted>
  link?: Partial<LinkFacts>
  info?: Partial<LinkFacts['info']>
  features?: Partial<LinkFacts['features']>
}

/** The good facts with some of them changed. */
export function factsWith({ machine, wanted, link, info, features }: Changes = {}): Facts {
  return {
    machine: { ...MACHINE, ...machine },
    wanted: { ...WANTED, ...wanted },
    link: {
      ...LINK,
      ...link,
      info: { ...LINK.info, ...info },
      features: { ...LINK.features, ...features },
    },
  }
}

/** What the process may, without some of it. */
export function without(...names: string[]): ReadonlySet<string> {
  return new Set([...MACHINE.capabilities].filter((name) => !names.includes(name)))
}
