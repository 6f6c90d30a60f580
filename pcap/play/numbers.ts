import { get32, put32 } from '../../bytes.ts'
import {
  OPTION_END,
  OPTION_NOP,
  OPTION_SACK,
  OPTION_SACK_PERMITTED,
  OPTION_TIMESTAMPS,
  OPTION_WINDOW_SCALE,
  SYN,
  TCP_MIN_HEADER_BYTES,
  tcpField,
} from '../../stack/wire/tcp.ts'

/** How a captured segment's numbers are told to an endpoint that chose its own. */
export interface Numbers {
  ack(captured: number): number
  /** False when a SACK edge is of what was never sent. */
  knows(captured: number): boolean
  tsVal(captured: number): number
  tsEcr(captured: number): number
}

/** Options that a SYN must not offer, since the captured peer did not take them up. */
export interface Refused {
  timestamps: boolean
  sack: boolean
  windowScale: boolean
}

/**
 * Translates acknowledgement number, timestamps and SACK edges of the TCP header at `header[tcp]`. The checksum is not touched.
 * @param refused of a SYN; else null
 */
export function translateNumbers(
  header: Uint8Array,
  tcp: number,
  headerBytes: number,
  flags: number,
  numbers: Numbers,
  refused: Refused | null,
): void {
  put32(header, tcp + tcpField.acknowledgment, numbers.ack(get32(header, tcp + tcpField.acknowledgment)))
  const end = tcp + headerBytes
  for (let at = tcp + TCP_MIN_HEADER_BYTES; at < end; ) {
    const kind = header[at]!
    if (kind === OPTION_END) return
    if (kind === OPTION_NOP) {
      at++
      continue
    }
    const size = at + 1 < end ? header[at + 1]! : 0
    if (size < 2 || at + size > end) return
    if (kind === OPTION_TIMESTAMPS && size === 10) {
      if (refused?.timestamps === true) header.fill(OPTION_NOP, at, at + size)
      else {
        put32(header, at + 2, numbers.tsVal(get32(header, at + 2)))
        // RFC 7323 3.2: a SYN echoes nothing.
        if ((flags & SYN) === 0 || get32(header, at + 6) !== 0)
          put32(header, at + 6, numbers.tsEcr(get32(header, at + 6)))
      }
    } else if (kind === OPTION_SACK && (size - 2) % 8 === 0) translateSack(header, at, size, numbers)
    else if (refused !== null) {
      const unwanted =
        (kind === OPTION_SACK_PERMITTED && refused.sack) ||
        (kind === OPTION_WINDOW_SCALE && refused.windowScale)
      if (unwanted) header.fill(OPTION_NOP, at, at + size)
    }
    at += size
  }
}

function translateSack(header: Uint8Array, at: number, size: number, numbers: Numbers): void {
  for (let edge = at + 2; edge < at + size; edge += 4) {
    if (!numbers.knows(get32(header, edge))) {
      // Blocks of what the endpoint has not sent would be nonsense to it.
      header.fill(OPTION_NOP, at, at + size)
      return
    }
  }
  for (let edge = at + 2; edge < at + size; edge += 4) {
    put32(header, edge, numbers.ack(get32(header, edge)))
  }
}
