// Facts about a network interface, asked over rtnetlink and ethtool: sysfs shows the namespace it was mounted in,
// these show the one the thread is in.
#include "addon.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace zcrx {
namespace {

class Socket {
 public:
  Socket(int domain, int type, int protocol) : fd_(::socket(domain, type | SOCK_CLOEXEC, protocol)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Calls `visit(type, data, bytes)` for each attribute, never past `length` whatever the attributes claim.
template <typename Visit>
void EachAttribute(const uint8_t* data, size_t length, Visit visit) {
  while (length >= sizeof(rtattr)) {
    rtattr header;
    std::memcpy(&header, data, sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > length) return;
    visit(header.rta_type & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER), data + sizeof header, header.rta_len - sizeof header);
    const size_t step = (header.rta_len + 3u) & ~3u;
    if (step >= length) return;
    data += step;
    length -= step;
  }
}

uint32_t Number(const uint8_t* data, size_t length) {
  uint32_t value = 0;
  std::memcpy(&value, data, length < sizeof value ? length : sizeof value);
  return value;
}

// Sends RTM_GETLINK for a name; leaves the answer in `reply`. Bytes of the answer, or -1 and errno.
ssize_t AskLink(const std::string& name, uint8_t* reply, size_t room) {
  Socket socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (socket.fd() < 0) return -1;
  struct {
    nlmsghdr header;
    ifinfomsg link;
    rtattr attribute;
    char name[IFNAMSIZ];
  } request = {};
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.attribute.rta_type = IFLA_IFNAME;
  request.attribute.rta_len = static_cast<uint16_t>(sizeof request.attribute + name.size() + 1);
  std::memcpy(request.name, name.c_str(), name.size() + 1);
  request.header.nlmsg_len = static_cast<uint32_t>(sizeof request.header + sizeof request.link + request.attribute.rta_len);
  if (send(socket.fd(), &request, request.header.nlmsg_len, 0) < 0) return -1;
  const ssize_t bytes = recv(socket.fd(), reply, room, MSG_TRUNC);
  if (bytes < 0) return -1;
  nlmsghdr header;
  if (static_cast<size_t>(bytes) > room || static_cast<size_t>(bytes) < sizeof header) {
    errno = EMSGSIZE;
    return -1;
  }
  std::memcpy(&header, reply, sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR && static_cast<size_t>(bytes) >= sizeof header + sizeof(nlmsgerr)) {
    nlmsgerr error;
    std::memcpy(&error, reply + sizeof header, sizeof error);
    errno = error.error < 0 ? -error.error : EPROTO;
    return -1;
  }
  if (header.nlmsg_type != RTM_NEWLINK || static_cast<size_t>(bytes) < sizeof header + sizeof(ifinfomsg)) {
    errno = EPROTO;
    return -1;
  }
  return bytes;
}

// One SIOCETHTOOL request. False when the driver doesn't answer it.
template <typename Request>
bool Ethtool(const std::string& name, Request* request) {
  Socket socket(AF_INET, SOCK_DGRAM, 0);
  if (socket.fd() < 0) return false;
  ifreq frame = {};
  std::memcpy(frame.ifr_name, name.c_str(), name.size() + 1);
  frame.ifr_data = reinterpret_cast<char*>(request);
  return ioctl(socket.fd(), SIOCETHTOOL, &frame) == 0;
}

Napi::Array XdpPrograms(Napi::Env env, const uint8_t* data, size_t length) {
  // Attribute type of a program id → the mode it is attached in.
  static constexpr struct {
    int type;
    const char* mode;
  } kModes[] = {{IFLA_XDP_DRV_PROG_ID, "native"}, {IFLA_XDP_SKB_PROG_ID, "generic"}, {IFLA_XDP_HW_PROG_ID, "offloaded"}};
  Napi::Array programs = Napi::Array::New(env);
  EachAttribute(data, length, [&](int type, const uint8_t* value, size_t bytes) {
    for (const auto& entry : kModes) {
      if (entry.type != type) continue;
      Napi::Object program = Napi::Object::New(env);
      program.Set("id", Number(value, bytes));
      program.Set("mode", entry.mode);
      programs.Set(programs.Length(), program);
    }
  });
  return programs;
}

Napi::Value LinkInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string name = Text(info, 0, "name", IFNAMSIZ - 1);
  alignas(8) uint8_t reply[32768];
  const ssize_t bytes = AskLink(name, reply, sizeof reply);
  if (bytes < 0) return Result(env, -1);

