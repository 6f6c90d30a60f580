import { PcapError } from '../../../errors.ts'
import { CapturedPacket } from '../../../pcap/file/packet.ts'
import { CaptureReader } from '../../../pcap/file/reader.ts'

/** Capture files byte by byte, independent of the writers. */

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

/** Words of one byte order. */
export class Words {
  readonly little: boolean

  constructor(little: boolean) {
    this.little = little
  }

  u16(...values: number[]): Uint8Array {
    return this.#words(2, values, (view, at, value) => view.setUint16(at, value, this.little))
  }

  u32(...values: number[]): Uint8Array {
    return this.#words(4, values, (view, at, value) => view.setUint32(at, value, this.little))
  }

  u64(value: bigint): Uint8Array {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), this.little)
    return bytes
  }

  #words(
    size: number,
    values: number[],
    put: (view: DataView, at: number, value: number) => void,
  ): Uint8Array {
    const bytes = new Uint8Array(size * values.length)
    const view = new DataView(bytes.buffer)
    values.forEach((value, i) => {
      put(view, i * size, value)
    })
    return bytes
  }
}

export interface PcapSpec {
  little?: boolean
  magic?: number
  linkType?: number
  snapLength?: number
  major?: number
}

/** A packet of a pcap file: seconds, fraction as in the file, bytes, and bytes on the wire. */
export type PcapRecord = readonly [seconds: number, fraction: number, bytes: Uint8Array, wireLength?: number]

export function pcapFile(spec: PcapSpec, records: readonly PcapRecord[]): Uint8Array {
  const { little = true, magic = 0xa1b2c3d4, linkType = 1, snapLength = 262_144, major = 2 } = spec
  const w = new Words(little)
  // Of the modified format: interface index, protocol, packet type and a byte of padding.
  const extra = magic === 0xa1b2cd34 ? Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) : new Uint8Array(0)
  return join(
    w.u32(magic),
    w.u16(major, 4),
    w.u32(0, 0, snapLength, linkType),
    ...records.map(([seconds, fraction, bytes, wireLength = bytes.length]) =>
      join(w.u32(seconds, fraction, bytes.length, wireLength), extra, bytes),
    ),
  )
}

/** Blocks of pcapng in one byte order. */
export class Blocks extends Words {
  block(type: number, ...body: readonly Uint8Array[]): Uint8Array {
    const bytes = padded(join(...body))
    return join(this.u32(type, bytes.length + 12), bytes, this.u32(bytes.length + 12))
  }

  option(code: number, value: Uint8Array | string): Uint8Array {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
    return join(this.u16(code, bytes.length), padded(bytes))
  }

  get endOfOptions(): Uint8Array {
    return this.u16(0, 0)
  }

  section(...options: readonly Uint8Array[]): Uint8Array {
    return this.block(0x0a0d0d0a, this.u32(0x1a2b3c4d), this.u16(1, 0), this.u64(-1n), ...options)
  }

  device(linkType = 1, snapLength = 0, ...options: readonly Uint8Array[]): Uint8Array {
    return this.block(1, this.u16(linkType, 0), this.u32(snapLength), ...options)
  }

  enhanced(
    device: number,
    ticks: bigint,
    bytes: Uint8Array,
    wireLength = bytes.length,
    ...options: readonly Uint8Array[]
  ): Uint8Array {
    const high = Number(ticks >> 32n)
    const low = Number(ticks & 0xffff_ffffn)
    return this.block(6, this.u32(device, high, low, bytes.length, wireLength), padded(bytes), ...options)
  }

  simple(bytes: Uint8Array, wireLength = bytes.length): Uint8Array {
    return this.block(3, this.u32(wireLength), bytes)
  }

  /** The packet block of the first pcapng, with a count of drops. */
  obsolete(device: number, drops: number, ticks: bigint, bytes: Uint8Array): Uint8Array {
    const high = Number(ticks >> 32n)
    const low = Number(ticks & 0xffff_ffffn)
    return this.block(2, this.u16(device, drops), this.u32(high, low, bytes.length, bytes.length), bytes)
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  return join(bytes, new Uint8Array(-bytes.length & 3))
}

/** How reading a file ended, and the packets in front of that. */
export interface Outcome {
  packets: CapturedPacket[]
  /** Null at a clean end. */
  error: PcapError | null
}

/** The bytes of a packet. */
export function frameOf({ bytes, at, length }: CapturedPacket): Uint8Array {
  return bytes.subarray(at, at + length)
}

export async function readOutcome(
  input: string | Uint8Array | AsyncIterable<Uint8Array>,
  keep = true,
): Promise<Outcome> {
  const packets: CapturedPacket[] = []
  let reader: CaptureReader | null = null
  try {
    reader = await (typeof input === 'string' ? CaptureReader.open(input) : CaptureReader.from(input))
    const packet = new CapturedPacket()
    do while (reader.next(packet)) if (keep) packets.push(packet.copy())
    while (await reader.fill())
    return { packets, error: null }
  } catch (error) {
    if (!(error instanceof PcapError)) throw error
    return { packets, error }
  } finally {
    reader?.close()
  }
}

/** The same bytes in pieces, whose sizes `size` says one after the other. */
export async function* pieces(bytes: Uint8Array, size: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + Math.max(0, size()))
    yield bytes.slice(at, end)
    at = end
  }
}
