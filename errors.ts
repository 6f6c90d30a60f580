/**
 * Base of every error this package throws at a caller. `code` is stable and meant for programs, the message
 * says what happened, `remedy` what the reader can do about it (a command where one exists).
 */
export class ZcrxError extends Error {
  readonly code: string
  readonly remedy: string

  constructor(code: string, message: string, remedy = '', options?: ErrorOptions) {
    super(remedy === '' ? message : `${message}: ${remedy}`, options)
    this.name = 'ZcrxError'
    this.code = code
    this.remedy = remedy
  }
}

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
  | 'ZCRX_NIC_SYSTEM' // any other system call failure, errno in the message

/** A network queue could not be opened, changed or used. `errno` is positive, 0 when no system call was involved. */
export class NicError extends ZcrxError {
  declare readonly code: NicErrorCode
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

const ENODEV = 19

/** What a queue has to say whose interface went away. */
export function interfaceGone(device: string): NicError {
  return new NicError(
    'ZCRX_NIC_GONE',
    `the interface ${device} is gone: it was deleted, or moved to another network namespace`,
    'open it again when it is back: ip link',
    ENODEV,
  )
}
