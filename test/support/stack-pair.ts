import { IpAddress } from '../../address.ts'
import { MemoryLink, type MemoryLinkOptions, type MemoryNic } from '../../driver/memory/index.ts'
import type { Nic, NicMemory } from '../../driver/nic.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import type { IpConfig } from '../../stack/ip/options.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import { CLOSED, EHOSTUNREACH, ESTABLISHED } from '../../stack/tcp/state.ts'
import type { Listener, Tcb } from '../../stack/tcp/tcb.ts'

export const CLIENT = IpAddress.parse('192.0.2.1')!
export const SERVER = IpAddress.parse('192.0.2.2')!
export const CLIENT6 = IpAddress.parse('2001:db8::1')!
export const SERVER6 = IpAddress.parse('2001:db8::2')!

export function plainMemory(niovs: number, niovSize = 4096): NicMemory {
  return {
    buffer: new ArrayBuffer(niovs * niovSize),
    areaOffset: 0,
    areaLength: niovs * niovSize,
    chunkSize: niovSize,
  }
}

export interface PairOptions extends Omit<MemoryLinkOptions, 'now'> {
  niovs?: number
  tcp?: Partial<TcpConfig>
  ip?: Partial<IpConfig>
  /** Connections are over this version of IP; default 4. */
  version?: 4 | 6
  /** What the server's stack gets instead of its end of the link. */
  wrap?: (nic: Nic, clock: VirtualClock) => Nic
  /** What the client's gets. */
  wrapClient?: (nic: MemoryNic) => Nic
}

/** Two stacks on one link under a virtual clock: `client` opens, `server` listens on port 9000. */
export class StackPair {
  readonly clock = new VirtualClock(1_000_000)
  readonly link: MemoryLink
  readonly client: Stack
  readonly server: Stack
  readonly clientAddress: IpAddress
  readonly serverAddress: IpAddress

  constructor(options: PairOptions = {}) {
    this.clientAddress = options.version === 6 ? CLIENT6 : CLIENT
    this.serverAddress = options.version === 6 ? SERVER6 : SERVER
    this.link = new MemoryLink({ seed: 1, ...options, now: () => this.clock.now() })
    const make = (nic: Nic, address: IpAddress, seed: number): Stack => {
      const stack = new Stack({
        nic,
        memory: plainMemory(options.niovs ?? 1024),
        clock: this.clock,
        entropy: seededEntropy(seed),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
        ...(options.ip === undefined ? {} : { ip: options.ip }),
      })
      stack.addAddress(address, true)
      return stack
    }
    this.client = make(options.wrapClient?.(this.link.a) ?? this.link.a, this.clientAddress, 11)
    this.server = make(options.wrap?.(this.link.b, this.clock) ?? this.link.b, this.serverAddress, 22)
  }

  /** Polls both until neither has anything to do now. Returns whether anything was done. */
  settle(): boolean {
    for (let any = false; ; any = true) {
      const work = this.client.poll() + this.server.poll()
      if (work === 0 && this.link.nextArrival() > this.clock.now()) return any
    }
  }

  /** Lets time pass to the next thing that happens. False when nothing will. */
  step(): boolean {
    const any = this.settle()
    const next = Math.min(this.client.nextDeadline(), this.server.nextDeadline(), this.link.nextArrival())
    if (next === Number.POSITIVE_INFINITY) return any
    this.clock.advanceTo(next)
    this.settle()
    return true
  }

  /** Steps until `done()` or `limitUs` of virtual time has passed. Returns whether it was done. */
  runUntil(done: () => boolean, limitUs = 600_000_000): boolean {
    const end = this.clock.now() + limitUs
    this.settle()
    while (!done()) {
      if (this.clock.now() >= end || !this.step()) return done()
    }
    return true
  }

  /** An established connection, both ends. */
  open(listener: Listener = this.server.tcp.listen(this.serverAddress, 9000, 16)!): [Tcb, Tcb] {
    const connect = (): Tcb =>
      this.client.tcp.connect(this.clientAddress, 0, this.serverAddress, 9000, this.clock.now())!
    let client = connect()
    let server: Tcb | null = null
    const ok = this.runUntil(() => {
      // All who asked for the neighbour were lost.
      if (client.state === CLOSED && client.error === EHOSTUNREACH) client = connect()
      server ??= this.server.tcp.accept(listener)
      return server !== null && client.state === ESTABLISHED
    })
    if (!ok) throw new Error('no connection')
    return [client, server!]
  }
}

/** Takes everything from a connection's receive queue as bytes, as an application would that returns its buffers at once. */
export function drain(stack: Stack, tcb: Tcb): Uint8Array {
  const { fragments, memory } = stack
  const out = new Uint8Array(tcb.rcv.queuedBytes)
  let at = 0
  while (tcb.rcv.head >= 0) {
    const node = tcb.rcv.head
    const pool = memory.pools[fragments.pool[node]!]!
    const offset = fragments.offset[node]!
    const length = fragments.length[node]!
    out.set(pool.bytes.subarray(offset, offset + length), at)
    at += length
    tcb.rcv.head = fragments.next[node]!
    fragments.discard(node)
  }
  tcb.rcv.tail = -1
  tcb.rcv.niovs = 0
  tcb.rcv.queuedBytes = 0
  return out.subarray(0, at)
}
