/** Numbers of `linux/in.h` and `linux/in6.h`, under Linux's names. */

/** Level of the IP_ options; also `SOL_IP`. */
export const IPPROTO_IP = 0
export const IP_TOS = 1
export const IP_TTL = 2
/** Level of the IPV6_ options. */
export const IPPROTO_IPV6 = 41
export const IPV6_UNICAST_HOPS = 16
export const IPV6_V6ONLY = 26
export const IPV6_TCLASS = 67
/** Level of the TCP_ options; also `SOL_TCP`. */
export const IPPROTO_TCP = 6
