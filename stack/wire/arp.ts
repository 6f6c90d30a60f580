import { get16, get32, put16, put32 } from '../../bytes.ts'

/** ARP for IPv4 over Ethernet (RFC 826). */

export const ARP_BYTES = 28
export const ARP_REQUEST = 1
export const ARP_REPLY = 2

/** Byte offsets within the packet. */
export const arpField = {
  hardware: 0,
  protocol: 2,
  sizes: 4,
  operation: 6,
  senderMac: 8,
  senderAddress: 14,
  targetMac: 18,
  targetAddress: 24,
} as const

/** Whether these 28 bytes are Ethernet/IPv4 ARP. */
export function isArpIpv4(bytes: Uint8Array, at: number): boolean {
  return get16(bytes, at) === 1 && get16(bytes, at + 2) === 0x0800 && get16(bytes, at + 4) === 0x0604
}

export function arpOperation(bytes: Uint8Array, at: number): number {
  return get16(bytes, at + arpField.operation)
}

export function arpSenderAddress(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + arpField.senderAddress)
}

export function arpTargetAddress(bytes: Uint8Array, at: number): number {
  return get32(bytes, at + arpField.targetAddress)
}

/** Writes the 28-byte packet. Addresses are integers; the target's hardware address comes as its first two and last four bytes. */
export function putArp(
  frame: Uint8Array,
  at: number,
  operation: number,
  senderMac: Uint8Array,
  senderAddress: number,
  targetMacHigh: number,
  targetMacLow: number,
  targetAddress: number,
): void {
  put16(frame, at, 1)
  put16(frame, at + 2, 0x0800)
  put16(frame, at + 4, 0x0604)
  put16(frame, at + 6, operation)
  for (let i = 0; i < 6; i++) frame[at + arpField.senderMac + i] = senderMac[i]!
  put16(frame, at + arpField.targetMac, targetMacHigh)
  put32(frame, at + arpField.targetMac + 2, targetMacLow)
  put32(frame, at + arpField.senderAddress, senderAddress)
  put32(frame, at + arpField.targetAddress, targetAddress)
}
