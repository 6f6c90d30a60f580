// TAP queues: opening one, and moving frames in bursts. What a frame's headers are is found out here, because the bytes
// behind them have to be in the application's chunks when the read returns: one system call and one copy a frame.
// Layouts: Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h and virtio_net.h.
#include "addon.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace zcrx {
namespace {

// struct virtio_net_hdr; the kernel's header is no C++.
struct VnetHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
};
constexpr uint8_t kNeedsCsum = 1, kDataValid = 2;
constexpr size_t kVnet = sizeof(VnetHeader);
// A side slot: the virtio header ends where the frame begins, 16 bytes in; then what is not payload of TCP.
constexpr size_t kFrameAt = 16;
constexpr size_t kSideFrame = 512;
constexpr size_t kSideSlot = kFrameAt + kSideFrame;
constexpr size_t kLargestFrame = 65536 + 22;
constexpr size_t kMostPieces = 1023;

// RX_* of driver/nic.ts.
constexpr uint8_t kMore = 1, kPartial = 2, kGood = 4, kSide = 8;

// Elements of the state that belongs to the queue's owner.
enum State { kHeld, kGuess, kLonger, kFrames, kBytes, kInvalid, kStateLength };

Napi::Value Open(const Napi::CallbackInfo& info) {
  const std::string name = Text(info, 0, "name", IFNAMSIZ - 1);
  const int flags = static_cast<int>(Integer(info, 1, "flags", 0, 65535));
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Result(info.Env(), -1);
  ifreq request = {};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  request.ifr_flags = static_cast<short>(flags);
  int header = static_cast<int>(kVnet);
  if (ioctl(fd, TUNSETIFF, &request) < 0 ||
      ((flags & IFF_VNET_HDR) != 0 && ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)) {
    const int why = errno;
    ::close(fd);
    errno = why;
    return Result(info.Env(), -1);
  }
  return Opened(info.Env(), fd);
}

Napi::Value SetOffload(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), TUNSETOFFLOAD, static_cast<unsigned long>(U32(info, 1, "flags"))));
}

Napi::Value SetPersist(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ioctl(Fd(info, 0), TUNSETPERSIST, Flag(info, 1, "persist") ? 1ul : 0ul));
}

// Bytes up to the end of the TCP header of a frame with payload behind it; 0 for any other. `seen` bytes are readable.
size_t HeaderBytes(const uint8_t* frame, size_t seen, size_t total) {
  size_t at = 14;
  while (at + 4 <= seen && at < 22 && ((frame[at - 2] == 0x81 && frame[at - 1] == 0) ||
                                       (frame[at - 2] == 0x88 && frame[at - 1] == 0xa8)))
    at += 4;
  if (at + 20 > seen) return 0;
  size_t tcp, end;
  if (frame[at - 2] == 0x08 && frame[at - 1] == 0x00) {
    if (frame[at + 9] != 6 || (frame[at + 6] & 0x3f) != 0 || frame[at + 7] != 0) return 0;
    tcp = at + (frame[at] & 0xfu) * 4;
    end = at + ((static_cast<size_t>(frame[at + 2]) << 8) | frame[at + 3]);
  } else if (frame[at - 2] == 0x86 && frame[at - 1] == 0xdd && at + 40 <= seen && frame[at + 6] == 6) {
    tcp = at + 40;
    end = tcp + ((static_cast<size_t>(frame[at + 4]) << 8) | frame[at + 5]);
  } else {
    return 0;
  }
  if (tcp + 20 > seen) return 0;
  const size_t headers = tcp + (frame[tcp + 12] >> 4) * 4u;
  return headers >= std::min(end, total) || headers > seen ? 0 : headers;
}

// The arrays of one call.
struct Burst {
  Span<uint8_t> area, side;
  Span<uint32_t> chunks, offset, length;
  Span<uint8_t> flags;
  double* state;
  size_t chunk, count = 0, limit;

  void Put(size_t at, size_t bytes, uint8_t bits) {
    offset.data[count] = static_cast<uint32_t>(at);
    length.data[count] = static_cast<uint32_t>(bytes);
    flags.data[count++] = bits;
  }
};

