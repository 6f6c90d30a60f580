/** Numbers of `linux/io_uring.h`, `linux/io_uring/zcrx.h` and `query.h` (dual-licensed MIT), under the kernel's names. */

// Opcodes (enum io_uring_op).
export const IORING_OP_NOP = 0
export const IORING_OP_POLL_ADD = 6
export const IORING_OP_TIMEOUT = 11
export const IORING_OP_TIMEOUT_REMOVE = 12
export const IORING_OP_ACCEPT = 13
export const IORING_OP_ASYNC_CANCEL = 14
export const IORING_OP_LINK_TIMEOUT = 15
export const IORING_OP_CONNECT = 16
export const IORING_OP_CLOSE = 19
export const IORING_OP_SEND = 26
export const IORING_OP_RECV = 27
export const IORING_OP_SHUTDOWN = 34
export const IORING_OP_SOCKET = 45
export const IORING_OP_URING_CMD = 46
export const IORING_OP_BIND = 56
export const IORING_OP_LISTEN = 57
export const IORING_OP_RECV_ZC = 58

// Flags of IORING_OP_POLL_ADD, in `len`.
export const IORING_POLL_ADD_MULTI = 1 << 0

// Flags of IORING_OP_TIMEOUT and TIMEOUT_REMOVE, in `timeout_flags`.
export const IORING_TIMEOUT_ABS = 1 << 0
export const IORING_TIMEOUT_UPDATE = 1 << 1
export const IORING_TIMEOUT_ETIME_SUCCESS = 1 << 5
export const IORING_TIMEOUT_MULTISHOT = 1 << 6

// io_uring_setup flags.
export const IORING_SETUP_IOPOLL = 1 << 0
export const IORING_SETUP_SQPOLL = 1 << 1
export const IORING_SETUP_CQSIZE = 1 << 3
export const IORING_SETUP_CLAMP = 1 << 4
export const IORING_SETUP_SUBMIT_ALL = 1 << 7
export const IORING_SETUP_COOP_TASKRUN = 1 << 8
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9
export const IORING_SETUP_CQE32 = 1 << 11
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13
export const IORING_SETUP_CQE_MIXED = 1 << 18

// io_uring_enter flags.
export const IORING_ENTER_GETEVENTS = 1 << 0

// SQ ring flags.
export const IORING_SQ_CQ_OVERFLOW = 1 << 1
export const IORING_SQ_TASKRUN = 1 << 2

// SQE flags.
export const IOSQE_IO_DRAIN = 1 << 1
export const IOSQE_IO_LINK = 1 << 2
export const IOSQE_IO_HARDLINK = 1 << 3
export const IOSQE_ASYNC = 1 << 4
export const IOSQE_BUFFER_SELECT = 1 << 5
export const IOSQE_CQE_SKIP_SUCCESS = 1 << 6

// CQE flags.
export const IORING_CQE_F_MORE = 1 << 1

// Per opcode, in `ioprio`.
export const IORING_ACCEPT_MULTISHOT = 1 << 0
export const IORING_ACCEPT_DONTWAIT = 1 << 1
export const IORING_RECVSEND_POLL_FIRST = 1 << 0
export const IORING_RECV_MULTISHOT = 1 << 1

// ASYNC_CANCEL, in `cancel_flags`.
export const IORING_ASYNC_CANCEL_ALL = 1 << 0
export const IORING_ASYNC_CANCEL_FD = 1 << 1
export const IORING_ASYNC_CANCEL_ANY = 1 << 2
export const IORING_ASYNC_CANCEL_USERDATA = 1 << 4
export const IORING_ASYNC_CANCEL_OP = 1 << 5

// io_uring_register opcodes.
export const IORING_REGISTER_SYNC_CANCEL = 24
export const IORING_REGISTER_ZCRX_IFQ = 32
export const IORING_REGISTER_QUERY = 35
export const IORING_REGISTER_ZCRX_CTRL = 36

// IORING_REGISTER_QUERY, in `query_op`.
export const IO_URING_QUERY_OPCODES = 0
export const IO_URING_QUERY_ZCRX = 1
export const IO_URING_QUERY_SCQ = 2
export const IO_URING_QUERY_ZCRX_EVENT = 3

// Regions.
export const IORING_MEM_REGION_TYPE_USER = 1

// zcrx.
export const IORING_ZCRX_AREA_SHIFT = 48
export const IORING_ZCRX_AREA_DMABUF = 1
export const ZCRX_REG_IMPORT = 1
export const ZCRX_REG_NODEV = 2
export const ZCRX_CTRL_FLUSH_RQ = 0
export const ZCRX_CTRL_EXPORT = 1
export const ZCRX_CTRL_ARM_EVENT = 2
export const ZCRX_CTRL_ADD_AREA = 3
/** Not Linux's: gives an area back while the queue lives. Far from where the kernel's numbers grow. */
export const ZCRX_CTRL_REMOVE_AREA = 0x5a43_0000
export const ZCRX_FEATURE_RX_PAGE_SIZE = 1 << 0
export const ZCRX_FEATURE_EVENT = 1 << 1
/** Event types: `res` of the completion, and the number of the bit in masks. */
export const ZCRX_EVENT_ALLOC_FAIL = 0
export const ZCRX_EVENT_COPY = 1
export const ZCRX_EVENT_DESC_FLAG_STATS = 1 << 0
/** Most entries of a refill queue. */
export const IO_RQ_MAX_ENTRIES = 32_768
/** Most entries of a submission queue; completion queues hold twice as many. */
export const IORING_MAX_ENTRIES = 32_768

// Sockets (linux/socket.h, linux/in.h).
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SHUT_RD = 0
export const SHUT_WR = 1
export const SHUT_RDWR = 2
