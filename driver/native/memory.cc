// Page-aligned memory as ArrayBuffers: anonymous, huge pages, memfd, and the kernel's rings.
#include "addon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <mutex>
#include <unordered_map>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

namespace zcrx {
namespace {

constexpr double kLargest = 1099511627776.0;  // 1 TiB, more than any area and exact in a double

// Mappings made here. Buffers may be transferred between threads, hence one table for the process. A mapping is let go by its
// number: Node-API may call a finalizer although it refuses the buffer, and the address may be another mapping's by then.
struct Mapping {
  void* address;
  size_t length;
};
// Never destroyed: threads may end after the process has begun to.
std::mutex& mappings_lock = *new std::mutex();
std::unordered_map<uintptr_t, Mapping>& mappings = *new std::unordered_map<uintptr_t, Mapping>();
std::unordered_map<void*, uintptr_t>& numbers = *new std::unordered_map<void*, uintptr_t>();
uintptr_t last_number = 0;

void Unmap(napi_env, void*, void* number) {
  std::lock_guard<std::mutex> hold(mappings_lock);
  const auto found = mappings.find(reinterpret_cast<uintptr_t>(number));
  if (found == mappings.end()) return;
  const Mapping mapping = found->second;
  mappings.erase(found);
  numbers.erase(mapping.address);
  munmap(mapping.address, mapping.length);
}

// What is mapped of a file must not vanish: who touches what a file was cut short by is killed. Memory of devices (dma-bufs)
// has a size that is fixed.
bool Lasts(int fd, size_t bytes) {
  constexpr long kDmaBufMagic = 0x444d4142;
  struct statfs where = {};
  const int seals = fcntl(fd, F_GET_SEALS);
  const bool fixed = seals >= 0 ? (seals & F_SEAL_SHRINK) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0
                                : fstatfs(fd, &where) == 0 && where.f_type == kDmaBufMagic;
  const off_t size = lseek(fd, 0, SEEK_END);
  return fixed && size >= 0 && static_cast<uint64_t>(size) >= bytes;
}

constexpr size_t kHugePage = 2u << 20;

// Anonymous memory on a 2 MiB boundary, with transparent huge pages where the system gives them: an area is touched at one
// place in every 4 KiB, which would miss the TLB each time. Smaller mappings are left as they come.
void* MapAnonymous(size_t length) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const int protection = PROT_READ | PROT_WRITE;
  if (length < kHugePage) return mmap(nullptr, length, protection, flags, -1, 0);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t whole = (length + page - 1) / page * page;
  uint8_t* raw = static_cast<uint8_t*>(mmap(nullptr, whole + kHugePage, protection, flags, -1, 0));
  if (raw == MAP_FAILED) return MAP_FAILED;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  if (before > 0) munmap(raw, before);
  munmap(raw + before + whole, kHugePage - before);
  madvise(raw + before, whole, MADV_HUGEPAGE);
  return raw + before;
}

// The same for memory that the runtime has made: the whole huge pages in it.
Napi::Value AdviseHuge(const Napi::CallbackInfo& info) {
  const Span<uint8_t> memory = Bytes(info, 0, "memory");
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory.data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + memory.length) / kHugePage * kHugePage;
  if (last <= first) return Result(info.Env(), 0);
  return Result(info.Env(), madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
}

Napi::Value MapMemory(const Napi::CallbackInfo& info) {
  const size_t length = static_cast<size_t>(Integer(info, 0, "bytes", 1, kLargest));
  const bool huge = Flag(info, 1, "huge");
  const int fd = static_cast<int>(Integer(info, 2, "fd", -1, 2147483647.0));
  if ((huge && length % kHugePage != 0) || (fd >= 0 && !Lasts(fd, length))) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  // The huge pages of a memfd come from the file, not from the mapping.
  if (huge && fd < 0) flags |= MAP_HUGETLB | MAP_HUGE_2MB;
  void* address = !huge && fd < 0 ? MapAnonymous(length) : mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, fd, 0);
  return MappedBuffer(info.Env(), address, length);
}

// One mapping of both, so that a queue can be given frames of either.
Napi::Value MapDescriptor(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(Integer(info, 0, "fd", 0, 2147483647.0));
  const size_t bytes = static_cast<size_t>(Integer(info, 1, "bytes", 1, kLargest));
  const size_t tail = static_cast<size_t>(Integer(info, 2, "tailBytes", 0, kLargest));
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (bytes % page != 0 || tail % page != 0 || !Lasts(fd, bytes)) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  void* whole = mmap(nullptr, bytes + tail, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return Result(info.Env(), -1);
  if (mmap(whole, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const int why = errno;
    munmap(whole, bytes + tail);
    errno = why;
    return Result(info.Env(), -1);
  }
  return MappedBuffer(info.Env(), whole, bytes + tail);
}

Napi::Value CreateMemfd(const Napi::CallbackInfo& info) {
  const std::string name = Text(info, 0, "name", 249);
  const size_t length = static_cast<size_t>(Integer(info, 1, "bytes", 1, kLargest));
  const bool huge = Flag(info, 2, "huge");
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0u));
  if (fd >= 0 && ftruncate(fd, static_cast<off_t>(length)) < 0) {
    const int why = errno;
    ::close(fd);
    errno = why;
    return Result(info.Env(), -1);
  }
  return Opened(info.Env(), fd);
}

// The address stays valid for views that are still about; what was mapped there (a ring keeps its socket alive) is let go.
Napi::Value Release(const Napi::CallbackInfo& info) {
  const Span<uint8_t> view = Bytes(info, 0, "mapping");
  std::lock_guard<std::mutex> hold(mappings_lock);
  const auto found = numbers.find(view.data);
  if (found == numbers.end() || mappings[found->second].length != view.length) {
    errno = EINVAL;
    return Result(info.Env(), -1);
  }
  void* zeros = mmap(view.data, view.length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return Result(info.Env(), zeros == MAP_FAILED ? -1 : 0);
}

Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           static_cast<double>(reinterpret_cast<uintptr_t>(Bytes(info, 0, "view").data)));
}

}  // namespace

Napi::Value MappedBuffer(Napi::Env env, void* address, size_t length) {
  if (address == MAP_FAILED) return Result(env, -1);
  void* number;
  {
    std::lock_guard<std::mutex> hold(mappings_lock);
    number = reinterpret_cast<void*>(++last_number);
    mappings[last_number] = {address, length};
    numbers[address] = last_number;
  }
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(env, address, length, Unmap, number, &buffer);
  if (status != napi_ok || buffer == nullptr) {
    // Longer than a buffer of this runtime may be, or its heap is caged and can't hold foreign memory.
    napi_value error = nullptr;
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &error);
    Unmap(env, address, number);
    errno = ENOTSUP;
    return Result(env, -1);
  }
  return Napi::Value(env, buffer);
}

void InitMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("mapMemory", Napi::Function::New(env, MapMemory, "mapMemory"));
  exports.Set("adviseHuge", Napi::Function::New(env, AdviseHuge, "adviseHuge"));
  exports.Set("mapDescriptor", Napi::Function::New(env, MapDescriptor, "mapDescriptor"));
  exports.Set("createMemfd", Napi::Function::New(env, CreateMemfd, "createMemfd"));
  exports.Set("release", Napi::Function::New(env, Release, "release"));
  exports.Set("addressOf", Napi::Function::New(env, AddressOf, "addressOf"));
}

}  // namespace zcrx
