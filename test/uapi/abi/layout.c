/* SPDX-License-Identifier: MIT */
/* Prints the layouts that the C compiler gives the structures of the ring's ABI, as JSON: size, and [offset, bytes] per field. */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/io_uring.h>
#include <linux/tcp.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdio.h>

#if defined(__has_include) && __has_include(<linux/io_uring/zcrx.h>)
#include <linux/io_uring/zcrx.h>
#include <linux/io_uring/query.h>
#define ZCRX_FROM "system"
#else
#include "zcrx-uapi.h"
#define ZCRX_FROM "restated"
#endif

static const char *separator = "";

#define BEGIN(type) do { printf("%s\"%s\":{\"sizeof\":%zu", separator, #type, sizeof(struct type)); separator = ","; } while (0)
#define FIELD(type, field) \
	printf(",\"%s\":[%zu,%zu]", #field, offsetof(struct type, field), sizeof(((struct type *)0)->field))
#define END() printf("}")


int main(void)
{
	printf("{\"zcrx\":\"%s\",\"structs\":{", ZCRX_FROM);
#define S(type, fields) do { BEGIN(type); fields END(); } while (0)
#define M(type, field) FIELD(type, field);
	S(io_uring_sqe, M(io_uring_sqe, opcode) M(io_uring_sqe, flags) M(io_uring_sqe, ioprio) M(io_uring_sqe, fd)
	  M(io_uring_sqe, off) M(io_uring_sqe, addr) M(io_uring_sqe, len) M(io_uring_sqe, msg_flags)
	  M(io_uring_sqe, user_data) M(io_uring_sqe, buf_group) M(io_uring_sqe, personality) M(io_uring_sqe, file_index)
	  M(io_uring_sqe, addr3));
	S(io_uring_cqe, M(io_uring_cqe, user_data) M(io_uring_cqe, res) M(io_uring_cqe, flags));
	S(io_uring_sync_cancel_reg, M(io_uring_sync_cancel_reg, addr) M(io_uring_sync_cancel_reg, fd)
	  M(io_uring_sync_cancel_reg, flags));
	S(__kernel_timespec, M(__kernel_timespec, tv_sec) M(__kernel_timespec, tv_nsec));
	S(sockaddr_in, M(sockaddr_in, sin_family) M(sockaddr_in, sin_port) M(sockaddr_in, sin_addr));
	S(sockaddr_in6, M(sockaddr_in6, sin6_family) M(sockaddr_in6, sin6_port) M(sockaddr_in6, sin6_flowinfo)
	  M(sockaddr_in6, sin6_addr) M(sockaddr_in6, sin6_scope_id));
	S(io_uring_region_desc, M(io_uring_region_desc, user_addr) M(io_uring_region_desc, size)
	  M(io_uring_region_desc, flags) M(io_uring_region_desc, id) M(io_uring_region_desc, mmap_offset));
	S(io_uring_zcrx_rqe, M(io_uring_zcrx_rqe, off) M(io_uring_zcrx_rqe, len) M(io_uring_zcrx_rqe, __pad));
	S(io_uring_zcrx_cqe, M(io_uring_zcrx_cqe, off) M(io_uring_zcrx_cqe, __pad));
	S(io_uring_zcrx_area_reg, M(io_uring_zcrx_area_reg, addr) M(io_uring_zcrx_area_reg, len)
	  M(io_uring_zcrx_area_reg, rq_area_token) M(io_uring_zcrx_area_reg, flags) M(io_uring_zcrx_area_reg, dmabuf_fd));
	S(io_uring_zcrx_offsets, M(io_uring_zcrx_offsets, head) M(io_uring_zcrx_offsets, tail)
	  M(io_uring_zcrx_offsets, rqes));
	S(io_uring_zcrx_ifq_reg, M(io_uring_zcrx_ifq_reg, if_idx) M(io_uring_zcrx_ifq_reg, if_rxq)
	  M(io_uring_zcrx_ifq_reg, rq_entries) M(io_uring_zcrx_ifq_reg, flags) M(io_uring_zcrx_ifq_reg, area_ptr)
	  M(io_uring_zcrx_ifq_reg, region_ptr) M(io_uring_zcrx_ifq_reg, offsets) M(io_uring_zcrx_ifq_reg, zcrx_id)
	  M(io_uring_zcrx_ifq_reg, rx_buf_len) M(io_uring_zcrx_ifq_reg, event_desc));
	S(zcrx_event_desc, M(zcrx_event_desc, user_data) M(zcrx_event_desc, type_mask) M(zcrx_event_desc, flags)
	  M(zcrx_event_desc, stats_offset));
	S(zcrx_stats, M(zcrx_stats, copy_count) M(zcrx_stats, copy_bytes));
	S(zcrx_ctrl, M(zcrx_ctrl, zcrx_id) M(zcrx_ctrl, op) M(zcrx_ctrl, zc_export) M(zcrx_ctrl, zc_flush)
	  M(zcrx_ctrl, zc_arm) M(zcrx_ctrl, zc_area));
	S(io_uring_query_hdr, M(io_uring_query_hdr, next_entry) M(io_uring_query_hdr, query_data)
	  M(io_uring_query_hdr, query_op) M(io_uring_query_hdr, size) M(io_uring_query_hdr, result));
	S(io_uring_query_zcrx, M(io_uring_query_zcrx, register_flags) M(io_uring_query_zcrx, area_flags)
	  M(io_uring_query_zcrx, nr_ctrl_opcodes) M(io_uring_query_zcrx, features) M(io_uring_query_zcrx, rq_hdr_size)
	  M(io_uring_query_zcrx, rq_hdr_alignment));
	S(io_uring_query_zcrx_event, M(io_uring_query_zcrx_event, event_flags)
	  M(io_uring_query_zcrx_event, stats_size) M(io_uring_query_zcrx_event, stats_off_alignment));
	S(io_uring_files_update, M(io_uring_files_update, offset) M(io_uring_files_update, fds));
	S(io_uring_rsrc_register, M(io_uring_rsrc_register, nr) M(io_uring_rsrc_register, flags)
	  M(io_uring_rsrc_register, data) M(io_uring_rsrc_register, tags));
	S(io_uring_rsrc_update2, M(io_uring_rsrc_update2, offset) M(io_uring_rsrc_update2, data)
	  M(io_uring_rsrc_update2, tags) M(io_uring_rsrc_update2, nr));
	S(io_uring_file_index_range, M(io_uring_file_index_range, off) M(io_uring_file_index_range, len));
	S(io_uring_buf_reg, M(io_uring_buf_reg, ring_addr) M(io_uring_buf_reg, ring_entries)
	  M(io_uring_buf_reg, bgid));
	S(io_uring_probe, M(io_uring_probe, last_op) M(io_uring_probe, ops_len));
	printf("}}\n");
	return 0;
}
