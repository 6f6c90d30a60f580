// One's complement sums (RFC 1071): of a burst's fragments, and of what is copied to be sent. What has to touch every payload byte.
#include "addon.h"

#include <cstring>

namespace zcrx {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sums are taken in little-endian words and swapped once");

// Four 64-bit lanes; the compiler makes one AVX2 or two SSE2/NEON registers of it.
typedef uint64_t Lanes __attribute__((vector_size(32)));

constexpr size_t kBlock = 2 * sizeof(Lanes);

// Both halves of each 64-bit word go to their own accumulator: no carry to track, and two chains to overlap. What was summed is what is
// written, whoever else writes to the source meanwhile.
template <bool copies>
inline __attribute__((always_inline)) uint64_t AddBlocks(uint8_t* into, const uint8_t* data, size_t blocks) {
  Lanes low = {}, high = {}, low2 = {}, high2 = {};
  for (size_t b = 0; b < blocks; b++, data += kBlock) {
    Lanes first, second;
    std::memcpy(&first, data, sizeof first);
    std::memcpy(&second, data + sizeof first, sizeof second);
    if (copies) {
      std::memcpy(into, &first, sizeof first);
      std::memcpy(into + sizeof first, &second, sizeof second);
      into += kBlock;
    }
    low += first & 0xffffffffu;
    high += first >> 32;
    low2 += second & 0xffffffffu;
    high2 += second >> 32;
  }
  // No lane has overflowed: each addend is below 2^32, and no fragment has 2^32 blocks.
  low += low2;
  high += high2;
  const Lanes sum = (low & 0xffffffffu) + (low >> 32) + (high & 0xffffffffu) + (high >> 32);
  return sum[0] + sum[1] + sum[2] + sum[3];
}

uint64_t SumPlain(const uint8_t* data, size_t blocks) { return AddBlocks<false>(nullptr, data, blocks); }
uint64_t CopyPlain(uint8_t* into, const uint8_t* data, size_t blocks) { return AddBlocks<true>(into, data, blocks); }

// Chosen by ourselves: `target_clones` has the loader choose, and musl's can't.
#if defined(__x86_64__) && defined(__GNUC__)
#define ZCRX_AVX2 __attribute__((target("avx2")))
ZCRX_AVX2 uint64_t SumAvx2(const uint8_t* data, size_t blocks) { return AddBlocks<false>(nullptr, data, blocks); }
ZCRX_AVX2 uint64_t CopyAvx2(uint8_t* into, const uint8_t* data, size_t blocks) { return AddBlocks<true>(into, data, blocks); }

bool HasAvx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

const auto SumBlocks = HasAvx2() ? SumAvx2 : SumPlain;
const auto CopyBlocks = HasAvx2() ? CopyAvx2 : CopyPlain;
#else
const auto SumBlocks = SumPlain;
const auto CopyBlocks = CopyPlain;
#endif

// Of `length` bytes at `data`, which are copied to `into` unless that is null.
uint32_t Sum(uint8_t* into, const uint8_t* data, size_t length) {
  const size_t whole = length - length % kBlock;
  uint64_t sum = into == nullptr ? SumBlocks(data, length / kBlock) : CopyBlocks(into, data, length / kBlock);
  for (size_t at = whole; at < length; at += 4) {
    const size_t bytes = length - at < 4 ? length - at : 4;
    uint32_t word = 0;
    std::memcpy(&word, data + at, bytes);  // an odd byte is the high half of a big-endian word padded with zero
    if (into != nullptr) std::memcpy(into + at, &word, bytes);
    sum += word;
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(((sum & 0xff) << 8) | (sum >> 8));
}

Napi::Value SumFragments(const Napi::CallbackInfo& info) {
  const Span<uint8_t> memory = Bytes(info, 0, "memory");
  const Span<uint32_t> offset = Words(info, 1, "offset");
  const Span<uint32_t> length = Words(info, 2, "length");
  const Span<uint32_t> out = Words(info, 3, "out");
  const size_t count = U32(info, 4, "count");
  const size_t base = static_cast<size_t>(Integer(info, 5, "base", 0, 9007199254740991.0));
  if (count > offset.length || count > length.length || count > out.length) {
    throw Napi::RangeError::New(info.Env(), "count exceeds an array");
  }
  for (size_t i = 0; i < count; i++) {
    // Each value is read once: the arrays may be shared with a thread that changes them meanwhile.
    const volatile uint32_t* const o = &offset.data[i];
    const volatile uint32_t* const l = &length.data[i];
    const size_t start = base + *o;
    const size_t bytes = *l;
    if (start > memory.length || bytes > memory.length - start) {
      throw Napi::RangeError::New(info.Env(), "a fragment lies outside the memory");
    }
    out.data[i] = Sum(nullptr, memory.data + start, bytes);
  }
  return info.Env().Undefined();
}

// A view and where in it, of a call as bare as Node-API has them: it is made for each segment that is sent.
// As 64 bits: a number that 32 do not hold would else be another place.
uint8_t* Place(napi_env env, napi_value view, napi_value at, int64_t bytes) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  int64_t offset = 0;
  if (napi_get_typedarray_info(env, view, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array || napi_get_value_int64(env, at, &offset) != napi_ok) {
    napi_throw_type_error(env, nullptr, "a Uint8Array and a number are needed");
    return nullptr;
  }
  const auto whole = static_cast<int64_t>(length);
  if (offset < 0 || bytes < 0 || offset > whole || bytes > whole - offset) {
    napi_throw_range_error(env, nullptr, "bytes lie outside the memory");
    return nullptr;
  }
  return static_cast<uint8_t*>(data) + offset;
}

template <bool sums>
napi_value Copy(napi_env env, napi_callback_info info) {
  napi_value args[5];
  size_t count = 5;
  int64_t bytes = 0;
  if (napi_get_cb_info(env, info, &count, args, nullptr, nullptr) != napi_ok || count < 5 ||
      napi_get_value_int64(env, args[4], &bytes) != napi_ok) {
    napi_throw_type_error(env, nullptr, "length must be a number");
    return nullptr;
  }
  if (bytes == 0) return nullptr;
  uint8_t* const into = Place(env, args[0], args[1], bytes);
  if (into == nullptr) return nullptr;
  const uint8_t* const from = Place(env, args[2], args[3], bytes);
  if (from == nullptr) return nullptr;
  if (!sums) {
    std::memmove(into, from, bytes);
    return nullptr;
  }
  napi_value sum;
  return napi_create_uint32(env, Sum(into, from, bytes), &sum) == napi_ok ? sum : nullptr;
}

void SetFunction(Napi::Env env, Napi::Object exports, const char* name, napi_callback callback) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok) {
    exports.Set(name, Napi::Value(env, function));
  }
}

}  // namespace

uint32_t SumBytes(const uint8_t* data, size_t length) { return Sum(nullptr, data, length); }

void InitChecksum(Napi::Env env, Napi::Object exports) {
  exports.Set("sumFragments", Napi::Function::New(env, SumFragments, "sumFragments"));
  SetFunction(env, exports, "copyBytes", Copy<false>);
  SetFunction(env, exports, "copySum", Copy<true>);
}

}  // namespace zcrx
