/** Numbers of `linux/socket.h` and `asm-generic/socket.h`, under Linux's names. */

export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SHUT_RD = 0
export const SHUT_WR = 1
export const SHUT_RDWR = 2

/** In the type given to `prepSocket`: nothing waits, EAGAIN and EINPROGRESS are answered instead. */
export const SOCK_NONBLOCK = 0o4000
/** In that type: means nothing here, where nothing is executed, and is accepted. */
export const SOCK_CLOEXEC = 0o2000000

// Flags of send and receive.
export const MSG_OOB = 0x1
export const MSG_PEEK = 0x2
export const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40
export const MSG_WAITALL = 0x100
export const MSG_NOSIGNAL = 0x4000
export const MSG_MORE = 0x8000

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
