/** Socket numbers of Linux (`linux/socket.h`, `asm-generic/socket.h`, `linux/tcp.h`, `linux/io_uring.h`), under its names. */

/** In the type given to `prepSocket`: nothing waits, EAGAIN and EINPROGRESS are answered instead. */
export const SOCK_NONBLOCK = 0o4000
/** In that type: means nothing here, where nothing is executed, and is accepted. */
export const SOCK_CLOEXEC = 0o2000000

// Events of poll(2).
export const POLLIN = 0x1
export const POLLPRI = 0x2
export const POLLOUT = 0x4
export const POLLERR = 0x8
export const POLLHUP = 0x10
export const POLLRDHUP = 0x2000

// Flags of send and receive.
export const MSG_OOB = 0x1
export const MSG_PEEK = 0x2
export const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40
export const MSG_WAITALL = 0x100
export const MSG_NOSIGNAL = 0x4000
export const MSG_MORE = 0x8000

// Commands of IORING_OP_URING_CMD on a socket (enum io_uring_socket_op).
export const SOCKET_URING_OP_SIOCINQ = 0
export const SOCKET_URING_OP_SIOCOUTQ = 1
export const SOCKET_URING_OP_GETSOCKOPT = 2
export const SOCKET_URING_OP_SETSOCKOPT = 3
export const SOCKET_URING_OP_GETSOCKNAME = 5

export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_TYPE = 3
export const SO_ERROR = 4
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_KEEPALIVE = 9
export const SO_OOBINLINE = 10
export const SO_LINGER = 13
export const SO_REUSEPORT = 15
export const SO_RCVLOWAT = 18
export const SO_ACCEPTCONN = 30
export const SO_PROTOCOL = 38
export const SO_DOMAIN = 39

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
