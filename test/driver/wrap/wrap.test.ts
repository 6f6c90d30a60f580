import { describe, expect, it } from 'vitest'
import {
  ArgumentError,
  ForwardingNic,
  ImpairedNic,
  MemoryLink,
  type MemoryLinkOptions,
  type Nic,
  type NicMemory,
  NO_ROLES,
  RateLimitNic,
  RX_SIDE,
  RxBurst,
  StatisticsNic,
} from '../../../driver/index.ts'
import { createServer } from '../../../net/open.ts'
import { connect } from '../../support/client.ts'
import { withRoles } from '../../support/roles.ts'
import { chunkNumbers } from '../xdp/setup.ts'

const CHUNKS = 64

function memory(): NicMemory {
  const areaLength = CHUNKS * 4096
  return { buffer: new ArrayBuffer(areaLength), areaOffset: 0, areaLength, chunkSize: 4096 }
}

/** A link under a clock of the test's, with end b wrapped, attached and filled. */
class Wire {
  now = 1_000_000
  readonly link: MemoryLink
  readonly memory = memory()
  readonly burst = new RxBurst(512)
  nic!: Nic

  constructor(options: MemoryLinkOptions = {}) {
    this.link = new MemoryLink({ seed: 1, now: () => this.now, ...options })
  }

  wrap<T extends Nic>(make: (inner: Nic, now: () => number) => T): T {
    const nic = make(this.link.b, () => this.now)
    this.nic = nic
    nic.attach(this.memory)
    if (this.link.b.info.placement !== 'side') nic.fill(chunkNumbers(CHUNKS), 0, CHUNKS)
    return nic
  }

  /** The first payload bytes of frames that arrive now; chunks go back. */
  receive(): number[] {
    const seen: number[] = []
    const count = this.nic.receive(this.burst)
    for (let i = 0; i < count; i++) {
      const side = (this.burst.flags[i]! & RX_SIDE) !== 0
      const bytes = side ? this.nic.roles.sideMemory! : new Uint8Array(this.memory.buffer)
      seen.push(bytes[this.burst.offset[i]! + 14]!)
      if (!side) this.nic.fill(Uint32Array.of(this.burst.offset[i]! >>> 12), 0, 1)
    }
    return seen
  }

  inject(...numbers: number[]): void {
    for (const number of numbers) this.link.a.inject(frame(number))
  }

  /** Sends frames through the wrapped end; what has got to the other end when `now` has moved by `us`. */
  send(...numbers: number[]): void {
    for (const number of numbers) {
      const at = this.nic.txReserve()
      this.nic.txMemory.set(frame(number), at)
      this.nic.txCommit(at, 1000)
    }
    this.nic.txFlush()
  }

  arrived(): number[] {
    const direction = this.link.bToA
    const seen: number[] = []
    for (let length = direction.peek(); length >= 0; length = direction.peek()) {
      seen.push(direction.frame()[14]!)
      direction.drop()
    }
    return seen
  }
}

function frame(number: number): Uint8Array {
  return new Uint8Array(1000).fill(2, 0, 12).fill(number, 14)
}

describe('a NIC that forwards', () => {
  it('can do what the inner one can, and no more', () => {
    const split = new MemoryLink({ placement: 'split', cache: 64 }).b
    const stacked = new StatisticsNic(new RateLimitNic(new ForwardingNic(split), {}))
    for (const role of ['areas', 'packing', 'pulling'] as const) expect(stacked.roles[role]).not.toBeNull()
    const give = (): number => 0
    stacked.roles.pulling!.demand = give
    expect(split.roles.pulling!.demand).toBe(give)
    expect(stacked.roles.pulling!.demand).toBe(give)
    expect(new ForwardingNic(new MemoryLink().b).roles).toEqual(NO_ROLES)
    expect(stacked.info).toBe(split.info)
  })

  it('hands on what became of frames', () => {
    const told: unknown[] = []
    const settled = (...args: unknown[]): void => void told.push(args)
    const inner = withRoles(new MemoryLink().b, { observer: { settled } })
    new StatisticsNic(inner).roles.observer!.settled(1, 2, 'malformed')
    expect(told).toEqual([[1, 2, 'malformed']])
  })
})

