import type { Flows } from '../flows.ts'
import { type NicStats, RX_SIDE, type RxBurst } from '../nic.ts'
import type { AddressCache } from './address.ts'
import type { RawIpSocket } from './socket.ts'

const ETHERNET_BYTES = 14
const IPV6_BYTES = 40
const SLOTS = 32
/** The largest IP packet, and a byte by which a larger one shows. */
const PACKET_BYTES = 65_535 + 1
/** Headers that we put in front, and what makes the size of a slot a multiple of four. */
const SLOT_BYTES = (ETHERNET_BYTES + IPV6_BYTES + PACKET_BYTES + 3) & ~3

const PROTOCOL_ICMP = 1
const PROTOCOL_TCP = 6
const PROTOCOL_ICMPV6 = 58
const ICMP_ERRORS: readonly number[] = [3, 11, 12]
const ICMPV6_LAST_ERROR = 4
/** What an IPv6 raw socket does not tell. */
const HOP_LIMIT = 64

/** Hardware addresses that mean nothing: ours, and everybody else's. */
export const OUR_MAC: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0, 1)
const THEIR_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2)

/**
 * The receive side: packets are read where the stack finds them, with an Ethernet header in front, and for IPv6 the IP
 * header that the kernel has taken off.
 */
export class ReceivePath {
  readonly memory = new Uint8Array(SLOTS * SLOT_BYTES)
  readonly #view = new DataView(this.memory.buffer)
  /** Where packets of the IP versions are read to in each slot. */
  readonly #buffers4: Buffer[] = []
  readonly #buffers6: Buffer[] = []
  readonly #sockets: readonly RawIpSocket[]
  readonly #flows: Flows
  readonly #ours4: Uint8Array | null
  readonly #ours6: Uint8Array | null
  readonly #cache: AddressCache
  /** Frames, bytes, dropped. Not in an object: its fields would change shape when they outgrow 31 bits. */
  readonly #counters = new Float64Array(3)
  /** Slots from 0 on that hold packets the stack has not seen. */
  #waiting = 0
  readonly #lengths = new Uint32Array(SLOTS)
  /** First bytes of frames in the slots. */
  readonly #starts = new Uint32Array(SLOTS)

  constructor(
    sockets: readonly RawIpSocket[],
    flows: Flows,
    ours4: Uint8Array | null,
    ours6: Uint8Array | null,
    cache: AddressCache,
  ) {
    this.#sockets = sockets
    this.#flows = flows
    this.#ours4 = ours4
    this.#ours6 = ours6
    this.#cache = cache
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = slot * SLOT_BYTES
      const view = (from: number): Buffer => Buffer.from(this.memory.buffer, at + from, PACKET_BYTES)
      this.#buffers4.push(view(ETHERNET_BYTES))
      this.#buffers6.push(view(ETHERNET_BYTES + IPV6_BYTES))
      this.memory.set(OUR_MAC, at)
      this.memory.set(THEIR_MAC, at + 6)
    }
  }

  addCounters(stats: NicStats): void {
    const [frames, bytes, dropped] = this.#counters
    stats.rxFrames += frames!
    stats.rxFragments += frames!
    stats.rxBytes += bytes!
    stats.rxDropped += dropped!
  }

  /** Packets that wait in memory. */
  get waiting(): number {
    return this.#waiting
  }

  /** Reads what the sockets that may be readable have. */
  read(): void {
    for (let i = 0; i < this.#sockets.length; i++) {
      const socket = this.#sockets[i]!
      while (socket.ready && this.#waiting < SLOTS) {
        const slot = this.#waiting
        if (!socket.read((socket.version === 4 ? this.#buffers4 : this.#buffers6)[slot]!)) break
        if (socket.bytes >= PACKET_BYTES) this.#counters[2]!++
        else if (socket.version === 4) this.#packet4(slot, socket.bytes)
        else this.#packet6(slot, socket)
      }
    }
  }

  receive(burst: RxBurst): number {
    this.read()
    const count = Math.min(this.#waiting, burst.capacity)
    for (let i = 0; i < count; i++) {
      burst.offset[i] = this.#starts[i]!
      burst.length[i] = this.#lengths[i]!
      burst.flags[i] = RX_SIDE
      this.#counters[0]!++
      this.#counters[1]! += this.#lengths[i]!
    }
    // A burst takes at least 64, there are 32.
    this.#waiting = 0
    burst.count = count
    return count
  }

  clear(): void {
    this.#waiting = 0
  }

  /** Keeps a packet that somebody has steered here; others are the host's. */
  #packet4(slot: number, bytes: number): void {
    const { memory } = this
    const ours = this.#ours4
    const at = slot * SLOT_BYTES + ETHERNET_BYTES
    const header = (memory[at]! & 15) << 2
    if (bytes < 20 || memory[at]! >>> 4 !== 4 || header < 20 || bytes < header + 4) return
    for (let i = 0; i < 4; i++) if (memory[at + 16 + i] !== ours![i]) return
    const protocol = memory[at + 9]!
    if (protocol === PROTOCOL_TCP) {
      if (!this.#flows.steered(ours!, this.#view.getUint16(at + header + 2))) return
    } else if (protocol !== PROTOCOL_ICMP || !ICMP_ERRORS.includes(memory[at + header]!)) return
    this.#keep(slot, bytes, 0x0800)
  }

  #packet6(slot: number, socket: RawIpSocket): void {
    const { memory } = this
    const { bytes, protocol } = socket
    const ours = this.#ours6!
    const at = slot * SLOT_BYTES + ETHERNET_BYTES
    const transport = at + IPV6_BYTES
    if (bytes < 4) return
    if (protocol === PROTOCOL_TCP) {
      if (!this.#flows.steered(ours, this.#view.getUint16(transport + 2))) return
    } else if (memory[transport]! === 0 || memory[transport]! > ICMPV6_LAST_ERROR) return
    this.#view.setUint32(at, 6 << 28)
    this.#view.setUint16(at + 4, bytes)
    memory[at + 6] = protocol
    memory[at + 7] = HOP_LIMIT
    memory.set(this.#cache.bytes(socket.source), at + 8)
    memory.set(ours, at + 24)
    this.#keep(slot, IPV6_BYTES + bytes, 0x86dd)
  }

  #keep(slot: number, packetBytes: number, etherType: number): void {
    const at = slot * SLOT_BYTES
    this.#view.setUint16(at + 12, etherType)
    this.#starts[slot] = at
    this.#lengths[slot] = ETHERNET_BYTES + packetBytes
    this.#waiting++
  }
}

/** Protocols that sockets are opened for. */
export function protocolsOf(version: 4 | 6): readonly number[] {
  return [PROTOCOL_TCP, version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6]
}
