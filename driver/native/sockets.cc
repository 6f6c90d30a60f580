// Ordinary sockets of the kernel, for what io_uring has no opcode for on older kernels.
#include "addon.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace zcrx {
namespace {

// A socket that listens. Options are triples of level, name and value, set before it is bound.
Napi::Value ListenSocket(const Napi::CallbackInfo& info) {
  const Span<uint8_t> address = Bytes(info, 0, "sockaddr");
  const Span<uint32_t> options = Words(info, 1, "options");
  const int backlog = static_cast<int>(Integer(info, 2, "backlog", 0, 2147483647.0));
  sockaddr_storage name = {};
  if (address.length < sizeof(sa_family_t) || address.length > sizeof name) Wrong(info, "sockaddr", "a socket address");
  if (options.length % 3 != 0) Wrong(info, "options", "triples");
  std::memcpy(&name, address.data, address.length);
  const int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return Result(info.Env(), -1);
  bool done = true;
  for (size_t i = 0; done && i < options.length; i += 3) {
    const int value = static_cast<int>(options.data[i + 2]);
    done = setsockopt(fd, static_cast<int>(options.data[i]), static_cast<int>(options.data[i + 1]), &value, sizeof value) == 0;
  }
  const socklen_t length = static_cast<socklen_t>(address.length);
  if (done && bind(fd, reinterpret_cast<const sockaddr*>(&name), length) == 0 && listen(fd, backlog) == 0)
    return Opened(info.Env(), fd);
  const int why = errno;
  ::close(fd);
  errno = why;
  return Result(info.Env(), -1);
}

// getsockname(2), or getpeername(2). Returns the address's length.
Napi::Value SocketName(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const bool peer = Flag(info, 1, "peer");
  const Span<uint8_t> out = Bytes(info, 2, "out");
  socklen_t length = static_cast<socklen_t>(out.length);
  sockaddr* name = reinterpret_cast<sockaddr*>(out.data);
  const int result = peer ? getpeername(fd, name, &length) : getsockname(fd, name, &length);
  return Result(info.Env(), result < 0 ? -1 : static_cast<long>(length));
}

// setsockopt(2) of any value.
Napi::Value SetSocketOption(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const int level = static_cast<int>(Integer(info, 1, "level", 0, 2147483647.0));
  const int name = static_cast<int>(Integer(info, 2, "option", 0, 2147483647.0));
  const Span<uint8_t> value = Bytes(info, 3, "value");
  return Result(info.Env(), setsockopt(fd, level, name, value.data, static_cast<socklen_t>(value.length)));
}

// shutdown(2) on the spot. An entry of a ring is left to a thread of the kernel's, which looks the number up when its turn has come:
// by then it may be another socket's. Only one that belongs to this environment.
Napi::Value ShutdownSocket(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const int how = static_cast<int>(Integer(info, 1, "how", 0, 2));
  if (Of(info.Env()).descriptors.count(fd) == 0) {
    errno = EBADF;
    return Result(info.Env(), -1);
  }
  return Result(info.Env(), shutdown(fd, how));
}

// What rings open: sockets, and exported instances of zero-copy receive. Not other anonymous files, which are the runtime's own: it
// aborts when one of those is closed.
bool OfARing(int fd) {
  Facts facts = {};
  if (!FactsOf(fd, "", facts)) return false;
  if (S_ISSOCK(facts.mode)) return true;
  char target[32] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return readlink(link.c_str(), target, sizeof target - 1) > 0 && std::strcmp(target, "anon_inode:[zcrx]") == 0;
}

// A descriptor that was opened by an entry of a ring is closed with this environment from now on, as those of the addon's are.
Napi::Value Adopt(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  if (!OfARing(fd)) {
    errno = EBADF;
    return Result(info.Env(), -1);
  }
  Of(info.Env()).descriptors.insert(fd);
  return Result(info.Env(), 0);
}

// It is about to be closed by an entry of a ring.
Napi::Value Disown(const Napi::CallbackInfo& info) {
  return Result(info.Env(), static_cast<long>(Of(info.Env()).descriptors.erase(Fd(info, 0))));
}

}  // namespace

void InitSockets(Napi::Env env, Napi::Object exports) {
  exports.Set("listenSocket", Napi::Function::New(env, ListenSocket, "listenSocket"));
  exports.Set("socketName", Napi::Function::New(env, SocketName, "socketName"));
  exports.Set("setSocketOption", Napi::Function::New(env, SetSocketOption, "setSocketOption"));
  exports.Set("shutdownSocket", Napi::Function::New(env, ShutdownSocket, "shutdownSocket"));
  exports.Set("adopt", Napi::Function::New(env, Adopt, "adopt"));
  exports.Set("disown", Napi::Function::New(env, Disown, "disown"));
}

}  // namespace zcrx