// Sorts one frame that was read: `guess` bytes of it at `slot`, `placed` in chunks from the top of the stack, the rest in
// the overflow.
void Sort(Burst& burst, size_t slot, size_t guess, size_t pieces, size_t total, size_t overflowAt, uint8_t bits) {
  uint8_t* frame = burst.side.data + slot + kFrameAt;
  const size_t held = static_cast<size_t>(burst.state[kHeld]);
  const auto piece = [&](size_t i) { return burst.chunks.data[held - 1 - i] * burst.chunk; };
  const size_t behind = total > guess ? total - guess : 0;
  size_t beside = std::min(total, guess);
  size_t headers = HeaderBytes(frame, beside, total);
  // Headers that are longer than was guessed go on in the first chunk, or the overflow: they are brought together here.
  const auto gather = [&](size_t until) {
    const uint8_t* first = pieces > 0 ? burst.area.data + piece(0) : burst.side.data + overflowAt;
    until = std::min({until, total, pieces > 0 ? guess + burst.chunk : total});
    if (until <= beside) return;
    std::memcpy(frame + beside, first + (beside - guess), until - beside);
    beside = until;
  };
  if (headers == 0 && behind > 0) {
    gather(kSideFrame);
    headers = HeaderBytes(frame, beside, total);
    // What is no TCP with payload is never looked for in the area, but what is too long for the slot is left there.
    if (headers > 0) beside = std::max(headers, guess);
  }
  if (headers > 0) {
    // Less is believed at once, for payload beside the area has to be copied; more when it goes on.
    if (headers > guess) {
      if (++burst.state[kLonger] >= 16) burst.state[kGuess] = static_cast<double>(headers);
    } else {
      burst.state[kLonger] = 0;
      if (headers < guess) burst.state[kGuess] = static_cast<double>(headers);
    }
  }
  size_t skip = beside - std::min(guess, beside);
  burst.Put(slot + kFrameAt, beside, kSide | bits | (total > beside ? kMore : 0));
  size_t left = total - beside;
  size_t used = 0;
  for (size_t i = 0; i < pieces && left > 0; i++) {
    const size_t bytes = std::min(burst.chunk - skip, left);
    left -= bytes;
    used = i + 1;
    burst.Put(piece(i) + skip, bytes, bits | (left > 0 ? kMore : 0));
    skip = 0;
  }
  if (left > 0) burst.Put(overflowAt + (pieces == 0 ? skip : 0), left, kSide | bits);
  burst.state[kHeld] = static_cast<double>(held - used);
  burst.state[kFrames]++;
  burst.state[kBytes] += static_cast<double>(total);
}

// Reads frames until there are none, or the burst, the slots or the chunks are used up. Returns the burst's entries; a
// negative errno only when the first read failed for another reason than that nothing waits.
Napi::Value Receive(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  Burst burst{Bytes(info, 1, "area"),    Bytes(info, 2, "side"),    Words(info, 3, "chunks"),
              Words(info, 4, "offset"),  Words(info, 5, "length"),  Bytes(info, 6, "flags"),
              Doubles(info, 7, "state").data, static_cast<size_t>(Integer(info, 8, "chunkSize", 1024, 1u << 30)), 0, 0};
  if (Doubles(info, 7, "state").length < kStateLength) Wrong(info, "state", "of 6 numbers");
  burst.limit = std::min({burst.offset.length, burst.length.length, burst.flags.length});
  if (burst.side.length < kLargestFrame + kSideSlot) Wrong(info, "side", "larger");
  // A frame that finds too few chunks goes on behind the slots. There is room for one.
  const size_t overflowAt = burst.side.length - kLargestFrame;
  const size_t slots = overflowAt / kSideSlot;
  const double guessed = burst.state[kGuess];
  const double holds = burst.state[kHeld];
  if (!(guessed >= 14 && guessed <= 256 && holds >= 0 && holds <= static_cast<double>(burst.chunks.length))) {
    throw Napi::RangeError::New(info.Env(), "state is out of range");
  }
  const size_t most = std::min((kLargestFrame + burst.chunk - 1) / burst.chunk, kMostPieces - 2);
  iovec pieces[kMostPieces];
  for (size_t i = 0; i < slots; i++) {
    const size_t held = static_cast<size_t>(burst.state[kHeld]);
    const size_t guess = static_cast<size_t>(burst.state[kGuess]);
    const size_t chunks = std::min(most, held);
    // A frame's headers, its chunks, and what the overflow takes.
    if (burst.count + chunks + 2 > burst.limit) break;
    if (i > 0 && chunks < most) break;
    const size_t slot = i * kSideSlot;
    uint8_t* header = burst.side.data + slot + kFrameAt - kVnet;
    pieces[0] = {header, kVnet + guess};
    for (size_t k = 0; k < chunks; k++) {
      const uint32_t chunk = burst.chunks.data[held - 1 - k];
      if (chunk >= burst.area.length / burst.chunk) throw Napi::RangeError::New(info.Env(), "a chunk lies outside the area");
      pieces[1 + k] = {burst.area.data + chunk * burst.chunk, burst.chunk};
    }
    int count = 1 + static_cast<int>(chunks);
    if (chunks < most) pieces[count++] = {burst.side.data + overflowAt, kLargestFrame};
    const ssize_t got = readv(fd, pieces, count);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || i > 0) break;
      return Result(info.Env(), -1);
    }
    const size_t bytes = static_cast<size_t>(got);
    if (bytes < kVnet + 14) {
      burst.state[kInvalid]++;
      continue;
    }
    VnetHeader head;
    std::memcpy(&head, header, kVnet);
    const uint8_t bits = (head.flags & kNeedsCsum) != 0 ? kPartial : (head.flags & kDataValid) != 0 ? kGood : 0;
    Sort(burst, slot, guess, chunks, bytes - kVnet, overflowAt, bits);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(burst.count));
}

