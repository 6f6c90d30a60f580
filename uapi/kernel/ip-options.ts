import { EINVAL, ENOPROTOOPT } from '../abi/errno.ts'
import {
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
} from '../abi/in.ts'
import { AF_INET6 } from '../abi/socket.ts'
import type { Socket } from './socket.ts'

/** Of the traffic class, the two bits of ECN are TCP's own (RFC 3168 section 5). */
const ECN_BITS = 3
const DEFAULT_HOP_LIMIT = 64

/** What an option of the IP levels is called in `SocketOptions`; null when it is none of ours. */
function optionOf(
  socket: Socket,
  level: number,
  optname: number,
): 'v6Only' | 'trafficClass' | 'hopLimit' | null {
  if (level === IPPROTO_IP) {
    if (optname === IP_TOS) return 'trafficClass'
    return optname === IP_TTL ? 'hopLimit' : null
  }
  if (socket.family !== AF_INET6) return null
  if (optname === IPV6_V6ONLY) return 'v6Only'
  if (optname === IPV6_TCLASS) return 'trafficClass'
  return optname === IPV6_UNICAST_HOPS ? 'hopLimit' : null
}

/** The value of an IPPROTO_IP or IPPROTO_IPV6 option; null when there is no such option. */
export function getIpOption(socket: Socket, level: number, optname: number): number | null {
  const { options } = socket
  switch (optionOf(socket, level, optname)) {
    case 'v6Only':
      return options.v6Only ? 1 : 0
    case 'trafficClass':
      return options.trafficClass
    case 'hopLimit':
      return options.hopLimit || DEFAULT_HOP_LIMIT
    default:
      return null
  }
}

/** Sets such an option: 0 or minus errno, as Linux answers (ip(7), ipv6(7)). */
export function setIpOption(socket: Socket, level: number, optname: number, number: number): number {
  switch (optionOf(socket, level, optname)) {
    case 'v6Only':
      // What a socket is bound to already stays as it is.
      if (socket.bound !== null || socket.tcb !== null) return -EINVAL
      return socket.setOptions({ v6Only: number !== 0 })
    case 'trafficClass':
      if (level === IPPROTO_IPV6 && (number < -1 || number > 255)) return -EINVAL
      return socket.setOptions({ trafficClass: number === -1 ? 0 : number & 0xff & ~ECN_BITS })
    case 'hopLimit':
      if (number === -1) return socket.setOptions({ hopLimit: 0 })
      if (number < 1 || number > 255) return -EINVAL
      return socket.setOptions({ hopLimit: number })
    default:
      return -ENOPROTOOPT
  }
}
