// AF_XDP sockets: creation, UMEM, rings, bind, statistics, kicks. Layouts: Documentation/networking/af_xdp.rst and
// include/uapi/linux/if_xdp.h.
#include "addon.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

namespace zcrx {
namespace {

Napi::Value Socket(const Napi::CallbackInfo& info) {
  return Opened(info.Env(), socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
}

Napi::Value RegisterUmem(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> memory = Bytes(info, 1, "memory");
  xdp_umem_reg request = {};
  request.addr = reinterpret_cast<uintptr_t>(memory.data);
  request.len = memory.length;
  request.chunk_size = U32(info, 2, "chunkSize");
  return Result(info.Env(), setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &request, sizeof request));
}

// Sizes in entries; `offsets` receives producer, consumer, flags and descriptor offsets of fill, completion, rx, tx.
Napi::Value ConfigureRings(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint32_t> sizes = Words(info, 1, "sizes");
  const Span<uint32_t> offsets = Words(info, 2, "offsets");
  if (sizes.length != 4 || offsets.length != 16) Wrong(info, "sizes, offsets", "of 4 and 16 words");
  static constexpr int kOption[4] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
  for (int i = 0; i < 4; i++) {
    int entries = static_cast<int>(sizes.data[i]);
    if (setsockopt(fd, SOL_XDP, kOption[i], &entries, sizeof entries) < 0) return Result(info.Env(), -1);
  }
  xdp_mmap_offsets map = {};
  socklen_t length = sizeof map;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &map, &length) < 0) return Result(info.Env(), -1);
  if (length != sizeof map) {  // kernels before 5.4 have no flags words
    errno = EOPNOTSUPP;
    return Result(info.Env(), -1);
  }
  const xdp_ring_offset* ring[4] = {&map.fr, &map.cr, &map.rx, &map.tx};
  for (int i = 0; i < 4; i++) {
    offsets.data[i * 4 + 0] = static_cast<uint32_t>(ring[i]->producer);
    offsets.data[i * 4 + 1] = static_cast<uint32_t>(ring[i]->consumer);
    offsets.data[i * 4 + 2] = static_cast<uint32_t>(ring[i]->flags);
    offsets.data[i * 4 + 3] = static_cast<uint32_t>(ring[i]->desc);
  }
  return Result(info.Env(), 0);
}

Napi::Value MapRing(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const uint32_t ring = U32(info, 1, "ring");
  const size_t length = U32(info, 2, "bytes");
  static constexpr uint64_t kOffset[4] = {XDP_UMEM_PGOFF_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
                                          XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING};
  if (ring > 3 || length == 0) Wrong(info, "ring", "0 to 3, of at least one byte");
  // A file would be mapped as willingly, beyond its end too.
  int domain = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return Result(info.Env(), -1);
  if (domain != AF_XDP) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                       static_cast<off_t>(kOffset[ring]));
  return MappedBuffer(info.Env(), address, length);
}

Napi::Value Bind(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  sockaddr_xdp address = {};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = U32(info, 1, "ifIndex");
  address.sxdp_queue_id = U32(info, 2, "queue");
  address.sxdp_flags = static_cast<uint16_t>(Integer(info, 3, "flags", 0, 65535));
  return Result(info.Env(), bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
}

Napi::Value Options(const Napi::CallbackInfo& info) {
  xdp_options options = {};
  socklen_t length = sizeof options;
  const int status = getsockopt(Fd(info, 0), SOL_XDP, XDP_OPTIONS, &options, &length);
  return Result(info.Env(), status < 0 ? -1 : static_cast<long>(options.flags));
}

Napi::Value SetTxBudget(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  uint32_t frames = U32(info, 1, "frames");
  return Result(info.Env(), setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames, sizeof frames));
}

// socket(7), and Documentation/networking/af_xdp.rst of 5.11 on.
Napi::Value SetBusyPoll(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const int us = static_cast<int>(Integer(info, 1, "us", 0, 2147483647.0));
  const int budget = static_cast<int>(Integer(info, 2, "budget", 0, 65535));
  const int on = us > 0 ? 1 : 0;
  if (setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof us) < 0) {
    return Result(info.Env(), -1);
  }
  return Result(info.Env(), setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof budget));
}

Napi::Value Statistics(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<double> out = Doubles(info, 1, "out");
  if (out.length < 6) Wrong(info, "out", "of 6 numbers");
  xdp_statistics statistics = {};
  socklen_t length = sizeof statistics;
  if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &statistics, &length) < 0) return Result(info.Env(), -1);
  out.data[0] = static_cast<double>(statistics.rx_dropped);
  out.data[1] = static_cast<double>(statistics.rx_invalid_descs);
  out.data[2] = static_cast<double>(statistics.tx_invalid_descs);
  out.data[3] = static_cast<double>(statistics.rx_ring_full);
  out.data[4] = static_cast<double>(statistics.rx_fill_ring_empty_descs);
  out.data[5] = static_cast<double>(statistics.tx_ring_empty_descs);
  return Result(info.Env(), 0);
}

Napi::Value KickTx(const Napi::CallbackInfo& info) {
  return Result(info.Env(), sendto(Fd(info, 0), nullptr, 0, MSG_DONTWAIT, nullptr, 0));
}

Napi::Value KickRx(const Napi::CallbackInfo& info) {
  return Result(info.Env(), recvfrom(Fd(info, 0), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr));
}

}  // namespace

void InitXsk(Napi::Env env, Napi::Object exports) {
  exports.Set("xskSocket", Napi::Function::New(env, Socket, "xskSocket"));
  exports.Set("xskRegisterUmem", Napi::Function::New(env, RegisterUmem, "xskRegisterUmem"));
  exports.Set("xskConfigureRings", Napi::Function::New(env, ConfigureRings, "xskConfigureRings"));
  exports.Set("xskMapRing", Napi::Function::New(env, MapRing, "xskMapRing"));
  exports.Set("xskBind", Napi::Function::New(env, Bind, "xskBind"));
  exports.Set("xskOptions", Napi::Function::New(env, Options, "xskOptions"));
  exports.Set("xskSetTxBudget", Napi::Function::New(env, SetTxBudget, "xskSetTxBudget"));
  exports.Set("xskSetBusyPoll", Napi::Function::New(env, SetBusyPoll, "xskSetBusyPoll"));
  exports.Set("xskStatistics", Napi::Function::New(env, Statistics, "xskStatistics"));
  exports.Set("xskKickTx", Napi::Function::New(env, KickTx, "xskKickTx"));
  exports.Set("xskKickRx", Napi::Function::New(env, KickRx, "xskKickRx"));
}

}  // namespace zcrx
