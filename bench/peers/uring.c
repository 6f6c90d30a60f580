/*
 * Receives TCP streams with io_uring's multishot RECV into a ring of provided buffers, and throws them away: uring PORT STREAMS FLOWS.
 * So many streams one after the other, each of FLOWS connections at once. Prints "ready", then a JSON object for each stream. System
 * calls only, no liburing.
 */
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "peer.h"

#define BUFFER (64 * 1024)
#define BUFFERS 64
#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096

static int ring;
static unsigned *sq_tail, *sq_array, *cq_head, *cq_tail, sq_mask, cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static struct io_uring_buf_ring *buffers;
static char *memory;
static uint16_t buffer_tail;
static unsigned to_submit;

static void *map(size_t bytes, int fd, off_t offset) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE : MAP_SHARED | MAP_POPULATE, fd, offset);
  if (at == MAP_FAILED) fail("mmap");
  return at;
}

static void give(uint16_t id) {
  struct io_uring_buf *one = &buffers->bufs[buffer_tail & (BUFFERS - 1)];
  one->addr = (uintptr_t)(memory + (size_t)id * BUFFER), one->len = BUFFER, one->bid = id;
  __atomic_store_n(&buffers->tail, ++buffer_tail, __ATOMIC_RELEASE);
}

static void setup(void) {
  struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE, .cq_entries = CQ_ENTRIES};
  ring = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
  if (ring < 0) fail("io_uring_setup");
  char *sq = map(params.sq_off.array + params.sq_entries * sizeof(unsigned), ring, IORING_OFF_SQ_RING);
  char *cq = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), ring, IORING_OFF_CQ_RING);
  sqes = map(params.sq_entries * sizeof *sqes, ring, IORING_OFF_SQES);
  sq_tail = (unsigned *)(sq + params.sq_off.tail), sq_array = (unsigned *)(sq + params.sq_off.array);
  cq_head = (unsigned *)(cq + params.cq_off.head), cq_tail = (unsigned *)(cq + params.cq_off.tail);
  sq_mask = params.sq_entries - 1, cq_mask = params.cq_entries - 1;
  cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
  memory = map((size_t)BUFFERS * BUFFER, -1, 0);
  buffers = map(BUFFERS * sizeof(struct io_uring_buf), -1, 0);
  struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)buffers, .ring_entries = BUFFERS};
  if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_PBUF_RING, &registration, 1) < 0) fail("IORING_REGISTER_PBUF_RING");
  for (uint16_t i = 0; i < BUFFERS; i++) give(i);
}

static void enter(unsigned wanted) {
  if (syscall(SYS_io_uring_enter, ring, to_submit, wanted, IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR) fail("io_uring_enter");
  to_submit = 0;
}

static void receive(int fd) {
  if (to_submit == SQ_ENTRIES) enter(0);
  unsigned tail = *sq_tail;
  struct io_uring_sqe *sqe = &sqes[tail & sq_mask];
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = IORING_OP_RECV, sqe->fd = fd, sqe->flags = IOSQE_BUFFER_SELECT, sqe->ioprio = IORING_RECV_MULTISHOT;
  sqe->user_data = (uint64_t)fd;
  sq_array[tail & sq_mask] = tail & sq_mask;
  __atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
  to_submit++;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 128) < 0) fail("listen");
  setup();
  printf("ready\n");
  fflush(stdout);
  const int flows = atoi(argv[3]);
  for (int streams = atoi(argv[2]); streams > 0; streams--) {
    unsigned long long bytes = 0;
    double begun = 0, used = 0;
    for (int i = 0; i < flows; i++) {
      int fd = accept(listener, NULL, NULL);
      if (fd < 0) fail("accept");
      receive(fd);
    }
    for (int left = flows; left > 0;) {
      enter(1);
      unsigned head = *cq_head, tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
      if (begun == 0 && head != tail) begun = now(), used = cpu();
      for (; head != tail; head++) {
        const struct io_uring_cqe *cqe = &cqes[head & cq_mask];
        const int fd = (int)cqe->user_data;
        if (cqe->res > 0) bytes += (unsigned)cqe->res;
        if (cqe->flags & IORING_CQE_F_BUFFER) give((uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
        if (cqe->flags & IORING_CQE_F_MORE) continue;
        if (cqe->res == 0) close(fd), left--;
        /* Its shots are over, or the buffers were. */
        else if (cqe->res > 0 || cqe->res == -ENOBUFS) receive(fd);
        else errno = -cqe->res, fail("RECV");
      }
      __atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
    }
    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"mode\":\"multishot RECV\"}\n", bytes, now() - begun, cpu() - used);
    fflush(stdout);
  }
  return 0;
}
