import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseIpv4 } from '../../../address.ts'
import type { Counters } from '../../../stack/counters.ts'
import { ACK, PSH, RST, SYN } from '../../../stack/wire/tcp.ts'
import { runs } from '../../support/long.ts'
import { ascending, buildFrame, type FrameSpec, finishChecksums, RawPeer } from '../../support/raw-peer.ts'
import { drain, SERVER } from '../../support/stack-pair.ts'

/** Every `drop…` counter that is not zero. */
function drops(counters: Counters): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counters as unknown as Record<string, number>).filter(
      ([name, value]) => name.startsWith('drop') && value > 0,
    ),
  )
}

function expectWhole(peer: RawPeer): void {
  const census = peer.stack.census()
  expect(census.lost).toBe(0)
  expect(census.free + census.fill + census.queued).toBe(census.total)
}

const data = ascending(60)

describe('frames whose lengths lie', () => {
  it('are dropped at every length they can be cut to, and counted as malformed (headers are never read beyond the frame)', () => {
    for (const spec of [
      {},
      { options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] },
      { ipOptions: [1, 1, 1, 0] },
    ]) {
      const peer = new RawPeer()
      const { tcb, flow } = peer.open()
      const frame = buildFrame(flow.next({ ...spec, payload: data }))
      for (let length = 1; length < frame.length; length++) {
        const before = peer.stack.counters.dropMalformed
        expect(peer.inject(frame.subarray(0, length))).toEqual([])
        expect(peer.stack.counters.dropMalformed).toBe(before + 1)
      }
      expect(tcb.rcv.queuedBytes).toBe(0)
      peer.inject(frame)
      expect([...drain(peer.stack, tcb)]).toEqual([...data])
      expectWhole(peer)
    }
  })

  it.each<[string, FrameSpec, string]>([
    ['an IP total length beyond the frame', { totalLength: 200 }, 'dropMalformed'],
    ['an IP total length below its header', { totalLength: 19 }, 'dropMalformed'],
    ['an IP total length without a TCP header', { totalLength: 39 }, 'dropMalformed'],
    ['a total length of 0', { totalLength: 0 }, 'dropMalformed'],
    ['an IHL of 4', { ihl: 4 }, 'dropMalformed'],
    ['an IHL of 15 without options', { ihl: 15, payload: new Uint8Array(0) }, 'dropMalformed'],
    ['IP version 6', { version: 6 }, 'dropMalformed'],
    ['a data offset of 4', { dataOffset: 4 }, 'dropMalformed'],
    ['a data offset beyond the packet', { dataOffset: 15, payload: new Uint8Array(8) }, 'dropMalformed'],
    ['another hardware address', { destinationMac: 9 }, 'dropNotForUs'],
    ['another destination', { destination: parseIpv4('192.0.2.99')! }, 'dropNotForUs'],
    ['UDP', { protocol: 17 }, 'dropProtocol'],
    ['IPv6 as EtherType', { etherType: 0x86dd }, 'dropMalformed'],
    ['a bad IP checksum', { badIpChecksum: true }, 'dropIpChecksum'],
    ['a bad TCP checksum', { badTcpChecksum: true }, 'dropTcpChecksum'],
    ['an unfinished checksum nobody vouches for', { partialChecksum: true }, 'dropTcpChecksum'],
  ])('with %s: dropped, counted once, not answered', (_what, spec, counter) => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    const before = peer.stack.counters.rxFrames
    const answers = peer.send(flow.next({ payload: data, ...spec }))
    expect(answers).toEqual([])
    expect(drops(peer.stack.counters)).toEqual({ [counter]: 1 })
    expect(peer.stack.counters.rxFrames).toBe(before + 1)
    expect(tcb.rcv.queuedBytes).toBe(0)
    expectWhole(peer)
  })

  it('with options of length 0: counted, what came before kept, the data taken once (no endless loop)', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.data(data, { options: [8, 0, 0, 0] })
    expect(peer.stack.counters.dropTcpOptions).toBe(1)
    flow.segment({ payload: data, options: [8, 0, 0, 0] }, 100)
    expect(peer.stack.counters.dropTcpOptions).toBe(2)
    expect([...drain(peer.stack, tcb)]).toEqual([...data])
    expectWhole(peer)
  })

  it('padded to the Ethernet minimum: the padding is not taken for data', () => {
    const peer = new RawPeer()
    const { tcb, flow } = peer.open()
    flow.data(Uint8Array.of(7), { padding: 200 })
    expect([...drain(peer.stack, tcb)]).toEqual([7])
    flow.segment({ padding: 300 })
    expect(tcb.rcv.queuedBytes).toBe(0)
    expectWhole(peer)
  })

  it('padded over several buffers: those that hold only padding come back', () => {
    const peer = new RawPeer({ mtu: 9000 })
    const { tcb, flow } = peer.open()
    flow.data(ascending(10), { padding: 8000 })
    flow.data(ascending(3900), { padding: 4000 })
    expect(drain(peer.stack, tcb).length).toBe(3910)
    expectWhole(peer)
    expect(peer.stack.census().queued).toBe(0)
  })
})

