/** Numbers of `linux/io_uring.h` (dual-licensed MIT), under the kernel's names. */

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
export const IORING_OP_PROVIDE_BUFFERS = 31
export const IORING_OP_REMOVE_BUFFERS = 32
export const IORING_OP_SHUTDOWN = 34
export const IORING_OP_MSG_RING = 40
export const IORING_OP_SOCKET = 45
export const IORING_OP_URING_CMD = 46
export const IORING_OP_SEND_ZC = 47
export const IORING_OP_BIND = 56
export const IORING_OP_LISTEN = 57
export const IORING_OP_RECV_ZC = 58

// Flags of IORING_OP_POLL_ADD, in `len`.
export const IORING_POLL_ADD_MULTI = 1 << 0

// Flags of IORING_OP_TIMEOUT and TIMEOUT_REMOVE, in `timeout_flags`.
export const IORING_TIMEOUT_ABS = 1 << 0
export const IORING_TIMEOUT_UPDATE = 1 << 1
export const IORING_TIMEOUT_BOOTTIME = 1 << 2
export const IORING_TIMEOUT_REALTIME = 1 << 3
export const IORING_LINK_TIMEOUT_UPDATE = 1 << 4
export const IORING_TIMEOUT_ETIME_SUCCESS = 1 << 5
export const IORING_TIMEOUT_MULTISHOT = 1 << 6

// io_uring_setup flags.
export const IORING_SETUP_IOPOLL = 1 << 0
export const IORING_SETUP_SQPOLL = 1 << 1
export const IORING_SETUP_SQ_AFF = 1 << 2
export const IORING_SETUP_CQSIZE = 1 << 3
export const IORING_SETUP_CLAMP = 1 << 4
export const IORING_SETUP_ATTACH_WQ = 1 << 5
export const IORING_SETUP_R_DISABLED = 1 << 6
export const IORING_SETUP_SUBMIT_ALL = 1 << 7
export const IORING_SETUP_COOP_TASKRUN = 1 << 8
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9
export const IORING_SETUP_SQE128 = 1 << 10
export const IORING_SETUP_CQE32 = 1 << 11
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13
export const IORING_SETUP_NO_MMAP = 1 << 14
export const IORING_SETUP_REGISTERED_FD_ONLY = 1 << 15
export const IORING_SETUP_NO_SQARRAY = 1 << 16
export const IORING_SETUP_HYBRID_IOPOLL = 1 << 17
export const IORING_SETUP_CQE_MIXED = 1 << 18
/** Most entries of a submission queue; completion queues hold twice as many. */
export const IORING_MAX_ENTRIES = 32_768

// io_uring_enter flags.
export const IORING_ENTER_GETEVENTS = 1 << 0
export const IORING_ENTER_SQ_WAKEUP = 1 << 1
export const IORING_ENTER_SQ_WAIT = 1 << 2

// SQ ring flags.
export const IORING_SQ_NEED_WAKEUP = 1 << 0
export const IORING_SQ_CQ_OVERFLOW = 1 << 1
export const IORING_SQ_TASKRUN = 1 << 2

// CQ ring flags, which the user writes.
export const IORING_CQ_EVENTFD_DISABLED = 1 << 0

// Where the rings of a descriptor are mapped.
export const IORING_OFF_SQ_RING = 0
export const IORING_OFF_SQES = 0x1000_0000

// SQE flags.
export const IOSQE_FIXED_FILE = 1 << 0
export const IOSQE_IO_DRAIN = 1 << 1
export const IOSQE_IO_LINK = 1 << 2
export const IOSQE_IO_HARDLINK = 1 << 3
export const IOSQE_ASYNC = 1 << 4
export const IOSQE_BUFFER_SELECT = 1 << 5
export const IOSQE_CQE_SKIP_SUCCESS = 1 << 6

// CQE flags.
export const IORING_CQE_F_BUFFER = 1 << 0
export const IORING_CQE_F_MORE = 1 << 1
export const IORING_CQE_F_SOCK_NONEMPTY = 1 << 2
export const IORING_CQE_F_NOTIF = 1 << 3
export const IORING_CQE_F_BUF_MORE = 1 << 4
export const IORING_CQE_F_SKIP = 1 << 5
export const IORING_CQE_F_32 = 1 << 15
/** Where the id of a provided buffer begins in the flags. */
export const IORING_CQE_BUFFER_SHIFT = 16

// Per opcode, in `ioprio`.
export const IORING_ACCEPT_MULTISHOT = 1 << 0
export const IORING_ACCEPT_DONTWAIT = 1 << 1
export const IORING_RECVSEND_POLL_FIRST = 1 << 0
export const IORING_RECV_MULTISHOT = 1 << 1

