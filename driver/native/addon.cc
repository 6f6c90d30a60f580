// Entry point, and descriptors: every one that the addon opens is closed by `close` or with its environment.
#include "addon.h"

#include <fcntl.h>
#include <unistd.h>

namespace zcrx {

Environment::~Environment() {
  for (int fd : descriptors) ::close(fd);
}

Napi::Value Opened(Napi::Env env, int fd) {
  if (fd >= 0) Of(env).descriptors.insert(fd);
  return Result(env, fd);
}

namespace {

// Closes only what was opened here: a stale number may by now be a descriptor of someone else in the process.
Napi::Value Close(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  if (Of(info.Env()).descriptors.erase(fd) == 0) {
    errno = EBADF;
    return Result(info.Env(), -1);
  }
  CloseWatchings(Of(info.Env()), fd);
  return Result(info.Env(), ::close(fd));
}

Napi::Value Duplicate(const Napi::CallbackInfo& info) {
  return Opened(info.Env(), fcntl(Fd(info, 0), F_DUPFD_CLOEXEC, 3));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment());
  exports.Set("close", Napi::Function::New(env, Close, "close"));
  exports.Set("duplicate", Napi::Function::New(env, Duplicate, "duplicate"));
  InitMemory(env, exports);
  InitXsk(env, exports);
  InitBpf(env, exports);
  InitLink(env, exports);
  InitNetlink(env, exports);
  InitPoll(env, exports);
  InitBulk(env, exports);
  InitChecksum(env, exports);
  InitTap(env, exports);
  InitPacket(env, exports);
  InitGuard(env, exports);
  InitUring(env, exports);
  InitSockets(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(zcrx, Init)

}  // namespace zcrx
