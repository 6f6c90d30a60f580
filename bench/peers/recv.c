/*
 * Receives TCP streams with recv() into a buffer, one after the other, and throws them away: recv PORT STREAMS. Prints "ready",
 * then a JSON object for each.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6 + (double)used.ru_stime.tv_sec +
         (double)used.ru_stime.tv_usec / 1e6;
}

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1) < 0) return fail("listen");
  char *buffer = malloc(BUFFER);
  if (buffer == NULL) return fail("malloc");
  printf("ready\n");
  fflush(stdout);
  for (int left = atoi(argv[2]); left > 0; left--) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return fail("accept");
    unsigned long long bytes = 0;
    double begun = 0, used = 0;
    for (;;) {
      ssize_t count = recv(fd, buffer, BUFFER, 0);
      if (count < 0) return fail("recv");
      if (begun == 0) begun = now(), used = cpu();
      if (count == 0) break;
      bytes += (unsigned long long)count;
    }
    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f}\n", bytes, now() - begun, cpu() - used);
    fflush(stdout);
    close(fd);
  }
  return 0;
}
