// AF_PACKET sockets: creation, options, receive ring, filter, groups, statistics, sending. packet(7), and
// Documentation/networking/packet_mmap.rst for the ring.
#include "addon.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>

namespace zcrx {
namespace {

// Frames of one call; what is more waits for the next.
constexpr size_t kMostFrames = 256;

// Protocol 0: nothing arrives before the socket is bound to an interface, so that a ring and a filter come first.
Napi::Value Socket(const Napi::CallbackInfo& info) {
  return Opened(info.Env(), socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Napi::Value SetOption(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const int level = static_cast<int>(U32(info, 1, "level"));
  const int option = static_cast<int>(U32(info, 2, "option"));
  uint32_t value = U32(info, 3, "value");
  return Result(info.Env(), setsockopt(fd, level, option, &value, sizeof value));
}

Napi::Value Ring(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  tpacket_req3 request = {};
  request.tp_block_size = U32(info, 1, "blockBytes");
  request.tp_block_nr = U32(info, 2, "blocks");
  request.tp_frame_size = request.tp_block_size;
  request.tp_frame_nr = request.tp_block_nr;
  request.tp_retire_blk_tov = U32(info, 3, "retireMs");
  const size_t length = static_cast<size_t>(request.tp_block_size) * request.tp_block_nr;
  if (length == 0 || length >= (uint64_t{1} << 32)) Wrong(info, "blockBytes * blocks", "1 to 2^32 - 1");
  int version = TPACKET_V3;
  if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) < 0) {
    return Result(info.Env(), -1);
  }
  return MappedBuffer(info.Env(), mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0),
                      length);
}

Napi::Value Bind(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(Integer(info, 1, "ifIndex", 1, 2147483647.0));
  address.sll_protocol = htons(ETH_P_ALL);
  return Result(info.Env(), bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

Napi::Value AttachFilter(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> code = Bytes(info, 1, "instructions");
  const size_t count = code.length / sizeof(sock_filter);
  if (count == 0 || count > BPF_MAXINSNS || code.length % sizeof(sock_filter) != 0) {
    Wrong(info, "instructions", "1 to 4096 of eight bytes");
  }
  sock_fprog program = {};
  program.len = static_cast<uint16_t>(count);
  program.filter = reinterpret_cast<sock_filter*>(code.data);
  return Result(info.Env(), setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

Napi::Value Group(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> mac = Bytes(info, 2, "mac");
  const bool join = Flag(info, 3, "join");
  if (mac.length != ETH_ALEN) Wrong(info, "mac", "six bytes");
  packet_mreq request = {};
  request.mr_ifindex = static_cast<int>(Integer(info, 1, "ifIndex", 1, 2147483647.0));
  request.mr_type = PACKET_MR_MULTICAST;
  request.mr_alen = ETH_ALEN;
  std::memcpy(request.mr_address, mac.data, ETH_ALEN);
  const int option = join ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  return Result(info.Env(), setsockopt(fd, SOL_PACKET, option, &request, sizeof request));
}

// The kernel sets its counters to zero when they are read.
Napi::Value Statistics(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<double> out = Doubles(info, 1, "out");
  if (out.length < 3) Wrong(info, "out", "of 3 numbers");
  tpacket_stats_v3 statistics = {};
  socklen_t length = sizeof statistics;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) < 0) return Result(info.Env(), -1);
  out.data[0] = static_cast<double>(statistics.tp_packets);
  out.data[1] = static_cast<double>(statistics.tp_drops);
  out.data[2] = static_cast<double>(statistics.tp_freeze_q_cnt);
  return Result(info.Env(), 0);
}

// A socket whose interface was deleted is bound to interface -1.
Napi::Value State(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  sockaddr_ll address = {};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) return Result(info.Env(), -1);
  int error = 0;
  length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return Result(info.Env(), -1);
  return Napi::Number::New(info.Env(), address.sll_ifindex < 0 ? -ENXIO : -error);
}

Napi::Value Send(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> memory = Bytes(info, 1, "memory");
  const Span<uint32_t> offsets = Words(info, 2, "offsets");
  const Span<uint32_t> lengths = Words(info, 3, "lengths");
  const size_t from = U32(info, 4, "from");
  const size_t count = U32(info, 5, "count");
  if (count > kMostFrames || from + count > offsets.length || from + count > lengths.length) {
    Wrong(info, "count", "at most 256, and not more than there are offsets and lengths");
  }
  mmsghdr messages[kMostFrames];
  iovec parts[kMostFrames];
  std::memset(messages, 0, count * sizeof(mmsghdr));
  for (size_t i = 0; i < count; i++) {
    const uint32_t offset = offsets.data[from + i];
    const uint32_t length = lengths.data[from + i];
    if (offset > memory.length || length > memory.length - offset) Wrong(info, "offsets, lengths", "inside the memory");
    parts[i].iov_base = memory.data + offset;
    parts[i].iov_len = length;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  return Result(info.Env(), sendmmsg(fd, messages, static_cast<unsigned>(count), MSG_DONTWAIT));
}

}  // namespace

void InitPacket(Napi::Env env, Napi::Object exports) {
  exports.Set("packetSocket", Napi::Function::New(env, Socket, "packetSocket"));
  exports.Set("setOption", Napi::Function::New(env, SetOption, "setOption"));
  exports.Set("packetRing", Napi::Function::New(env, Ring, "packetRing"));
  exports.Set("packetBind", Napi::Function::New(env, Bind, "packetBind"));
  exports.Set("attachFilter", Napi::Function::New(env, AttachFilter, "attachFilter"));
  exports.Set("packetGroup", Napi::Function::New(env, Group, "packetGroup"));
  exports.Set("packetStatistics", Napi::Function::New(env, Statistics, "packetStatistics"));
  exports.Set("packetState", Napi::Function::New(env, State, "packetState"));
  exports.Set("packetSend", Napi::Function::New(env, Send, "packetSend"));
}

}  // namespace zcrx
