// One's complement sums (RFC 1071) of a burst's fragments: the one thing that has to touch every payload byte.
#include "addon.h"

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define ZCRX_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define ZCRX_CLONES
#endif

namespace zcrx {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sums are taken in little-endian words and swapped once");

// Four 64-bit lanes; the compiler makes one AVX2 or two SSE2/NEON registers of it.
typedef uint64_t Lanes __attribute__((vector_size(32)));

constexpr size_t kBlock = 2 * sizeof(Lanes);

// Both halves of each 64-bit word go to their own accumulator: no carry to track, and two chains to overlap.
ZCRX_CLONES uint64_t SumBlocks(const uint8_t* data, size_t blocks) {
  Lanes low = {}, high = {}, low2 = {}, high2 = {};
  for (size_t b = 0; b < blocks; b++, data += kBlock) {
    Lanes first, second;
    std::memcpy(&first, data, sizeof first);
    std::memcpy(&second, data + sizeof first, sizeof second);
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

uint32_t Sum(const uint8_t* data, size_t length) {
  uint64_t sum = SumBlocks(data, length / kBlock);
  data += length - length % kBlock;
  for (length %= kBlock; length >= 4; length -= 4, data += 4) {
    uint32_t word;
    std::memcpy(&word, data, 4);
    sum += word;
  }
  if (length > 0) {
    uint32_t word = 0;
    std::memcpy(&word, data, length);  // an odd byte is the high half of a big-endian word padded with zero
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
    out.data[i] = Sum(memory.data + start, bytes);
  }
  return info.Env().Undefined();
}

}  // namespace

void InitChecksum(Napi::Env env, Napi::Object exports) {
  exports.Set("sumFragments", Napi::Function::New(env, SumFragments, "sumFragments"));
}

}  // namespace zcrx
