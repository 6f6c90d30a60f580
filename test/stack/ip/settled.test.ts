import { describe, expect, it } from 'vitest'
import { MemoryLink } from '../../../driver/memory/index.ts'
import type { Nic } from '../../../driver/nic.ts'
import { VirtualClock } from '../../../stack/clock.ts'
import { Counters, DropWatch } from '../../../stack/counters.ts'
import { seededEntropy } from '../../../stack/entropy.ts'
import { Stack } from '../../../stack/stack.ts'
import { ether, framed, ip4, tcpSegment } from '../../support/ip-frames.ts'
import { withRoles } from '../../support/roles.ts'
import { plainMemory, SERVER, StackPair } from '../../support/stack-pair.ts'

/** A NIC that notes what became of what it received. */
function observed(nic: Nic, told: [number, number, string | null][]): Nic {
  return withRoles(nic, {
    observer: { settled: (first, last, cause) => void told.push([first, last, cause]) },
  })
}

/** A stack that tells what becomes of frames. */
function told(): { stack: Stack; link: MemoryLink; settled: [number, number, string | null][] } {
  const clock = new VirtualClock(1_000_000)
  const link = new MemoryLink({ seed: 1, now: () => clock.now() })
  const settled: [number, number, string | null][] = []
  const nic = observed(link.b, settled)
  const stack = new Stack({ nic, memory: plainMemory(256), clock, entropy: seededEntropy(1) })
  stack.addAddress(SERVER, true)
  link.a.attach(plainMemory(16))
  return { stack, link, settled }
}

const fragment = (from: number, identification: number): Uint8Array =>
  ether(0x800, ip4(new Uint8Array(8), { identification, fragment: 0x2000 | (from >> 3) }))

describe('FrameObserver.settled', () => {
  it('is told the cause of every drop, once a frame and in order', () => {
    const { stack, link, settled } = told()
    const damaged = framed(4, tcpSegment(4, { flags: 2 }))
    damaged[40]! ^= 1
    const frames: [Uint8Array, string | null][] = [
      [new Uint8Array(8), 'malformed'],
      [ether(0x88b5, new Uint8Array(46)), 'protocol'],
      [framed(4, tcpSegment(4, { flags: 2 })), 'noSocket'],
      [damaged, 'tcpChecksum'],
      [framed(4, tcpSegment(4, { flags: 2 })), 'noSocket'],
      [ether(0x800, ip4(new Uint8Array(20)), { destination: [2, 9, 9, 9, 9, 9] }), 'notForUs'],
      [fragment(0, 1), null],
      [fragment(0, 1), 'duplicate'],
      [fragment(8, 1), null],
    ]
    for (const [frame] of frames) link.a.inject(frame)
    stack.poll()
    expect(settled).toEqual(frames.map(([, cause], i) => [i, i + 1, cause]))
    const drops = settled.filter(([, , cause]) => cause !== null).length
    expect(Object.values(stack.drops()).reduce((sum, count) => sum + count)).toBe(drops)
  })

  it('does not take a fragment for dropped that made others make room', () => {
    const { stack, link, settled } = told()
    for (let id = 1; id <= 200; id++) link.a.inject(fragment(0, id))
    while (stack.poll() > 0);
    expect(stack.counters.dropFragmentLimit).toBeGreaterThan(50)
    expect(settled.map(([, , cause]) => cause)).toEqual(new Array(200).fill(null))
  })

  it('is told of every piece of a frame at once, and of what the fast path takes', () => {
    const pair = new StackPair({ mtu: 9000 })
    const settled: [number, number, string | null][] = []
    const nic = observed(pair.link.b, settled)
    const stack = new Stack({
      nic,
      memory: plainMemory(512),
      clock: pair.clock,
      entropy: seededEntropy(3),
    })
    stack.addAddress(pair.serverAddress, true)
    Object.defineProperty(pair, 'server', { value: stack })
    const [client, server] = pair.open()
    pair.client.tcp.send(client, new Uint8Array(60_000), 0, pair.clock.now())
    pair.runUntil(() => server.rcv.queuedBytes === 60_000)
    expect(settled.some(([first, last]) => last - first === 3)).toBe(true)
    expect(settled.every(([, , cause]) => cause === null)).toBe(true)
    expect(settled).toHaveLength(nic.stats().rxFrames)
  })
})

describe('DropWatch', () => {
  it('names the cause that is the frame’s own, whichever was counted first', () => {
    const counters = new Counters()
    const watch = new DropWatch(counters)
    counters.dropPaws = 7
    watch.begin()
    expect(watch.cause(false)).toBeNull()
    counters.dropFragmentLimit += 3
    expect(watch.cause(true)).toBeNull()
    counters.dropFragmentLimit += 3
    expect(watch.cause(false)).toBe('fragmentLimit')
    counters.dropFragmentLimit += 3
    counters.dropTcpChecksum++
    expect(watch.cause(true)).toBe('tcpChecksum')
    counters.dropFragmentLimit += 3
    counters.dropFragment++
    expect(watch.cause(false)).toBe('fragment')
    counters.dropPaws++
    expect(watch.cause(false)).toBe('paws')
  })
})
