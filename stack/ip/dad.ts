import type { IpAddress } from '../../address.ts'
import { get16, get32, put32 } from '../../bytes.ts'
import type { Counters } from '../counters.ts'
import type { Entropy } from '../entropy.ts'
import { Timer, type TimerWheel } from '../timers.ts'
import type { FrameOutput } from './frame-output.ts'
import { NONCE_BYTES, sendAddressProbe } from './ndp-output.ts'
import type { IpConfig } from './options.ts'

// RFC 4862 5.4.2, RFC 4861 section 10: longest delay of the first question, and time for its answer.
const FIRST_DELAY6_US = 1_000_000
const RETRANS_TIMER_US = 1_000_000
// RFC 5227 section 1.1.
const ANNOUNCE_INTERVAL_US = 2_000_000
const DEFEND_INTERVAL_US = 10_000_000

/** What the test asks of the link. */
export interface DadOwner {
  readonly frames: FrameOutput
  readonly arp: {
    /** Asks whether anybody has an address that we want (RFC 5227 2.1.1). */
    probe(address: IpAddress): void
    /** Tells everybody that an address is ours (RFC 5227 2.3). */
    announce(address: IpAddress): void
  }
}

/** What became of the test: null = nobody else has the address, else the hardware address of who has. */
export type DadResult = (holder: Uint8Array | null, now: number) => void

/** An address being tested, then announced. Its timer drives both. */
class Candidate extends Timer {
  readonly address: IpAddress
  readonly nonce: Uint8Array
  readonly done: DadResult
  readonly #dad: Dad
  probes = 0
  announcements = 0
  /** Microseconds: when somebody else used the address last. */
  conflictAt = Number.NEGATIVE_INFINITY

  constructor(address: IpAddress, nonce: Uint8Array, done: DadResult, dad: Dad) {
    super()
    this.address = address
    this.nonce = nonce
    this.done = done
    this.#dad = dad
  }

  override fire(now: number): void {
    this.#dad.due(this, now)
  }
}

/**
 * Duplicate address detection: of IPv6 addresses by neighbour solicitations (RFC 4862 5.4), of IPv4 ones by ARP probes, with
 * announcement and defence (RFC 5227). While an address is tested it is none of the interface's: nothing is received at it
 * and nothing answered.
 */
export class Dad {
  /** Called when an address has to be given up because somebody else insists on it (RFC 5227 2.4 (b)). */
  onLost: (address: IpAddress, holder: Uint8Array, now: number) => void = () => {}
  readonly #owner: DadOwner
  readonly #wheel: TimerWheel
  readonly #counters: Counters
  readonly #config: IpConfig
  readonly #entropy: Entropy
  readonly #tentative: Candidate[] = []
  /** IPv4 addresses that were tested and are defended. */
  readonly #held: Candidate[] = []

  constructor(owner: DadOwner, wheel: TimerWheel, counters: Counters, config: IpConfig, entropy: Entropy) {
    this.#owner = owner
    this.#wheel = wheel
    this.#counters = counters
    this.#config = config
    this.#entropy = entropy
  }

