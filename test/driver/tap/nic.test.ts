import { execFileSync } from 'node:child_process'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { allocatePages } from '../../../driver/native/memory.ts'
import { type NicMemory, RX_MORE, RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import { TapNic } from '../../../driver/tap/index.ts'
import { runs } from '../../support/long.ts'
import { ip } from '../../support/netns.ts'
import { PYTHON } from '../../support/python.ts'
import { TapPlace } from '../../support/tap-place.ts'
import { arp, ethernet, hex, ipv4, ipv6, OURS, pattern, tcp } from '../xdp/frames.ts'
import { script } from '../xdp/setup.ts'
import { obstacle } from './setup.ts'

const CHUNKS = 256

interface Arrived {
  frame: Uint8Array
  /** Bytes of its first entry. */
  beside: number
  /** Whether each entry lies beside the area. */
  side: boolean[]
  flags: number
}

describe.skipIf(obstacle !== '')('a TAP queue', () => {
  let place: TapPlace
  let nic: TapNic
  beforeEach(() => {
    place = new TapPlace()
  })
  afterEach(() => {
    nic?.close()
    place.destroy()
  })

  function attach(chunkSize = 4096, chunks = CHUNKS): NicMemory {
    const areaLength = chunks * chunkSize
    const memory = { buffer: allocatePages(areaLength).buffer, areaOffset: 0, areaLength, chunkSize }
    nic.attach(memory)
    return memory
  }

  function fill(count: number): void {
    expect(
      nic.fill(
        Uint32Array.from({ length: count }, (_, i) => i),
        0,
        count,
      ),
    ).toBe(count)
  }

  /** Sends frames from the kernel's end. */
  function inject(frames: Uint8Array[]): void {
    execFileSync('ip', ['netns', 'exec', place.peer, PYTHON, script('inject.py'), place.peerDevice], {
      input: frames.map(hex).join('\n'),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  }

  /** What has arrived, once `count` frames have or nothing more comes; chunks go back. */
  function collect(memory: NicMemory, count: number, burst = new RxBurst()): Arrived[] {
    const area = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    const arrived: Arrived[] = []
    let parts: Uint8Array[] = []
    let side: boolean[] = []
    while (arrived.length < count && nic.wait(500)) {
      const entries = nic.receive(burst)
      const back: number[] = []
      nic.sumFragments(burst)
      for (let i = 0; i < entries; i++) {
        const [offset, length, flags] = [burst.offset[i]!, burst.length[i]!, burst.flags[i]!]
        const beside = (flags & RX_SIDE) !== 0
        const bytes = (beside ? nic.sideMemory : area).slice(offset, offset + length)
        expect(burst.sum[i]).toBe(sumOf(bytes))
        parts.push(bytes)
        side.push(beside)
        if (!beside) back.push(Math.floor(offset / memory.chunkSize))
        if ((flags & RX_MORE) !== 0) continue
        arrived.push({ frame: Buffer.concat(parts), beside: parts[0]!.length, side, flags })
        parts = []
        side = []
      }
      nic.fill(Uint32Array.from(back), 0, back.length)
    }
    return arrived
  }

  test('describes itself', () => {
    nic = place.open({ mtu: 9000 })
    const { driver, mode, name, mtu, mac, placement, chunkBytes } = nic.info
    expect({ driver, mode, name, mtu, placement, chunkBytes }).toEqual({
      driver: 'tap',
      mode: 'vnet_hdr tso',
      name: 'zt0',
      mtu: 9000,
      placement: 'split',
      chunkBytes: 32_768,
    })
    expect(mac[0]).toBe(2)
    const [link] = JSON.parse(ip('-n', place.peer, '-j', 'link', 'show', place.peerDevice))
    expect(Buffer.from(mac).toString('hex')).not.toBe(link.address.replaceAll(':', ''))
    expect(link).toMatchObject({ mtu: 9000, flags: expect.arrayContaining(['UP']) })
  })

  test('puts headers beside the area and payload at the beginning of a chunk', () => {
    nic = place.open()
    const memory = attach()
    fill(CHUNKS)
    const segment = tcp(9000, pattern(1000))
    const frame = ethernet(0x0800, ipv4(segment))
    inject(Array.from({ length: 3 }, () => frame))
    const arrived = collect(memory, 3)
    expect(arrived.map(({ frame: bytes }) => hex(bytes))).toEqual(Array(3).fill(hex(frame)))
    // The first shows what headers have here; from then on they are parted exactly.
    expect(arrived[2]).toMatchObject({ beside: 54, side: [true, false] })
    const longer = ethernet(0x86dd, ipv6(segment))
    inject(Array.from({ length: 20 }, () => longer))
    const after = collect(memory, 20)
    expect(after.map(({ frame: bytes }) => hex(bytes))).toEqual(Array(20).fill(hex(longer)))
    expect(after.every(({ beside }) => beside === 74)).toBe(true)
    expect(nic.chunksHeld()).toBe(CHUNKS)
  })

  test('keeps what is no TCP with payload out of the area', () => {
    nic = place.open()
    const memory = attach()
    fill(CHUNKS)
    const frames = [
      ethernet(0x0806, arp(OURS)),
      ethernet(0x0800, ipv4(tcp(9000))),
      ethernet(0x0800, ipv4(pattern(400), { protocol: 17 })),
      ethernet(0x0800, ipv4(pattern(1200), { protocol: 17 })),
    ]
    inject(frames)
    const arrived = collect(memory, frames.length)
    expect(arrived.map(({ frame }) => hex(frame))).toEqual(frames.map(hex))
    expect(arrived.map(({ side }) => side)).toEqual([[true], [true], [true], [true, false]])
  })

  test('any frames arrive as they were sent, whatever their headers and however few chunks there are', () => {
    nic = place.open({ mtu: 9000 })
    const bytes = (most: number) => fc.uint8Array({ maxLength: most })
    const packets = fc.oneof(
      fc
        .record({ options: fc.constantFrom(0, 4, 40), body: bytes(8000) })
        .map(({ options, body }) => ethernet(0x0800, ipv4(tcp(9000, body), { options }))),
      bytes(8000).map((body) => ethernet(0x86dd, ipv6(tcp(9000, body)))),
      bytes(3000).map((body) => ethernet(0x86dd, ipv6(tcp(9000, body), {}, [[0, new Uint8Array(8)]]))),
      bytes(3000).map((body) => ethernet(0x0800, ipv4(tcp(9000, body)), [5, 6])),
      bytes(3000).map((body) => ethernet(0x0800, ipv4(body))),
      bytes(3000).map((body) => ethernet(0x0800, body)),
      bytes(600).map((body) => ethernet(0x86dd, body)),
      bytes(3000).map((body) => ethernet(0x88b5, body)),
    )
    fc.assert(
      fc.property(
        fc.array(packets, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(0, 1, 2, 40),
        fc.constantFrom(1024, 4096, 65536),
        (frames, chunks, chunkSize) => {
          const memory = attach(chunkSize, 64)
          fill(chunks)
          inject(frames)
          const arrived = collect(memory, frames.length)
          expect(arrived.map(({ frame }) => hex(frame))).toEqual(frames.map(hex))
          expect(nic.chunksHeld()).toBe(chunks)
        },
      ),
      { numRuns: runs(25) },
    )
  }, 60_000)

  test('sends frames as they are', () => {
    nic = place.open()
    attach()
    const before = received(place)
    for (let i = 0; i < 100; i++) {
      const at = nic.txReserve()
      nic.txMemory.set(ethernet(0x88b5, pattern(100)), at)
      nic.txCommit(at, 114)
    }
    nic.txFlush()
    const after = received(place)
    expect([after.packets - before.packets, after.bytes - before.bytes]).toEqual([100, 11_400])
    expect(nic.stats()).toMatchObject({ txFrames: 100, txBytes: 11_400, txErrors: 0 })
  })

  test('counts frames that a device that is down refuses', () => {
    nic = place.open()
    attach()
    ip('-n', place.peer, 'link', 'set', place.peerDevice, 'down')
    for (let i = 0; i < 3; i++) {
      const at = nic.txReserve()
      nic.txCommit(at, 60)
    }
    nic.txFlush()
    expect(nic.stats()).toMatchObject({ txFrames: 3, txErrors: 3 })
  })

  test('is gone when its device is deleted', async () => {
    nic = place.open()
    attach()
    const woken = new Promise<void>((resolve) => nic.arm(resolve))
    ip('-n', place.peer, 'link', 'del', place.peerDevice)
    await woken
    expect(nic.receive(new RxBurst())).toBe(0)
    expect(nic.gone).toBe(true)
    expect(nic.wait(1)).toBe(false)
  })

  test('goes with its last queue, or stays when it is to', () => {
    nic = place.open()
    nic.close()
    expect(place.exists).toBe(false)
    nic = place.open({ persist: true })
    expect(nic.created).toBe(true)
    nic.close()
    expect(place.exists).toBe(true)
    nic = TapNic.open({ device: 'zt0', netns: place.peerPath, persist: false })
    expect(nic.created).toBe(false)
    nic.close()
    expect(place.exists).toBe(false)
  })

  test('has several queues where it is asked for them', () => {
    nic = place.open({ multiQueue: true })
    using second = TapNic.open({ device: 'zt0', netns: place.peerPath, multiQueue: true })
    expect(second.info.mac).toEqual(nic.info.mac)
    expect(place.run(place.peer, 'sh', '-c', 'ls -d /sys/class/net/zt0/queues/rx-* | wc -l').trim()).toBe('2')
  })

  test('says what is wrong', () => {
    ip('-n', place.peer, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1')
    const opening = (device: string) => () => TapNic.open({ device, netns: place.peerPath })
    expect(opening('v0')).toThrow(
      expect.objectContaining({ code: 'ZCRX_NIC_UNSUPPORTED', message: expect.stringContaining('veth') }),
    )
    expect(opening('a/b')).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_NO_DEVICE' }))
    nic = place.open()
    expect(opening('zt0')).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_BUSY' }))
    expect(() => attach(512)).toThrow(expect.objectContaining({ code: 'ZCRX_NIC_MEMORY' }))
    expect(() => nic.txCommit(5, 60)).toThrow(expect.objectContaining({ code: 'ZCRX_ARGUMENT' }))
  })
})

function received(place: TapPlace): { packets: number; bytes: number } {
  const [link] = JSON.parse(ip('-n', place.peer, '-j', '-s', 'link', 'show', place.peerDevice))
  return link.stats64.rx
}

/** Folded sum of big-endian words, an odd last byte padded with zero. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}