describe('frames that the device cuts', () => {
  const cutting = () => {
    const cut: number[][] = []
    const largeSends = { txLargeBytes: 9000, txCommitLarge: (...frame: number[]) => void cut.push(frame) }
    return { cut, inner: withRoles(new MemoryLink({ frameBytes: 9000 }).b, { largeSends }) }
  }

  it('go through a StatisticsNic, which counts each as one', () => {
    const { cut, inner } = cutting()
    const nic = new StatisticsNic(inner)
    const { largeSends } = nic.roles
    expect(largeSends!.txLargeBytes).toBe(9000)
    largeSends!.txCommitLarge(nic.txReserve(), 5000, 34, 54, 1448)
    nic.txFlush()
    expect(cut).toEqual([[0, 5000, 34, 54, 1448]])
    const { frames, bytes, bursts } = nic.statistics().sent
    expect([frames, bytes, bursts]).toEqual([1, 5000, 1])
  })

  it('are none where each frame has a fate or waits for itself', () => {
    const { inner } = cutting()
    expect(new ImpairedNic(inner, { seed: 1 }).roles.largeSends).toBeNull()
    const limit = { bitsPerSecond: 1e6 }
    expect(new RateLimitNic(inner, { transmit: limit }).roles.largeSends).toBeNull()
    expect(new RateLimitNic(inner, { receive: limit }).roles.largeSends).toBe(inner.roles.largeSends)
  })
})

describe('StatisticsNic', () => {
  it('counts frames, bytes and bursts by size, and rates since it was asked last', () => {
    const wire = new Wire({ mtu: 9000 })
    const nic = wire.wrap((inner, now) => new StatisticsNic(inner, now))
    wire.inject(1, 2, 3)
    wire.receive()
    wire.link.a.inject(new Uint8Array(9014))
    wire.receive()
    wire.receive()
    wire.send(1, 2)
    wire.now += 2_000_000
    const { received, sent } = nic.statistics()
    expect(received).toMatchObject({ frames: 4, bytes: 12_014, bursts: 2 })
    expect(received.frameSizes).toEqual([0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0])
    expect(received.burstSizes).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    expect([received.framesPerSecond, received.bitsPerSecond]).toEqual([2, (12_014 * 8) / 2])
    expect(sent).toMatchObject({ frames: 2, bytes: 2000, bursts: 1 })
    wire.now += 1_000_000
    expect(nic.statistics().received.framesPerSecond).toBe(0)
  })
})

describe('RateLimitNic', () => {
  /** A frame of 1000 bytes in a millisecond. */
  const limit = { bitsPerSecond: 8_000_000, burstBytes: 1000 }

  it('sends what exceeds the rate later, in order, and drops what the queue has no room for', () => {
    const wire = new Wire()
    const nic = wire.wrap((inner, now) => new RateLimitNic(inner, { transmit: limit, queueBytes: 3000, now }))
    wire.send(1, 2, 3, 4, 5, 6)
    expect(wire.arrived()).toEqual([1])
    expect([nic.queuedBytes, nic.txDropped]).toEqual([3000, 2])
    const seen: number[][] = []
    for (let ms = 0; ms < 4; ms++) {
      wire.now += 1001
      nic.txFlush()
      seen.push(wire.arrived())
    }
    expect(seen).toEqual([[2], [3], [4], []])
    expect(nic.queuedBytes).toBe(0)
  })

  it('leaves what exceeds the rate in the queue of the inner NIC', () => {
    const wire = new Wire()
    wire.wrap((inner, now) => new RateLimitNic(inner, { receive: { ...limit, burstBytes: 2500 }, now }))
    wire.inject(1, 2, 3)
    expect(wire.receive()).toEqual([1, 2, 3])
    wire.inject(4)
    expect(wire.receive()).toEqual([])
    wire.now += 1000
    expect(wire.receive()).toEqual([4])
  })

  it('lets go of what waits when it is closed, through all that is stacked', () => {
    const wire = new Wire()
    wire.wrap((inner, now) => {
      const limited = new RateLimitNic(inner, { transmit: limit, now })
      return new ImpairedNic(limited, { seed: 1, transmit: { delayUs: 9000 }, now })
    })
    wire.send(1, 2, 3)
    expect(wire.arrived()).toEqual([])
    // The queue is restarted over other memory, as at the end of a registration.
    wire.nic.attach(memory())
    wire.nic.close()
    expect(wire.arrived()).toEqual([1, 2, 3])
  })

  it('refuses rates that are none', () => {
    const { b } = new MemoryLink()
    expect(() => new RateLimitNic(b, { receive: { bitsPerSecond: 0 } })).toThrow(ArgumentError)
    expect(() => new RateLimitNic(b, { transmit: { bitsPerSecond: Number.NaN } })).toThrow(ArgumentError)
  })
})

