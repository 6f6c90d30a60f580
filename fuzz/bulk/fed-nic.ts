import { type Nic, type NicInfo, type NicMemory, NicStats, NO_ROLES, type RxBurst } from '../../driver/nic.ts'
import { sumBytes } from '../../stack/wire/checksum.ts'

export const NIOV = 4096
export const HEADROOM = 256
const FILL = 1024
const SIDE_SLOT = 512
const TX_SLOT = 2048
const TX_SLOTS = 64
export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 2)

/** A frame as a device would bring it. */
export interface FedFrame {
  readonly bytes: Uint8Array
  /** Bytes of its fragments; of a split NIC the first is that of the headers. */
  readonly cuts: readonly number[]
  /** RX_CSUM_*. */
  readonly flags: number
}

/** Brings frames, in fragments as they say, into the area or with their headers beside it, and keeps what is sent. */
export class FedNic implements Nic {
  readonly roles: Nic['roles']
  readonly info: NicInfo
  readonly txMemory = new Uint8Array(TX_SLOTS * TX_SLOT + 4)
  readonly txSlotBytes = TX_SLOT
  readonly gone = false
  readonly frames: FedFrame[] = []
  readonly sent: Uint8Array[] = []
  readonly #side: Uint8Array | null
  #chunks: number[] = []
  #memory: Uint8Array = new Uint8Array(0)
  #slot = 0
  readonly #txAt: number

  /** @param odd transmit slots do not begin on words */
  constructor(split: boolean, partial: boolean, odd: boolean) {
    this.#txAt = odd ? 2 : 0
    this.#side = split ? new Uint8Array(64 * SIDE_SLOT) : null
    this.roles = { ...NO_ROLES, sideMemory: this.#side }
    this.info = {
      ...{ driver: 'fed', mode: 'fed', name: 'fed', ifIndex: 1, queue: 0, mac: MAC, mtu: 9000 },
      ...{ chunkPayload: NIOV - (split ? 0 : HEADROOM), tailBytes: 0, fillEntries: FILL, ringPackets: 0 },
      ...{ partialChecksums: partial, placement: split ? 'split' : 'area' },
    }
  }

  attach(memory: NicMemory): void {
    this.#memory = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#chunks = []
  }
  detach(): void {}

  receive(burst: RxBurst): number {
    burst.count = 0
    for (let headers = 0; this.frames.length > 0; headers++) {
      const { bytes, cuts, flags } = this.frames[0]!
      const beside = this.#side === null ? 0 : 1
      if (cuts.length > burst.capacity - burst.count || cuts.length - beside > this.#chunks.length) break
      this.frames.shift()
      let from = 0
      for (const [i, cut] of cuts.entries()) {
        const more = i + 1 < cuts.length ? 1 : 0
        const apart = beside === 1 && i === 0
        const memory = apart ? this.#side! : this.#memory
        const at = apart
          ? (headers % 64) * SIDE_SLOT
          : this.#chunks.shift()! * NIOV + (beside === 1 ? 0 : HEADROOM)
        memory.set(bytes.subarray(from, from + cut), at)
        burst.put(at, cut, more | flags | (apart ? 8 : 0))
        from += cut
      }
    }
    return burst.count
  }

  fillSpace(): number {
    return FILL - this.#chunks.length
  }
  fill(chunks: Uint32Array, from: number, count: number): number {
    for (let i = 0; i < count; i++) this.#chunks.push(chunks[from + i]!)
    return count
  }
  chunksHeld(): number {
    return this.#chunks.length
  }
  sumFragments(burst: RxBurst): void {
    for (let i = 0; i < burst.count; i++) {
      const memory = (burst.flags[i]! & 8) !== 0 ? this.#side! : this.#memory
      burst.sum[i] = sumBytes(memory, burst.offset[i]!, burst.length[i]!)
    }
  }
  txReserve(): number {
    return this.#slot * TX_SLOT + this.#txAt
  }
  txCommit(offset: number, length: number): void {
    this.#slot = (this.#slot + 1) % TX_SLOTS
    this.sent.push(this.txMemory.slice(offset, offset + length))
  }
  txFlush(): void {}
  wait(): boolean {
    return true
  }
  arm(): void {}
  stats(): NicStats {
    return new NicStats()
  }
  close(): void {}
}
