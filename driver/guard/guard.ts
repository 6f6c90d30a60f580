import { NicError } from '../../errors.ts'

/**
 * Keeps the host's kernel from answering for the stack. Where an address is the host's too, its kernel gets every segment that
 * the stack gets, knows no connection for it, and would reset it (RFC 9293 3.5.2). An address that is the stack's alone needs
 * no guard: the kernel has no use for packets to it, unless it forwards.
 */
export interface Guard {
  /**
   * From now on the kernel answers nothing that comes to this address (network order) and TCP port.
   * @throws NicError `ZCRX_NIC_BUSY` when the port is the host's
   */
  hold(address: Uint8Array, port: number): void
  /** Undoes `hold`; nothing when the port is not held. Does not throw. */
  release(address: Uint8Array, port: number): void
  /** Undoes everything. Idempotent. */
  close(): void
}

/** An address and port as the key of a map. */
export function portKey(address: Uint8Array, port: number): string {
  return `${address.join('.')} ${port}`
}

/** @param remedy what to do about it, beside looking whose it is */
export function portTaken(address: Uint8Array, port: number, remedy: string, errno: number): NicError {
  return new NicError(
    'ZCRX_NIC_BUSY',
    `TCP port ${port} of ${textOf(address)} is taken by a socket of this host`,
    `${remedy}; ss -tanp sport = :${port} shows whose it is`,
    errno,
  )
}

/** An address in network order, as text. */
export function textOf(address: Uint8Array): string {
  if (address.length === 4) return address.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (address[2 * i]! << 8) | address[2 * i + 1]!)
  return groups.map((group) => group.toString(16)).join(':')
}
