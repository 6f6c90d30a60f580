/*
 * Opens connections and keeps them: connect ADDRESS PORT COUNT CONCURRENT, so many of them under way at once: until the server has sent
 * a byte, as a handshake is over before anybody has accepted it, and a queue of those that overflows costs a second. Ends when the server
 * lets go of one. Prints one JSON object when all are open.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define EVENTS 64
#define SPARE 64

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  const int count = atoi(argv[3]), concurrent = atoi(argv[4]);
  struct rlimit files = {.rlim_cur = (rlim_t)count + SPARE, .rlim_max = (rlim_t)count + SPARE};
  struct rlimit have;
  if (getrlimit(RLIMIT_NOFILE, &have) < 0) fail("getrlimit");
  if (have.rlim_max > files.rlim_max) files.rlim_max = have.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) fail("RLIMIT_NOFILE");
  int epoll = epoll_create1(0);
  if (epoll < 0) fail("epoll_create1");
  struct epoll_event events[EVENTS];
  int begun = 0, open = 0;
  const double start = now();
  while (open < count) {
    for (; begun < count && begun - open < concurrent; begun++) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (fd < 0) fail("socket");
      if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect");
      struct epoll_event one = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
      if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &one) < 0) fail("epoll_ctl");
    }
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    if (ready < 0) fail("epoll_wait");
    for (int i = 0; i < ready; i++) {
      char byte;
      if (read(events[i].data.fd, &byte, 1) != 1) fail("connect");
      struct epoll_event one = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = events[i].data.fd};
      if (epoll_ctl(epoll, EPOLL_CTL_MOD, events[i].data.fd, &one) < 0) fail("epoll_ctl");
      open++;
    }
  }
  printf("{\"connections\":%d,\"seconds\":%.6f}\n", open, now() - start);
  fflush(stdout);
  epoll_wait(epoll, events, 1, -1);
  return 0;
}
