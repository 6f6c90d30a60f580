// The loops over bulk data, as stack/ip/bulk-scan4.ts, bulk-scan6.ts and uapi/kernel/completion-queue.ts have them, for frames of one
// fragment in front of whose payload the headers lie. Those say why; `npm run fuzz -- bulk` holds both to what the stack makes of single frames.
#include "addon.h"

#include <cstring>
#include <vector>

namespace zcrx {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "headers are read as little-endian words");

// stack/tcp/rows.ts
struct Row {
  uint32_t key[3], turn, nxt, ack, adv, ts, wl1, shape, pseudo, segments, pieces, ts_raw, ts_ecr, sink;
};
static_assert(sizeof(Row) == 64, "a cache line");

constexpr uint32_t kSameWindow = 0x4000, kFirstTs = 0x8000;
constexpr uint32_t kKey6Words = 10;

// stack/ip/bulk-native.ts
enum State { kMacLow, kMacHigh, kPartial, kSmallBytes, kTurn, kKey0, kKey1, kFrames, kPartials, kVerified, kListed, kStateWords };

enum Flags : uint8_t { kMore = 1, kPartialSum = 2, kGood = 4, kSide = 8 };

// Words of the longest header, and entries ahead whose headers are asked for.
constexpr size_t kMostWords = 22, kAhead = 16;

// A copy of an entry's headers. Those of a burst lie pages apart, and so in the same few places of the first cache; their copies don't. And
// what was looked up is what is compared, whoever writes to the memory meanwhile.
struct Head {
  uint32_t w[kMostWords];
};

// Memory of a typed array that lives as long as this does.
template <typename T>
struct Kept {
  Napi::Reference<Napi::Value> reference;
  T* data = nullptr;
  size_t length = 0;

  void Keep(const Napi::CallbackInfo& info, size_t i, const char* name, napi_typedarray_type type) {
    const Span<T> view = View<T>(info, i, name, type, "the typed array it is");
    reference = Napi::Persistent(info[i]);
    data = view.data;
    length = view.length;
  }
};

inline uint32_t Fold(uint32_t sum) { return (sum & 0xffff) + (sum >> 16); }
inline uint32_t Big16(uint32_t half) { return ((half & 0xff) << 8) | ((half >> 8) & 0xff); }
// What lies in the upper half of one word and the lower of the next, in network order.
inline uint32_t Straddle(uint32_t first, uint32_t second) { return __builtin_bswap32((first >> 16) | (second << 16)); }

