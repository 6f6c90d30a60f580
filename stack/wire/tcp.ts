import { get16, get32, put16, put32 } from '../../bytes.ts'

/** The TCP header (RFC 9293 section 3.1) and the options this stack knows. */

export const TCP_MIN_HEADER_BYTES = 20

export const FIN = 0x01
export const SYN = 0x02
export const RST = 0x04
export const PSH = 0x08
export const ACK = 0x10
export const URG = 0x20
export const ECE = 0x40
export const CWR = 0x80
/** Accurate ECN (RFC 9768), once the nonce sum: the lowest bit of the byte in front of the other flags. */
export const AE = 0x100

/** Byte offsets within the header. */
export const tcpField = {
  sourcePort: 0,
  destinationPort: 2,
  sequence: 4,
  acknowledgment: 8,
  dataOffset: 12,
  flags: 13,
  window: 14,
  checksum: 16,
  urgentPointer: 18,
} as const

/** Kinds of options (RFC 9293 3.1, RFC 7323, RFC 2018). */
export const OPTION_END = 0
export const OPTION_NOP = 1
const OPTION_MSS = 2
export const OPTION_WINDOW_SCALE = 3
export const OPTION_SACK_PERMITTED = 4
export const OPTION_SACK = 5
export const OPTION_TIMESTAMPS = 8
const OPTION_FAST_OPEN = 34
const OPTION_MD5 = 19
const OPTION_AUTHENTICATION = 29
const OPTION_ACCURATE_ECN_0 = 172

/** RFC 7323 section 2.3: a shift above 14 is used as 14. */
export const MAX_WINDOW_SHIFT = 14

/** Four bytes `NOP NOP kind=8 len=10` that begin the usual timestamp block (RFC 7323 appendix A). */
export const TIMESTAMP_PREFIX = 0x0101080a

/** The options of one segment. One instance is reused for every segment. */
export class TcpOptions {
  /** Announced MSS, 0 when absent. */
  mss = 0
  /** Window shift 0..14, -1 when absent. */
  windowScale = -1
  sackPermitted = false
  hasTimestamps = false
  tsVal = 0
  tsEcr = 0
  /** Edges of the SACK blocks, left and right in turn. */
  readonly sack: Int32Array = new Int32Array(8)
  sackBlocks = 0
  /** TCP Fast Open (RFC 7413): where the cookie lies in the bytes parsed, and its length; 0 asks for one, -1 is absent. */
  fastOpenAt = 0
  fastOpenLength = -1
  /** Signed: MD5 (RFC 2385) or TCP-AO (RFC 5925). */
  signed = false

  clear(): void {
    this.mss = 0
    this.windowScale = -1
    this.sackPermitted = false
    this.hasTimestamps = false
    this.tsVal = 0
    this.tsEcr = 0
    this.sackBlocks = 0
    this.fastOpenLength = -1
    this.signed = false
  }

  /**
   * Reads the options in `bytes[at..at+length)`. Returns false when they are malformed: a length of 0 or 1, or one that
   * leaves the header. What came before the fault is kept; an option of a wrong length for its kind is passed over.
   */
  parse(bytes: Uint8Array, at: number, length: number): boolean {
    this.clear()
    if (length === 12 && get32(bytes, at) === TIMESTAMP_PREFIX) {
      this.hasTimestamps = true
      this.tsVal = get32(bytes, at + 4)
      this.tsEcr = get32(bytes, at + 8)
      return true
    }
    const end = at + length
    while (at < end) {
      const kind = bytes[at]!
      if (kind === OPTION_END) return true
      if (kind === OPTION_NOP) {
        at++
        continue
      }
      if (at + 1 >= end) return false
      const size = bytes[at + 1]!
      if (size < 2 || at + size > end) return false
      this.#read(kind, size, bytes, at)
      at += size
    }
    return true
  }

