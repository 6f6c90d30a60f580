/** Numbers of `linux/tcp.h`, under Linux's names. */

export const TCP_NODELAY = 1
export const TCP_MAXSEG = 2
export const TCP_CORK = 3
export const TCP_KEEPIDLE = 4
export const TCP_KEEPINTVL = 5
export const TCP_KEEPCNT = 6
export const TCP_INFO = 11
export const TCP_QUICKACK = 12
export const TCP_CONGESTION = 13
export const TCP_USER_TIMEOUT = 18
export const TCP_FASTOPEN = 23

/** States as `struct tcp_info` numbers them. */
export const TCP_ESTABLISHED = 1
export const TCP_SYN_SENT = 2
export const TCP_SYN_RECV = 3
export const TCP_FIN_WAIT1 = 4
export const TCP_FIN_WAIT2 = 5
export const TCP_TIME_WAIT = 6
export const TCP_CLOSE = 7
export const TCP_CLOSE_WAIT = 8
export const TCP_LAST_ACK = 9
export const TCP_LISTEN = 10
export const TCP_CLOSING = 11

export const TCPI_OPT_TIMESTAMPS = 1
export const TCPI_OPT_SACK = 2
export const TCPI_OPT_WSCALE = 4