class BulkLoops : public Napi::ObjectWrap<BulkLoops> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    exports.Set("BulkLoops", DefineClass(env, "BulkLoops",
                                         {InstanceMethod<&BulkLoops::Bind>("bind"), InstanceMethod<&BulkLoops::Find>("find"),
                                          InstanceMethod<&BulkLoops::Scan>("scan")}));
  }

  explicit BulkLoops(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BulkLoops>(info) {}

 private:
  // What is worked on from now on.
  void Bind(const Napi::CallbackInfo& info) {
    bound_ = false;
    offset_.Keep(info, 0, "offset", napi_uint32_array);
    length_.Keep(info, 1, "length", napi_uint32_array);
    flags_.Keep(info, 2, "flags", napi_uint8_array);
    row_of_.Keep(info, 3, "rowOf", napi_int32_array);
    listed_.Keep(info, 4, "listed", napi_int32_array);
    state_.Keep(info, 5, "state", napi_int32_array);
    rows_.Keep(info, 6, "rows", napi_int32_array);
    index_.Keep(info, 7, "index", napi_int32_array);
    room_.Keep(info, 8, "room", napi_int32_array);
    has6_ = info.Length() > 9 && !info[9].IsNull();
    if (has6_) keys6_.Keep(info, 9, "keys6", napi_int32_array);
    row_count_ = rows_.length / (sizeof(Row) / 4);
    if (room_.length < row_count_) row_count_ = room_.length;
    if (has6_ && keys6_.length / kKey6Words < row_count_) row_count_ = keys6_.length / kKey6Words;
    capacity_ = offset_.length;
    for (const size_t length : {length_.length, flags_.length, row_of_.length, listed_.length})
      if (length < capacity_) capacity_ = length;
    if (state_.length < kStateWords || index_.length == 0 || (index_.length & (index_.length - 1)) != 0) {
      throw Napi::RangeError::New(info.Env(), "state is too short, or index no power of two");
    }
    heads_.resize(capacity_);
    bound_ = true;
  }

  // Finds the rows of entries `[from, count)` and lists those that are to be filled in. Returns the first entry that has none.
  Napi::Value Find(const Napi::CallbackInfo& info) {
    size_t from, count;
    const Span<int32_t> words = Arguments(info, from, count);
    uint32_t* const state = state_.data;
    auto* const rows = reinterpret_cast<Row*>(rows_.data);
    const size_t bytes = words.length * 4;
    const auto* const memory = reinterpret_cast<const uint8_t*>(words.data);
    const uint32_t turn = state[kTurn], key0 = state[kKey0], key1 = state[kKey1];
    uint32_t listed = 0, row = 0;
    size_t i = from;
    for (; i < count; i++) {
      if (i + kAhead < count) {
        const size_t ahead = offset_.data[i + kAhead];
        if (ahead < bytes) {
          __builtin_prefetch(memory + ahead, 0, 2);
          __builtin_prefetch(memory + ahead + 64, 0, 2);
        }
      }
      const uint32_t start = offset_.data[i];
      if (!Readable(start, i, bytes)) break;
      std::memcpy(&heads_[i], memory + start, sizeof(Head));
      const uint32_t* const w = heads_[i].w;
      const uint32_t* const before = i == from ? nullptr : heads_[i - 1].w;
      // Segments of one connection follow on each other more often than not: then the row is that of the one before.
      if (Is4(w)) {
        if (before == nullptr || !Is4(before) || Differ4(w, before) != 0) {
          const uint32_t key[3] = {w[7], w[8], (w[6] & 0xffff0000) | (w[9] & 0xffff)};
          row = Look(rows, key, key0, key1);
          if (row == 0) break;
        }
      } else if (has6_ && Is6(w)) {
        if (before == nullptr || !Is6(before) || Differ6(w, before) != 0) {
          uint32_t key[3];
          Key6(w, key0, key1, key);
          row = Look(rows, key, key0, key1);
          if (row == 0 || Other6(w, row) != 0) break;
        }
      } else {
        break;
      }
      row_of_.data[i] = static_cast<int32_t>(row);
      Row& found = rows[row];
      if (found.turn != turn) {
        found.turn = turn;
        listed_.data[listed++] = static_cast<int32_t>(row);
      }
    }
    state[kListed] = listed;
    return Napi::Number::New(info.Env(), static_cast<double>(i));
  }

  // Takes entries `[from, count)`, whose rows `Find` has found, and lists the rows that take their first. Returns the first that was not taken.
  Napi::Value Scan(const Napi::CallbackInfo& info) {
    size_t from, count;
    const Span<int32_t> words = Arguments(info, from, count);
    uint32_t* const state = state_.data;
    auto* const rows = reinterpret_cast<Row*>(rows_.data);
    const size_t bytes = words.length * 4;
    const auto* const memory = reinterpret_cast<const uint8_t*>(words.data);
    const uint32_t mac_low = state[kMacLow], mac_high = state[kMacHigh] & 0xffff;
    const auto small = static_cast<int32_t>(state[kSmallBytes]);
    const bool partial = state[kPartial] != 0;
    uint32_t frames = 0, partials = 0, verified = 0, listed = 0;
    size_t i = from;
    for (; i < count; i++) {
      const uint32_t start = offset_.data[i];
      const auto number = static_cast<uint32_t>(row_of_.data[i]);
      if (number >= row_count_) break;
      Row& row = rows[number];
      const uint32_t* const w = heads_[i].w;
      if (w[0] != mac_low || (w[1] & 0xffff) != mac_high || row.turn != state[kTurn]) break;
      const auto len = static_cast<int32_t>(length_.data[i]);
      // Where TCP begins, and its words as they lie for either version: the first half of `t[0]` is in front of it.
      int32_t tcp, total;
      const uint32_t* t;
      uint32_t shape_bits;
      if (Is4(w)) {
        if ((w[5] & 0xff00ffbf) != 0x06000000) break;
        uint32_t sum = (w[3] >> 16) + (w[8] & 0xffff);
        for (int k = 4; k < 8; k++) sum += (w[k] & 0xffff) + (w[k] >> 16);
        if (Fold(sum) != 0xffff) break;
        tcp = 34;
        total = static_cast<int32_t>(Big16(w[4])) - 20;
        t = w + 8;
        shape_bits = 0;
      } else if (Is6(w) && (w[5] & 0xff) == 6) {
        tcp = 54;
        total = static_cast<int32_t>(Big16(w[4] >> 16));
        t = w + 13;
        shape_bits = 0x10000;
      } else {
        break;
      }
      const uint32_t shape = (t[3] >> 16) & 0xf7ff;
      const uint32_t nxt = row.nxt;
      if ((shape | shape_bits) != row.shape || Straddle(t[1], t[2]) != nxt ||
          ((t[2] & 0xffff0000) | (t[3] & 0xffff)) != row.ack) {
        break;
      }
      int32_t header = tcp + 20;
      uint32_t raw = 0, ts = 0, ecr = 0;
      if (shape == 0x1080) {
        header += 12;
        if (len < header || t[5] >> 16 != 0x0101 || (t[6] & 0xffff) != 0x0a08) break;
        raw = (t[6] & 0xffff0000) | (t[7] & 0xffff);
        ts = Straddle(t[6], t[7]);
        ecr = Straddle(t[7], t[8]);
        if (raw != row.ts_raw && static_cast<int32_t>(ts - row.ts) < 0) break;
      }
      const int32_t payload = total + tcp - header;
      if (payload <= 0 || total + tcp > len || payload > static_cast<int32_t>(row.adv - nxt)) break;
      if (payload <= small && room_.data[number] <= static_cast<int32_t>(row.pieces)) break;
      if ((row.sink & kSameWindow) != 0 && ((t[4] ^ (row.sink >> 16)) & 0xffff) != 0) break;
      const uint8_t flag = flags_.data[i];
      if ((flag & kGood) == 0) {
        const uint32_t pseudo = Fold(row.pseudo + static_cast<uint32_t>(total));
        if ((flag & kPartialSum) != 0 || (partial && Big16(t[4] >> 16) == pseudo)) {
          partials++;
        } else {
          if (len != tcp + total || start > bytes || static_cast<size_t>(len) > bytes - start) break;
          const uint32_t sum = SumBytes(memory + start + tcp, static_cast<size_t>(total)) + pseudo;
          if (Fold(sum) != 0xffff) break;
          verified++;
        }
      }
      if (row.segments++ == 0) {
        listed_.data[listed++] = static_cast<int32_t>(number);
        if ((row.sink & kFirstTs) != 0) row.ts = ts;
      }
      row.pieces++;
      row.ts_raw = raw;
      row.nxt = nxt + static_cast<uint32_t>(payload);
      row.wl1 = nxt;
      row.ts_ecr = ecr;
      row.sink = (row.sink & 0xffff) | (t[4] << 16);
      offset_.data[i] = start + static_cast<uint32_t>(header);
      length_.data[i] = static_cast<uint32_t>(payload);
      frames++;
    }
    state[kFrames] = frames;
    state[kPartials] = partials;
    state[kVerified] = verified;
    state[kListed] = listed;
    return Napi::Number::New(info.Env(), static_cast<double>(i));
  }

  // A frame of one fragment, its headers in front of its payload, all of which can be read.
  bool Readable(uint32_t start, size_t i, size_t bytes) const {
    return (start & 3) == 0 && bytes >= kMostWords * 4 && start <= bytes - kMostWords * 4 && length_.data[i] >= 54 &&
           length_.data[i] <= 0x7fffffff && (flags_.data[i] & (kMore | kSide)) == 0;
  }

  // Ethernet type, version and header length.
  static bool Is4(const uint32_t* w) { return (w[3] & 0xffffff) == 0x450008; }
  static bool Is6(const uint32_t* w) { return (w[3] & 0xf0ffff) == 0x60dd86; }

  static void Key6(const uint32_t* w, uint32_t key0, uint32_t key1, uint32_t* key) {
    uint32_t k = ((w[5] & 0xffff0000) ^ key0) * key1;
    k = ((k ^ (k >> 15)) + w[6]) * 0x9e3779b1;
    k = ((k ^ (k >> 13)) + w[7]) * key1;
    k = ((k ^ (k >> 15)) + w[8]) * 0x85ebca6b;
    key[0] = k ^ (k >> 16);
    key[1] = w[13];
    key[2] = w[9] ^ (w[14] & 0xffff);
  }

  // Not 0 where addresses or ports differ: of two headers, or of a header and a row.
  static uint32_t Differ4(const uint32_t* one, const uint32_t* other) {
    return (one[7] ^ other[7]) | (one[8] ^ other[8]) | ((one[6] ^ other[6]) & 0xffff0000) |
           ((one[9] ^ other[9]) & 0xffff);
  }

  static uint32_t Differ6(const uint32_t* one, const uint32_t* other) {
    uint32_t bits = ((one[5] ^ other[5]) & 0xffff0000) | ((one[14] ^ other[14]) & 0xffff);
    for (int k = 6; k < 14; k++) bits |= one[k] ^ other[k];
    return bits;
  }

  uint32_t Other6(const uint32_t* w, uint32_t row) const {
    const auto* const key = reinterpret_cast<const uint32_t*>(keys6_.data) + row * kKey6Words;
    uint32_t bits = (key[0] ^ (w[5] & 0xffff0000)) | (key[9] ^ (w[14] & 0xffff));
    for (int k = 1; k < 9; k++) bits |= key[k] ^ w[k + 5];
    return bits;
  }

  uint32_t Look(const Row* rows, const uint32_t* key, uint32_t key0, uint32_t key1) const {
    uint32_t h = (key[0] ^ key0) * 0x9e3779b1;
    h = ((h ^ (h >> 15)) + key[1]) * key1;
    h = ((h ^ (h >> 13)) + key[2]) * 0x85ebca6b;
    h ^= h >> 16;
    const size_t mask = index_.length - 1;
    for (size_t tried = 0; tried <= mask; tried++, h++) {
      const auto row = static_cast<uint32_t>(index_.data[h & mask]);
      if (row == 0 || row >= row_count_) return 0;
      const Row& found = rows[row];
      if (found.key[0] == key[0] && found.key[1] == key[1] && found.key[2] == key[2]) return row;
    }
    return 0;
  }

  Span<int32_t> Arguments(const Napi::CallbackInfo& info, size_t& from, size_t& count) const {
    const Span<int32_t> words = View<int32_t>(info, 0, "words", napi_int32_array, "an Int32Array");
    from = U32(info, 1, "from");
    count = U32(info, 2, "count");
    if (!bound_ || from > count || count > capacity_) {
      throw Napi::RangeError::New(info.Env(), "nothing is bound, or there are not so many entries");
    }
    return words;
  }

  Kept<uint32_t> offset_, length_;
  Kept<uint8_t> flags_;
  Kept<int32_t> row_of_, listed_, rows_, index_, room_, keys6_;
  Kept<uint32_t> state_;
  std::vector<Head> heads_;
  size_t row_count_ = 0, capacity_ = 0;
  bool has6_ = false, bound_ = false;
};

