/* SPDX-License-Identifier: MIT */
/* Layouts of linux/io_uring/zcrx.h and query.h of Linux 7.3 (which are under "GPL-2.0 WITH Linux-syscall-note OR MIT"), restated
 * for systems whose headers don't have them: the compiler computes sizes and offsets. */
#include <linux/types.h>

struct io_uring_zcrx_rqe { __u64 off; __u32 len; __u32 __pad; };
struct io_uring_zcrx_cqe { __u64 off; __u64 __pad; };
struct io_uring_region_desc { __u64 user_addr, size; __u32 flags, id; __u64 mmap_offset, __resv[4]; };
struct io_uring_zcrx_offsets { __u32 head, tail, rqes, __resv2; __u64 __resv[2]; };
struct io_uring_zcrx_area_reg { __u64 addr, len, rq_area_token; __u32 flags, dmabuf_fd; __u64 __resv2[2]; };
struct io_uring_zcrx_ifq_reg {
	__u32 if_idx, if_rxq, rq_entries, flags;
	__u64 area_ptr, region_ptr;
	struct io_uring_zcrx_offsets offsets;
	__u32 zcrx_id, rx_buf_len;
	__u64 event_desc;
	__u64 __resv[2];
};
struct zcrx_event_desc { __u64 user_data; __u32 type_mask, flags; __u64 stats_offset, __resv2[9]; };
struct zcrx_stats { __u64 copy_count, copy_bytes; };
struct zcrx_ctrl_flush_rq { __u64 __resv[6]; };
struct zcrx_ctrl_export { __u32 zcrx_fd; __u32 __resv1[11]; };
struct zcrx_ctrl_arm_event { __u32 event_type; __u32 __resv[11]; };
struct zcrx_ctrl_add_area { __u64 area_ptr, __resv[5]; };
struct zcrx_ctrl {
	__u32 zcrx_id, op;
	__u64 __resv[2];
	union {
		struct zcrx_ctrl_export zc_export;
		struct zcrx_ctrl_flush_rq zc_flush;
		struct zcrx_ctrl_arm_event zc_arm;
		struct zcrx_ctrl_add_area zc_area;
	};
};
struct io_uring_query_hdr { __u64 next_entry, query_data; __u32 query_op, size; __s32 result; __u32 __resv[3]; };
struct io_uring_query_zcrx {
	__u64 register_flags, area_flags;
	__u32 nr_ctrl_opcodes, features, rq_hdr_size, rq_hdr_alignment;
	__u64 __resv2;
};
struct io_uring_query_zcrx_event { __u32 event_flags, stats_size, stats_off_alignment, __resv1; __u64 __resv2[4]; };
