import { ZcrxError } from '../errors.ts'

export type PcapErrorCode =
  | 'PCAP_FORMAT' // neither pcap nor pcapng, nor either of them compressed
  | 'PCAP_TRUNCATED' // the file ends within a record
  | 'PCAP_CORRUPT' // lengths or numbers in it contradict each other
  | 'PCAP_COMPRESSION' // what was compressed can't be unpacked
  | 'PCAP_IO' // the file can't be opened, read or written

/**
 * A capture that can't be read any further. Every packet in front of the fault has been handed out. `offset` is where the
 * fault is: bytes from the start of the file, of the unpacked one if it is compressed; -1 when there is no file to begin with.
 */
export class PcapError extends ZcrxError {
  declare readonly code: PcapErrorCode
  readonly offset: number

  constructor(
    code: PcapErrorCode,
    message: string,
    offset: number,
    remedy = '',
    options?: { cause?: unknown },
  ) {
    super(code, offset < 0 ? message : `${message} (at byte ${offset})`, remedy, options)
    this.name = 'PcapError'
    this.offset = offset
  }
}
