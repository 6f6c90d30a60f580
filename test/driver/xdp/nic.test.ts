import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { allocatePages } from '../../../driver/native/memory.ts'
import { RxBurst } from '../../../driver/nic.ts'
import { XdpNic, type XdpNicOptions } from '../../../driver/xdp/index.ts'
import { nextLine } from '../../support/lines.ts'
import { ip, VethPair, type VethPairOptions } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { tshark, WireCapture } from '../../support/tshark.ts'
import { arp, ethernet, hex, ipv4, OURS, PEER, pattern, tcp } from './frames.ts'
import { CHUNK, chunkNumbers, collect, inject, memoryFor, obstacle, script } from './setup.ts'

const PORT = 9000
const open: Disposable[] = []

afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing[Symbol.dispose]()
})

function pairOf(options?: VethPairOptions): VethPair {
  const pair = new VethPair(options)
  open.push(pair)
  return pair
}

function nicOn(pair: VethPair, options: Partial<XdpNicOptions> = {}): XdpNic {
  const nic = XdpNic.open({ device: pair.device, netns: pair.oursPath, ...options })
  open.push(nic)
  return nic
}

/** Resets that our namespace's kernel has sent. */
function resetsOf(pair: VethPair): number {
  const [names, values] = pair.run(pair.ours, 'grep', '^Tcp:', '/proc/net/snmp').trim().split('\n')
  return Number(values!.split(' ')[names!.split(' ').indexOf('OutRsts')])
}

/** A queue that receives our port, and its memory. */
function receiver(pair: VethPair, options: Partial<XdpNicOptions> = {}) {
  const nic = nicOn(pair, options)
  const memory = memoryFor(nic)
  nic.attach(memory)
  nic.fill(chunkNumbers(512), 0, 512)
  nic.steer(OURS, PORT)
  return { nic, memory }
}

const toUs = (bytes: number): Uint8Array => ethernet(0x800, ipv4(tcp(PORT, pattern(bytes))))

/** Where `ethernet` says that a frame is from. */
const SENDER = '020000000001'

/** Frames that the peer's end has received. */
function framesOf(pair: VethPair): number {
  const [link] = JSON.parse(ip('-n', pair.peer, '-j', '-s', 'link', 'show', pair.peerDevice))
  return link.stats64.rx.packets
}

