/** Events of poll(2), of `asm-generic/poll.h`. */

// Events of poll(2).
export const POLLIN = 0x1
export const POLLPRI = 0x2
export const POLLOUT = 0x4
export const POLLERR = 0x8
export const POLLHUP = 0x10
export const POLLRDHUP = 0x2000
