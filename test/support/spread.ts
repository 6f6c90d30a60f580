import type { IpAddress } from '../../address.ts'
import { type Impairments, MemoryLink } from '../../driver/memory/index.ts'
import { VirtualClock } from '../../stack/clock.ts'
import { seededEntropy } from '../../stack/entropy.ts'
import type { IpConfig } from '../../stack/ip/options.ts'
import { SharedPorts } from '../../stack/siblings/shared-ports.ts'
import { Stack } from '../../stack/stack.ts'
import type { TcpConfig } from '../../stack/tcp/options.ts'
import { CLIENT, CLIENT6, plainMemory, SERVER, SERVER6 } from './stack-pair.ts'

export interface SpreadOptions {
  queues?: number
  /** Of the device's hash. */
  hashSeed?: number
  version?: 4 | 6
  tcp?: Partial<TcpConfig>
  ip?: Partial<IpConfig>
  /** Of the first queue's stack alone. */
  firstIp?: Partial<IpConfig>
  /** On the peer's link, both ways. */
  impairments?: Impairments
  seed?: number
  /** The queues' stacks get no addresses. */
  bare?: boolean
}

const view = (frame: Uint8Array): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength)

/** Where TCP begins in an untagged frame without options and extensions, -1 in any other. */
export function tcpAt(frame: Uint8Array): number {
  const type = view(frame).getUint16(12)
  if (type === 0x0800 && frame[23] === 6) return 34
  return type === 0x86dd && frame[20] === 6 ? 54 : -1
}

/**
 * A peer, and an interface of several queues with a stack each, under a virtual clock. Between them is what a device does: a frame
 * for the interface comes to the queue that a hash of its addresses and ports says, or `route`. What siblings tell each other
 * arrives when they are next polled, as between threads.
 */
export class Spread {
  readonly clock = new VirtualClock(1_000_000)
  readonly peer: Stack
  readonly stacks: Stack[] = []
  readonly ports: SharedPorts[]
  readonly links: MemoryLink[]
  readonly peerLink: MemoryLink
  readonly peerAddress: IpAddress
  readonly address: IpAddress
  /** Chooses the queue of a frame; null leaves it to the hash. */
  route: (frame: Uint8Array) => number | null = () => null
  /** Resets that were sent to the peer. */
  resets = 0
  /** Frames of the interface that are not TCP. */
  readonly others: Uint8Array[] = []
  /** How often siblings were to be woken. */
  wakes = 0
  readonly told: [number, Uint8Array][] = []
  readonly #hashSeed: number

  constructor(options: SpreadOptions = {}) {
    const queues = options.queues ?? 2
    this.#hashSeed = options.hashSeed ?? 1
    this.peerAddress = options.version === 6 ? CLIENT6 : CLIENT
    this.address = options.version === 6 ? SERVER6 : SERVER
    const now = (): number => this.clock.now()
    const { impairments = {}, seed = 1 } = options
    this.peerLink = new MemoryLink({ seed, impairments, now })
    this.links = Array.from(
      { length: queues },
      (_, queue) => new MemoryLink({ seed, now, ends: { b: { ifIndex: 77, queue } } }),
    )
    this.peer = this.#stack(this.peerLink.a, 11, options, options.ip)
    this.peer.addAddress(this.peerAddress, true)
    const memory = SharedPorts.memory()
    this.ports = this.links.map((_, index) => new SharedPorts(memory, index))
    for (const [index, link] of this.links.entries()) {
      const ip = index === 0 ? { ...options.ip, ...options.firstIp } : options.ip
      const stack = this.#stack(link.b, 22 + index, options, ip)
      stack.siblings = {
        ports: this.ports[index]!,
        tell: (frame) => {
          for (let other = 0; other < queues; other++) if (other !== index) this.told.push([other, frame])
        },
        wake: () => this.wakes++,
      }
      if (options.bare !== true) stack.addAddress(this.address, true)
      this.stacks.push(stack)
    }
  }

  #stack(nic: Stack['nic'], seed: number, { tcp = {} }: SpreadOptions, ip: Partial<IpConfig> = {}): Stack {
    const { clock } = this
    return new Stack({ nic, memory: plainMemory(512), clock, entropy: seededEntropy(seed), tcp, ip })
  }

  /** The queue that a frame for the interface comes to. */
  queueOf(frame: Uint8Array): number {
    const routed = this.route(frame)
    if (routed !== null) return routed
    const at = tcpAt(frame)
    let hash = this.#hashSeed | 0
    const v6 = view(frame).getUint16(12) === 0x86dd
    const from = v6 ? 22 : 26
    // The addresses, and the ports of TCP behind them.
    const end = at < 0 ? from + (v6 ? 32 : 8) : at + 4
    for (let i = from; i < end; i++)
      hash = Math.imul((hash ^ frame[i]!) + 0x9e3779b9, 0x85ebca6b) ^ (hash >>> 13)
    return ((hash ^ (hash >>> 16)) >>> 0) % this.links.length
  }

  /** Puts a frame on the wire as if the peer had sent it. */
  inject(frame: Uint8Array): void {
    this.peerLink.aToB.send(frame, 0, frame.length)
  }

  /** What the device does. Returns the frames it moved. */
  #move(): number {
    let moved = 0
    const { aToB, bToA } = this.peerLink
    for (let length = aToB.peek(); length >= 0; length = aToB.peek(), moved++) {
      const frame = aToB.frame().slice(0, length)
      aToB.drop()
      this.links[this.queueOf(frame)]!.aToB.send(frame, 0, length)
    }
    for (const { bToA: out } of this.links) {
      for (let length = out.peek(); length >= 0; length = out.peek(), moved++) {
        const frame = out.frame().slice(0, length)
        out.drop()
        const at = tcpAt(frame)
        if (at < 0) this.others.push(frame)
        else if ((frame[at + 13]! & 4) !== 0) this.resets++
        bToA.send(frame, 0, length)
      }
    }
    return moved
  }

  /** All work until none has anything to do now. */
  settle(): boolean {
    for (let any = false; ; any = true) {
      let work = this.#move() + this.peer.poll()
      for (const stack of this.stacks) work += stack.poll()
      for (const [index, frame] of this.told.splice(0)) {
        this.stacks[index]!.hear(frame)
        work++
      }
      work += this.#move()
      if (work === 0) return any
    }
  }

  /** Lets time pass to the next thing that happens. False when nothing will. */
  step(): boolean {
    const any = this.settle()
    const deadlines = [this.peer, ...this.stacks].map((stack) => stack.nextDeadline())
    const next = Math.min(...deadlines, this.peerLink.nextArrival())
    if (next === Number.POSITIVE_INFINITY) return any
    this.clock.advanceTo(next)
    this.settle()
    return true
  }

  /** Steps until `done()`, or so much virtual time has passed. Returns whether it was done. */
  runUntil(done: () => boolean, limitUs = 600_000_000): boolean {
    const end = this.clock.now() + limitUs
    this.settle()
    while (!done()) if (this.clock.now() >= end || !this.step()) return done()
    return true
  }

  /** Lets so much virtual time pass. */
  pass(us: number): void {
    const end = this.clock.now() + us
    while (this.clock.now() < end) {
      this.settle()
      const deadlines = [this.peer, ...this.stacks].map((stack) => stack.nextDeadline())
      this.clock.advanceTo(Math.min(end, ...deadlines, this.peerLink.nextArrival()))
    }
    this.settle()
  }
}
