import type { IpAddress } from '../../address.ts'
import { get16, get32 } from '../../bytes.ts'
import { Timer, type TimerWheel } from '../timers.ts'

/** States of RFC 4861 7.3.2; ARP entries have the same (RFC 1122 2.3.2.1 asks for something of the kind). */
export const INCOMPLETE = 0
export const REACHABLE = 1
export const STALE = 2
export const DELAY = 3
export const PROBE = 4

/** How `Neighbours.learn` takes what a neighbour says: with a new entry for one that has none; as an answer to us. */
export const LEARN_CREATE = 1
export const LEARN_SOLICITED = 2
/** It may replace what is known (RFC 4861 7.2.5). */
export const LEARN_OVERRIDE = 4

// RFC 4861 section 10, in microseconds.
const RETRANS_TIMER_US = 1_000_000
const DELAY_FIRST_PROBE_US = 5_000_000
const REACHABLE_TIME_US = 30_000_000
/** How long what live connections go through is believed, and who was asked for is kept for the answer. */
const IN_USE_US = 1_000_000
/** Entries looked at for one that can go. */
const LOOKS = 32

/** What the table asks of ARP and neighbour discovery. */
export interface Solicitor {
  /**
   * Asks for the neighbour's hardware address: itself, when it has one and `unicast`, else everybody. The answer may come
   * within the call (`Neighbours.install`).
   */
  solicit(neighbour: Neighbour, unicast: boolean): void
  /** Whoever waits for the neighbour's hardware address may go on. */
  resolved(neighbour: Neighbour, now: number): void
  /** The neighbour did not answer and was forgotten. */
  failed(neighbour: Neighbour, now: number): void
  /** Next hops of live connections, to be looked at when the table is full. */
  hopsInUse?(): Iterable<IpAddress>
}

/** What is known of one neighbour. Its timer drives probing. */
export class Neighbour extends Timer {
  readonly address: IpAddress
  state = INCOMPLETE
  /** Hardware address, first two and last four bytes; valid unless INCOMPLETE. */
  macHigh = 0
  macLow = 0
  /** Address of ours that asks. */
  local: IpAddress
  /** The host's kernel vouches for it (`Neighbours.install`): it is not probed from here. */
  managed = false
  /** It is a router, as it says (RFC 4861 7.2.5). */
  router = false
  /** Solicitations sent since the last answer. */
  probes = 0
  /** Solicitations go to the known hardware address. */
  unicast = false
  /** Microseconds: last solicitation, last proof that it hears us. */
  askedAt = Number.NEGATIVE_INFINITY
  confirmedAt = Number.NEGATIVE_INFINITY
  readonly #table: Neighbours

  constructor(address: IpAddress, local: IpAddress, table: Neighbours) {
    super()
    this.address = address
    this.local = local
    this.#table = table
  }

  override fire(now: number): void {
    this.#table.due(this, now)
  }
}

/**
 * Hardware addresses of neighbours of both families, bounded: the oldest entry goes first, but none that a live connection goes
 * through, and none that is being asked for.
 */
export class Neighbours {
  readonly #table = new Map<number | string, Neighbour>()
  readonly #wheel: TimerWheel
  readonly #solicitor: Solicitor
  readonly #limit: number
  readonly #solicits: number
  /** Keys of what live connections go through, as it was at a time (microseconds). */
  readonly #inUse = new Set<number | string>()
  #inUseAt = Number.NEGATIVE_INFINITY

  constructor(wheel: TimerWheel, solicitor: Solicitor, limit = 1024, solicits = 3) {
    this.#wheel = wheel
    this.#solicitor = solicitor
    this.#limit = limit
    this.#solicits = solicits
  }

  /** Neighbours in the table. */
  get size(): number {
    return this.#table.size
  }

  /** The neighbour whose hardware address is known, else null. */
  lookup(address: IpAddress): Neighbour | null {
    const entry = this.#table.get(keyOf(address))
    return entry === undefined || entry.state === INCOMPLETE ? null : entry
  }

  /** The neighbour to send to; null while its hardware address is asked for on behalf of `local`. */
  use(address: IpAddress, local: IpAddress, now: number): Neighbour | null {
    const entry = this.#table.get(keyOf(address)) ?? this.#make(address, local, now)
    if (entry.state === INCOMPLETE) {
      if (!entry.armed) this.#probe(entry, false, now)
      return entry.state === INCOMPLETE ? null : entry
    }
    if (entry.managed) return entry
    if (entry.state === REACHABLE && now - entry.confirmedAt > REACHABLE_TIME_US) entry.state = STALE
    if (entry.state === STALE) {
      entry.state = DELAY
      entry.local = local
      this.#wheel.arm(entry, now + DELAY_FIRST_PROBE_US)
    }
    return entry
  }

  /** Nothing comes back from the neighbour: everybody is asked where it is, at most once a second. */
  suspect(address: IpAddress, local: IpAddress, now: number): void {
    const entry = this.#table.get(keyOf(address)) ?? this.#make(address, local, now)
    if ((entry.state === INCOMPLETE || entry.state === PROBE) && entry.armed) return
    if (now - entry.askedAt < RETRANS_TIMER_US) return
    if (entry.managed) {
      entry.askedAt = now
      this.#solicitor.solicit(entry, false)
      return
    }
    if (entry.state !== INCOMPLETE) entry.state = PROBE
    entry.local = local
    entry.probes = 0
    this.#probe(entry, false, now)
  }

  /** An upper layer has heard from the neighbour what it can only have sent after hearing us (RFC 4861 7.3.1). */
  confirm(address: IpAddress, now: number): void {
    const entry = this.#table.get(keyOf(address))
    if (entry === undefined || entry.state === INCOMPLETE || entry.managed) return
    this.#reachable(entry, now)
  }

