/*
 * Receives TCP streams with recv() into a buffer and throws them away: recv PORT STREAMS FLOWS. So many streams one after the other,
 * each of FLOWS connections at once: one is waited for in recv(), several in epoll_wait(). Prints "ready", then a JSON object for
 * each stream.
 */
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define BUFFER (256 * 1024)
#define EVENTS 64

static char buffer[BUFFER];
static unsigned long long bytes;
static double begun, used;

/* Returns 0 at the end of the connection. */
static ssize_t take(int fd) {
  ssize_t count = recv(fd, buffer, BUFFER, 0);
  if (count < 0) fail("recv");
  if (begun == 0) begun = now(), used = cpu();
  bytes += (unsigned long long)count;
  return count;
}

static void stream(int listener, int flows) {
  if (flows == 1) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    while (take(fd) > 0) {}
    close(fd);
    return;
  }
  int epoll = epoll_create1(0);
  struct epoll_event events[EVENTS], one = {.events = EPOLLIN, .data.fd = listener};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &one) < 0) fail("epoll");
  for (int left = flows; left > 0;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        if (take(events[i].data.fd) == 0) close(events[i].data.fd), left--;
        continue;
      }
      one.data.fd = accept(listener, NULL, NULL);
      if (one.data.fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, one.data.fd, &one) < 0) fail("accept");
    }
  }
  close(epoll);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 128) < 0) fail("listen");
  printf("ready\n");
  fflush(stdout);
  for (int left = atoi(argv[2]); left > 0; left--) {
    bytes = 0, begun = 0;
    stream(listener, atoi(argv[3]));
    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"mode\":\"recv()\"}\n", bytes, now() - begun, cpu() - used);
    fflush(stdout);
  }
  return 0;
}