  /** Begins the test. @param done called once, from a timer or while a frame is processed */
  begin(address: IpAddress, done: DadResult, now: number): void {
    const nonce = new Uint8Array(8)
    put32(nonce, 0, this.#entropy())
    put32(nonce, 4, this.#entropy())
    const candidate = new Candidate(address, nonce.subarray(0, NONCE_BYTES), done, this)
    this.#tentative.push(candidate)
    const delay = address.version === 4 ? this.#config.probeWaitUs : FIRST_DELAY6_US
    this.#wheel.arm(candidate, now + this.#random(delay))
  }

  /** Whether the address is being tested. */
  tests(address: IpAddress): boolean {
    return this.#tentative.some((candidate) => candidate.address.equals(address))
  }

  /** Whether the solicited-node group with these last three bytes is that of an IPv6 address being tested. */
  joined(low: number): boolean {
    return this.#tentative.some(
      ({ address }) => address.version === 6 && ((address.w3 ^ low) & 0xffffff) === 0,
    )
  }

  /** Whether any IPv6 address is being tested: its conflicts are told to all nodes. */
  get tests6(): boolean {
    return this.#tentative.some(({ address }) => address.version === 6)
  }

  /** Ends test and defence of an address; `done` is not called. */
  forget(address: IpAddress): void {
    for (const list of [this.#tentative, this.#held]) {
      const at = list.findIndex((candidate) => candidate.address.equals(address))
      if (at >= 0) this.#wheel.cancel(list.splice(at, 1)[0]!)
    }
  }

  /**
   * An ARP packet of somebody else's. Returns whether it was about an address that is tested or defended, and is dealt with.
   * @param mac six bytes, the sender's
   */
  arp(sender: number, target: number, mac: Uint8Array, now: number): boolean {
    for (const candidate of this.#tentative) {
      if (candidate.address.version !== 4) continue
      // RFC 5227 2.1.1: somebody has the address, or wants it at the same time.
      const wanted = candidate.address.w3
      if (sender !== wanted && !(sender === 0 && target === wanted)) continue
      this.#conflict(candidate, mac, now)
      return true
    }
    for (const candidate of this.#held) {
      if (sender !== candidate.address.w3) continue
      this.#defend(candidate, mac, now)
      return true
    }
    return false
  }

  /**
   * A neighbour solicitation for an address that is tested. Whoever resolves it has a source, and is not answered (RFC 4862
   * 5.4.3); who has none tests it too.
   * @param nonce of the option, null without one @param mac six bytes, of the frame's source
   */
  solicited(
    target: IpAddress,
    source: IpAddress,
    nonce: Uint8Array | null,
    mac: Uint8Array,
    now: number,
  ): void {
    const candidate = this.#candidate(target)
    if (candidate === null || !source.unspecified) return
    // RFC 7527 4.2: our own question, come back over a loop.
    if (nonce !== null && sameBytes(nonce, candidate.nonce)) return
    this.#conflict(candidate, mac, now)
  }

  /** A neighbour advertisement for an address that is tested: it is taken (RFC 4862 5.4.4). */
  advertised(target: IpAddress, mac: Uint8Array, now: number): void {
    const candidate = this.#candidate(target)
    if (candidate !== null) this.#conflict(candidate, mac, now)
  }

  /** @internal a candidate's timer fired */
  due(candidate: Candidate, now: number): void {
    const { address } = candidate
    if (this.#held.includes(candidate)) {
      this.#announce(candidate, now)
      return
    }
    const config = this.#config
    const most = address.version === 4 ? config.probeCount : config.dadTransmits
    if (candidate.probes >= most) {
      this.#tentative.splice(this.#tentative.indexOf(candidate), 1)
      if (address.version === 4) this.#held.push(candidate)
      candidate.done(null, now)
      if (address.version === 4 && this.#held.includes(candidate)) this.#announce(candidate, now)
      return
    }
    candidate.probes++
    if (address.version === 6) {
      this.#counters.neighbourSolicitsSent++
      sendAddressProbe(this.#owner.frames, address, candidate.nonce)
      this.#wheel.arm(candidate, now + RETRANS_TIMER_US)
      return
    }
    this.#owner.arp.probe(address)
    const { probeMinUs, probeMaxUs, announceWaitUs } = config
    const wait = candidate.probes < most ? probeMinUs + this.#random(probeMaxUs - probeMinUs) : announceWaitUs
    this.#wheel.arm(candidate, now + wait)
  }

  /** RFC 5227 2.3. */
  #announce(candidate: Candidate, now: number): void {
    if (candidate.announcements >= this.#config.announceCount) return
    candidate.announcements++
    this.#owner.arp.announce(candidate.address)
    this.#wheel.arm(candidate, now + ANNOUNCE_INTERVAL_US)
  }

  /** RFC 5227 2.4 (b): once we say whose the address is; who insists within ten seconds has it. */
  #defend(candidate: Candidate, mac: Uint8Array, now: number): void {
    this.#counters.addressConflicts++
    const before = candidate.conflictAt
    candidate.conflictAt = now
    if (now - before > DEFEND_INTERVAL_US) {
      this.#owner.arp.announce(candidate.address)
      return
    }
    const holder = mac.slice()
    this.forget(candidate.address)
    this.onLost(candidate.address, holder, now)
  }

  #conflict(candidate: Candidate, mac: Uint8Array, now: number): void {
    this.#counters.addressConflicts++
    const holder = mac.slice()
    this.forget(candidate.address)
    candidate.done(holder, now)
  }

  #candidate(address: IpAddress): Candidate | null {
    return this.#tentative.find((candidate) => candidate.address.equals(address)) ?? null
  }

  /** From 0 to `limit`, microseconds. */
  #random(limit: number): number {
    return ((this.#entropy() >>> 0) / 2 ** 32) * limit
  }
}

/** Whether a frame or message claims to be from this hardware address. */
export function isMac(bytes: Uint8Array, mac: Uint8Array): boolean {
  return get16(bytes, 0) === get16(mac, 0) && get32(bytes, 2) === get32(mac, 2)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
