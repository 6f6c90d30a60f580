// io_uring's three system calls, the mapping of a ring's memory, and the eventfd that tells of completions. No header of the
// kernel's is needed: structures come as bytes.
#include "addon.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#define __NR_io_uring_register 427
#endif

namespace zcrx {
namespace {

constexpr size_t kParamsBytes = 120;  // struct io_uring_params
constexpr uint32_t kGetEvents = 1u << 0;
constexpr uint32_t kExtArg = 1u << 3;
constexpr size_t kFlagsAt = 8;  // in io_uring_params
constexpr uint32_t kRegisteredFdOnly = 1u << 15;
constexpr double kLargest = 1099511627776.0;

struct Timespec64 {
  int64_t sec;
  int64_t nsec;
};

// struct io_uring_getevents_arg
struct GetEventsArg {
  uint64_t sigmask;
  uint32_t sigmaskBytes;
  uint32_t minWaitUsec;
  uint64_t timeout;
};

Napi::Value Setup(const Napi::CallbackInfo& info) {
  const uint32_t entries = U32(info, 0, "entries");
  const Span<uint8_t> params = Bytes(info, 1, "params");
  if (params.length != kParamsBytes) Wrong(info, "params", "of 120 bytes");
  uint32_t flags = 0;
  std::memcpy(&flags, params.data + kFlagsAt, sizeof flags);
  // What it answers then is no descriptor: it would be somebody else's that is closed in the end.
  if ((flags & kRegisteredFdOnly) != 0) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  return Opened(info.Env(), static_cast<int>(syscall(__NR_io_uring_setup, entries, params.data)));
}

// Raw Node-API: it is the one call of a batch.
napi_value Enter(napi_env env, napi_callback_info info) {
  size_t argc = 5;
  napi_value argv[5];
  int32_t fd = -1;
  uint32_t submit = 0, complete = 0, flags = 0;
  double ms = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || argc < 5 ||
      napi_get_value_int32(env, argv[0], &fd) != napi_ok || napi_get_value_uint32(env, argv[1], &submit) != napi_ok ||
      napi_get_value_uint32(env, argv[2], &complete) != napi_ok || napi_get_value_uint32(env, argv[3], &flags) != napi_ok ||
      napi_get_value_double(env, argv[4], &ms) != napi_ok || std::isnan(ms)) {
    napi_throw_type_error(env, nullptr, "fd, toSubmit, minComplete, flags and timeoutMs must be numbers");
    return nullptr;
  }
  long result;
  if (complete > 0 && (flags & kGetEvents) != 0 && ms < 1e12) {
    Timespec64 timeout = {0, 0};
    if (ms > 0) {
      timeout.sec = static_cast<int64_t>(ms / 1000);
      timeout.nsec = static_cast<int64_t>((ms - static_cast<double>(timeout.sec) * 1000) * 1e6);
    }
    GetEventsArg arg = {0, 8, 0, reinterpret_cast<uint64_t>(&timeout)};
    result = syscall(__NR_io_uring_enter, fd, submit, complete, flags | kExtArg, &arg, sizeof arg);
  } else {
    result = syscall(__NR_io_uring_enter, fd, submit, complete, flags & ~kExtArg, nullptr, 0);
  }
  napi_value answer = nullptr;
  napi_create_int32(env, static_cast<int32_t>(result < 0 ? -errno : result), &answer);
  return answer;
}

Napi::Value Register(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(Integer(info, 0, "fd", -1, 2147483647.0));
  const uint32_t opcode = U32(info, 1, "opcode");
  if (info.Length() < 3) Wrong(info, "arg", "a Uint8Array or null");
  void* arg = info[2].IsNull() ? nullptr : Bytes(info, 2, "arg").data;
  return Result(info.Env(), syscall(__NR_io_uring_register, fd, opcode, arg, U32(info, 3, "nrArgs")));
}

Napi::Value Map(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const double offset = Integer(info, 1, "offset", 0, kLargest);
  const size_t length = static_cast<size_t>(Integer(info, 2, "bytes", 1, kLargest));
  // Who touches what a file does not have, or no longer, is killed.
  Facts facts = {};
  if (!FactsOf(fd, "", facts)) return Result(info.Env(), -1);
  if (S_ISREG(facts.mode)) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, static_cast<off_t>(offset));
  return MappedBuffer(info.Env(), address, length);
}

Napi::Value EventFd(const Napi::CallbackInfo& info) {
  return Opened(info.Env(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

// Of what was opened here: to read from another descriptor might take for ever.
Napi::Value DrainEventFd(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  uint64_t count = 0;
  if (Of(info.Env()).descriptors.count(fd) == 0) {
    errno = EBADF;
    return Result(info.Env(), -1);
  }
  const ssize_t got = read(fd, &count, sizeof count);
  return Result(info.Env(), got < 0 ? -1 : static_cast<long>(count));
}

// Pages that are pinned are copied for a child at once, which takes a quarter of a second for 512 MiB. The whole ones in it.
Napi::Value AdviseDontFork(const Napi::CallbackInfo& info) {
  const Span<uint8_t> memory = Bytes(info, 0, "memory");
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory.data);
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + memory.length) / page * page;
  if (last <= first) return Result(info.Env(), 0);
  return Result(info.Env(), madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTFORK));
}

}  // namespace

void InitUring(Napi::Env env, Napi::Object exports) {
  napi_value enter = nullptr;
  napi_create_function(env, "uringEnter", NAPI_AUTO_LENGTH, Enter, nullptr, &enter);
  exports.Set("uringEnter", enter);
  exports.Set("uringSetup", Napi::Function::New(env, Setup, "uringSetup"));
  exports.Set("uringRegister", Napi::Function::New(env, Register, "uringRegister"));
  exports.Set("uringMap", Napi::Function::New(env, Map, "uringMap"));
  exports.Set("eventFd", Napi::Function::New(env, EventFd, "eventFd"));
  exports.Set("drainEventFd", Napi::Function::New(env, DrainEventFd, "drainEventFd"));
  exports.Set("adviseDontFork", Napi::Function::New(env, AdviseDontFork, "adviseDontFork"));
}

}  // namespace zcrx
