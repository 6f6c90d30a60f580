import { IpAddress } from '../../address.ts'
import { AF_INET, AF_INET6 } from './socket.ts'
import { Struct } from './struct.ts'

/** `struct sockaddr_in`, 16 bytes: family little-endian, port and address in network order. */
export class SockaddrIn extends Struct {
  static readonly SIZE = 16
  /** @param address as an integer, or an address of version 4 */
  static of(address: number | IpAddress, port: number): Uint8Array {
    const bytes = new Uint8Array(SockaddrIn.SIZE)
    new SockaddrIn(bytes).set(typeof address === 'number' ? address : address.w3, port)
    return bytes
  }
  set(address: number, port: number): void {
    this.view.setUint16(0, 2, true)
    this.view.setUint16(2, port, false)
    this.view.setInt32(4, address, false)
  }
  get family(): number {
    return this.view.getUint16(0, true)
  }
  get port(): number {
    return this.view.getUint16(2, false)
  }
  /** Signed integer, as the stack keeps addresses. */
  get address(): number {
    return this.view.getInt32(4, false)
  }
}

/** `struct sockaddr_in6`, 28 bytes: like `SockaddrIn`; IPv4 addresses are v4-mapped (RFC 3493 3.7). */
export class SockaddrIn6 extends Struct {
  static readonly SIZE = 28
  /** RFC 2133's form, without a scope id, that Linux takes too. */
  static readonly MIN_SIZE = 24
  static of(address: IpAddress, port: number): Uint8Array {
    const bytes = new Uint8Array(SockaddrIn6.SIZE)
    new SockaddrIn6(bytes).set(address, port)
    return bytes
  }
  set(address: IpAddress, port: number): void {
    this.view.setUint16(0, 10, true)
    this.view.setUint16(2, port, false)
    this.view.setUint32(4, 0)
    address.put(this.bytes, 8)
    if (this.bytes.length >= SockaddrIn6.SIZE) this.view.setUint32(24, 0)
  }
  get family(): number {
    return this.view.getUint16(0, true)
  }
  get port(): number {
    return this.view.getUint16(2, false)
  }
  /** `sin6_flowinfo`, in host order. */
  get flowInfo(): number {
    return this.view.getUint32(4, false)
  }
  get address(): IpAddress {
    return IpAddress.at(this.bytes, 8)
  }
  /** Interface index of a link-local address; 0 when not said. */
  get scopeId(): number {
    return this.bytes.length >= SockaddrIn6.SIZE ? this.u32(24) : 0
  }
  set scopeId(index: number) {
    this.setU32(24, index)
  }
}

/** The sockaddr of an address: `sockaddr_in` or `sockaddr_in6`. */
export function sockaddrOf(address: IpAddress, port: number): Uint8Array {
  return address.version === 4 ? SockaddrIn.of(address, port) : SockaddrIn6.of(address, port)
}

/** Bytes that take a sockaddr of either family. */
export const SOCKADDR_BYTES: number = SockaddrIn6.SIZE

/** Address and port of a `sockaddr_in` or `sockaddr_in6` that the kernel has written; null of another family. */
export function endpointOf(sockaddr: Uint8Array): { address: IpAddress; port: number } | null {
  const { family, port, address } = new SockaddrIn(sockaddr)
  if (family === AF_INET) return { address: IpAddress.v4(address), port }
  return family === AF_INET6 ? { address: new SockaddrIn6(sockaddr).address, port } : null
}