  /**
   * Notes what a neighbour said of itself, six bytes. Returns its entry when that is news, or was asked for, else null.
   * @param how `LEARN_*`
   */
  learn(address: IpAddress, mac: Uint8Array, local: IpAddress, how: number, now: number): Neighbour | null {
    let entry = this.#table.get(keyOf(address))
    if (entry === undefined) {
      // Who was not asked for drives out nobody who is needed.
      if ((how & LEARN_CREATE) === 0 || !this.#room(now, true)) return null
      entry = this.#make(address, local, now)
    }
    const high = get16(mac, 0)
    const low = get32(mac, 2)
    const asked = (entry.state === INCOMPLETE && entry.armed) || entry.state === PROBE
    const differs = entry.state === INCOMPLETE || entry.macHigh !== high || entry.macLow !== low
    if (differs && entry.state !== INCOMPLETE && (how & LEARN_OVERRIDE) === 0) {
      // RFC 4861 7.2.5 (II): perhaps a proxy; what we have is to be verified.
      if (entry.state === REACHABLE) entry.state = STALE
      return null
    }
    entry.macHigh = high
    entry.macLow = low
    if ((how & LEARN_SOLICITED) !== 0) this.#reachable(entry, now)
    else if (differs || entry.state === PROBE) {
      entry.state = STALE
      this.#wheel.cancel(entry)
    }
    entry.probes = 0
    return differs || asked ? entry : null
  }

  /**
   * Notes what the host's kernel knows of a neighbour that was asked for; of others nothing is noted. Until `withdraw` it is
   * not probed. Returns its entry when that is news, else null.
   */
  install(address: IpAddress, mac: Uint8Array): Neighbour | null {
    const entry = this.#table.get(keyOf(address))
    if (entry === undefined) return null
    const high = get16(mac, 0)
    const low = get32(mac, 2)
    const news = entry.state === INCOMPLETE || entry.macHigh !== high || entry.macLow !== low
    entry.macHigh = high
    entry.macLow = low
    entry.state = REACHABLE
    entry.managed = true
    entry.probes = 0
    this.#wheel.cancel(entry)
    return news ? entry : null
  }

  /** Tells `Solicitor.resolved` of an entry when timers are next looked at: for who installs it while it is asked for. */
  announce(entry: Neighbour, now: number): void {
    this.#wheel.arm(entry, now)
  }

  /** The host's kernel has forgotten the neighbour. @param failed it was asked for in vain */
  withdraw(address: IpAddress, failed: boolean, now: number): void {
    const entry = this.#table.get(keyOf(address))
    if (entry === undefined || !(entry.managed || (failed && entry.state === INCOMPLETE))) return
    this.#wheel.cancel(entry)
    this.#table.delete(keyOf(address))
    if (failed) this.#solicitor.failed(entry, now)
  }

  /** Withdraws what the host's kernel vouched for and no longer knows. @param known the addresses it knows, as text */
  keepManaged(known: ReadonlySet<string>, now: number): void {
    for (const entry of [...this.#table.values()]) {
      if (entry.managed && !known.has(entry.address.toString())) this.withdraw(entry.address, false, now)
    }
  }

  /** @internal a neighbour's timer fired */
  due(entry: Neighbour, now: number): void {
    if (entry.managed) this.#solicitor.resolved(entry, now)
    else if (entry.state === DELAY) {
      entry.state = PROBE
      entry.probes = 0
      this.#probe(entry, true, now)
    } else if (entry.probes < this.#solicits) this.#probe(entry, entry.unicast, now)
    else {
      this.#table.delete(keyOf(entry.address))
      this.#solicitor.failed(entry, now)
    }
  }

  #probe(entry: Neighbour, unicast: boolean, now: number): void {
    entry.unicast = unicast
    entry.probes++
    entry.askedAt = now
    this.#wheel.arm(entry, now + RETRANS_TIMER_US)
    this.#solicitor.solicit(entry, unicast)
  }

  #reachable(entry: Neighbour, now: number): void {
    entry.state = REACHABLE
    entry.confirmedAt = now
    entry.probes = 0
    this.#wheel.cancel(entry)
  }

  #make(address: IpAddress, local: IpAddress, now: number): Neighbour {
    // Where live connections go through all of them the table grows: by no more than there are connections.
    this.#room(now, false)
    const entry = new Neighbour(address, local, this)
    this.#table.set(keyOf(address), entry)
    return entry
  }

  /**
   * Makes room for an entry; false when all that were looked at are needed.
   * @param spareAsked also who was asked for lately, and may not have answered yet, is kept
   */
  #room(now: number, spareAsked: boolean): boolean {
    if (this.#table.size < this.#limit) return true
    if (now - this.#inUseAt >= IN_USE_US) {
      this.#inUseAt = now
      this.#inUse.clear()
      for (const address of this.#solicitor.hopsInUse?.() ?? []) this.#inUse.add(keyOf(address))
    }
    let looks = LOOKS
    for (const [key, oldest] of this.#table) {
      if (looks-- === 0) break
      this.#table.delete(key)
      if (this.#inUse.has(key) || (spareAsked && now - oldest.askedAt < IN_USE_US)) {
        // It counts as the youngest, so that the next search does not begin with it again.
        this.#table.set(key, oldest)
        continue
      }
      this.#wheel.cancel(oldest)
      return true
    }
    return false
  }
}

function keyOf(address: IpAddress): number | string {
  return address.version === 4 ? address.w3 : address.toString()
}
