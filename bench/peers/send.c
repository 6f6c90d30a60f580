/* Sends zeroed blocks over TCP for a time: send ADDRESS PORT SECONDS CONGESTION_CONTROL. Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (256 * 1024)

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return fail("socket");
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, argv[4], (socklen_t)strlen(argv[4])) < 0) return fail("TCP_CONGESTION");
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return fail("connect");
  char *block = calloc(1, BLOCK);
  if (block == NULL) return fail("calloc");
  unsigned long long sent = 0;
  const double end = now() + atof(argv[3]);
  while (now() < end) {
    ssize_t count = send(fd, block, BLOCK, MSG_NOSIGNAL);
    if (count < 0) return fail("send");
    sent += (unsigned long long)count;
  }
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  shutdown(fd, SHUT_WR);
  char byte;
  while (recv(fd, &byte, 1, 0) > 0) {}
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("{\"bytes\":%llu,\"retransmitted\":%u,\"cpuSeconds\":%.6f}\n", sent, info.tcpi_total_retrans,
         (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 + (double)used.ru_stime.tv_sec +
             (double)used.ru_stime.tv_usec / 1e6);
  return 0;
}
