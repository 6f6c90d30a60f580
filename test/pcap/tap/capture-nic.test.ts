import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { MemoryLink } from '../../../driver/memory/index.ts'
import type { Nic } from '../../../driver/nic.ts'
import { MemorySink } from '../../../pcap/file/writer.ts'
import { CaptureNic, type CaptureNicOptions } from '../../../pcap/tap/index.ts'
import { VirtualClock } from '../../../stack/clock.ts'
import { capinfos, noCaptureTools } from '../../support/capture-tools.ts'
import { ether, framed, ip4, ip6, tcpSegment } from '../../support/ip-frames.ts'
import { bytesOf, RingPair, type RingPairOptions } from '../../support/ring-pair.ts'
import { drain, type PairOptions, StackPair } from '../../support/stack-pair.ts'
import { captureDirectory, faults, tshark } from '../../support/tshark.ts'
import { frameOf, packetsOf, recorded, statisticsOf } from './support.ts'

const missing = noCaptureTools()
if (missing !== undefined) console.log(`skipped: what Wireshark says of captures (${missing})`)
const directory = captureDirectory()
afterAll(() => directory.remove())

const EPOCH = 1_700_000_000
let files = 0

/** Captures the server's end of a pair. */
function capturing(options: Partial<CaptureNicOptions> = {}): {
  file: string
  wrap: NonNullable<PairOptions['wrap']>
  nic: () => CaptureNic
} {
  const file = join(directory.path, `capture-${files++}.pcapng`)
  let nic: CaptureNic | undefined
  return {
    file,
    wrap: (inner, clock) => {
      nic = new CaptureNic(inner, { file, clock, epoch: EPOCH, ...options })
      return nic
    },
    nic: () => nic!,
  }
}

/** What capinfos and tshark say of a capture of whole, undamaged TCP connections. */
function expectGood(file: string, packets: number): void {
  if (missing !== undefined) return
  expect(capinfos(file)).toMatchObject({
    'Number of packets': `${packets}`,
    'File encapsulation': 'ether',
    'Capture application': 'zcrx',
    'Strict time order': 'True',
  })
  expect(faults(file)).toEqual([])
}

async function expectFrames(file: string, received: Uint8Array[], sent: Uint8Array[]): Promise<void> {
  const packets = await packetsOf(file)
  for (const [direction, frames] of [
    [1, received],
    [2, sent],
  ] as const) {
    const found = packets.filter((packet) => packet.direction === direction)
    expect(found.length).toBe(frames.length)
    const wrong = found.findIndex((packet, i) => Buffer.compare(frameOf(packet), frames[i]!) !== 0)
    expect(wrong).toBe(-1)
  }
}