describe('unfinished checksums', () => {
  it('are accepted where the NIC says that they are to be expected, and only the pseudo-header sum is', () => {
    const peer = new RawPeer({ partialChecksums: true })
    const { tcb, flow } = peer.open()
    flow.data(data, { partialChecksum: true })
    expect(tcb.rcv.queuedBytes).toBe(60)
    expect(peer.stack.counters.checksumPartial).toBe(1)
    flow.segment({ payload: data, badTcpChecksum: true })
    expect(peer.stack.counters.dropTcpChecksum).toBe(1)
    flow.data(data)
    expect(tcb.rcv.queuedBytes).toBe(120)
  })

  it.each([1460, 8000, 20_000])('full ones over %i bytes are verified wherever the bytes lie', (length) => {
    const peer = new RawPeer({ mtu: 65_535 })
    const { tcb, flow } = peer.open()
    flow.data(ascending(length))
    flow.data(ascending(length + 1), { padding: 3 })
    flow.segment({ payload: ascending(length), badTcpChecksum: true })
    expect(peer.stack.counters.dropTcpChecksum).toBe(1)
    expect(
      Buffer.compare(drain(peer.stack, tcb), Buffer.concat([ascending(length), ascending(length + 1)])),
    ).toBe(0)
    expectWhole(peer)
  })
})

describe('segments for nobody', () => {
  it('are answered with RST as RFC 9293 3.10.7.1 says, a RST never', () => {
    const peer = new RawPeer()
    const to = { destinationPort: 81, seq: 500, ack: 777 }
    expect(peer.send({ ...to, flags: ACK })[0]).toMatchObject({ flags: RST, seq: 777 })
    expect(peer.send({ ...to, flags: SYN })[0]).toMatchObject({ flags: RST | ACK, seq: 0, ack: 501 })
    expect(peer.send({ ...to, flags: PSH, payload: ascending(5) })[0]).toMatchObject({
      flags: RST | ACK,
      ack: 505,
    })
    expect(peer.send({ ...to, flags: RST })).toEqual([])
    expect(peer.stack.counters.dropNoSocket).toBe(4)
    expectWhole(peer)
  })

  it.each(['0.0.0.0', '224.0.0.1', '255.255.255.255'])(
    'from %s are not answered (RFC 1122 4.2.3.10)',
    (source) => {
      const peer = new RawPeer()
      expect(peer.send({ source: parseIpv4(source)!, flags: SYN })).toEqual([])
      expect(peer.send({ source: parseIpv4(source)!, flags: ACK })).toEqual([])
      expect(peer.stack.tcp.connections).toBe(0)
      expect(drops(peer.stack.counters)).toEqual({ dropNotForUs: 2 })
    },
  )

  it('from our own address and port open nothing that talks to itself', () => {
    const peer = new RawPeer()
    peer.send({ source: SERVER, sourcePort: 9000, flags: SYN })
    peer.pass(200_000_000)
    expect(peer.stack.tcp.connections).toBe(0)
    expectWhole(peer)
  })
})