// As bare as Node-API has it: it is made once for each burst, and many words go with it.
bool Take(napi_env env, napi_value value, napi_typedarray_type type, void** data, size_t* length) {
  napi_typedarray_type actual;
  return napi_get_typedarray_info(env, value, &actual, length, data, nullptr, nullptr) == napi_ok && actual == type;
}

napi_value PostRun(napi_env env, napi_callback_info info) {
  enum { kCqes, kMask, kOffset, kLength, kRowOf, kTags, kUserRefs, kShift, kFrom, kTo, kTail, kFlags, kSpace, kRan, kCount };
  napi_value args[kCount];
  size_t given = kCount;
  void* cqes = nullptr;
  void* offset = nullptr;
  void* length = nullptr;
  void* row_of = nullptr;
  void* tags = nullptr;
  void* refs = nullptr;
  void* ran = nullptr;
  size_t cqe_words, offsets, lengths, rows, tag_words, niovs, ran_words;
  uint32_t mask, shift, from, to, tail, flags;
  int32_t space;
  if (napi_get_cb_info(env, info, &given, args, nullptr, nullptr) != napi_ok || given < kCount ||
      !Take(env, args[kCqes], napi_int32_array, &cqes, &cqe_words) ||
      !Take(env, args[kOffset], napi_uint32_array, &offset, &offsets) ||
      !Take(env, args[kLength], napi_uint32_array, &length, &lengths) ||
      !Take(env, args[kRowOf], napi_int32_array, &row_of, &rows) ||
      !Take(env, args[kTags], napi_int32_array, &tags, &tag_words) ||
      !Take(env, args[kUserRefs], napi_uint32_array, &refs, &niovs) ||
      !Take(env, args[kRan], napi_int32_array, &ran, &ran_words) ||
      napi_get_value_uint32(env, args[kMask], &mask) != napi_ok || napi_get_value_uint32(env, args[kShift], &shift) != napi_ok ||
      napi_get_value_uint32(env, args[kFrom], &from) != napi_ok || napi_get_value_uint32(env, args[kTo], &to) != napi_ok ||
      napi_get_value_uint32(env, args[kTail], &tail) != napi_ok || napi_get_value_uint32(env, args[kFlags], &flags) != napi_ok ||
      napi_get_value_int32(env, args[kSpace], &space) != napi_ok) {
    napi_throw_type_error(env, nullptr, "typed arrays and numbers are needed");
    return nullptr;
  }
  if (from > to || to > offsets || to > lengths || to > rows || shift > 31 || ran_words < 2 ||
      (static_cast<uint64_t>(mask) + 1) * 8 > cqe_words) {
    napi_throw_range_error(env, nullptr, "there are not so many entries, or slots");
    return nullptr;
  }
  uint32_t pieces = 0, bytes = 0, i = from;
  for (; i < to; i++) {
    const int32_t row = static_cast<const int32_t*>(row_of)[i];
    if (row < 0) continue;
    if (space-- <= 0) break;
    const uint32_t at = static_cast<const uint32_t*>(offset)[i];
    const uint32_t res = static_cast<const uint32_t*>(length)[i];
    if (2 * static_cast<size_t>(row) + 1 >= tag_words || at >> shift >= niovs) break;
    const uint32_t* const tag = static_cast<const uint32_t*>(tags) + 2 * static_cast<size_t>(row);
    // struct io_uring_cqe and struct io_uring_zcrx_cqe.
    const uint32_t cqe[8] = {tag[0], tag[1], res, flags, at, 0, 0, 0};
    std::memcpy(static_cast<uint32_t*>(cqes) + 8 * static_cast<size_t>(tail & mask), cqe, sizeof cqe);
    static_cast<uint32_t*>(refs)[at >> shift]++;
    tail++;
    pieces++;
    bytes += res;
  }
  static_cast<uint32_t*>(ran)[0] = pieces;
  static_cast<uint32_t*>(ran)[1] = bytes;
  napi_value end;
  return napi_create_uint32(env, i, &end) == napi_ok ? end : nullptr;
}

}  // namespace

void InitBulk(Napi::Env env, Napi::Object exports) {
  BulkLoops::Init(env, exports);
  napi_value post;
  if (napi_create_function(env, "postRun", NAPI_AUTO_LENGTH, PostRun, nullptr, &post) == napi_ok) {
    exports.Set("postRun", Napi::Value(env, post));
  }
}

}  // namespace zcrx
