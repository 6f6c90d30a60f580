import { ArgumentError } from '../errors.ts'
import type { NicStats } from '../nic.ts'
import type { AddressCache } from './address.ts'
import { LATER, type RawIpSocket, SENT } from './socket.ts'

const ETHERNET_BYTES = 14
const SLOTS = 256
const SLOT_BYTES = 4096
const DESTINATION4 = ETHERNET_BYTES + 16
const DESTINATION6 = ETHERNET_BYTES + 24
const TOTAL4 = ETHERNET_BYTES + 2
const PAYLOAD6 = ETHERNET_BYTES + 4
const IPV6_BYTES = 40

/** The transmit side: frames lose their Ethernet header, the kernel finds them a new one. A system call each. */
export class TransmitPath {
  readonly slotBytes: number
  readonly memory: Uint8Array
  readonly #buffer: Buffer
  readonly #view: DataView
  readonly #four: RawIpSocket | null
  readonly #six: RawIpSocket | null
  readonly #cache: AddressCache
  readonly #lengths = new Uint32Array(SLOTS)
  /** Frames, bytes, reservations without a slot, errors. */
  readonly #counters = new Float64Array(4)
  #committed = 0
  #sent = 0
  #reserved = false

  constructor(four: RawIpSocket | null, six: RawIpSocket | null, mtu: number, cache: AddressCache) {
    this.#four = four
    this.#six = six
    this.#cache = cache
    this.slotBytes = Math.max(SLOT_BYTES, (mtu + ETHERNET_BYTES + 15) & ~15)
    this.memory = new Uint8Array(SLOTS * this.slotBytes)
    this.#buffer = Buffer.from(this.memory.buffer)
    this.#view = new DataView(this.memory.buffer)
  }

  addCounters(stats: NicStats): void {
    const [frames, bytes, noSlot, errors] = this.#counters
    stats.txFrames += frames!
    stats.txBytes += bytes!
    stats.txNoSlot += noSlot!
    stats.txErrors += errors!
  }

  reserve(): number {
    if (this.#committed === SLOTS) this.flush()
    if (this.#committed === SLOTS) {
      this.#counters[2]!++
      return -1
    }
    this.#reserved = true
    return this.#committed * this.slotBytes
  }

  commit(offset: number, length: number): void {
    if (!this.#reserved || offset !== this.#committed * this.slotBytes)
      throw new ArgumentError(`slot ${offset} is not the reserved one`)
    if (length !== 0 && !(length >= ETHERNET_BYTES && length <= this.slotBytes)) {
      throw new ArgumentError(`a frame has ${ETHERNET_BYTES} to ${this.slotBytes} bytes, not ${length}`)
    }
    this.#reserved = false
    if (length > 0) this.#lengths[this.#committed++] = length
  }

  /** What the kernel has no room for waits for the next flush. */
  flush(): void {
    const counters = this.#counters
    for (; this.#sent < this.#committed; this.#sent++) {
      const length = this.#lengths[this.#sent]!
      const outcome = this.#send(this.#sent * this.slotBytes, length)
      if (outcome === LATER) break
      if (outcome === SENT) {
        counters[0]!++
        counters[1]! += length
      } else counters[3]!++
    }
    // A slot that is reserved stays where it is.
    if (this.#sent === this.#committed && !this.#reserved) this.#sent = this.#committed = 0
  }

  /** Short frames are padded: what is sent is what the IP header counts. */
  #send(at: number, length: number): number {
    const packet = at + ETHERNET_BYTES
    const type = this.#view.getUint16(at + 12)
    if (type === 0x0800 && this.#four !== null && length >= ETHERNET_BYTES + 20) {
      const bytes = Math.min(this.#view.getUint16(at + TOTAL4), length - ETHERNET_BYTES)
      return this.#four.send(this.#buffer, packet, bytes, this.#cache.text4(this.memory, at + DESTINATION4))
    }
    if (type === 0x86dd && this.#six !== null && length >= ETHERNET_BYTES + IPV6_BYTES) {
      const bytes = Math.min(IPV6_BYTES + this.#view.getUint16(at + PAYLOAD6), length - ETHERNET_BYTES)
      return this.#six.send(this.#buffer, packet, bytes, this.#cache.text6(this.memory, at + DESTINATION6))
    }
    return -1
  }
}