describe.skipIf(obstacle !== '')('XdpNic on a veth', () => {
  test('tells what it is', () => {
    const pair = pairOf()
    const { nic } = receiver(pair)
    expect(nic.info).toMatchObject({
      driver: 'xdp',
      mode: 'generic copy',
      name: pair.device,
      queue: 0,
      mtu: 1500,
      chunkPayload: 3840,
      tailBytes: 256 * 4096,
      ringPackets: 0,
      partialChecksums: true,
      placement: 'area',
    })
    expect(hex(nic.info.mac)).toBe(
      pair.run(pair.ours, 'cat', `/sys/class/net/${pair.device}/address`).trim().replaceAll(':', ''),
    )
    expect(pair.xdpProgram()).toMatchObject({ name: 'zcrx' })
    nic.close()
    nic.close()
    expect(pair.xdpProgram()).toBeUndefined()
    const native = nicOn(pair, { mode: 'native' })
    native.attach(memoryFor(native))
    expect(native.info).toMatchObject({ mode: 'native copy', ringPackets: 256 })
    expect(native.notes.join()).toMatch(/zero-copy/)
  })

  test.each(['generic', 'native'] as const)('%s: takes its port and nothing else', async (mode) => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair, { mode })
    const server = pair.start(pair.ours, PYTHON, script('peer.py'), 'serve', '10.77.0.2', '8080')
    try {
      await nextLine(server.stdout!)
      inject(pair, [toUs(100)])
      expect(pair.run(pair.peer, PYTHON, script('peer.py'), 'echo', '10.77.0.2', '8080', 'hello')).toBe(
        'hello\n',
      )
      pair.run(pair.peer, PYTHON, script('peer.py'), 'ping', '10.77.0.2')
      expect(collect(nic, memory, 2).map(hex)).toEqual([hex(toUs(100))])
      nic.unsteer(OURS, PORT)
      inject(pair, [toUs(100)])
      expect(collect(nic, memory, 1)).toEqual([])
    } finally {
      server.kill('SIGKILL')
    }
  })

  test.each(['generic', 'native'] as const)('%s: a claimed address is ours alone', (mode) => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair, { mode })
    const claimed = Uint8Array.of(10, 77, 0, 99)
    const frames = [
      ethernet(0x806, arp(claimed)),
      ethernet(0x800, ipv4(tcp(1), { destination: claimed, protocol: 1 })),
      ethernet(0x800, ipv4(tcp(1), { destination: claimed, fragment: 7 })),
    ]
    inject(pair, frames)
    expect(collect(nic, memory, 1)).toEqual([])
    nic.claim(claimed)
    inject(pair, [...frames, ethernet(0x806, arp(PEER))])
    expect(collect(nic, memory, 4).map(hex)).toEqual(frames.map(hex))
    nic.unclaim(claimed)
    inject(pair, frames)
    expect(collect(nic, memory, 1)).toEqual([])
  })

  test.each([
    ['generic', 1500],
    ['generic', 9000],
    ['generic', 65535],
    ['native', 1500],
    ['native', 9000],
    ['native', 65535],
  ] as const)('%s, MTU %i: frames come whole, in fragments of at most chunkPayload', (mode, mtu) => {
    const pair = pairOf({ mtu })
    const { nic, memory } = receiver(pair, { mode })
    const largest = mtu - 40
    const frames = [0, 1, 1000, Math.min(3786, largest), Math.min(3787, largest), largest - 1, largest].map(
      toUs,
    )
    inject(pair, frames)
    expect(collect(nic, memory, frames.length).map(hex)).toEqual(frames.map(hex))
    const stats = nic.stats()
    expect(stats).toMatchObject({ rxFrames: 7, rxDropped: 0, rxInvalid: 0, rxRingFull: 0, rxFillEmpty: 0 })
    expect(stats.rxFragments).toBe(
      frames.reduce((sum, frame) => sum + Math.ceil(frame.length / nic.info.chunkPayload), 0),
    )
    expect(nic.chunksHeld()).toBe(512)
  })

  test('generic: a super-frame comes in one piece', () => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair)
    const frame = toUs(60_000)
    inject(pair, [frame], 1460)
    expect(collect(nic, memory, 1).map(hex)).toEqual([hex(frame)])
    expect(nic.stats()).toMatchObject({ rxFrames: 1, rxFragments: 16 })
  })

  test('native: the peer cuts super-frames into MTUs', () => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair, { mode: 'native' })
    inject(pair, [toUs(1460 * 20)], 1460)
    const frames = collect(nic, memory, 21)
    expect(frames.map((frame) => frame.length)).toEqual(Array.from({ length: 20 }, () => 1514))
    expect(hex(Buffer.concat(frames.map((frame) => frame.subarray(54))))).toBe(hex(pattern(1460 * 20)))
  })

  test('frames longer than the burst are lost, not the chunks', () => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair)
    const small = new RxBurst()
    Object.assign(small, { capacity: 8 })
    inject(pair, [toUs(60_000)], 1460)
    inject(pair, [toUs(10)])
    expect(collect(nic, memory, 1, small).map(hex)).toEqual([hex(toUs(10))])
    expect(nic.stats()).toMatchObject({ rxFrames: 1, rxInvalid: 1 })
    expect(nic.chunksHeld()).toBe(512)
    nic.fill(chunkNumbers(0), 0, 0)
    expect(nic.fillSpace()).toBe(8192 - 512)
  })

  test('an empty fill ring drops, and counts', () => {
    const pair = pairOf()
    const nic = nicOn(pair)
    const memory = memoryFor(nic)
    nic.attach(memory)
    nic.steer(OURS, PORT)
    inject(pair, [toUs(1), toUs(2)])
    expect(nic.receive(new RxBurst())).toBe(0)
    expect(nic.stats().rxFillEmpty).toBeGreaterThanOrEqual(1)
    nic.fill(chunkNumbers(4), 0, 4)
    inject(pair, [toUs(3)])
    expect(collect(nic, memory, 1).map(hex)).toEqual([hex(toUs(3))])
  })

  test('the sums are those of RFC 1071', () => {
    const pair = pairOf({ mtu: 9000 })
    const { nic, memory } = receiver(pair)
    inject(pair, [toUs(1), toUs(1000), toUs(8001)])
    expect(nic.wait(1000)).toBe(true)
    const burst = new RxBurst()
    nic.receive(burst)
    nic.sumFragments(burst)
    const area = new Uint8Array(memory.buffer)
    for (let i = 0; i < burst.count; i++) {
      let sum = 0
      for (let at = 0; at < burst.length[i]!; at++)
        sum += area[burst.offset[i]! + at]! << (at % 2 === 0 ? 8 : 0)
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
      expect(burst.sum[i]).toBe(sum)
    }
    expect(burst.count).toBe(5)
  })

  test.each(['generic', 'native'] as const)('%s: what it sends arrives at the peer', async (mode) => {
    const pair = pairOf()
    const { nic } = receiver(pair, { mode })
    const capture = await WireCapture.start(pair, SENDER)
    onTestFinished(() => capture.remove())
    const expected: string[] = []
    for (let i = 0; i < 300; i++) {
      const payload = pattern(1 + i * 4)
      const frame = ethernet(0x800, ipv4(tcp(40001, payload), { destination: PEER }))
      const slot = nic.txReserve()
      nic.txMemory.set(frame, slot)
      nic.txCommit(slot, frame.length)
      expected.push(hex(payload))
    }
    nic.txFlush()
    await expect.poll(() => framesOf(pair)).toBeGreaterThanOrEqual(300)
    await capture.stop()
    const fields = ['-Y', 'tcp.dstport == 40001', '-T', 'fields', '-e', 'tcp.payload']
    expect(tshark(capture.file, ...fields)).toEqual(expected)
    expect(nic.stats()).toMatchObject({ txFrames: 300, txErrors: 0, txNoSlot: 0 })
  })

  test('re-attach: other memory, at once, steering kept', () => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair)
    for (let round = 0; round < 5; round++) {
      inject(pair, [toUs(round)])
      expect(nic.wait(1000)).toBe(true)
      const next = memoryFor(nic, 64 << round)
      nic.attach(next)
      expect([nic.chunksHeld(), nic.receive(new RxBurst())]).toEqual([0, 0])
      nic.fill(chunkNumbers(64), 0, 64)
      inject(pair, [toUs(100 + round)])
      expect(collect(nic, next, 1).map(hex)).toEqual([hex(toUs(100 + round))])
      expect(new Uint8Array(memory.buffer).includes(0)).toBe(true)
    }
    nic.detach()
    expect([nic.receive(new RxBurst()), nic.fillSpace(), nic.txReserve(), nic.txMemory.length]).toEqual([
      0, 0, -1, 0,
    ])
    nic.arm(() => {})
    expect(nic.wait(1)).toBe(false)
  })

  test('a restart resets no connection', async () => {
    const pair = pairOf()
    const { nic } = receiver(pair)
    const frame = ethernet(0x800, ipv4(tcp(PORT)), [], nic.info.mac)
    const sender = pair.start(pair.peer, PYTHON, script('inject.py'), pair.peerDevice, '1460', '1')
    const exit = once(sender, 'exit')
    await new Promise<void>((resolve) => sender.stdin!.end(hex(frame), resolve))
    expect(nic.wait(2000)).toBe(true)
    for (let round = 0; round < 10; round++) nic.attach(memoryFor(nic))
    expect(resetsOf(pair)).toBe(0)
    nic.close()
    await exit
    expect(resetsOf(pair)).toBeGreaterThan(0)
  })

  test.each([true, false])('WebAssembly.Memory (shared: %s) as the area', (shared) => {
    const pair = pairOf()
    const nic = nicOn(pair)
    const pages = Math.ceil((512 * CHUNK + nic.info.tailBytes) / 65536)
    const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared })
    const memory = memoryFor(nic, 512, wasm.buffer)
    nic.attach(memory)
    nic.fill(chunkNumbers(512), 0, 512)
    nic.steer(OURS, PORT)
    inject(pair, [toUs(1000)])
    expect(collect(nic, memory, 1).map(hex)).toEqual([hex(toUs(1000))])
    nic.txMemory.set(toUs(10), nic.txReserve())
    nic.txCommit(0, 64)
    nic.txFlush()
    expect(nic.stats()).toMatchObject({ txFrames: 1, txErrors: 0 })
  })

  test('an area inside a buffer, chunks of 2048', () => {
    const pair = pairOf()
    const nic = nicOn(pair)
    const areaLength = 64 * 2048
    const { buffer } = allocatePages(8192 + areaLength + nic.info.tailBytes, { memfd: 'zcrx-test' })
    const memory = { buffer, areaOffset: 8192, areaLength, chunkSize: 2048 }
    nic.attach(memory)
    expect([nic.info.chunkPayload, nic.txSlotBytes]).toEqual([1792, 2048])
    nic.fill(chunkNumbers(64), 0, 64)
    nic.steer(OURS, PORT)
    inject(pair, [toUs(8000)], 1460)
    const burst = new RxBurst()
    expect(nic.wait(1000)).toBe(true)
    expect(nic.receive(burst)).toBe(5)
    expect(burst.offset[0]! % 2048).toBe(256)
    expect(hex(new Uint8Array(buffer, 8192 + burst.offset[0]!, 60))).toBe(hex(toUs(8000).subarray(0, 60)))
    expect(new Uint8Array(buffer, 0, 8192).every((byte) => byte === 0)).toBe(true)
  })

  test('arm calls back once, from the event loop, also after a restart', async () => {
    const pair = pairOf()
    const { nic, memory } = receiver(pair)
    let calls = 0
    let replaced = 0
    nic.arm(() => replaced++)
    const fired = new Promise<void>((resolve) =>
      nic.arm(() => {
        calls++
        resolve()
      }),
    )
    inject(pair, [toUs(1), toUs(2)])
    await fired
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([calls, replaced]).toEqual([1, 0])
    expect(collect(nic, memory, 2).length).toBe(2)
    const again = new Promise<void>((resolve) => nic.arm(resolve))
    const next = memoryFor(nic)
    nic.attach(next)
    nic.fill(chunkNumbers(512), 0, 512)
    inject(pair, [toUs(4)])
    await again
    expect(collect(nic, next, 1).length).toBe(1)
    nic.arm(() => calls++)
    nic.arm(null)
    inject(pair, [toUs(3)])
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(calls).toBe(1)
  })

  test('wait keeps its time, fractions included', () => {
    const { nic } = receiver(pairOf())
    for (const ms of [0, 0.3, 20]) {
      const start = performance.now()
      expect(nic.wait(ms)).toBe(false)
      expect(performance.now() - start).toBeGreaterThanOrEqual(ms)
    }
  })

  test('two queues share the hook, each with ports of its own', () => {
    const pair = pairOf({ queues: 2 })
    const first = nicOn(pair)
    const second = nicOn(pair, { queue: 1, hook: first.shareHook() })
    expect(second.info.queue).toBe(1)
    for (const nic of [first, second]) {
      nic.attach(memoryFor(nic))
      nic.fill(chunkNumbers(512), 0, 512)
    }
    // Frames of a packet socket come on queue 0.
    second.steer(OURS, PORT)
    inject(pair, [toUs(1)])
    expect([first.wait(50), second.wait(50)]).toEqual([false, false])
    first.steer(OURS, PORT)
    inject(pair, [toUs(1)])
    expect([first.wait(500), second.wait(50)]).toEqual([true, false])
    second.close()
    expect(pair.xdpProgram()).toBeDefined()
    first.close()
    expect(pair.xdpProgram()).toBeUndefined()
  })

  test('one steers on every queue: others get its frames, keep what is theirs, and lose it with them', () => {
    const pair = pairOf({ queues: 2 })
    const first = nicOn(pair)
    const second = nicOn(pair, { queue: 1, hook: first.shareHook() })
    for (const nic of [first, second]) {
      nic.attach(memoryFor(nic))
      nic.fill(chunkNumbers(512), 0, 512)
    }
    const burst = new RxBurst()
    // Frames of a packet socket come on queue 0.
    const comes = (): boolean => {
      inject(pair, [toUs(1)])
      const came = first.wait(100)
      while (first.receive(burst) > 0);
      return came
    }
    second.steer(OURS, PORT, true)
    second.steer(OURS, PORT, true)
    expect(comes()).toBe(true)
    second.unsteer(OURS, PORT, true)
    expect(comes()).toBe(true)
    // A plain one ends none that is for all.
    second.steer(OURS, PORT)
    second.unsteer(OURS, PORT)
    expect(comes()).toBe(true)
    first.steer(OURS, PORT)
    second.unsteer(OURS, PORT, true)
    expect(comes()).toBe(true)
    first.unsteer(OURS, PORT)
    expect(comes()).toBe(false)
    second.claim(OURS, true)
    expect(comes()).toBe(true)
    second.unclaim(OURS, true)
    expect(comes()).toBe(false)
    second.claim(OURS, true)
    second.close()
    expect(comes()).toBe(false)
  })

  test('what is steered on every queue does not reach the kernel where no socket is', () => {
    const pair = pairOf({ queues: 2 })
    const first = nicOn(pair)
    const second = nicOn(pair, { queue: 1, hook: first.shareHook() })
    const frame = ethernet(0x800, ipv4(tcp(PORT)), [], first.info.mac)
    const send = (): number => {
      // With a checksum that the kernel does not look at.
      inject(pair, [frame], 1460)
      return resetsOf(pair)
    }
    // Queue 0 is opened and has no socket.
    expect(send()).toBe(1)
    second.steer(OURS, PORT, true)
    expect(send()).toBe(1)
    second.unsteer(OURS, PORT, true)
    expect(send()).toBe(2)
  })

  test('the queue that brings the hook tells of those that nobody has', () => {
    const pair = pairOf({ queues: 2 })
    const first = nicOn(pair, { mode: 'native' })
    expect(first.notes.join()).toMatch(/frames of the other 1 receive queue go to the kernel/)
    const second = nicOn(pair, { queue: 1, hook: first.shareHook() })
    expect([...first.notes, ...second.notes]).toEqual([])
    second.close()
    expect(first.notes.join()).toMatch(/other 1 receive queue/)
    first.close()
    // Under generic XDP queue 0 has the frames of all: nothing is missed.
    expect(nicOn(pair, { mode: 'generic' }).notes).toEqual([])
  })

  test('an interface that goes down makes errors, not exceptions', () => {
    const pair = pairOf()
    const { nic } = receiver(pair)
    spawnSync('ip', ['-n', pair.ours, 'link', 'set', pair.device, 'down'])
    nic.txCommit(nic.txReserve(), 60)
    nic.txFlush()
    expect(nic.stats().txErrors).toBe(1)
    expect(nic.wait(1)).toBe(false)
    expect(() => nic.attach(memoryFor(nic))).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_DOWN' }))
    pair.destroy()
    expect(nic.receive(new RxBurst())).toBe(0)
    nic.txFlush()
    nic.close()
  })
})
