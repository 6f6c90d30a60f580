import { parseIpv4, parseIpv6 } from '../../address.ts'
import { put32 } from '../../bytes.ts'
import { ArgumentError } from '../../errors.ts'

/** One end of a conversation. */
export interface Endpoint {
  readonly version: 4 | 6
  /** 4 or 16 bytes in network order. */
  readonly address: Uint8Array
  readonly port: number
}

/** From `192.0.2.1:40000` or `[2001:db8::1]:40000`. @throws ArgumentError for other text */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const words = match?.[1] === undefined ? null : parseIpv6(match[1])
  const four = match?.[2] === undefined ? null : parseIpv4(match[2])
  const port = Number(match?.[3])
  if ((words === null && four === null) || port > 65_535) {
    throw new ArgumentError(`${text} is not an endpoint`, 'write 192.0.2.1:80 or [2001:db8::1]:80')
  }
  const address = new Uint8Array(words === null ? 4 : 16)
  for (const [i, word] of (words ?? [four!]).entries()) put32(address, i * 4, word)
  return { version: words === null ? 4 : 6, address, port }
}
