// bpf(2): maps, programs, links. The attribute layouts are those of include/uapi/linux/bpf.h.
#include "addon.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace zcrx {
namespace {

constexpr size_t kLongestName = BPF_OBJ_NAME_LEN - 1;

long Bpf(int command, bpf_attr* attr) { return syscall(__NR_bpf, command, attr, sizeof *attr); }

void SetName(char (&field)[BPF_OBJ_NAME_LEN], const std::string& name) {
  std::memcpy(field, name.data(), name.size());
}

Napi::Value MapCreate(const Napi::CallbackInfo& info) {
  bpf_attr attr = {};
  attr.map_type = U32(info, 0, "type");
  attr.key_size = U32(info, 1, "keySize");
  attr.value_size = U32(info, 2, "valueSize");
  attr.max_entries = U32(info, 3, "maxEntries");
  attr.map_flags = U32(info, 4, "flags");
  SetName(attr.map_name, Text(info, 5, "name", kLongestName));
  return Opened(info.Env(), static_cast<int>(Bpf(BPF_MAP_CREATE, &attr)));
}

// The kernel reads and writes as many bytes as the map's sizes say, whatever the views hold: ask it before.
bool SizesFit(int fd, size_t key, size_t value, bool needs_value) {
  bpf_map_info map = {};
  bpf_attr attr = {};
  attr.info.bpf_fd = static_cast<uint32_t>(fd);
  attr.info.info_len = sizeof map;
  attr.info.info = reinterpret_cast<uintptr_t>(&map);
  if (Bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0) return false;
  const bool plain = map.type == BPF_MAP_TYPE_HASH || map.type == BPF_MAP_TYPE_ARRAY || map.type == BPF_MAP_TYPE_XSKMAP;
  if (!plain || map.key_size != key || (needs_value && map.value_size != value)) {
    errno = EINVAL;
    return false;
  }
  return true;
}

Napi::Value MapElement(const Napi::CallbackInfo& info, int command) {
  const int fd = Fd(info, 0);
  const Span<uint8_t> key = Bytes(info, 1, "key");
  const bool needs_value = command != BPF_MAP_DELETE_ELEM;
  const Span<uint8_t> value = needs_value ? Bytes(info, 2, "value") : Span<uint8_t>{nullptr, 0};
  if (!SizesFit(fd, key.length, value.length, needs_value)) return Result(info.Env(), -1);
  bpf_attr attr = {};
  attr.map_fd = static_cast<uint32_t>(fd);
  attr.key = reinterpret_cast<uintptr_t>(key.data);
  attr.value = reinterpret_cast<uintptr_t>(value.data);
  return Result(info.Env(), Bpf(command, &attr));
}

Napi::Value MapUpdate(const Napi::CallbackInfo& info) { return MapElement(info, BPF_MAP_UPDATE_ELEM); }
Napi::Value MapLookup(const Napi::CallbackInfo& info) { return MapElement(info, BPF_MAP_LOOKUP_ELEM); }
Napi::Value MapDelete(const Napi::CallbackInfo& info) { return MapElement(info, BPF_MAP_DELETE_ELEM); }

// Loads without a log first: asking for one costs the verifier time, and a log that is too small is itself an error.
Napi::Value ProgLoad(const Napi::CallbackInfo& info) {
  bpf_attr attr = {};
  attr.prog_type = U32(info, 0, "type");
  const Span<uint8_t> instructions = Bytes(info, 1, "instructions");
  const std::string license = Text(info, 2, "license", 127);
  SetName(attr.prog_name, Text(info, 3, "name", kLongestName));
  attr.prog_flags = U32(info, 4, "flags");
  const Span<uint8_t> log = Bytes(info, 5, "log");
  if (instructions.length == 0 || instructions.length % sizeof(bpf_insn) != 0) {
    Wrong(info, "instructions", "a whole number of 8-byte instructions");
  }
  attr.insns = reinterpret_cast<uintptr_t>(instructions.data);
  attr.insn_cnt = static_cast<uint32_t>(instructions.length / sizeof(bpf_insn));
  attr.license = reinterpret_cast<uintptr_t>(license.c_str());
  long fd = Bpf(BPF_PROG_LOAD, &attr);
  if (fd < 0 && errno != EPERM && log.length >= 128) {
    attr.log_level = 1;
    attr.log_buf = reinterpret_cast<uintptr_t>(log.data);
    attr.log_size = static_cast<uint32_t>(log.length);
    fd = Bpf(BPF_PROG_LOAD, &attr);
  }
  return Opened(info.Env(), static_cast<int>(fd));
}

Napi::Value LinkCreate(const Napi::CallbackInfo& info) {
  bpf_attr attr = {};
  attr.link_create.prog_fd = static_cast<uint32_t>(Fd(info, 0));
  attr.link_create.target_ifindex = U32(info, 1, "ifIndex");
  attr.link_create.attach_type = U32(info, 2, "attachType");
  attr.link_create.flags = U32(info, 3, "flags");
  return Opened(info.Env(), static_cast<int>(Bpf(BPF_LINK_CREATE, &attr)));
}

Napi::Value ProgName(const Napi::CallbackInfo& info) {
  bpf_attr attr = {};
  attr.prog_id = U32(info, 0, "id");
  const long fd = Bpf(BPF_PROG_GET_FD_BY_ID, &attr);
  if (fd < 0) return Result(info.Env(), -1);
  bpf_prog_info program = {};
  attr = {};
  attr.info.bpf_fd = static_cast<uint32_t>(fd);
  attr.info.info_len = sizeof program;
  attr.info.info = reinterpret_cast<uintptr_t>(&program);
  const long status = Bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
  const int why = errno;
  ::close(static_cast<int>(fd));
  errno = why;
  if (status < 0) return Result(info.Env(), -1);
  return Napi::String::New(info.Env(), program.name, strnlen(program.name, sizeof program.name));
}

}  // namespace

void InitBpf(Napi::Env env, Napi::Object exports) {
  exports.Set("bpfMapCreate", Napi::Function::New(env, MapCreate, "bpfMapCreate"));
  exports.Set("bpfMapUpdate", Napi::Function::New(env, MapUpdate, "bpfMapUpdate"));
  exports.Set("bpfMapLookup", Napi::Function::New(env, MapLookup, "bpfMapLookup"));
  exports.Set("bpfMapDelete", Napi::Function::New(env, MapDelete, "bpfMapDelete"));
  exports.Set("bpfProgLoad", Napi::Function::New(env, ProgLoad, "bpfProgLoad"));
  exports.Set("bpfLinkCreate", Napi::Function::New(env, LinkCreate, "bpfLinkCreate"));
  exports.Set("bpfProgName", Napi::Function::New(env, ProgName, "bpfProgName"));
}

}  // namespace zcrx