  ifinfomsg link;
  std::memcpy(&link, reply + sizeof(nlmsghdr), sizeof link);
  Napi::Object facts = Napi::Object::New(env);
  facts.Set("index", link.ifi_index);
  facts.Set("up", (link.ifi_flags & IFF_UP) != 0);
  facts.Set("running", (link.ifi_flags & IFF_RUNNING) != 0);
  facts.Set("loopback", (link.ifi_flags & IFF_LOOPBACK) != 0);
  facts.Set("mac", Napi::Uint8Array::New(env, 6));
  facts.Set("programs", Napi::Array::New(env));
  uint32_t queues = 1;
  const size_t head = sizeof(nlmsghdr) + sizeof link;
  EachAttribute(reply + head, static_cast<size_t>(bytes) - head, [&](int type, const uint8_t* data, size_t length) {
    if (type == IFLA_MTU) facts.Set("mtu", Number(data, length));
    if (type == IFLA_NUM_RX_QUEUES) queues = Number(data, length);
    if (type == IFLA_XDP) facts.Set("programs", XdpPrograms(env, data, length));
    if (type == IFLA_ADDRESS && length == 6) {
      std::memcpy(facts.Get("mac").As<Napi::Uint8Array>().Data(), data, 6);
    }
  });

  // What is allocated and what is in use differ: ethtool knows the latter, where the driver has channels at all.
  ethtool_channels channels = {};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (Ethtool(name, &channels) && channels.combined_count + channels.rx_count > 0) {
    queues = channels.combined_count + channels.rx_count;
  }
  facts.Set("rxQueues", queues);

  ethtool_drvinfo driver = {};
  driver.cmd = ETHTOOL_GDRVINFO;
  const bool known = Ethtool(name, &driver);
  facts.Set("driver", Napi::String::New(env, known ? driver.driver : "", known ? strnlen(driver.driver, sizeof driver.driver) : 0));
  return facts;
}

// Bytes that the kernel reads or writes for the request at `bytes`; 0 for a command that is none of ours. The rules of
// flows and the table of receive-side scaling have no other way, or had none before Linux 6.17.
size_t EthtoolBytes(const uint8_t* bytes, size_t length) {
  uint32_t command = 0;
  if (length < sizeof command) return 0;
  std::memcpy(&command, bytes, sizeof command);
  switch (command) {
    case ETHTOOL_GRXCLSRLCNT:
    case ETHTOOL_GRXCLSRULE:
    case ETHTOOL_SRXCLSRLINS:
    case ETHTOOL_SRXCLSRLDEL:
      return sizeof(ethtool_rxnfc);
    case ETHTOOL_GRXCLSRLALL: {
      ethtool_rxnfc request;
      if (length < sizeof request) return sizeof request;
      std::memcpy(&request, bytes, sizeof request);
      const size_t table = offsetof(ethtool_rxnfc, rule_locs) + size_t{4} * request.rule_cnt;
      return table > sizeof request ? table : sizeof request;
    }
    case ETHTOOL_SRXFHINDIR: {
      ethtool_rxfh_indir request;
      if (length < sizeof request) return sizeof request;
      std::memcpy(&request, bytes, sizeof request);
      return sizeof request + size_t{4} * request.size;
    }
    default:
      return 0;
  }
}

Napi::Value EthtoolRequest(const Napi::CallbackInfo& info) {
  const std::string name = Text(info, 0, "name", IFNAMSIZ - 1);
  const Span<uint8_t> bytes = Bytes(info, 1, "bytes");
  const size_t needed = EthtoolBytes(bytes.data, bytes.length);
  if (needed == 0 || needed > bytes.length) throw Napi::RangeError::New(info.Env(), "bytes are no request of ethtool's");
  Socket socket(AF_INET, SOCK_DGRAM, 0);
  if (socket.fd() < 0) return Result(info.Env(), -1);
  ifreq frame = {};
  std::memcpy(frame.ifr_name, name.c_str(), name.size() + 1);
  frame.ifr_data = reinterpret_cast<char*>(bytes.data);
  return Result(info.Env(), ioctl(socket.fd(), SIOCETHTOOL, &frame) < 0 ? -1 : 0);
}

Napi::Value SetNetns(const Napi::CallbackInfo& info) {
  return Result(info.Env(), setns(Fd(info, 0), CLONE_NEWNET));
}

}  // namespace

void InitLink(Napi::Env env, Napi::Object exports) {
  exports.Set("linkInfo", Napi::Function::New(env, LinkInfo, "linkInfo"));
  exports.Set("ethtool", Napi::Function::New(env, EthtoolRequest, "ethtool"));
  exports.Set("setNetns", Napi::Function::New(env, SetNetns, "setNetns"));
}

}  // namespace zcrx
