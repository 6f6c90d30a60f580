/**
 * Base of every error this package throws at a caller. `code` is stable and meant for programs, the message
 * says what happened, `remedy` what the reader can do about it (a command where one exists).
 */
export class ZcrxError extends Error {
  /** Stable: `ZCRX_…`, `PCAP_…`, or an errno's name. */
  readonly code: string
  /** What the reader can do about it; may be empty. */
  readonly remedy: string

  constructor(code: string, message: string, remedy = '', options?: ErrorOptions) {
    super(remedy === '' ? message : `${message}: ${remedy}`, options)
    this.name = 'ZcrxError'
    this.code = code
    this.remedy = remedy
  }
}

const ENODEV = 19
const EADDRNOTAVAIL = 99

/** What can be missing or refused when a network queue is opened. */
export type NicErrorCode =
  | 'ZCRX_NIC_ADDON' // the native addon is not built or can't be loaded
  | 'ZCRX_NIC_PERMISSION' // a capability is missing
  | 'ZCRX_NIC_NO_DEVICE' // no interface of that name in this network namespace
  | 'ZCRX_NIC_NO_QUEUE' // the interface has no such receive queue
  | 'ZCRX_NIC_UNSUPPORTED' // kernel or device driver can't do what was asked
  | 'ZCRX_NIC_MEMLOCK' // RLIMIT_MEMLOCK is smaller than the memory to pin
  | 'ZCRX_NIC_BUSY' // queue or XDP hook is taken by someone else
  | 'ZCRX_NIC_DOWN' // the interface is down
  | 'ZCRX_NIC_GONE' // the interface was there when the queue was opened, and is no longer
  | 'ZCRX_NIC_MEMORY' // the memory handed in can't serve the queue
  | 'ZCRX_WORKER_GONE' // the worker that served the queue has ended
  | 'ZCRX_NIC_SYSTEM' // any other system call failure, errno in the message

/** A network queue could not be opened, changed or used. `errno` is positive, 0 when no system call was involved. */
export class NicError extends ZcrxError {
  /** What is wrong, of a fixed set. */
  declare readonly code: NicErrorCode
  /** Positive; 0 when no system call was involved. */
  readonly errno: number

  constructor(code: NicErrorCode, message: string, remedy = '', errno = 0) {
    super(code, message, remedy)
    this.name = 'NicError'
    this.errno = errno
  }
}

/** An argument a caller handed in can't be right. Thrown before anything is changed. */
export class ArgumentError extends ZcrxError {
  constructor(message: string, remedy = '') {
    super('ZCRX_ARGUMENT', message, remedy)
    this.name = 'ArgumentError'
  }
}

/** A device string is wrong. `at` is where, in characters from its beginning; the message shows it. */
export class DeviceError extends ArgumentError {
  /** The device string as it was given. */
  readonly device: string
  /** Where in it, in characters from its beginning. */
  readonly at: number

  constructor(device: string, at: number, message: string, remedy = '') {
    super(`${message}\n  ${device}\n  ${' '.repeat(at)}^`, remedy)
    this.name = 'DeviceError'
    this.device = device
    this.at = at
  }
}

/** An address that is not there to be used: EADDRNOTAVAIL. */
export class AddressError extends ArgumentError {
  /** Always this. */
  override readonly code: string = 'ZCRX_ADDRESS_NOT_AVAILABLE'
  /** Positive. */
  readonly errno = EADDRNOTAVAIL

  constructor(message: string, remedy: string) {
    super(message, remedy)
    this.name = 'AddressError'
  }
}

/** Where a connection went or came from, as far as the error is about that. */
export interface ConnectionErrorPlace {
  /** Of the peer, as text. */
  readonly address?: string
  /** Of the peer. */
  readonly port?: number
  /** What led to it, for `Error.cause`. */
  readonly cause?: unknown
}

/**
 * A connection could not be made, or has ended otherwise than in order: what `node:net` reports in the same case. `code` is the errno's
 * name (`ECONNREFUSED`), `errno` the number as Node has it: negative; `syscall` what failed.
 */
export class ConnectionError extends ZcrxError {
  /** As Node has it: negative. */
  readonly errno: number
  /** What failed: `connect`, `read` and the like. */
  readonly syscall: string
  /** Of the peer, as text; absent when the error is not about one. */
  declare readonly address?: string
  /** Of the peer; absent with `address`. */
  declare readonly port?: number

  /** @param errno positive, with its name in `code` */
  constructor(
    [code, errno]: readonly [code: string, errno: number],
    syscall: string,
    { address, port, cause }: ConnectionErrorPlace = {},
    remedy = '',
  ) {
    const where = address === undefined ? '' : ` ${address.includes(':') ? `[${address}]` : address}:${port}`
    super(code, `${syscall} ${code}${where}`, remedy, cause === undefined ? undefined : { cause })
    this.name = 'ConnectionError'
    this.errno = -errno
    this.syscall = syscall
    if (address !== undefined) this.address = address
    if (port !== undefined) this.port = port
  }
}

/** What was waited for was given up by its `AbortSignal`; `cause` is the signal's reason. As in Node, `code` is `ABORT_ERR`. */
export class AbortError extends ZcrxError {
  constructor(reason: unknown) {
    super('ABORT_ERR', 'the operation was aborted', '', { cause: reason })
    this.name = 'AbortError'
  }
}

/** What can be wrong with a capture. */
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
  /** What is wrong, of a fixed set. */
  declare readonly code: PcapErrorCode
  /** Bytes from the start of the file, of the unpacked one if it is compressed; -1 without a file. */
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

/** What a queue has to say whose interface went away. */
export function interfaceGone(device: string): NicError {
  return new NicError(
    'ZCRX_NIC_GONE',
    `the interface ${device} is gone: it was deleted, or moved to another network namespace`,
    'open it again when it is back: ip link',
    ENODEV,
  )
}