describe('whole frames in both directions', () => {
  it.each<[string, RingPairOptions]>([
    ['area', {}],
    ['area, IPv6', { version: 6 }],
    ['area, several chunks a frame', { mtu: 9000 }],
    ['area, what offload makes', { mtu: 65_535 }],
    ['split, on demand', { placement: 'split', cache: 64 }],
    ['side', { placement: 'side' }],
    ['side, IPv6', { placement: 'side', version: 6, mtu: 9000 }],
    ['split', { placement: 'split' }],
    ['split, packed, on demand', { placement: 'split', split: { pack: true, offset: 128 }, cache: 64 }],
    ['split, several chunks a frame', { placement: 'split', mtu: 9000, version: 6 }],
    ['split, frames beside the area', { placement: 'split', split: { whole: true } }],
  ])('%s', async (_what, options) => {
    const { file, wrap, nic } = capturing()
    const pair = new RingPair({ ...options, ends: { b: options }, placement: 'area', cache: 0, wrap })
    const received = recorded(pair.link.aToB)
    const sent = recorded(pair.link.bToA)
    const { client, server } = pair.connect()
    const receive = (): void => pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    receive()
    let bytes = 0
    for (let i = 0; i < 6; i++) {
      pair.send(client, bytesOf(40_000, i))
      while (bytes < 40_000 * (i + 1)) {
        const completions = pair.drain()
        expect(completions.length).toBeGreaterThan(0)
        const data = completions.filter((cqe) => cqe.flags !== 0 && cqe.res > 0)
        for (const completion of data) bytes += completion.res
        pair.refill(...data)
        // Without buffers to copy to, the request ends.
        if (completions.some((cqe) => cqe.flags === 0)) receive()
      }
    }
    pair.send(server, bytesOf(20_000, 7))
    pair.drain()
    pair.call((sqe) => sqe.prepClose(client))
    pair.call((sqe) => sqe.prepClose(server))
    pair.drain()
    expect(bytes).toBe(240_000)
    const { rxFrames, txFrames, rxFillEmpty } = nic().stats()
    nic().close()
    expect(nic().captured).toEqual({ received: rxFrames, sent: txFrames })
    expect([rxFillEmpty, nic().missed, nic().failed]).toEqual([0, 0, null])
    await expectFrames(file, received, sent)
    expectGood(file, rxFrames + txFrames)
    expect(statisticsOf(readFileSync(file))).toEqual([
      { received: rxFrames, interfaceDrops: 0, delivered: rxFrames, ended: true },
    ])
  })

  it('in areas that were added', async () => {
    const { file, wrap, nic } = capturing()
    const pair = new RingPair({ ends: { b: { placement: 'split', cache: 64 } }, niovs: 16, wrap })
    const received = recorded(pair.link.aToB)
    const sent = recorded(pair.link.bToA)
    const { client, server } = pair.connect()
    expect(pair.ring.addArea(pair.ifq, new Uint8Array(8 * 4096))).toBe(1)
    pair.submit((sqe) => sqe.prepRecvZc(server, 0), 1)
    const places: string[] = []
    for (let i = 0; i < 12; i++) {
      pair.send(client, bytesOf(100, i))
      for (const { areaId, offset, flags } of pair.drain())
        if (flags !== 0) {
          const area = areaId === 0 ? '' : `area ${areaId} `
          places.push(`${area}niov ${Math.floor(offset / 4096)}+${offset % 4096}`)
        }
    }
    nic().close()
    await expectFrames(file, received, sent)
    const comments = (await packetsOf(file)).flatMap((packet) => packet.comments)
    expect(
      comments.filter((comment) => comment.includes('; ')).map((comment) => comment.split('; ')[1]),
    ).toEqual(places)
    expect(new Set(places.map((place) => place.split('niov')[0]))).toEqual(new Set(['area 1 ', '']))
  })

  it('of many connections, with loss, duplicates and disorder', async () => {
    const { file, wrap, nic } = capturing()
    const impairments = { loss: 0.03, duplicate: 0.03, reorder: 0.1, delayUs: 300 }
    const pair = new StackPair({ wrap, impairments, seed: 5, mtu: 9000 })
    const listener = pair.server.tcp.listen(pair.serverAddress, 9000, 16)!
    for (let i = 0; i < 4; i++) {
      const [client, server] = pair.open(listener)
      pair.client.tcp.send(client, bytesOf(60_000, i), 0, pair.clock.now())
      const got: Uint8Array[] = []
      pair.runUntil(() => {
        got.push(drain(pair.server, server).slice())
        return got.reduce((sum, part) => sum + part.length, 0) === 60_000
      })
      expect(Buffer.compare(Buffer.concat(got), bytesOf(60_000, i))).toBe(0)
    }
    const { rxFrames, txFrames } = nic().stats()
    nic().close()
    expectGood(file, rxFrames + txFrames)
    const causes = new Map<string, number>()
    for (const packet of await packetsOf(file))
      for (const comment of packet.comments) {
        const cause = /^dropped: (\w+)/.exec(comment)?.[1]
        if (cause !== undefined) causes.set(cause, (causes.get(cause) ?? 0) + 1)
      }
    expect(Object.fromEntries(causes)).toEqual(pair.server.drops())
    expect(causes.get('duplicate')).toBeGreaterThan(0)
  })
})