  #read(kind: number, size: number, bytes: Uint8Array, at: number): void {
    if (kind === OPTION_MSS && size === 4) {
      this.mss = get16(bytes, at + 2)
    } else if (kind === OPTION_WINDOW_SCALE && size === 3) {
      this.windowScale = Math.min(bytes[at + 2]!, MAX_WINDOW_SHIFT)
    } else if (kind === OPTION_SACK_PERMITTED && size === 2) {
      this.sackPermitted = true
    } else if (kind === OPTION_TIMESTAMPS && size === 10) {
      this.hasTimestamps = true
      this.tsVal = get32(bytes, at + 2)
      this.tsEcr = get32(bytes, at + 6)
    } else if (kind === OPTION_FAST_OPEN) {
      this.fastOpenAt = at + 2
      this.fastOpenLength = size - 2
    } else if (kind === OPTION_MD5 || kind === OPTION_AUTHENTICATION) {
      this.signed = true
    } else if (kind === OPTION_SACK && size >= 10 && (size - 2) % 8 === 0) {
      this.sackBlocks = Math.min(4, (size - 2) / 8)
      for (let i = 0; i < this.sackBlocks * 2; i++) this.sack[i] = get32(bytes, at + 2 + i * 4)
    }
  }
}

/** Writes NOP NOP TIMESTAMPS; returns 12. */
export function putTimestamps(frame: Uint8Array, at: number, tsVal: number, tsEcr: number): number {
  put32(frame, at, TIMESTAMP_PREFIX)
  put32(frame, at + 4, tsVal)
  put32(frame, at + 8, tsEcr)
  return 12
}

/** Writes MSS; returns 4. */
export function putMss(frame: Uint8Array, at: number, mss: number): number {
  put32(frame, at, (OPTION_MSS << 24) | (4 << 16) | mss)
  return 4
}

/** Writes NOP and window scale; returns 4. */
export function putWindowScale(frame: Uint8Array, at: number, shift: number): number {
  put32(frame, at, (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | shift)
  return 4
}

/** Writes SACK-permitted behind `nops` NOPs; returns the bytes. */
export function putSackPermitted(frame: Uint8Array, at: number, nops: number): number {
  for (let i = 0; i < nops; i++) frame[at + i] = OPTION_NOP
  put16(frame, at + nops, (OPTION_SACK_PERMITTED << 8) | 2)
  return nops + 2
}

/** Writes a Fast Open cookie of two words and aligns it; returns 12. */
export function putFastOpen(frame: Uint8Array, at: number, cookie: Int32Array): number {
  put32(frame, at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_FAST_OPEN << 8) | 10)
  put32(frame, at + 4, cookie[0]!)
  put32(frame, at + 8, cookie[1]!)
  return 12
}

/** Writes AccECN0 (RFC 9768 section 3.2.3) and aligns it: three counters of 24 bits; returns 12. */
export function putAccurateEcn(
  frame: Uint8Array,
  at: number,
  ect0Bytes: number,
  ceBytes: number,
  ect1Bytes: number,
): number {
  frame[at] = OPTION_NOP
  frame[at + 1] = OPTION_ACCURATE_ECN_0
  frame[at + 2] = 11
  put16(frame, at + 3, ect0Bytes >>> 8)
  frame[at + 5] = ect0Bytes
  put16(frame, at + 6, ceBytes >>> 8)
  frame[at + 8] = ceBytes
  put16(frame, at + 9, ect1Bytes >>> 8)
  frame[at + 11] = ect1Bytes
  return 12
}

/** Writes NOP NOP SACK with `blocks` blocks from `edges`; returns 4 + 8 per block. */
export function putSack(frame: Uint8Array, at: number, edges: Int32Array, blocks: number): number {
  const size = 2 + 8 * blocks
  put32(frame, at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | size)
  for (let i = 0; i < blocks * 2; i++) put32(frame, at + 4 + i * 4, edges[i]!)
  return 2 + size
}

/** Writes the 20 fixed bytes with a checksum of zero; `headerBytes` includes the options. */
export function putTcp(
  frame: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgment: number,
  headerBytes: number,
  flags: number,
  window: number,
): void {
  put16(frame, at, sourcePort)
  put16(frame, at + 2, destinationPort)
  put32(frame, at + 4, sequence)
  put32(frame, at + 8, acknowledgment)
  frame[at + 12] = ((headerBytes >>> 2) << 4) | (flags >>> 8)
  frame[at + 13] = flags
  put16(frame, at + 14, window)
  put32(frame, at + 16, 0)
}

/** `SYN,ACK`-like text for logs and tests. */
export function formatFlags(flags: number): string {
  const names = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'AE']
  return names.filter((_, bit) => (flags & (1 << bit)) !== 0).join(',')
}
