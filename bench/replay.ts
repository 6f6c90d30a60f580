import { IpAddress } from '../address.ts'
import { put16 } from '../bytes.ts'
import { nativeOrNull } from '../driver/native/index.ts'
import {
  type Nic,
  type NicInfo,
  type NicMemory,
  type NicRoles,
  NicStats,
  NO_ROLES,
  RX_MORE,
  RX_SIDE,
  type RxBurst,
} from '../driver/nic.ts'
import { addSums, pseudoHeaderSum, pseudoHeaderSum6, sumBytes } from '../stack/wire/checksum.ts'
import { putEthernet } from '../stack/wire/ethernet.ts'
import { putIpv4 } from '../stack/wire/ipv4.ts'
import { putIpv6 } from '../stack/wire/ipv6.ts'
import { putMss, putTcp, putTimestamps, putWindowScale, SYN } from '../stack/wire/tcp.ts'

export const NIOV = 4096
export const HEADROOM = 256
export const PORT = 9000
/** Of which version the frames are. */
export interface Shape {
  readonly server: IpAddress
  readonly client: IpAddress
  /** Bytes in front of the TCP header. */
  readonly tcpAt: number
}
export const SHAPES: Record<string, Shape> = {
  4: { server: IpAddress.v4(0xc0000202), client: IpAddress.v4(0xc0000201), tcpAt: 34 },
  6: { server: IpAddress.parse('2001:db8::2')!, client: IpAddress.parse('2001:db8::1')!, tcpAt: 54 },
}
/** TCP header with timestamps. */
export const TCP_BYTES = 32
/** Chunks the replay keeps circulating per flow: the working set stays what a fill ring's would be. */
const FILL = 8192
/** Entries of one burst, and those of the largest frame. */
const ENTRIES = 512
const SPANS = 19
/** Where headers lie beside the area; more slots than frames of a burst. */
const SIDE_SLOTS = 512
export const SIDE_BYTES = 128
const INFO: NicInfo = {
  driver: 'replay',
  mode: 'replay',
  name: 'replay',
  ifIndex: 1,
  queue: 0,
  mac: Uint8Array.of(2, 0, 0, 0, 0, 2),
  mtu: 9000,
  chunkPayload: NIOV - HEADROOM,
  tailBytes: 0,
  fillEntries: FILL,
  ringPackets: 0,
  partialChecksums: true,
  placement: 'area',
}

/**
 * A NIC whose receive ring is always full: chunks that come back through `fill` are handed out again with the next
 * segment of a flow already in them. Only sequence number and timestamp are written anew, as a NIC would have done by DMA.
 */
export class ScriptedNic implements Nic {
  readonly roles: NicRoles
  readonly txMemory = new Uint8Array(64 * 256)
  readonly txSlotBytes = 256
  readonly gone = false
  readonly info: NicInfo
  readonly #chunks = new Uint32Array(FILL)
  #head = 0
  #count = 0
  #bytes: Uint8Array = new Uint8Array(0)
  #slot = 0
  /** Frames the stack has sent. */
  readonly sent: Uint8Array[] = []
  keepSent = true
  /** Writes the next frame into a chunk; returns its length, 0 for none. */
  next: (bytes: Uint8Array, offset: number) => number = () => 0
  /** Frames handed out before `receive` pauses; -1 = no limit. */
  budget = 0
  /** Bytes of bulk data's headers, where they come beside the area. */
  headerBytes = 66
  /** RX_CSUM_* of every frame. */
  rxFlags = 0
  /** Entries of the frames that `stage` has written, and how many there are. */
  readonly #offset = new Uint32Array(ENTRIES)
  readonly #length = new Uint32Array(ENTRIES)
  readonly #more = new Uint8Array(ENTRIES)
  #staged = 0
  /** Of those, not handed out yet. */
  #left = 0
  readonly #side: Uint8Array | null
  #sideSlot = 0