// Sends frames, `kFrameWords` each: where the frame lies in `memory`, its bytes, those up to the TCP header, those up to the
// payload, payload bytes of a segment, gso_type (0 = the frame leaves as it is). Returns how many went; the first that does
// not go ends it, with the negative errno only when it is the first of all.
constexpr size_t kFrameWords = 6;
constexpr uint16_t kTcpChecksumAt = 16;

Napi::Value Send(const Napi::CallbackInfo& info) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> memory = Bytes(info, 1, "memory");
  const Span<uint32_t> frames = Words(info, 2, "frames");
  const size_t from = U32(info, 3, "from");
  const size_t to = U32(info, 4, "to");
  if (from > to || to > frames.length / kFrameWords) throw Napi::RangeError::New(info.Env(), "frames end before that");
  for (size_t i = from; i < to; i++) {
    // Read once: the array may be shared with a thread that changes it meanwhile.
    uint32_t frame[kFrameWords];
    std::memcpy(frame, frames.data + i * kFrameWords, sizeof frame);
    if (frame[0] > memory.length || frame[1] > memory.length - frame[0]) {
      throw Napi::RangeError::New(info.Env(), "a frame lies outside the memory");
    }
    VnetHeader head = {};
    if (frame[5] != 0) {
      head.flags = kNeedsCsum;
      head.gso_type = static_cast<uint8_t>(frame[5]);
      head.hdr_len = static_cast<uint16_t>(frame[3]);
      head.gso_size = static_cast<uint16_t>(frame[4]);
      head.csum_start = static_cast<uint16_t>(frame[2]);
      head.csum_offset = kTcpChecksumAt;
    }
    const iovec pieces[2] = {{&head, kVnet}, {memory.data + frame[0], frame[1]}};
    ssize_t sent;
    do sent = writev(fd, pieces, 2);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
      if (i == from) return Result(info.Env(), -1);
      return Napi::Number::New(info.Env(), static_cast<double>(i - from));
    }
  }
  return Napi::Number::New(info.Env(), static_cast<double>(to - from));
}

// Sets an interface up, and its MTU and queue length where they are not 0.
Napi::Value SetLink(const Napi::CallbackInfo& info) {
  const std::string name = Text(info, 0, "name", IFNAMSIZ - 1);
  const int mtu = static_cast<int>(Integer(info, 1, "mtu", 0, 65535));
  const int queue = static_cast<int>(Integer(info, 2, "queueLength", 0, 1 << 24));
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Result(info.Env(), -1);
  ifreq request = {};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  int status = 0;
  if (mtu > 0) {
    request.ifr_mtu = mtu;
    status = ioctl(fd, SIOCSIFMTU, &request);
  }
  if (status >= 0 && queue > 0) {
    request.ifr_qlen = queue;
    status = ioctl(fd, SIOCSIFTXQLEN, &request);
  }
  if (status >= 0) status = ioctl(fd, SIOCGIFFLAGS, &request);
  if (status >= 0 && (request.ifr_flags & IFF_UP) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    status = ioctl(fd, SIOCSIFFLAGS, &request);
  }
  const int why = errno;
  ::close(fd);
  errno = why;
  return Result(info.Env(), status);
}

}  // namespace

void InitTap(Napi::Env env, Napi::Object exports) {
  exports.Set("tapOpen", Napi::Function::New(env, Open, "tapOpen"));
  exports.Set("tapSetOffload", Napi::Function::New(env, SetOffload, "tapSetOffload"));
  exports.Set("tapSetPersist", Napi::Function::New(env, SetPersist, "tapSetPersist"));
  exports.Set("tapReceive", Napi::Function::New(env, Receive, "tapReceive"));
  exports.Set("tapSend", Napi::Function::New(env, Send, "tapSend"));
  exports.Set("setLink", Napi::Function::New(env, SetLink, "setLink"));
}

}  // namespace zcrx