describe.each(['area', 'side'] as const)('ImpairedNic on a NIC that places frames %s', (placement) => {
  it('drops frames, and tells the inner NIC so; nothing of its memory is lost', () => {
    const wire = new Wire({ placement })
    const told: (string | null)[] = []
    const nic = wire.wrap((inner, now) => {
      const settled = (_first: number, _last: number, cause: string | null): void => void told.push(cause)
      const settling = withRoles(inner, { observer: { settled } })
      return new ImpairedNic(settling, { seed: 3, receive: { loss: 0.5 }, now })
    })
    wire.inject(...Array.from({ length: 40 }, (_, i) => i))
    const seen = wire.receive()
    expect(seen.length).toBe(40 - nic.received.dropped)
    expect(seen.length).toBeGreaterThan(5)
    expect(told.filter((cause) => cause === 'impaired').length).toBe(nic.received.dropped)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(nic.chunksHeld()).toBe(placement === 'area' ? CHUNKS : 0)
  })

  it('delays frames in both directions by the clock', () => {
    const wire = new Wire({ placement })
    const delay = { delayUs: 5000 }
    const nic = wire.wrap(
      (inner, now) => new ImpairedNic(inner, { seed: 3, receive: delay, transmit: delay, now }),
    )
    wire.inject(1, 2)
    expect(wire.receive()).toEqual([])
    wire.send(7)
    wire.now += 4999
    expect([wire.receive(), wire.arrived()]).toEqual([[], []])
    wire.now += 1
    expect(wire.receive()).toEqual([1, 2])
    expect(wire.arrived()).toEqual([7])
    expect([nic.received.delayed, nic.sent.delayed]).toEqual([2, 1])
  })

  it('does the same again with the same seed, and else not', () => {
    const run = (seed: number): number[] => {
      const wire = new Wire({ placement })
      const bad = { loss: 0.1, reorder: 0.3, duplicate: 0.2, corrupt: 0.1 }
      wire.wrap((inner, now) => new ImpairedNic(inner, { seed, receive: bad, now }))
      const seen: number[] = []
      for (let i = 0; i < 20; i++) {
        wire.inject(i, i + 20)
        seen.push(...wire.receive())
      }
      for (let i = 0; i < 20; i++) seen.push(...wire.receive())
      return seen
    }
    expect(run(4)).toEqual(run(4))
    expect(run(4)).not.toEqual(run(5))
  })
})

it('impairs no reception where frames are split', () => {
  const { b } = new MemoryLink({ placement: 'split' })
  expect(() => new ImpairedNic(b, { seed: 1, receive: {} })).toThrow(ArgumentError)
  expect(new ImpairedNic(b, { seed: 1, transmit: { loss: 1 } }).info.placement).toBe('split')
})

describe('wrappers on wrappers', () => {
  it.each(['area', 'side'] as const)(
    'carry a stream whole over a memory link (%s)',
    async (placement) => {
      const link = new MemoryLink({ seed: 1, placement })
      const bytes = 600_000
      const statistics = new StatisticsNic(link.b)
      const limited = new RateLimitNic(statistics, {
        receive: { bitsPerSecond: 400e6 },
        transmit: { bitsPerSecond: 10e6, burstBytes: 4000 },
      })
      const bad = { loss: 0.01, reorder: 0.02, duplicate: 0.02, corrupt: 0.01, delayUs: 500 }
      const device = new ImpairedNic(limited, { seed: 9, receive: bad, transmit: bad })
      const sent = Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >>> 8)) & 255)
      const got = new Uint8Array(bytes)
      let count = 0
      let end!: (errno: number) => void
      const ended = new Promise<number>((resolve) => {
        end = resolve
      })
      const server = await createServer({
        device,
        address: '192.0.2.1',
        ownAddress: true,
        port: 9000,
        areaBytes: 4 << 20,
        handler: {
          onData: (_connection, offset, length) => {
            got.set(server.area.subarray(offset, offset + length), count)
            count += length
            return true
          },
          onEnd: (connection, errno) => {
            connection.close()
            end(errno)
          },
        },
      })
      const client = await connect({
        device: link.a,
        address: '192.0.2.2',
        ownAddress: true,
        remoteAddress: '192.0.2.1',
        remotePort: 9000,
      })
      await client.send(0, sent)
      await client.end(0)
      expect(await ended).toBe(0)
      expect(Buffer.compare(got, sent)).toBe(0)
      expect(server.census().lost).toBe(0)
      expect(device.received.dropped + device.received.corrupted).toBeGreaterThan(0)
      const { received } = statistics.statistics()
      expect(received.bytes).toBeGreaterThan(bytes)
      client.close()
      await server.close()
    },
    30_000,
  )
})
