/** Numbers of `linux/io_uring/zcrx.h` (dual-licensed MIT), under the kernel's names. */

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
