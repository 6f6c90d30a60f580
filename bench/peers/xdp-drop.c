/*
 * Takes every frame of a queue over AF_XDP and throws it away: xdp-drop DEVICE native|generic STREAMS. A stream is over when nothing
 * has come for a while. Prints "ready", then a JSON object for each. System calls only, no libbpf and no libxdp.
 */
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "peer.h"

#define CHUNK 4096
/* Of zcrx's own rings, as they are by default. */
#define CHUNKS 16384
#define ENTRIES 8192
#define SILENCE_MS 200

struct ring {
  uint32_t *producer, *consumer, *flags;
  void *entries;
};

static int bpf(int command, union bpf_attr *attr) { return (int)syscall(SYS_bpf, command, attr, sizeof *attr); }

/* Every frame to the socket of the queue that it came in on. */
static int load(int map) {
  const struct bpf_insn program[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 16},
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
      {0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
      {.code = BPF_JMP | BPF_EXIT},
  };
  static char log[65536];
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = (uintptr_t)program;
  attr.insn_cnt = sizeof program / sizeof *program;
  attr.license = (uintptr_t) "MIT";
  attr.log_buf = (uintptr_t)log, attr.log_size = sizeof log, attr.log_level = 1;
  int fd = bpf(BPF_PROG_LOAD, &attr);
  if (fd < 0) fail(log);
  return fd;
}

static struct ring map_ring(int fd, off_t page, const struct xdp_ring_offset *at, size_t entry) {
  char *memory = mmap(NULL, at->desc + ENTRIES * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
  if (memory == MAP_FAILED) fail("mmap");
  return (struct ring){(uint32_t *)(memory + at->producer), (uint32_t *)(memory + at->consumer),
                       (uint32_t *)(memory + at->flags), memory + at->desc};
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const unsigned device = if_nametoindex(argv[1]);
  if (device == 0) fail(argv[1]);
  int fd = socket(AF_XDP, SOCK_RAW, 0);
  if (fd < 0) fail("socket");
  void *memory = mmap(NULL, (size_t)CHUNKS * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  struct xdp_umem_reg area = {.addr = (uintptr_t)memory, .len = (uint64_t)CHUNKS * CHUNK, .chunk_size = CHUNK};
  if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &area, sizeof area) < 0) fail("XDP_UMEM_REG");
  int entries = ENTRIES;
  for (int option = 0; option < 3; option++)
    if (setsockopt(fd, SOL_XDP, (int[]){XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING}[option], &entries, sizeof entries) < 0)
      fail("rings");
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) < 0) fail("XDP_MMAP_OFFSETS");
  struct ring fill = map_ring(fd, XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, sizeof(uint64_t));
  struct ring rx = map_ring(fd, XDP_PGOFF_RX_RING, &offsets.rx, sizeof(struct xdp_desc));
  for (uint32_t i = 0; i < ENTRIES; i++) ((uint64_t *)fill.entries)[i] = (uint64_t)i * CHUNK;
  __atomic_store_n(fill.producer, ENTRIES, __ATOMIC_RELEASE);
  struct sockaddr_xdp here = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP, .sxdp_ifindex = device};
  if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0) fail("bind");

  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.map_type = BPF_MAP_TYPE_XSKMAP, attr.key_size = 4, attr.value_size = 4, attr.max_entries = 1;
  int map = bpf(BPF_MAP_CREATE, &attr);
  if (map < 0) fail("BPF_MAP_CREATE");
  uint32_t key = 0;
  memset(&attr, 0, sizeof attr);
  attr.map_fd = (uint32_t)map, attr.key = (uintptr_t)&key, attr.value = (uintptr_t)&fd;
  if (bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0) fail("BPF_MAP_UPDATE_ELEM");
  const int program = load(map);
  memset(&attr, 0, sizeof attr);
  attr.link_create.prog_fd = (uint32_t)program;
  attr.link_create.target_ifindex = device;
  attr.link_create.attach_type = BPF_XDP;
  attr.link_create.flags = strcmp(argv[2], "native") == 0 ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  if (bpf(BPF_LINK_CREATE, &attr) < 0) fail("BPF_LINK_CREATE");

  printf("ready\n");
  fflush(stdout);
  uint32_t given = ENTRIES, taken = 0;
  for (int left = atoi(argv[3]); left > 0; left--) {
    unsigned long long packets = 0, bytes = 0;
    double begun = 0, used = 0, last = 0, used_last = 0;
    for (;;) {
      uint32_t count = __atomic_load_n(rx.producer, __ATOMIC_ACQUIRE) - taken;
      if (count == 0) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (packets > 0) last = now(), used_last = cpu();
        if (poll(&ready, 1, packets > 0 ? SILENCE_MS : -1) == 0) break;
        if (packets == 0) begun = now(), used = cpu();
        continue;
      }
      for (uint32_t i = 0; i < count; i++) {
        const struct xdp_desc *one = (struct xdp_desc *)rx.entries + ((taken + i) & (ENTRIES - 1));
        bytes += one->len;
        ((uint64_t *)fill.entries)[(given + i) & (ENTRIES - 1)] = one->addr & ~(uint64_t)(CHUNK - 1);
      }
      taken += count, given += count, packets += count;
      __atomic_store_n(rx.consumer, taken, __ATOMIC_RELEASE);
      __atomic_store_n(fill.producer, given, __ATOMIC_RELEASE);
    }
    struct xdp_statistics lost = {0};
    length = sizeof lost;
    getsockopt(fd, SOL_XDP, XDP_STATISTICS, &lost, &length);
    printf("{\"packets\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"ringFull\":%llu,\"noBuffer\":%llu}\n", packets, bytes,
           last - begun, used_last - used, (unsigned long long)lost.rx_ring_full, (unsigned long long)lost.rx_fill_ring_empty_descs);
    fflush(stdout);
  }
  return 0;
}
