import { describe, expect, it } from 'vitest'
import { MemoryLink, type MemoryLinkOptions } from '../../../driver/memory/index.ts'
import { RX_MORE, RX_SIDE, RxBurst } from '../../../driver/nic.ts'
import { plainMemory } from '../../support/stack-pair.ts'

const HEADERS = 14 + 20 + 20

/** An Ethernet frame of IPv4 and TCP with so much payload, byte i of it i mod 251. */
function tcpFrame(payload: number, change: (frame: Uint8Array) => void = () => {}): Uint8Array {
  const frame = new Uint8Array(HEADERS + payload)
  const view = new DataView(frame.buffer)
  view.setUint16(12, 0x0800)
  frame[14] = 0x45
  view.setUint16(16, 40 + payload)
  frame[23] = 6
  frame[46] = 0x50
  for (let i = 0; i < payload; i++) frame[HEADERS + i] = i % 251
  change(frame)
  return frame
}

interface Entry {
  offset: number
  length: number
  flags: number
}

function receiver(options: MemoryLinkOptions = {}, niovs = 8) {
  let now = 0
  const link = new MemoryLink({ seed: 1, now: () => now, placement: 'split', ...options })
  const memory = plainMemory(niovs)
  const area = new Uint8Array(memory.buffer)
  link.b.attach(memory)
  const burst = new RxBurst()
  const receive = (...frames: Uint8Array[]): Entry[] => {
    for (const frame of frames) link.a.inject(frame)
    now += 1
    link.b.receive(burst)
    return Array.from({ length: burst.count }, (_, i) => ({
      offset: burst.offset[i]!,
      length: burst.length[i]!,
      flags: burst.flags[i]!,
    }))
  }
  const fill = (...chunks: number[]): number => link.b.fill(Uint32Array.from(chunks), 0, chunks.length)
  return { nic: link.b, area, receive, fill, burst }
}

