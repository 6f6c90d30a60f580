/*
 * Sends TCP segments of a few bytes as fast as the kernel takes them, out of frames of its own over a packet socket, cut by
 * segmentation offload:
 *
 *   segments DEVICE SOURCE DESTINATION MAC PORT SECONDS PAYLOAD ROOM tcp|blast
 *
 * `tcp` opens a connection, keeps to the window it is given and to ROOM segments under way, goes back to what is not acknowledged
 * when answers say so or none come, and closes it. `blast` sends the same segments to whoever takes them. The machine's own stack must
 * not have SOURCE: it would reset the connection. Prints one JSON object.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "peer.h"

#define FIN 1
#define SYN 2
#define RST 4
#define PSH 8
#define ACK 16
#define HEADERS 54
#define SYN_OPTIONS 8
/* Segments of one frame before the kernel cuts it. */
#define BATCH 64
#define PATIENCE 0.2
#define HANDSHAKE_PATIENCE 0.2
#define DRAIN_PATIENCE 30
#define ATTEMPTS 25
#define FIRST_PORT 20000
#define PORTS 40000

struct frame {
  struct virtio_net_hdr offload;
  uint8_t bytes[HEADERS + SYN_OPTIONS + 65536];
};

static struct frame frame;
static int packet = -1;
static uint16_t port, source_port;
static uint32_t source, destination;
/* What is sent next, what is acknowledged, the end of the window; what the peer sends next. */
static uint32_t next_seq, una, edge, peer_next;
/* The farthest that was ever sent. */
static uint32_t sent_to, first_seq;
static int shift;
/* Answers that said nothing new: three of them, and a segment is missing. */
static unsigned repeated;
static int peer_ended;

static void put16(uint8_t *at, uint16_t value) { value = htons(value), memcpy(at, &value, 2); }
static void put32(uint8_t *at, uint32_t value) { value = htonl(value), memcpy(at, &value, 4); }
static uint16_t get16(const uint8_t *at) { uint16_t value; memcpy(&value, at, 2); return ntohs(value); }
static uint32_t get32(const uint8_t *at) { uint32_t value; memcpy(&value, at, 4); return ntohl(value); }

static uint32_t sum(const uint8_t *at, int length) {
  uint32_t total = 0;
  for (int i = 0; i < length; i += 2) total += get16(at + i);
  return total;
}

static uint16_t fold(uint32_t total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return (uint16_t)total;
}

/* One segment, or several of `payload` bytes each that the kernel makes of it. Does not move next_seq. */
static void transmit(int flags, uint32_t seq, int payload, int segments) {
  uint8_t *ip = frame.bytes + 14, *tcp = frame.bytes + 34;
  int header = flags & SYN ? 20 + SYN_OPTIONS : 20, length = header + payload * segments;
  put16(ip + 2, (uint16_t)(20 + length));
  put16(ip + 10, 0);
  put16(ip + 10, (uint16_t)~fold(sum(ip, 20)));
  put32(tcp + 4, seq);
  put32(tcp + 8, flags & ACK ? peer_next : 0);
  tcp[12] = (uint8_t)(header << 2);
  tcp[13] = (uint8_t)flags;
  put16(tcp + 14, 65535);
  /* The pseudo-header's: the kernel or nobody sums the rest. */
  put16(tcp + 16, fold(sum(ip + 12, 8) + 6 + (uint32_t)length));
  memset(&frame.offload, 0, sizeof frame.offload);
  frame.offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  frame.offload.csum_start = 34;
  frame.offload.csum_offset = 16;
  if (segments > 1) {
    frame.offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    frame.offload.gso_size = (uint16_t)payload;
    frame.offload.hdr_len = HEADERS;
  }
  const uint32_t end = seq + (uint32_t)(payload * segments) + (flags & (SYN | FIN) ? 1 : 0);
  if ((int32_t)(end - sent_to) > 0) sent_to = end;
  ssize_t sent;
  do sent = send(packet, &frame, sizeof frame.offload + 34 + (size_t)length, 0);
  while (sent < 0 && (errno == ENOBUFS || errno == EINTR || errno == EAGAIN));
  if (sent < 0) fail("send");
}

