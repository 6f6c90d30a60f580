import { OrderedSlots } from '../ordered-slots.ts'
import type { AddressCache } from './address.ts'
import { LATER, type RawIpSocket, SENT } from './socket.ts'

const ETHERNET_BYTES = 14
const DESTINATION4 = ETHERNET_BYTES + 16
const DESTINATION6 = ETHERNET_BYTES + 24
const TOTAL4 = ETHERNET_BYTES + 2
const PAYLOAD6 = ETHERNET_BYTES + 4
const IPV6_BYTES = 40

/** The transmit side: frames lose their Ethernet header, the kernel finds them a new one. A system call each. */
export class TransmitPath extends OrderedSlots {
  readonly #buffer: Buffer
  readonly #view: DataView
  readonly #four: RawIpSocket | null
  readonly #six: RawIpSocket | null
  readonly #cache: AddressCache

  constructor(four: RawIpSocket | null, six: RawIpSocket | null, mtu: number, cache: AddressCache) {
    super(mtu + ETHERNET_BYTES)
    this.#four = four
    this.#six = six
    this.#cache = cache
    this.#buffer = Buffer.from(this.memory.buffer)
    this.#view = new DataView(this.memory.buffer)
  }

  /** What the kernel has no room for waits for the next flush. */
  override flush(): void {
    const counters = this.counters
    for (; this.sent < this.committed; this.sent++) {
      const length = this.lengths[this.sent]!
      const outcome = this.#send(this.sent * this.stride, length)
      if (outcome === LATER) break
      if (outcome === SENT) {
        counters[0]!++
        counters[1]! += length
      } else counters[3]!++
    }
    this.settle()
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
