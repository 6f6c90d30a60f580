// Netlink sockets (netlink(7)). What messages say is made and read in TypeScript.
#include "addon.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

namespace zcrx {
namespace {

Napi::Value Open(const Napi::CallbackInfo& info) {
  const int protocol = static_cast<int>(Integer(info, 0, "protocol", 0, 31));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = U32(info, 1, "groups");
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    const int why = errno;
    ::close(fd);
    errno = why;
    return Result(info.Env(), -1);
  }
  return Opened(info.Env(), fd);
}

Napi::Value Send(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> bytes = Bytes(info, 1, "bytes");
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  return Result(info.Env(), sendto(fd, bytes.data, bytes.length, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel));
}

// MSG_TRUNC: the message's own length, which may be more than there is room for. What does not come from the kernel, which
// any process may send, counts as nothing.
Napi::Value Receive(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> bytes = Bytes(info, 1, "bytes");
  sockaddr_nl sender = {};
  for (;;) {
    socklen_t length = sizeof sender;
    const ssize_t received =
        recvfrom(fd, bytes.data, bytes.length, MSG_TRUNC, reinterpret_cast<sockaddr*>(&sender), &length);
    if (received < 0 || sender.nl_pid == 0) return Result(info.Env(), received);
  }
}

}  // namespace

void InitNetlink(Napi::Env env, Napi::Object exports) {
  exports.Set("netlinkOpen", Napi::Function::New(env, Open, "netlinkOpen"));
  exports.Set("netlinkSend", Napi::Function::New(env, Send, "netlinkSend"));
  exports.Set("netlinkReceive", Napi::Function::New(env, Receive, "netlinkReceive"));
}

}  // namespace zcrx
