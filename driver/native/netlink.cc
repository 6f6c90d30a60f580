// Netlink sockets (netlink(7)): opening, sending and receiving. What the messages say is read and written in TypeScript.
#include "addon.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

namespace zcrx {
namespace {

// A socket bound to the multicast groups of `groups`, one bit each.
Napi::Value Open(const Napi::CallbackInfo& info) {
  const int protocol = static_cast<int>(Integer(info, 0, "protocol", 0, MAX_LINKS - 1));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = U32(info, 1, "groups");
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return Result(info.Env(), -1);
  const int on = 1;
  // Both are of Linux 4.20 and 4.12: without them answers are longer and errors say less.
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    const int error = errno;
    close(fd);
    errno = error;
    return Result(info.Env(), -1);
  }
  return Opened(info.Env(), fd);
}

// To the kernel.
Napi::Value Send(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> bytes = Bytes(info, 1, "bytes");
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  return Result(info.Env(), sendto(fd, bytes.data, bytes.length, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel));
}

// The whole length of the message, more than the view when it was cut. 0 for one that another process sent.
Napi::Value Receive(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> bytes = Bytes(info, 1, "bytes");
  sockaddr_nl sender = {};
  socklen_t length = sizeof sender;
  const ssize_t count =
      recvfrom(fd, bytes.data, bytes.length, MSG_TRUNC | MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&sender), &length);
  if (count >= 0 && sender.nl_pid != 0) return Result(info.Env(), 0);
  return Result(info.Env(), count);
}

}  // namespace

void InitNetlink(Napi::Env env, Napi::Object exports) {
  exports.Set("netlinkOpen", Napi::Function::New(env, Open, "netlinkOpen"));
  exports.Set("netlinkSend", Napi::Function::New(env, Send, "netlinkSend"));
  exports.Set("netlinkReceive", Napi::Function::New(env, Receive, "netlinkReceive"));
}

}  // namespace zcrx