static void read_segment(const uint8_t *bytes, ssize_t length) {
  if (length < HEADERS || bytes[23] != 6 || get16(bytes + 34) != port || get16(bytes + 36) != source_port) return;
  const uint8_t *tcp = bytes + 34;
  int flags = tcp[13], header = (tcp[12] >> 4) * 4;
  if (flags & RST) errno = ECONNRESET, fail("the connection");
  if (flags & SYN) {
    peer_next = get32(tcp + 4) + 1;
    for (const uint8_t *at = tcp + 20; at < tcp + header && *at != 0; at += *at == 1 ? 1 : at[1])
      if (*at == 3) shift = at[2];
  }
  if (flags & FIN && get32(tcp + 4) == peer_next) peer_next++, peer_ended = 1;
  /* Of an earlier connection, or of nothing that was sent. */
  if (peer_next == 0 || (int32_t)(get32(tcp + 8) - sent_to) > 0) return;
  uint32_t acknowledged = get32(tcp + 8), end = acknowledged + ((uint32_t)get16(tcp + 14) << (flags & SYN ? 0 : shift));
  if ((int32_t)(acknowledged - una) > 0) una = acknowledged, repeated = 0;
  else if (acknowledged == una && end == edge) repeated++;
  if ((int32_t)(end - edge) > 0) edge = end;
}

/* Reads what has come. @param patience seconds to wait for the first */
static void hear(double patience) {
  static uint8_t bytes[2048];
  for (;;) {
    ssize_t length = recv(packet, bytes, sizeof bytes, MSG_DONTWAIT);
    /* Behind the header of PACKET_VNET_HDR. */
    if (length > (ssize_t)sizeof(struct virtio_net_hdr)) {
      read_segment(bytes + sizeof(struct virtio_net_hdr), length - (ssize_t)sizeof(struct virtio_net_hdr));
      patience = 0;
    } else if (patience <= 0) return;
    else {
      struct pollfd ready = {.fd = packet, .events = POLLIN};
      if (poll(&ready, 1, (int)(patience * 1000) + 1) <= 0) return;
    }
  }
}

/* Sends a segment until `done` says that it was heard. */
static void insist(const char *what, int flags, uint32_t seq, int (*done)(void)) {
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    transmit(flags, seq, 0, 1);
    double end = now() + HANDSHAKE_PATIENCE;
    while (now() < end) {
      hear(end - now());
      if (done()) return;
    }
  }
  fprintf(stderr, "%u of %u are not acknowledged, the window has %d, the peer %s\n", next_seq - una, next_seq - first_seq, (int)(edge - next_seq),
          peer_ended ? "has ended" : "goes on");
  errno = ETIMEDOUT;
  fail(what);
}

static int answered(void) { return peer_next != 0; }
static int ended(void) { return peer_ended && una == next_seq; }

