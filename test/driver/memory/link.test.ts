import { describe, expect, it } from 'vitest'
import { type Impairments, LinkDirection, MemoryLink, seededRandom } from '../../../driver/memory/index.ts'
import { RX_MORE, RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import { ascending } from '../../support/raw-peer.ts'
import { drain, plainMemory, StackPair } from '../../support/stack-pair.ts'

const FRAMES = 4000

/** Sends numbered frames and takes them off at the end of time; returns the numbers in order of arrival. */
function run(impairments: Impairments, seed: number) {
  let now = 0
  const direction = new LinkDirection(impairments, seededRandom(seed), () => now, 100_000, 64)
  const frame = new Uint8Array(32)
  for (let i = 0; i < FRAMES; i++) {
    new DataView(frame.buffer).setUint32(0, i)
    direction.send(frame, 0, frame.length)
    now += 10
  }
  const arrived: { number: number; at: number; frame: Uint8Array }[] = []
  for (let at = direction.nextArrival(); at !== Number.POSITIVE_INFINITY; at = direction.nextArrival()) {
    now = Math.max(now, at)
    expect(direction.peek()).toBe(32)
    const copy = direction.frame().slice(0, 32)
    arrived.push({ number: new DataView(copy.buffer).getUint32(0), at, frame: copy })
    direction.drop()
  }
  return { arrived, counts: direction.counts, direction }
}

describe('impairments of a memory link', () => {
  const all = { loss: 0.1, duplicate: 0.1, reorder: 0.1, corrupt: 0.1, delayUs: 50, rate: 1e9 }

  it('give the same seed the same fate, another seed another', () => {
    const trace = (seed: number) => JSON.stringify(run(all, seed).arrived.map((f) => [...f.frame, f.at]))
    expect(trace(7)).toBe(trace(7))
    expect(trace(7)).not.toBe(trace(8))
  })

  it.each<[keyof Impairments, 'lost' | 'duplicated' | 'reordered' | 'corrupted']>([
    ['loss', 'lost'],
    ['duplicate', 'duplicated'],
    ['reorder', 'reordered'],
    ['corrupt', 'corrupted'],
  ])('%s happens as often as asked for, is counted, and nothing else happens', (kind, counter) => {
    for (const rate of [0, 0.05, 0.5, 1]) {
      const { counts, arrived } = run({ [kind]: rate }, 3)
      const deviation = 4 * Math.sqrt((rate * (1 - rate)) / FRAMES)
      expect(counts[counter] / FRAMES).toBeGreaterThanOrEqual(rate - deviation)
      expect(counts[counter] / FRAMES).toBeLessThanOrEqual(rate + deviation)
      expect(counts.sent).toBe(FRAMES)
      expect(counts.delivered).toBe(arrived.length)
      expect(counts.delivered).toBe(FRAMES - counts.lost + counts.duplicated)
      const { sent, delivered, [counter]: _counted, ...others } = counts
      expect([sent, delivered].every((n) => n >= 0)).toBe(true)
      expect(Object.values(others)).toEqual([0, 0, 0])
    }
  })

  it('flip exactly one bit of a corrupted frame', () => {
    const { arrived } = run({ corrupt: 1 }, 5)
    for (const [i, { frame }] of arrived.entries()) {
      const sent = new Uint8Array(32)
      new DataView(sent.buffer).setUint32(0, i)
      let flipped = 0
      for (let at = 0; at < 32; at++) {
        for (let bits = frame[at]! ^ sent[at]!; bits !== 0; bits &= bits - 1) flipped++
      }
      expect(flipped).toBe(1)
    }
  })

  it('keep the order of frames that were not reordered, and delay those that were by no more than asked', () => {
    expect(run({ delayUs: 100 }, 1).arrived.map((f) => f.number)).toEqual([...new Array(FRAMES).keys()])
    const { arrived } = run({ reorder: 0.2, reorderUs: 300 }, 2)
    expect(new Set(arrived.map((f) => f.number)).size).toBe(FRAMES)
    expect(arrived.some((f, i) => i > 0 && f.number < arrived[i - 1]!.number)).toBe(true)
    for (const { number, at } of arrived) {
      expect(at).toBeGreaterThanOrEqual(number * 10)
      expect(at).toBeLessThanOrEqual(number * 10 + 300)
    }
    for (const [i, { at }] of arrived.entries())
      if (i > 0) expect(at).toBeGreaterThanOrEqual(arrived[i - 1]!.at)
  })

  it('space frames by the rate', () => {
    // 32 bytes at 1 Mbit/s take 256 us.
    const { arrived } = run({ rate: 1e6, delayUs: 7 }, 1)
    expect(arrived[0]!.at).toBe(263)
    for (let i = 1; i < arrived.length; i++) expect(arrived[i]!.at - arrived[i - 1]!.at).toBeCloseTo(256, 6)
  })

  it('count what the queue has no room for as the receiver does', () => {
    const link = new MemoryLink({ seed: 1, queueFrames: 10, now: () => 0 })
    for (let i = 0; i < 25; i++) link.a.inject(ascending(60))
    expect(link.b.stats().rxRingFull).toBe(15)
    link.b.attach(plainMemory(32))
    link.b.fill(
      Uint32Array.from({ length: 32 }, (_, i) => i),
      0,
      32,
    )
    expect(link.b.receive(new RxBurst())).toBe(10)
    expect(link.aToB.counts).toMatchObject({ sent: 25, delivered: 10 })
  })
})

describe('a memory NIC', () => {
  it('cuts a frame into chunks behind the headroom and gives none away that it was not given', () => {
    const link = new MemoryLink({ seed: 1, mtu: 9000, now: () => 0 })
    const memory = plainMemory(4)
    link.b.attach(memory)
    expect(link.b.fillSpace()).toBe(4)
    expect(link.b.fill(Uint32Array.of(3, 1), 0, 2)).toBe(2)
    const frame = ascending(5000)
    link.a.inject(frame)
    link.a.inject(frame)
    const burst = new RxBurst()
    expect(link.b.receive(burst)).toBe(2)
    expect([...burst.offset.subarray(0, 2)]).toEqual([3 * 4096 + 256, 4096 + 256])
    expect([...burst.length.subarray(0, 2)]).toEqual([3840, 1160])
    expect([...burst.flags.subarray(0, 2)]).toEqual([RX_MORE, 0])
    const bytes = new Uint8Array(memory.buffer)
    const parts = [0, 1].map((i) => bytes.subarray(burst.offset[i]!, burst.offset[i]! + burst.length[i]!))
    expect(Buffer.compare(Buffer.concat(parts), frame)).toBe(0)
    expect([link.b.chunksHeld(), link.b.stats().rxFillEmpty]).toEqual([0, 1])
  })

  it('shows frames beside the area when asked to, as many as it has room for at a time', () => {
    const link = new MemoryLink({ seed: 1, placement: 'side', now: () => 0 })
    link.b.attach(plainMemory(4))
    expect(link.b.fillSpace()).toBe(0)
    for (let i = 0; i < 70; i++) link.a.inject(ascending(60, i))
    const burst = new RxBurst()
    expect([link.b.receive(burst), link.b.receive(burst), link.b.receive(burst)]).toEqual([64, 6, 0])
  })

  it('beside the area the stack copies: counted, and every byte right', () => {
    const pair = new StackPair({ placement: 'side', mtu: 9000 })
    const [client, server] = pair.open()
    const data = Uint8Array.from({ length: 200_000 }, (_, i) => i * 31 + (i >> 8))
    let given = 0
    const parts: Uint8Array[] = []
    const size = () => parts.reduce((sum, part) => sum + part.length, 0)
    const done = pair.runUntil(() => {
      if (given < data.length) given += pair.client.tcp.send(client, data, given, pair.clock.now())
      parts.push(drain(pair.server, server))
      return size() === data.length
    })
    expect(done).toBe(true)
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0)
    expect(pair.server.counters.copiedBytes).toBe(200_000)
    expect(pair.server.census()).toMatchObject({ fill: 0, queued: 0, lost: 0 })
  })

  it('marks each side fragment as such', () => {
    const link = new MemoryLink({ seed: 1, placement: 'side', now: () => 0 })
    link.b.attach(plainMemory(4))
    link.a.inject(ascending(100))
    const burst = new RxBurst()
    link.b.receive(burst)
    expect(burst.flags[0]).toBe(RX_SIDE)
    expect(link.b.sideMemory!.subarray(burst.offset[0]!, burst.offset[0]! + 100)).toEqual(ascending(100))
    link.b.sumFragments(burst)
    expect(burst.sum[0]).toBeGreaterThan(0)
  })
})
