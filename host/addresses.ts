import { IpAddress } from '../address.ts'
import { ArgumentError } from '../errors.ts'
import type { HostOptions } from './options.ts'

/** What `HostOptions` say about addresses. */
export interface AddressPlan {
  readonly addresses: { readonly address: IpAddress; readonly prefixLength: number }[]
  readonly gateways: readonly IpAddress[]
  /** They are the stack's alone. */
  readonly own: boolean
  /** IPv6 from router advertisements. */
  readonly auto: boolean
  /** They are those of the interface, and change with them. */
  followed: boolean
}

/**
 * Reads and checks what is said about addresses. @throws ArgumentError that shows what is wrong
 * @param farEnd the kernel is at the other end of the wire: whatever addresses we have are our own
 */
export function planAddresses(options: HostOptions, farEnd: boolean): AddressPlan {
  const given = listOf(options.address)
  const auto = given.includes('auto')
  const own = farEnd || (options.ownAddress ?? auto)
  if (farEnd && given.length === 0) {
    throw new ArgumentError(
      'the addresses of the interface are those of the kernel at the other end',
      'name one of your own on the same network: 192.0.2.2/24',
    )
  }
  if (auto && !own) {
    throw new ArgumentError(
      'the machine configures its addresses itself',
      "leave ownAddress out with address 'auto', or name an address of the machine's",
    )
  }
  const addresses = given
    .filter((text) => text !== 'auto')
    .map((text) => readAddress(text, options.prefixLength ?? 0))
  // Said for the interface's own address, which nobody has looked up yet.
  checkPrefix(options.prefixLength ?? 0, 128)
  const gateways = listOf(options.gateway).map(readGateway)
  for (const version of [4, 6]) {
    const of = gateways.filter((gateway) => gateway.version === version)
    if (of.length > 1) throw new ArgumentError(`two gateways for IPv${version}: ${of.join(', ')}`, 'name one')
  }
  if (addresses.length > 0) {
    for (const gateway of gateways) {
      if (addresses.some(({ address }) => address.version === gateway.version)) continue
      const { address } = addresses[0]!
      throw new ArgumentError(
        `"${gateway}" is no gateway for ${address}`,
        'it has an address of the same version',
      )
    }
  }
  return { addresses, gateways, own, auto, followed: false }
}

/** `192.0.2.5` or `192.0.2.5/24`. @param otherwise bits of the prefix where none are said @throws ArgumentError */
function readAddress(text: string, otherwise: number): AddressPlan['addresses'][number] {
  const slash = text.lastIndexOf('/')
  const address = IpAddress.parse(slash < 0 ? text : text.slice(0, slash))
  if (address === null) {
    throw new ArgumentError(`"${text}" is not an IP address`, 'write it as 192.0.2.1/24 or 2001:db8::1/64')
  }
  const bits = slash < 0 ? otherwise : /^\d+$/.test(text.slice(slash + 1)) ? +text.slice(slash + 1) : -1
  checkPrefix(bits, address.version === 4 ? 32 : 128)
  return { address, prefixLength: bits }
}

/** @param most bits of an address @throws ArgumentError */
export function checkPrefix(bits: number, most: number): void {
  if (Number.isInteger(bits) && bits >= 0 && bits <= most) return
  throw new ArgumentError(`an address has no prefix of ${bits} bits`, `write a number from 0 to ${most}`)
}

function readGateway(text: string): IpAddress {
  const gateway = IpAddress.parse(text)
  if (gateway?.unicast === true) return gateway
  throw new ArgumentError(`"${text}" is no address of a gateway`, 'write it as 192.0.2.254 or fe80::1')
}

function listOf(given: string | readonly string[] | undefined): readonly string[] {
  if (given === undefined) return []
  return typeof given === 'string' ? [given] : given
}
