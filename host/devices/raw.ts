import { networkInterfaces } from 'node:os'
import { IpAddress } from '../../address.ts'
import { RawNic } from '../../driver/raw/index.ts'
import type { Candidate } from '../examine/index.ts'
import type { DeviceKind } from './kind.ts'
import { refuseLoopbackAddress } from './loopback.ts'

/** Raw IP sockets: `raw:192.0.2.1`, `raw:2001:db8::1`. The address is the host's. */
export interface RawSpec {
  readonly driver: 'raw'
  /** IPv4 or IPv6, as text. */
  readonly address: string
}

export const raw: DeviceKind<RawSpec> = {
  scheme: 'raw',
  form: 'raw:ADDRESS',
  parse(text) {
    const address = text.name
    text.settings()
    if (IpAddress.parse(address) === null) throw text.wrong(`"${address}" is no IP address of this machine`)
    return { driver: 'raw', address }
  },
  open({ address }) {
    refuseLoopbackAddress(address)
    return [RawNic.open({ address })]
  },
  several: 'every raw socket gets every packet, and nothing shares them out',
  wanted: ({ address }) => ({ name: interfaceOf(address) }),
  missing: ({ address }) => `no interface that is up has ${address}`,
  candidates: ({ address }) => [rawCandidate(address)],
}

export function rawCandidate(address: string): Candidate {
  return { name: 'raw', driver: 'raw', mode: 'raw sockets copy', device: `raw:${address}` }
}

/** The interface that has an address of the machine's; empty when none has. */
function interfaceOf(address: string): string {
  const wanted = IpAddress.parse(address)?.toString()
  for (const [name, entries] of Object.entries(networkInterfaces()))
    if (entries?.some((entry) => IpAddress.parse(entry.address)?.toString() === wanted)) return name
  return ''
}