/** Frames that are nearly right: where the checks are. */
const mutated = fc.record({
  spec: fc.record({
    flags: fc.oneof(
      fc.constantFrom(ACK, SYN, RST, RST | ACK, SYN | ACK, ACK | 1, 0, 0xff),
      fc.nat({ max: 255 }),
    ),
    seqOffset: fc.oneof(fc.integer({ min: -3000, max: 70_000 }), fc.integer()),
    ackOffset: fc.oneof(fc.constantFrom(0, 0, 0, 1, -1), fc.integer()),
    window: fc.nat({ max: 65_535 }),
    payload: fc.nat({ max: 1400 }),
    options: fc.array(fc.nat({ max: 255 }), { maxLength: 40 }),
    ipOptions: fc.oneof(fc.constant([]), fc.array(fc.constant(1), { maxLength: 40 })),
    port: fc.constantFrom(40_000, 40_001, 40_002, 1),
    destinationPort: fc.constantFrom(9000, 9000, 9000, 9001),
    padding: fc.constantFrom(0, 0, 1, 50),
  }),
  flips: fc.array(fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 })), { maxLength: 3 }),
  repair: fc.boolean(),
  cut: fc.option(fc.nat({ max: 200 }), { freq: 4 }),
})
const noise = fc.uint8Array({ minLength: 1, maxLength: 200 })

describe('any frames at all', () => {
  it('throw nothing, lose no niov, and an honest connection beside them delivers its bytes exactly', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(16, 64, 256),
        fc.constantFrom<'area' | 'side'>('area', 'side'),
        fc.integer(),
        fc.array(fc.oneof({ weight: 4, arbitrary: mutated }, { weight: 1, arbitrary: noise }), {
          maxLength: 60,
        }),
        (niovs, placement, isn, frames) => {
          const peer = new RawPeer({ niovs, placement, tcp: { maxHalfOpen: 8 } })
          const victim = peer.open({ sourcePort: 40_000, seq: isn })
          const honest = peer.open({ sourcePort: 50_000, seq: isn })
          let sent = 0
          const got: number[] = []
          for (const frame of frames) {
            if (frame instanceof Uint8Array) peer.inject(frame)
            else {
              const { spec, flips, repair, cut } = frame
              const bytes = buildFrame({
                ...spec,
                sourcePort: spec.port,
                seq: (victim.tcb.rcv.nxt + spec.seqOffset) | 0,
                ack: (victim.tcb.snd.max + spec.ackOffset) | 0,
                payload: ascending(spec.payload),
              })
              for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value
              if (repair) finishChecksums(bytes, bytes.length - spec.padding)
              peer.inject(cut === null ? bytes : bytes.subarray(0, Math.max(1, cut)))
            }
            expect(peer.stack.census().lost).toBe(0)
            // The honest peer sends on until it is acknowledged, as TCP does.
            const piece = ascending(100, sent)
            honest.flow.seq = (isn + 1 + sent) | 0
            honest.flow.segment({ payload: piece })
            if (honest.tcb.rcv.nxt === ((honest.flow.seq + 100) | 0)) sent += 100
            got.push(...drain(peer.stack, honest.tcb))
            if (victim.tcb.rcv.queuedBytes > 5000) drain(peer.stack, victim.tcb)
          }
          if (honest.tcb.state !== 0) {
            // What was injected for the victim may hold its window; a peer that goes on gets through.
            drain(peer.stack, victim.tcb)
            honest.flow.seq = (isn + 1 + sent) | 0
            const before = honest.tcb.rcv.nxt
            peer.stack.kick()
            honest.flow.segment({ payload: ascending(100, sent) })
            got.push(...drain(peer.stack, honest.tcb))
            if (victim.tcb.rcv.ooo.count === 0) expect(honest.tcb.rcv.nxt).not.toBe(before)
          }
          expect(got).toEqual([...ascending(got.length)])
          expect(got.length).toBeGreaterThanOrEqual(sent)
          peer.stack.tcp.close(victim.tcb, peer.clock.now())
          peer.stack.tcp.close(honest.tcb, peer.clock.now())
          peer.pass(400_000_000)
          peer.pass(3_600_000_000)
          const census = peer.stack.census()
          expect(census).toMatchObject({ queued: 0, user: 0, lost: 0 })
          expect(census.free + census.fill).toBe(niovs)
          expect(peer.stack.fragments.used).toBe(0)
        },
      ),
      { numRuns: runs(150) },
    )
  })
})