describe('what a comment says', () => {
  const SYN = 2

  it('is the cause of a drop, the connection, the niovs', async () => {
    const { file, wrap, nic } = capturing()
    const pair = new StackPair({ wrap, mtu: 9000 })
    pair.server.tcp.listen(pair.serverAddress, 9000, 16)
    const damaged = framed(4, tcpSegment(4, { flags: SYN }))
    damaged[40]! ^= 1
    const tagged = ether(0x800, ip4(tcpSegment(4, { flags: SYN })), { tags: [[0x8100, 5]] })
    const later = ether(0x800, ip4(new Uint8Array(16), { fragment: 0x2001 }))
    const frames: [Uint8Array, RegExp][] = [
      [framed(4, tcpSegment(4, { flags: SYN })), /^192\.0\.2\.1:40000 > 192\.0\.2\.2:9000; niov \d+\+256$/],
      [
        framed(4, tcpSegment(4, { flags: SYN, destinationPort: 7 })),
        /^dropped: noSocket; 192\.0\.2\.1:40000 > 192\.0\.2\.2:7; niov \d+\+256$/,
      ],
      [damaged, /^dropped: tcpChecksum; 192\.0\.2\.1:40000 > 192\.0\.2\.2:9000; niov \d+\+256$/],
      [
        framed(6, tcpSegment(6, { flags: SYN })),
        /^dropped: notForUs; \[2001:db8::1\]:40000 > \[2001:db8::2\]:9000; niov \d+\+256$/,
      ],
      [
        ether(
          0x86dd,
          ip6(tcpSegment(6, { flags: SYN }), {}, [
            [0, [0, 0, 1, 4, 0, 0, 0, 0]],
            [60, [0, 0, 1, 4, 0, 0, 0, 0]],
          ]),
        ),
        /^dropped: notForUs; \[2001:db8::1\]:40000 > \[2001:db8::2\]:9000; niov \d+\+256$/,
      ],
      [tagged, /^dropped: vlan; 192\.0\.2\.1:40000 > 192\.0\.2\.2:9000; niov \d+\+256$/],
      [later, /^niov \d+\+256$/],
      [ether(0x88b5, new Uint8Array(46)), /^dropped: protocol; niov \d+\+256$/],
      [framed(4, tcpSegment(4, {}), { protocol: 17 }), /^dropped: protocol; niov \d+\+256$/],
      [new Uint8Array(5), /^dropped: malformed; niov \d+\+256$/],
      [ether(0x800, new Uint8Array(19).fill(0x45)), /^dropped: malformed; niov \d+\+256$/],
      [
        framed(4, tcpSegment(4, { flags: 16, destinationPort: 7, payload: new Uint8Array(8000) })),
        /^dropped: noSocket; 192\.0\.2\.1:40000 > 192\.0\.2\.2:7; niov \d+\+256, \d+\+256, \d+\+256$/,
      ],
    ]
    for (const [frame] of frames) pair.link.a.inject(frame)
    pair.settle()
    nic().close()
    const inbound = (await packetsOf(file)).filter((packet) => packet.direction === 1).slice(0, frames.length)
    for (const [i, packet] of inbound.entries()) {
      expect(Buffer.compare(frameOf(packet), frames[i]![0])).toBe(0)
      expect(packet.comments).toHaveLength(1)
      expect(packet.comments[0]).toMatch(frames[i]![1])
    }
  })

  it('is nothing where comments are off, and the frames are there all the same', async () => {
    const { file, wrap, nic } = capturing({ comments: false })
    const pair = new StackPair({ wrap })
    pair.open()
    nic().close()
    const packets = await packetsOf(file)
    expect(packets.map((packet) => packet.direction)).toEqual([1, 2, 1, 2, 1])
    expect(packets.flatMap((packet) => packet.comments)).toEqual([])
  })

  it('says so when nobody settled a frame', async () => {
    const { file, wrap, nic } = capturing()
    const pair = new StackPair({ wrap })
    const counters = pair.server.counters
    pair.link.a.inject(framed(4, tcpSegment(4, { flags: SYN })))
    pair.link.a.inject(framed(4, tcpSegment(4, { flags: SYN, sourcePort: 40_001 })))
    // What no frame of the wire can do to the stack.
    Object.defineProperty(counters, 'dropNoSocket', {
      get: () => 0,
      set: () => {
        throw new Error('a fault of the stack')
      },
    })
    expect(() => pair.server.poll()).toThrow('a fault of the stack')
    Object.defineProperty(counters, 'dropNoSocket', { value: 0, writable: true })
    pair.server.poll()
    nic().close()
    const inbound = (await packetsOf(file)).filter((packet) => packet.direction === 1)
    const unsettled = 'not settled: the stack did not say what became of it'
    expect(inbound.map((packet) => packet.comments[0]!.split('; ')[0])).toEqual([unsettled, unsettled])
  })
})

