/*
 * Sends zeroed blocks over TCP for a time: send ADDRESS PORT SECONDS CONGESTION_CONTROL FLOWS, a thread for each flow. Prints one JSON
 * object, the sums of all.
 */
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define BLOCK (256 * 1024)

static struct sockaddr_in to = {.sin_family = AF_INET};
static const char *control;
static double end;
static char block[BLOCK];
static unsigned long long sent;
static unsigned retransmitted;

static int connected(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, (socklen_t)strlen(control)) < 0) fail("TCP_CONGESTION");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  return fd;
}

static void *flow(void *given) {
  int fd = *(int *)given;
  unsigned long long mine = 0;
  while (now() < end) {
    ssize_t count = send(fd, block, BLOCK, MSG_NOSIGNAL);
    if (count < 0) fail("send");
    mine += (unsigned long long)count;
  }
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  shutdown(fd, SHUT_WR);
  char byte;
  while (recv(fd, &byte, 1, 0) > 0) {}
  __atomic_add_fetch(&sent, mine, __ATOMIC_RELAXED);
  __atomic_add_fetch(&retransmitted, info.tcpi_total_retrans, __ATOMIC_RELAXED);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  to.sin_port = htons((unsigned short)atoi(argv[2]));
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  control = argv[4];
  const int flows = atoi(argv[5]);
  int *fds = calloc((size_t)flows, sizeof *fds);
  pthread_t *threads = calloc((size_t)flows, sizeof *threads);
  if (fds == NULL || threads == NULL) fail("calloc");
  for (int i = 0; i < flows; i++) fds[i] = connected();
  end = now() + atof(argv[3]);
  for (int i = 1; i < flows; i++)
    if ((errno = pthread_create(&threads[i], NULL, flow, &fds[i])) != 0) fail("pthread_create");
  flow(&fds[0]);
  for (int i = 1; i < flows; i++) pthread_join(threads[i], NULL);
  printf("{\"bytes\":%llu,\"retransmitted\":%u,\"cpuSeconds\":%.6f}\n", sent, retransmitted, cpu());
  return 0;
}