describe('a memory NIC with header/data split', () => {
  it('puts headers beside the area and payload into it, a chunk each', () => {
    const { nic, area, receive, fill } = receiver()
    fill(3, 5)
    const entries = receive(tcpFrame(1000), tcpFrame(7))
    expect(entries.map(({ length, flags }) => [length, flags])).toEqual([
      [HEADERS, RX_SIDE | RX_MORE],
      [1000, 0],
      [HEADERS, RX_SIDE | RX_MORE],
      [7, 0],
    ])
    expect([entries[1]!.offset, entries[3]!.offset]).toEqual([3 * 4096, 5 * 4096])
    expect(area.subarray(3 * 4096, 3 * 4096 + 4)).toEqual(Uint8Array.of(0, 1, 2, 3))
    expect(nic.sideMemory!.subarray(entries[0]!.offset, entries[0]!.offset + HEADERS)).toEqual(
      tcpFrame(1000).subarray(0, HEADERS),
    )
    expect([nic.splitFrames, nic.chunksHeld(), nic.stats().rxFrames]).toEqual([2, 0, 2])
  })

  it.each<[string, Uint8Array]>([
    ['no payload', tcpFrame(0)],
    ['UDP', tcpFrame(100, (frame) => frame.set([17], 23))],
    ['a fragment', tcpFrame(100, (frame) => frame.set([0x20, 0], 20))],
    ['ARP', tcpFrame(100, (frame) => frame.set([0x08, 0x06], 12))],
    ['headers cut off', tcpFrame(100).subarray(0, 40)],
    ['no more than Ethernet', tcpFrame(100).subarray(0, 14)],
    ['padding behind an empty segment', tcpFrame(20, (frame) => frame.set([0, 40], 16))],
  ])('leaves a frame with %s whole', (_what, frame) => {
    const { receive, fill, nic } = receiver()
    fill(1)
    expect(receive(frame)).toEqual([{ offset: 0, length: frame.length, flags: RX_SIDE }])
    expect(nic.chunksHeld()).toBe(1)
  })

  it('finds TCP behind tags and in IPv6', () => {
    const tagged = tcpFrame(50)
    const frame = new Uint8Array(tagged.length + 4)
    frame.set(tagged.subarray(0, 12))
    frame.set([0x81, 0, 0, 5], 12)
    frame.set(tagged.subarray(12), 16)
    const six = new Uint8Array(14 + 40 + 32 + 9)
    six.set([0x86, 0xdd, 0x60], 12)
    six.set([0, 41, 6], 18)
    six[14 + 40 + 12] = 0x80
    const { receive, fill } = receiver()
    fill(0, 1)
    expect(receive(frame, six).map(({ length }) => length)).toEqual([HEADERS + 4, 50, 86, 9])
  })

  it('cuts a payload that is larger than a chunk, and puts each piece at the offset asked for', () => {
    const { receive, fill, nic } = receiver({ mtu: 9000, split: { offset: 96 } })
    fill(2, 4, 6)
    expect(receive(tcpFrame(8500)).slice(1)).toEqual([
      { offset: 2 * 4096 + 96, length: 4000, flags: RX_MORE },
      { offset: 4 * 4096 + 96, length: 4000, flags: RX_MORE },
      { offset: 6 * 4096 + 96, length: 500, flags: 0 },
    ])
    nic.place({ offset: 0 })
    fill(1)
    expect(receive(tcpFrame(10))[1]!.offset).toBe(4096)
  })

  it('packs payloads at multiples of 64 bytes, and leaves a chunk that the next does not fit', () => {
    const { receive, fill, nic } = receiver({ split: { pack: true } })
    fill(0, 1, 2)
    const places = (entries: Entry[]): number[] =>
      entries.filter(({ flags }) => (flags & RX_SIDE) === 0).map(({ offset }) => offset)
    expect(places(receive(tcpFrame(300), tcpFrame(300)))).toEqual([0, 320])
    expect(nic.roles.packing!.openChunk()).toBe(0)
    expect(places(receive(tcpFrame(1400), tcpFrame(1400), tcpFrame(1400)))).toEqual([640, 2048, 4096])
    expect(nic.roles.packing!.openChunk()).toBe(1)
    nic.place({ pack: false })
    expect(nic.roles.packing!.openChunk()).toBe(-1)
    expect(places(receive(tcpFrame(10)))).toEqual([8192])
  })

  it('drops a frame that finds too few chunks, and uses none of them', () => {
    const { receive, fill, nic } = receiver({ mtu: 9000 })
    fill(1)
    expect(receive(tcpFrame(8000))).toEqual([])
    expect([nic.stats().rxFillEmpty, nic.chunksHeld()]).toEqual([1, 1])
    expect(receive(tcpFrame(100))[1]!.offset).toBe(4096)
  })

  it('delivers whole frames beside the area when it is told to', () => {
    const { receive, fill, nic } = receiver()
    fill(1)
    nic.place({ whole: true })
    expect(receive(tcpFrame(100))).toEqual([{ offset: 0, length: HEADERS + 100, flags: RX_SIDE }])
    nic.place({ whole: false })
    expect(receive(tcpFrame(100)).length).toBe(2)
  })

  it('asks for chunks only when it has none, and takes the last it got first', () => {
    const { receive, nic } = receiver({ cache: 4 })
    let asked = 0
    nic.roles.pulling!.demand = (chunks) => {
      asked++
      if (asked > 2) return 0
      for (let i = 0; i < chunks.length; i++) chunks[i] = asked * 4 - 1 - i
      return chunks.length
    }
    const frames = Array.from({ length: 9 }, () => tcpFrame(10))
    const places = receive(...frames).filter(({ flags }) => flags === 0)
    expect(places.map(({ offset }) => offset / 4096)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect([asked, nic.stats().rxFillEmpty, nic.chunksHeld(), nic.fillSpace()]).toEqual([3, 1, 0, 0])
  })

  it('writes to the area that a chunk lies in, also behind one that was taken away', () => {
    const { receive, fill, nic, burst, area } = receiver({ mtu: 9000, split: { pack: true } }, 2)
    const further = [plainMemory(3), plainMemory(2)]
    nic.addArea(further[0]!, 1, 2)
    nic.addArea(further[1]!, 2, 5)
    fill(4, 6, 1, 2, 5)
    receive(tcpFrame(100))
    expect([burst.area[1], burst.offset[1]]).toEqual([1, 2 * 4096])
    expect(new Uint8Array(further[0]!.buffer)[2 * 4096 + 99]).toBe(99)
    nic.sumFragments(burst)
    expect(burst.sum[1]).toBeGreaterThan(0)
    expect([
      nic.chunksHeldIn(0),
      nic.chunksHeldIn(1),
      nic.chunksHeldIn(2),
      nic.roles.packing!.openChunk(),
    ]).toEqual([1, 1, 2, 4])
    const back = new Uint32Array(3)
    expect([nic.removeArea(1, back), back[0], nic.roles.packing!.openChunk(), nic.chunksHeld()]).toEqual([
      1, 2, -1, 3,
    ])
    const entries = receive(tcpFrame(4000), tcpFrame(4000), tcpFrame(4000), tcpFrame(4000))
    expect(entries.length).toBe(6)
    expect([1, 3, 5].map((i) => [burst.area[i], burst.offset[i]])).toEqual([
      [2, 4096],
      [0, 4096],
      [2, 0],
    ])
    expect(area[4096 + 250]).toBe(250)
    expect(nic.stats().rxFillEmpty).toBe(1)
  })

  it('has further areas only where payload is placed apart', () => {
    const link = new MemoryLink({ ends: { a: { placement: 'area' }, b: { placement: 'side' } } })
    expect([link.a.roles.areas, link.b.roles.areas]).toEqual([null, null])
  })

  it('sums the pieces of either memory', () => {
    const { receive, fill, nic, burst } = receiver()
    fill(0)
    receive(tcpFrame(2, (frame) => frame.set([0x12, 0x34], HEADERS)))
    nic.sumFragments(burst)
    expect(burst.sum[1]).toBe(0x1234)
    expect(burst.sum[0]).toBe(0x0800 + 0x4500 + 42 + 0x0006 + 0x5000)
  })
})
