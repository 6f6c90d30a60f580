// What lets an addon that is built here load where the C and C++ libraries are older (scripts/prebuild.mjs).
#include "addon.h"

#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

// Not by <fcntl.h>, which declares a statx() of its own beside <linux/stat.h>.
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

namespace zcrx {

// By the system call: programs that are linked with glibc 2.33 or later find its stat() and fstat() nowhere in an earlier one.
bool FactsOf(int fd, const char* path, Facts& facts) {
  struct statx found = {};
  if (syscall(__NR_statx, fd, path, AT_EMPTY_PATH, STATX_TYPE | STATX_INO, &found) != 0) return false;
  facts.mode = found.stx_mode;
  facts.device = static_cast<uint64_t>(found.stx_dev_major) << 32 | found.stx_dev_minor;
  facts.inode = found.stx_ino;
  return true;
}

}  // namespace zcrx

#ifdef __GLIBCXX__
// Headers of libstdc++ 11 and later call it, the library has it from then on only.
void std::__throw_bad_array_new_length() { throw bad_array_new_length(); }
#endif
