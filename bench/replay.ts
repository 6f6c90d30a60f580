import { IpAddress } from '../address.ts'
import { put16 } from '../bytes.ts'
import { type Nic, type NicInfo, type NicMemory, NicStats, NO_ROLES, type RxBurst } from '../driver/nic.ts'
import { pseudoHeaderSum, pseudoHeaderSum6 } from '../stack/wire/checksum.ts'
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
  readonly roles = NO_ROLES
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
  /** RX_CSUM_* of every frame. */
  rxFlags = 0
  /** Bytes of the frames that `stage` has written, and how many are left. */
  readonly #lengths = new Uint32Array(FILL)
  #staged = 0

  /** @param info what it says otherwise than the one there is alone */
  constructor(info: Partial<NicInfo> = {}) {
    this.info = { ...INFO, ...info }
  }

  attach(memory: NicMemory): void {
    this.#bytes = new Uint8Array(memory.buffer, memory.areaOffset, memory.areaLength)
    this.#count = 0
    this.#staged = 0
  }
  detach(): void {}

  /** Writes the next frames now, up to one that `next` has not, so that `receive` only hands them out. Returns how many. */
  stage(count: number): number {
    const most = Math.min(count, this.#count)
    let staged = 0
    for (; staged < most; staged++) {
      const at = this.#chunks[(this.#head + staged) & (FILL - 1)]! * NIOV + HEADROOM
      const bytes = this.next(this.#bytes, at)
      if (bytes === 0) break
      this.#lengths[staged] = bytes
    }
    this.#staged = staged
    return staged
  }

  receive(burst: RxBurst): number {
    const { offset, length, flags } = burst
    if (this.#staged === 0) this.budget -= this.stage(Math.min(burst.capacity, this.budget))
    const count = Math.min(burst.capacity, this.#staged)
    for (let i = 0; i < count; i++) {
      offset[i] = this.#chunks[this.#head]! * NIOV + HEADROOM
      length[i] = this.#lengths[i]!
      flags[i] = this.rxFlags
      this.#head = (this.#head + 1) & (FILL - 1)
    }
    if (count < this.#staged) this.#lengths.copyWithin(0, count, this.#staged)
    this.#staged -= count
    this.#count -= count
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
  sumFragments(): void {}
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
