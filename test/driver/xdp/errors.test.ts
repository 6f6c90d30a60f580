import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allocatePages } from '../../../driver/native/memory.ts'
import { XdpNic, type XdpNicOptions } from '../../../driver/xdp/index.ts'
import { VethPair } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { memoryFor, obstacle, script } from './setup.ts'

describe.skipIf(obstacle !== '')('what can be missing', () => {
  let pair: VethPair
  beforeAll(() => {
    pair = new VethPair()
  })
  afterAll(() => pair?.destroy())

  const open = (options: Partial<XdpNicOptions> = {}): XdpNic =>
    XdpNic.open({ device: pair.device, netns: pair.oursPath, ...options })

  test.each<[string, Partial<XdpNicOptions>, string, RegExp]>([
    ['interface', { device: 'zc9' }, 'ZCRX_NIC_NO_DEVICE', /no interface zc9/],
    [
      'a name that fits',
      { device: 'a name that is far too long' },
      'ZCRX_NIC_NO_DEVICE',
      /can't be the name/,
    ],
    ['namespace', { netns: '/run/netns/zcrx-none' }, 'ZCRX_NIC_NO_DEVICE', /no network namespace/],
    ['queue', { queue: 1 }, 'ZCRX_NIC_NO_QUEUE', /one receive queue, number 0.*ethtool -L/],
    ['a whole queue', { queue: 0.5 }, 'ZCRX_NIC_NO_QUEUE', /one receive queue/],
    ['a ring size', { rings: { rx: 1000 } }, 'ZCRX_ARGUMENT', /power of two/],
  ])('%s', (_, options, code, message) => {
    expect(() => open(options)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })

  test('interface that is up', () => {
    spawnSync('ip', ['-n', pair.ours, 'link', 'set', pair.device, 'down'])
    try {
      expect(open).toThrow(
        expect.objectContaining({ code: 'ZCRX_NIC_DOWN', remedy: `ip link set dev ${pair.device} up` }),
      )
    } finally {
      spawnSync('ip', ['-n', pair.ours, 'link', 'set', pair.device, 'up'])
    }
  })

  test('memory that can serve', () => {
    using nic = open()
    const { buffer } = allocatePages(64 * 4096)
    const area = { buffer, areaOffset: 0, areaLength: 64 * 4096, chunkSize: 4096 }
    const refused = (memory: object, message: RegExp): void =>
      expect(() => nic.attach({ ...area, ...memory })).toThrow(
        expect.objectContaining({ code: 'ZCRX_NIC_MEMORY', message: expect.stringMatching(message) }),
      )
    refused({}, /1048576 bytes are missing/)
    refused({ chunkSize: 1024 }, /no chunks of 1024/)
    refused({ chunkSize: 3000 }, /no chunks of 3000/)
    refused({ areaLength: 4097 }, /whole number of chunks/)
    refused({ areaLength: 2 ** 32 }, /4 GiB/)
    refused({ areaOffset: 100 }, /not on a page/)
    refused({ buffer: new SharedArrayBuffer(64 * 4096 + nic.info.tailBytes + 100) }, /page|bytes/)
    refused({ chunkSize: 8192, buffer: allocatePages(4 << 20).buffer }, /chunks of 8192/)
    expect(() => nic.steer(Uint8Array.of(1, 2, 3), 1)).toThrow(
      expect.objectContaining({ code: 'ZCRX_ARGUMENT' }),
    )
    expect(() => nic.steer(Uint8Array.of(1, 2, 3, 4), 0)).toThrow('not a TCP port')
    nic.close()
    expect(() => nic.attach(area)).toThrow('closed')
  })

  test('a free hook: a program of someone else, which ip can take off', () => {
    const program = fileURLToPath(new URL('../../support/foreign.py', import.meta.url))
    pair.run(pair.ours, PYTHON, program, pair.device)
    expect(open).toThrow(
      expect.objectContaining({
        code: 'ZCRX_NIC_BUSY',
        message: expect.stringMatching(/taken by program \d+ 'foreign' in generic mode/),
        remedy: `ip link set dev ${pair.device} xdpgeneric off`,
      }),
    )
    execFileSync('ip', ['-n', pair.ours, 'link', 'set', 'dev', pair.device, 'xdpgeneric', 'off'])
    open().close()
  })

  test('a free queue', () => {
    using first = open()
    first.attach(memoryFor(first))
    const program = fileURLToPath(new URL('../../support/foreign.py', import.meta.url))
    expect(pair.run(pair.ours, PYTHON, program, pair.device, 'bind')).toMatch('EBUSY')
  })

  test('zero-copy where there is none becomes copy, with a note', () => {
    for (const mode of ['generic', 'native'] as const) {
      using nic = open({ mode, copy: 'zerocopy' })
      nic.attach(memoryFor(nic))
      expect(nic.info.mode).toBe(`${mode} copy`)
      expect(nic.notes.join()).toMatch(/zero-copy/)
    }
  })

  test.each([
    [[], /lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF/],
    [['net_raw', 'net_admin'], /lacks CAP_BPF/],
    [['net_admin', 'bpf'], /lacks CAP_NET_RAW/],
    [['net_raw', 'bpf'], /lacks CAP_NET_ADMIN/],
  ])('privileges, with %j alone', (capabilities, message) => {
    expect(unprivileged(capabilities)).toMatch(message)
  })

  test('no privileges but those three', () => {
    expect(unprivileged(['net_raw', 'net_admin', 'bpf'])).toMatch('attached')
  })

  test('the locked-memory limit', () => {
    const output = unprivileged(['net_raw', 'net_admin', 'bpf'], ['prlimit', '--memlock=65536'])
    expect(output).toMatch(/ZCRX_NIC_MEMLOCK: 3145728 bytes .* the limit is 65536: ulimit -l 3072/)
  })

  /** What a process of nobody with only these capabilities says when it opens and attaches. */
  function unprivileged(capabilities: string[], prefix: string[] = []): string {
    const set = ['-all', ...capabilities.map((name) => `+${name}`)].join(',')
    const drop = [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      `--inh-caps=${set}`,
      `--ambient-caps=${set}`,
    ]
    const module = fileURLToPath(new URL('./opener.ts', import.meta.url))
    const node = [process.execPath, script('child.mjs'), module, pair.device]
    const args = ['netns', 'exec', pair.ours, ...prefix, 'setpriv', ...drop, `--bounding-set=${set}`, ...node]
    return spawnSync('ip', args, { encoding: 'utf8' }).stdout
  }
})
