// TCP sockets of the kernel that hold an address and port: one that hears nothing, and one that does not even listen.
#include "addon.h"

#include <linux/filter.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

namespace zcrx {
namespace {

bool On(int fd, int level, int option) {
  const int one = 1;
  return setsockopt(fd, level, option, &one, sizeof one) == 0;
}

// The filter is there before the socket is bound: no segment finds it open.
bool Deafen(int fd, bool six, bool shared, const sockaddr* address, socklen_t length) {
  sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  sock_fprog program = {1, nothing};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
         (six ? On(fd, IPPROTO_IPV6, IPV6_V6ONLY) && On(fd, IPPROTO_IPV6, IPV6_FREEBIND)
              : On(fd, IPPROTO_IP, IP_FREEBIND)) &&
         (!shared || On(fd, SOL_SOCKET, SO_REUSEPORT)) && bind(fd, address, length) == 0 && listen(fd, 1) == 0;
}

// Without listening: the kernel answers segments as if nobody had the port.
bool Reserve(int fd, bool six, const sockaddr* address, socklen_t length) {
  return (six ? On(fd, IPPROTO_IPV6, IPV6_V6ONLY) : true) && bind(fd, address, length) == 0;
}

// The sockets of this process, whatever thread they are of, that hold a port: queues of an interface have stacks of their own, which
// listen on the same port. Descriptors of one key name the same socket, which is bound as long as one of them is open.
// None is owned here: who closes one does not come by, so each is looked at before it is used.
class Reservations {
 public:
  using Key = std::tuple<uint64_t, uint64_t, uint32_t, std::string>;  // network namespace, interface, sockaddr

  // A descriptor of the socket that has the key, else of the one that `make` returns; or -1 and errno.
  template <typename Make>
  int Take(const Key& key, Make make) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Forget();
    auto found = held_.find(key);
    int fd = -1;
    if (found != held_.end()) {
      // Between a look and the copy a thread may close it, and another number may be put in its place: the copy is looked at.
      for (const Held& held : found->second) {
        fd = fcntl(held.fd, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0 && InodeOf(fd) == held.inode) break;
        if (fd >= 0) ::close(fd);
        fd = -1;
      }
    }
    if (fd < 0 && (fd = make()) < 0) return -1;
    held_[key].push_back({fd, InodeOf(fd)});
    return fd;
  }

 private:
  struct Held {
    int fd;
    uint64_t inode;
  };

  static uint64_t InodeOf(int fd) {
    Facts facts = {};
    return FactsOf(fd, "", facts) && S_ISSOCK(facts.mode) ? facts.inode : 0;
  }

  void Forget() {
    for (auto each = held_.begin(); each != held_.end();) {
      auto& all = each->second;
      for (size_t i = 0; i < all.size();) {
        if (InodeOf(all[i].fd) == all[i].inode) i++;
        else all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      }
      each = all.empty() ? held_.erase(each) : std::next(each);
    }
  }

  std::mutex mutex_;
  std::map<Key, std::vector<Held>> held_;
};

Reservations& Reserved() {
  static Reservations* const all = new Reservations();  // never destroyed: threads may outlive the main one's end
  return *all;
}

// Arguments: address, port, ifIndex and, of a deaf one, shared.
Napi::Value Hold(const Napi::CallbackInfo& info, bool deaf) {
  const Span<uint8_t> address = Bytes(info, 0, "address");
  const uint16_t port = static_cast<uint16_t>(Integer(info, 1, "port", 1, 65535));
  const uint32_t scope = U32(info, 2, "ifIndex");
  const bool shared = deaf && Flag(info, 3, "shared");
  if (address.length != 4 && address.length != 16) Wrong(info, "address", "of 4 or 16 bytes");
  const bool six = address.length == 16;
  sockaddr_in four = {};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  sockaddr_in6 sixth = {};
  sixth.sin6_family = AF_INET6;
  sixth.sin6_port = htons(port);
  std::memcpy(six ? static_cast<void*>(&sixth.sin6_addr) : &four.sin_addr, address.data, address.length);
  // A link-local address is one of an interface only.
  if (six && IN6_IS_ADDR_LINKLOCAL(&sixth.sin6_addr)) sixth.sin6_scope_id = scope;
  const sockaddr* name = six ? reinterpret_cast<sockaddr*>(&sixth) : reinterpret_cast<sockaddr*>(&four);
  const socklen_t length = six ? sizeof sixth : sizeof four;
  const auto make = [&]() {
    const int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0 || (deaf ? Deafen(fd, six, shared, name, length) : Reserve(fd, six, name, length))) return fd;
    const int why = errno;
    ::close(fd);
    errno = why;
    return -1;
  };
  if (deaf) return Opened(info.Env(), make());
  Facts space = {};
  if (!FactsOf(-1, "/proc/thread-self/ns/net", space)) return Opened(info.Env(), make());
  const std::string place(reinterpret_cast<const char*>(name), length);
  return Opened(info.Env(), Reserved().Take({space.device, space.inode, scope, place}, make));
}

Napi::Value DeafSocket(const Napi::CallbackInfo& info) { return Hold(info, true); }

Napi::Value ReservePort(const Napi::CallbackInfo& info) { return Hold(info, false); }

}  // namespace

void InitGuard(Napi::Env env, Napi::Object exports) {
  exports.Set("deafSocket", Napi::Function::New(env, DeafSocket, "deafSocket"));
  exports.Set("reservePort", Napi::Function::New(env, ReservePort, "reservePort"));
}

}  // namespace zcrx