// ASYNC_CANCEL, in `cancel_flags`.
export const IORING_ASYNC_CANCEL_ALL = 1 << 0
export const IORING_ASYNC_CANCEL_FD = 1 << 1
export const IORING_ASYNC_CANCEL_ANY = 1 << 2
export const IORING_ASYNC_CANCEL_FD_FIXED = 1 << 3
export const IORING_ASYNC_CANCEL_USERDATA = 1 << 4
export const IORING_ASYNC_CANCEL_OP = 1 << 5

// io_uring_register opcodes.
export const IORING_REGISTER_FILES = 2
export const IORING_UNREGISTER_FILES = 3
export const IORING_REGISTER_EVENTFD = 4
export const IORING_REGISTER_FILES_UPDATE = 6
export const IORING_REGISTER_PROBE = 8
export const IORING_REGISTER_PERSONALITY = 9
export const IORING_UNREGISTER_PERSONALITY = 10
export const IORING_REGISTER_ENABLE_RINGS = 12
export const IORING_REGISTER_FILES2 = 13
export const IORING_REGISTER_FILES_UPDATE2 = 14
export const IORING_REGISTER_PBUF_RING = 22
export const IORING_UNREGISTER_PBUF_RING = 23
export const IORING_REGISTER_SYNC_CANCEL = 24
export const IORING_REGISTER_FILE_ALLOC_RANGE = 25
export const IORING_REGISTER_PBUF_STATUS = 26
export const IORING_REGISTER_ZCRX_IFQ = 32
export const IORING_REGISTER_QUERY = 35
export const IORING_REGISTER_ZCRX_CTRL = 36

// Fixed files.
/** In an array of descriptors: leave the slot as it is. */
export const IORING_REGISTER_FILES_SKIP = -2
/** As `file_index`: any free slot of the fixed files. */
export const IORING_FILE_INDEX_ALLOC = 0xffff_ffff
/** Most fixed files. */
export const IORING_MAX_FIXED_FILES: number = 1 << 20
export const IORING_RSRC_REGISTER_SPARSE = 1 << 0

// Regions.
export const IORING_MEM_REGION_TYPE_USER = 1

// Features, as io_uring_setup(2) tells them.
export const IORING_FEAT_NODROP = 1 << 1
export const IORING_FEAT_FAST_POLL = 1 << 5
export const IORING_FEAT_POLL_32BITS = 1 << 6
export const IORING_FEAT_RSRC_TAGS = 1 << 10
export const IORING_FEAT_CQE_SKIP = 1 << 11
export const IORING_FEAT_LINKED_FILE = 1 << 12

// NOP, in `nop_flags`.
export const IORING_NOP_INJECT_RESULT = 1 << 0
export const IORING_NOP_CQE32 = 1 << 5

// Accept, send and receive, in `ioprio`.
export const IORING_ACCEPT_POLL_FIRST = 1 << 2
export const IORING_RECVSEND_FIXED_BUF = 1 << 2
export const IORING_SEND_ZC_REPORT_USAGE = 1 << 3
export const IORING_RECVSEND_BUNDLE = 1 << 4
/** In `res` of a SEND_ZC's notification: the bytes were copied. */
export const IORING_NOTIF_USAGE_ZC_COPIED: number = 1 << 31

// MSG_RING: its commands in `addr`, its flags in `msg_ring_flags`.
export const IORING_MSG_DATA = 0
export const IORING_MSG_SEND_FD = 1
export const IORING_MSG_RING_CQE_SKIP = 1 << 0
export const IORING_MSG_RING_FLAGS_PASS = 1 << 1

// Provided buffers.
export const IOU_PBUF_RING_MMAP = 1
export const IOU_PBUF_RING_INC = 2
/** Where a ring of buffers that the kernel provides is mapped: this, and its group shifted. */
export const IORING_OFF_PBUF_RING = 0x8000_0000
export const IORING_OFF_PBUF_SHIFT = 16

/** In the answer to IORING_REGISTER_PROBE. */
export const IO_URING_OP_SUPPORTED = 1 << 0

// Flags of IORING_OP_URING_CMD, in `uring_cmd_flags`.
export const IORING_URING_CMD_FIXED = 1 << 0

// Commands of IORING_OP_URING_CMD on a socket (enum io_uring_socket_op).
export const SOCKET_URING_OP_SIOCINQ = 0
export const SOCKET_URING_OP_SIOCOUTQ = 1
export const SOCKET_URING_OP_GETSOCKOPT = 2
export const SOCKET_URING_OP_SETSOCKOPT = 3
export const SOCKET_URING_OP_GETSOCKNAME = 5
