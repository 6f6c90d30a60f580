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

constexpr uint64_t kLow = 0xffffffffu;

// Both halves of each 64-bit word go to their own accumulator: no carry to track, and the loop vectorises.
ZCRX_CLONES uint64_t SumWords(const uint8_t* data, size_t blocks) {
  uint64_t low[4] = {}, high[4] = {};
  for (size_t b = 0; b < blocks; b++, data += 32) {
    uint64_t word[4];
    std::memcpy(word, data, sizeof word);
    for (int i = 0; i < 4; i++) {
      low[i] += word[i] & kLow;
      high[i] += word[i] >> 32;
    }
  }
  uint64_t sum = 0;
  for (int i = 0; i < 4; i++) sum += (low[i] & kLow) + (low[i] >> 32) + (high[i] & kLow) + (high[i] >> 32);
  return sum;
}

uint32_t Sum(const uint8_t* data, size_t length) {
  uint64_t sum = SumWords(data, length / 32);
  data += length & ~static_cast<size_t>(31);
  for (length &= 31; length >= 4; length -= 4, data += 4) {
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
