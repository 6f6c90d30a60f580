/** Connection states (RFC 9293 section 3.3.2). The order matters: from ESTABLISHED on a connection is synchronized. */
export const CLOSED = 0
export const LISTEN = 1
export const SYN_SENT = 2
export const SYN_RECEIVED = 3
export const ESTABLISHED = 4
export const FIN_WAIT_1 = 5
export const FIN_WAIT_2 = 6
export const CLOSE_WAIT = 7
export const CLOSING = 8
export const LAST_ACK = 9
export const TIME_WAIT = 10

const names = [
  'CLOSED',
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
]

/** The RFC's name of a state. */
export function stateName(state: number): string {
  return names[state] ?? 'UNKNOWN'
}

/** `Tcb.events` bits, drained by whoever owns the connection after each poll. */
export const EVENT_READABLE = 1 // data, end of stream or an error waits
export const EVENT_WRITABLE = 2 // the send buffer has room again
export const EVENT_CONNECTED = 4 // an active open succeeded
export const EVENT_CLOSED = 8 // the connection is gone (error says why)
export const EVENT_URGENT = 32 // the peer has announced urgent data
/** `Listener.events` bit. */
export const EVENT_ACCEPT = 16

/** Errors a connection ends with: positive errno numbers of Linux. */
export const EFAULT = 14
export const EPIPE = 32
export const ECONNRESET = 104
export const ETIMEDOUT = 110
export const ECONNREFUSED = 111
export const ECONNABORTED = 103
export const EADDRNOTAVAIL = 99
export const EHOSTUNREACH = 113
