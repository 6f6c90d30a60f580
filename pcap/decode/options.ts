import { TCP_MIN_HEADER_BYTES, TcpOptions } from '../../stack/wire/tcp.ts'
import type { SegmentDecoder } from './segment.ts'

/** The TCP options of a captured segment; one object is overwritten each time. */
export class CapturedOptions extends TcpOptions {
  /** False when they are malformed; those in front of the fault are read. */
  read(segment: SegmentDecoder): boolean {
    const { tcpAt, headerBytes, capturedEnd } = segment
    const at = tcpAt + TCP_MIN_HEADER_BYTES
    return this.parse(
      segment.bytes,
      at,
      Math.max(0, Math.min(headerBytes - TCP_MIN_HEADER_BYTES, capturedEnd - at)),
    )
  }
}