int main(int argc, char **argv) {
  if (argc != 10) return 2;
  const double seconds = atof(argv[6]);
  const int payload = atoi(argv[7]), room = atoi(argv[8]), tcp = strcmp(argv[9], "tcp") == 0;
  port = (uint16_t)atoi(argv[5]), source_port = (uint16_t)(FIRST_PORT + getpid() % PORTS);
  if (inet_pton(AF_INET, argv[2], &source) != 1 || inet_pton(AF_INET, argv[3], &destination) != 1) return 2;
  uint8_t mac[6];
  if (sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) return 2;
  packet = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
  if (packet < 0) fail("socket");
  struct ifreq device = {0};
  strncpy(device.ifr_name, argv[1], IFNAMSIZ - 1);
  if (ioctl(packet, SIOCGIFHWADDR, &device) < 0) fail(argv[1]);
  uint8_t *ip = frame.bytes + 14, *at = frame.bytes + 34;
  memcpy(frame.bytes, mac, 6);
  memcpy(frame.bytes + 6, device.ifr_hwaddr.sa_data, 6);
  put16(frame.bytes + 12, ETH_P_IP);
  ip[0] = 0x45, ip[8] = 64, ip[9] = 6;
  put16(ip + 6, 0x4000);
  memcpy(ip + 12, &source, 4);
  memcpy(ip + 16, &destination, 4);
  put16(at, source_port);
  put16(at + 2, port);
  if (ioctl(packet, SIOCGIFINDEX, &device) < 0) fail(argv[1]);
  int on = 1, buffer = 8 << 20;
  if (setsockopt(packet, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0) fail("PACKET_VNET_HDR");
  setsockopt(packet, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(packet, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = device.ifr_ifindex};
  if (bind(packet, (struct sockaddr *)&here, sizeof here) < 0) fail("bind");

  unsigned long long segments = 0, again = 0;
  next_seq = una = sent_to = first_seq = (uint32_t)(now() * 1e6);
  if (tcp) {
    /* MSS 1460, window scale 10. */
    const uint8_t options[SYN_OPTIONS] = {2, 4, 1460 >> 8, 1460 & 0xff, 1, 3, 3, 10};
    memcpy(at + 20, options, sizeof options);
    insist("no answer to SYN", SYN, next_seq++, answered);
    memset(at + 20, 0, sizeof options);
    transmit(ACK, next_seq, 0, 1);
  }
  const uint32_t start = next_seq;
  /* Up to here was sent when it last went back. */
  uint32_t recover = start;
  double moved = now();
  const double begun = moved, end = moved + seconds;
  for (unsigned turn = 0; (turn & 15) != 0 || now() < end; turn++) {
    int count = BATCH;
    if (tcp) {
      uint32_t before = una;
      hear(0);
      int32_t open = (int32_t)(edge - next_seq), free = room * payload - (int32_t)(next_seq - una);
      if (free < open) open = free;
      if (open < count * payload) count = open / payload;
      if (una != before) moved = now();
      if (repeated >= 3 && next_seq != una && (int32_t)(una - recover) >= 0) {
        again += (next_seq - una) / (uint32_t)payload;
        next_seq = una, recover = sent_to, repeated = 0, moved = now();
        continue;
      }
      /* Few at a time would be few for ever: the peer answers what it gets at once. */
      if (count < BATCH && next_seq != una) {
        hear(PATIENCE);
        if (una == before && now() - moved > PATIENCE) {
          again += (next_seq - una) / (uint32_t)payload;
          next_seq = una, recover = sent_to, moved = now();
        }
        turn = 15;
        continue;
      }
      if (count <= 0) {
        hear(PATIENCE);
        turn = 15;
        continue;
      }
    }
    transmit(ACK | PSH, next_seq, payload, count);
    next_seq += (uint32_t)(count * payload);
    segments += (unsigned)count;
  }
  const double took = now() - begun;
  if (tcp) {
    /* Nothing is owed: what was not acknowledged is sent until it is. */
    for (const double patience = now() + DRAIN_PATIENCE; una != next_seq && now() < patience;) {
      const uint32_t before = una;
      for (const double wait = now() + PATIENCE; una == before && now() < wait;) hear(wait - now());
      if (una != before) continue;
      int count = (int)((next_seq - una) / (uint32_t)payload);
      if (count > BATCH) count = BATCH;
      transmit(ACK | PSH, una, payload, count);
      again += (unsigned)count;
    }
    insist("no end", ACK | FIN, next_seq++, ended);
    transmit(ACK, next_seq, 0, 1);
  }
  printf("{\"segments\":%llu,\"bytes\":%llu,\"again\":%llu,\"seconds\":%.6f,\"cpuSeconds\":%.6f}\n", segments,
         tcp ? (unsigned long long)(next_seq - 1 - start) : segments * (unsigned)payload, again, took, cpu());
  return 0;
}