describe('order and time', () => {
  it('puts a frame in front of what answers it, and gives a burst one time', async () => {
    const { file, wrap, nic } = capturing()
    const pair = new StackPair({ wrap })
    for (const port of [1, 2, 3])
      pair.link.a.inject(framed(4, tcpSegment(4, { flags: 2, destinationPort: port })))
    pair.server.poll()
    const at = pair.clock.now()
    nic().close()
    const packets = await packetsOf(file)
    const ports = packets.slice(0, 3).map((packet) => packet.direction)
    expect(ports).toEqual([1, 2, 1])
    expect(new Set(packets.map(({ seconds, nanoseconds }) => `${seconds} ${nanoseconds}`))).toEqual(
      new Set([`${EPOCH + Math.floor(at / 1e6)} ${(at % 1e6) * 1000}`]),
    )
  })

  it('keeps fractions of microseconds', async () => {
    const clock = new VirtualClock(2_000_000.125)
    const link = new MemoryLink({ now: () => clock.now() })
    const sink = new MemorySink()
    const nic = new CaptureNic(link.a, { file: sink, clock, epoch: 10.5 })
    nic.txMemory.fill(1, 0, 60)
    nic.txCommit(nic.txReserve(), 60)
    clock.advance(499_999.874)
    nic.txCommit(nic.txReserve(), 60)
    clock.advance(0.001)
    nic.txCommit(nic.txReserve(), 60)
    nic.close()
    const packets = await packetsOf(sink.bytes())
    expect(packets.map(({ seconds, nanoseconds }) => [seconds, nanoseconds])).toEqual([
      [12, 500_000_125],
      [12, 999_999_999],
      [13, 0],
    ])
  })

  it('is real time without a clock', async () => {
    const sink = new MemorySink()
    const link = new MemoryLink()
    const before = Date.now()
    const nic = new CaptureNic(link.a, { file: sink })
    nic.txCommit(nic.txReserve(), 60)
    nic.txCommit(nic.txReserve(), 0)
    nic.close()
    const [packet, ...others] = await packetsOf(sink.bytes())
    expect(others).toEqual([])
    const time = packet!.seconds * 1000 + packet!.nanoseconds / 1e6
    // The wall clock may have been set since the process began; the tests do not run for a day.
    expect(Math.abs(time - before)).toBeLessThan(86_400_000)
  })
})

describe('roles', () => {
  const members = ({ roles }: Nic) => ({
    areas: roles.areas !== null,
    packing: roles.packing !== null,
    pulling: roles.pulling !== null,
  })
  const wrapped = (inner: Nic) => new CaptureNic(inner, { file: new MemorySink() })

  it.each(['area', 'side', 'split'] as const)('are those of a %s NIC', (placement) => {
    const { a } = new MemoryLink({ placement })
    const nic = wrapped(a)
    expect(members(nic)).toEqual(members(a))
    nic.close()
  })

  it('are none where the NIC has none', () => {
    const { a } = new MemoryLink()
    const nic = wrapped(a)
    expect(members(nic)).toEqual({ areas: false, packing: false, pulling: false })
    nic.close()
  })

  it('pass demand on, both ways', () => {
    const { a } = new MemoryLink({ placement: 'split', cache: 8 })
    const nic = wrapped(a)
    const demand = () => 0
    nic.roles.pulling!.demand = demand
    expect([a.roles.pulling!.demand, nic.roles.pulling!.demand]).toEqual([demand, demand])
    a.roles.pulling!.demand = null
    expect(nic.roles.pulling!.demand).toBeNull()
    nic.close()
  })

  it('let captures be put into each other', async () => {
    const { a, b } = new MemoryLink()
    const [inner, outer] = [new MemorySink(), new MemorySink()]
    const nic = new CaptureNic(new CaptureNic(b, { file: inner }), { file: outer })
    const pair = new StackPair({ wrap: () => nic })
    expect([a.gone, pair.server.nic]).toEqual([false, nic])
    nic.settled(0, 0, null)
    nic.close()
    expect(await packetsOf(inner.bytes())).toEqual([])
  })
})

it('tells with a frame how many were lost in front of it', async () => {
  const { file, wrap, nic } = capturing()
  const pair = new StackPair({ wrap, niovs: 16, queueFrames: 64 })
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 100; i++) pair.link.a.inject(ether(0x88b5, new Uint8Array(46)))
    pair.clock.advance(100_000)
    while (pair.server.poll() > 0);
  }
  pair.clock.advance(100_000)
  pair.link.a.inject(ether(0x88b5, new Uint8Array(46)))
  pair.server.poll()
  const { rxFrames, rxRingFull, rxFillEmpty } = nic().stats()
  nic().close()
  expect([rxRingFull, rxFillEmpty > 0]).toEqual([3 * 36, true])
  expect(statisticsOf(readFileSync(file))).toEqual([
    {
      received: rxFrames + rxRingFull + rxFillEmpty,
      interfaceDrops: rxRingFull + rxFillEmpty,
      delivered: rxFrames,
      ended: true,
    },
  ])
  if (missing !== undefined) return
  const lost = tshark(file, '-T', 'fields', '-e', 'frame.drop_count').map(Number)
  expect(lost.reduce((sum, count) => sum + count)).toBe(rxRingFull + rxFillEmpty)
})