  /** @param info what it says otherwise than the one there is alone; `placement: 'split'` puts headers beside the area */
  constructor(info: Partial<NicInfo> = {}) {
    this.info = { ...INFO, ...info }
    this.#side = this.info.placement === 'split' ? new Uint8Array(SIDE_SLOTS * SIDE_BYTES) : null
    this.roles = { ...NO_ROLES, sideMemory: this.#side }
  }

  attach(memory: NicMemory): void {
    this.#bytes = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#count = 0
    this.#staged = 0
    this.#left = 0
  }
  detach(): void {}

  /** Entries that the staged frames take. */
  get stagedEntries(): number {
    return this.#staged
  }

  /** Writes the next frames now, up to one that `next` has not, so that `receive` only hands them out. Returns how many. */
  stage(count: number): number {
    this.#staged = 0
    let staged = 0
    for (; staged < count && this.#staged + SPANS <= ENTRIES && this.#count >= SPANS; staged++)
      if (!(this.#side === null ? this.#stageInArea() : this.#stageBeside(this.#side))) break
    this.#left = this.#staged
    return staged
  }

  /** Chunk after chunk, the first with the headers. */
  #stageInArea(): boolean {
    let offset = this.#chunks[this.#head]! * NIOV + HEADROOM
    let left = this.next(this.#bytes, offset)
    if (left === 0) return false
    for (;;) {
      const bytes = Math.min(left, NIOV - HEADROOM)
      left -= bytes
      this.#put(offset, bytes, left > 0 ? RX_MORE : 0)
      this.#head = (this.#head + 1) & (FILL - 1)
      this.#count--
      if (left === 0) return true
      offset = this.#chunks[this.#head]! * NIOV + HEADROOM
    }
  }

  /** Headers beside the area, payload from the start of chunks. */
  #stageBeside(side: Uint8Array): boolean {
    this.#sideSlot = (this.#sideSlot + 1) & (SIDE_SLOTS - 1)
    const at = this.#sideSlot * SIDE_BYTES
    let left = this.next(side, at)
    if (left === 0) return false
    const header = left <= SIDE_BYTES ? left : this.headerBytes
    left -= header
    this.#put(at, header, left > 0 ? RX_MORE | RX_SIDE : RX_SIDE)
    while (left > 0) {
      const bytes = Math.min(left, NIOV)
      left -= bytes
      this.#put(this.#chunks[this.#head]! * NIOV, bytes, left > 0 ? RX_MORE : 0)
      this.#head = (this.#head + 1) & (FILL - 1)
      this.#count--
    }
    return true
  }

  #put(offset: number, bytes: number, flags: number): void {
    const at = this.#staged++
    this.#offset[at] = offset
    this.#length[at] = bytes
    this.#more[at] = flags
  }

  /** Copies the payload of what is staged, as a receiver that copies would: where a piece of it lies is where it was received to. */
  copyStaged(into: Uint8Array, header: number): void {
    const bytes = this.#bytes
    let skip = this.#side === null ? header : 0
    for (let i = 0; i < this.#staged; i++) {
      const flags = this.#more[i]!
      if ((flags & RX_SIDE) !== 0) continue
      const from = this.#offset[i]! + skip
      into.set(bytes.subarray(from, this.#offset[i]! + this.#length[i]!), 0)
      skip = (flags & RX_MORE) !== 0 || this.#side !== null ? 0 : header
    }
  }

  receive(burst: RxBurst): number {
    const { offset, length, flags } = burst
    if (this.#left === 0) {
      this.budget -= this.stage(Math.min(burst.capacity, this.budget))
    }
    let count = Math.min(burst.capacity, this.#left)
    const from = this.#staged - this.#left
    // Whole frames only.
    while (count > 0 && (this.#more[from + count - 1]! & RX_MORE) !== 0) count--
    const { rxFlags } = this
    for (let i = 0; i < count; i++) {
      offset[i] = this.#offset[from + i]!
      length[i] = this.#length[from + i]!
      flags[i] = this.#more[from + i]! | rxFlags
    }
    this.#left -= count
    burst.count = count
    return count
  }
  fillSpace(): number {
    return FILL - this.#count
  }
  fill(chunks: Uint32Array, from: number, count: number): number {
    for (let i = 0; i < count; i++) {
      this.#chunks[(this.#head + this.#count + i) & (FILL - 1)] = chunks[from + i]!
    }
    this.#count += count
    return count
  }
  chunksHeld(): number {
    return this.#count
  }
  sumFragments(burst: RxBurst): void {
    nativeOrNull()!.sumFragments(this.#bytes, burst.offset, burst.length, burst.sum, burst.count, 0)
  }
  txReserve(): number {
    return this.#slot * this.txSlotBytes
  }
  txCommit(offset: number, length: number): void {
    this.#slot = (this.#slot + 1) & 63
    if (this.keepSent) this.sent.push(this.txMemory.slice(offset, offset + length))
  }
  txFlush(): void {}
  wait(): boolean {
    return true
  }
  arm(_callback: (() => void) | null): void {}
  stats(): NicStats {
    return new NicStats()
  }
  close(): void {}
}

/** One side of a connection that a script plays. */
export interface Flow {
  /** The shape's unless given. */
  client?: IpAddress
  port: number
  seq: number
  ack: number
  tsEcr: number
  tsVal: number
}

/** Finishes the checksum of a segment with timestamps whose payload is nothing but zeros. */
export function putSum(
  { server, client, tcpAt }: Shape,
  bytes: Uint8Array,
  at: number,
  payload: number,
): void {
  const tcp = at + tcpAt
  put16(bytes, tcp + 16, 0)
  const pseudo =
    server.version === 4
      ? pseudoHeaderSum(client.w3, server.w3, 6, TCP_BYTES + payload)
      : pseudoHeaderSum6(client, server, 6, TCP_BYTES + payload)
  put16(bytes, tcp + 16, ~addSums(pseudo, sumBytes(bytes, tcp, TCP_BYTES)) & 0xffff)
}

/** Writes a segment with timestamps, its checksum unfinished; returns its bytes. */
export function putSegment(
  shape: Shape,
  bytes: Uint8Array,
  at: number,
  flow: Flow,
  flags: number,
  payload: number,
): number {
  const { server, tcpAt } = shape
  const client = flow.client ?? shape.client
  const syn = (flags & SYN) !== 0
  const header = 20 + (syn ? 20 : 12)
  const v4 = server.version === 4
  putEthernet(bytes, at, 0x0200, 2, Uint8Array.of(2, 0, 0, 0, 0, 1), v4 ? 0x0800 : 0x86dd)
  if (v4) putIpv4(bytes, at + 14, 20 + header + payload, 1, 6, client.w3, server.w3)
  else putIpv6(bytes, at + 14, header + payload, 6, client, server, 0)
  const tcp = at + tcpAt
  putTcp(bytes, tcp, flow.port, PORT, flow.seq, flow.ack, header, flags, 0xffff)
  let used = 20
  if (syn) used += putMss(bytes, tcp + used, 8960) + putWindowScale(bytes, tcp + used + 4, 10)
  putTimestamps(bytes, tcp + used, flow.tsVal, flow.tsEcr)
  const sum = v4
    ? pseudoHeaderSum(client.w3, server.w3, 6, header + payload)
    : pseudoHeaderSum6(client, server, 6, header + payload)
  put16(bytes, tcp + 16, sum)
  return tcpAt + header + payload
}
