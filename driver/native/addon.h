// What the files of the addon share: argument checks, the table of open descriptors, the registration of each file.
//
// Convention: a call that the kernel refuses returns a negative errno; a call with arguments that can't be right
// throws a TypeError or RangeError before anything is done. Nothing else throws.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_set>

namespace zcrx {

// Descriptors opened in one JavaScript environment. They are closed with it: a worker thread that is terminated
// gives its queue back although none of its JavaScript runs any more.
struct Watching;
struct Environment {
  std::unordered_set<int> descriptors;
  std::unordered_set<Watching*> watchings;
  ~Environment();
};

// Ends the watching of a descriptor in its environment; see poll.cc.
void CloseWatchings(Environment& environment, int fd);

inline Environment& Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

// Takes a fresh descriptor (or -1 and errno) into the table and makes it the result of a call.
Napi::Value Opened(Napi::Env env, int fd);

struct Facts {
  uint32_t mode;
  uint64_t device;
  uint64_t inode;
};

// What stat() tells of an absolute path, or with an empty path of a descriptor; false and errno where it fails.
bool FactsOf(int fd, const char* path, Facts& facts);

// 0 or more as it is, -1 as the negative errno.
inline Napi::Value Result(Napi::Env env, long value) {
  return Napi::Number::New(env, value < 0 ? static_cast<double>(-errno) : static_cast<double>(value));
}

[[noreturn]] inline void Wrong(const Napi::CallbackInfo& info, const char* name, const char* expected) {
  throw Napi::TypeError::New(info.Env(), std::string(name) + " must be " + expected);
}

inline double Integer(const Napi::CallbackInfo& info, size_t i, const char* name, double lowest, double highest) {
  if (i >= info.Length() || !info[i].IsNumber()) Wrong(info, name, "a number");
  const double value = info[i].As<Napi::Number>().DoubleValue();
  if (!(value >= lowest && value <= highest) || value != std::floor(value)) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " is out of range");
  }
  return value;
}

inline uint32_t U32(const Napi::CallbackInfo& info, size_t i, const char* name) {
  return static_cast<uint32_t>(Integer(info, i, name, 0, 4294967295.0));
}

inline int Fd(const Napi::CallbackInfo& info, size_t i) {
  return static_cast<int>(Integer(info, i, "fd", 0, 2147483647.0));
}

inline bool Flag(const Napi::CallbackInfo& info, size_t i, const char* name) {
  if (i >= info.Length() || !info[i].IsBoolean()) Wrong(info, name, "a boolean");
  return info[i].As<Napi::Boolean>().Value();
}

inline std::string Text(const Napi::CallbackInfo& info, size_t i, const char* name, size_t longest) {
  if (i >= info.Length() || !info[i].IsString()) Wrong(info, name, "a string");
  std::string text = info[i].As<Napi::String>().Utf8Value();
  if (text.size() > longest || text.find('\0') != std::string::npos) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " is too long or holds a zero byte");
  }
  return text;
}

// A view's bytes. Views, not buffers, cross the border: Node-API looks into a SharedArrayBuffer only through a view.
template <typename T>
struct Span {
  T* data;
  size_t length;  // elements
};

template <typename T>
Span<T> View(const Napi::CallbackInfo& info, size_t i, const char* name, napi_typedarray_type type,
             const char* expected) {
  if (i >= info.Length() || !info[i].IsTypedArray()) Wrong(info, name, expected);
  napi_typedarray_type actual;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(info.Env(), info[i], &actual, &length, &data, nullptr, nullptr) != napi_ok ||
      actual != type) {
    Wrong(info, name, expected);
  }
  return {static_cast<T*>(data), length};
}

inline Span<uint8_t> Bytes(const Napi::CallbackInfo& info, size_t i, const char* name) {
  return View<uint8_t>(info, i, name, napi_uint8_array, "a Uint8Array");
}

inline Span<uint32_t> Words(const Napi::CallbackInfo& info, size_t i, const char* name) {
  return View<uint32_t>(info, i, name, napi_uint32_array, "a Uint32Array");
}

inline Span<double> Doubles(const Napi::CallbackInfo& info, size_t i, const char* name) {
  return View<double>(info, i, name, napi_float64_array, "a Float64Array");
}

// Wraps a fresh mapping (or MAP_FAILED and errno) in an ArrayBuffer that unmaps it when it is collected.
Napi::Value MappedBuffer(Napi::Env env, void* address, size_t length);

// Folded sum (RFC 1071) of bytes, as a number of two bytes in network order.
uint32_t SumBytes(const uint8_t* data, size_t length);

void InitMemory(Napi::Env env, Napi::Object exports);
void InitXsk(Napi::Env env, Napi::Object exports);
void InitBpf(Napi::Env env, Napi::Object exports);
void InitLink(Napi::Env env, Napi::Object exports);
void InitNetlink(Napi::Env env, Napi::Object exports);
void InitPoll(Napi::Env env, Napi::Object exports);
void InitBulk(Napi::Env env, Napi::Object exports);
void InitChecksum(Napi::Env env, Napi::Object exports);
void InitTap(Napi::Env env, Napi::Object exports);
void InitPacket(Napi::Env env, Napi::Object exports);
void InitGuard(Napi::Env env, Napi::Object exports);
void InitUring(Napi::Env env, Napi::Object exports);
void InitSockets(Napi::Env env, Napi::Object exports);

}  // namespace zcrx
