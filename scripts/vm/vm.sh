#!/bin/bash
# vm.sh [OPTION...] [--] COMMAND [ARG...]
# Runs COMMAND on a newer kernel than this machine's, in QEMU (software emulation), and gives its standard output, its standard
# error and its exit code back as if it had run here. The machine has this one's node, the same paths for shared folders, and the
# same working directory. Needs x86-64 and Debian's tools; what is missing is said.
#
#   -s, --share DIR     a folder that COMMAND may read (repeatable; the working directory's git root is always one)
#   -w, --write DIR     a folder that it may write
#   -t, --timeout SEC   for the whole machine (default VM_TIMEOUT or 180)
#   -e, --env NAME[=V]  a variable that it sees (repeatable)
#       --sh            COMMAND is one line for busybox's sh
#       --smp N --mem M processors (1), memory (1G)
#       --virtio        two virtio-net NICs, linked to each other: vn0 10.7.0.1/24 here, vn1 10.7.0.2/24 in `peer`'s namespace
#       --virtio-args A further properties of both, e.g. 'mrg_rxbuf=off' (implies --virtio)
#       --zcnic[=ARGS]  two NICs of software, linked to each other: zc0 10.9.0.1/24 here, with four receive queues that the kernel's
#                       zero-copy receive can have, and zc1 10.9.0.2/24 in `peer`'s namespace. TCP comes to queue 1 of zc0. ARGS are
#                       parameters of the module, e.g. 'mode=1 use_gro=1' (zcnic/zcnic.c). It is built once, from the kernel's headers
#       --kernel-log F  where the kernel's console goes (default: shown only when something went wrong)
#       --accel A --cpu C   QEMU's -accel (tcg) and -cpu
#       --prepare       only download and make what is cached
#   -v, --verbose       times of the stages on standard error
#
# In the machine: lo; a veth pair, v0 10.8.0.1/24 here and v1 10.8.0.2/24 in the namespace that `peer CMD...` runs in, which is
# that of process ZCRX_VM_NS. ZCRX_VM=1 is set; with --zcnic also ZCRX_VM_IFINDEX (of zc0), ZCRX_VM_RXQ (1), ZCRX_VM_LOCAL
# (10.9.0.1) and ZCRX_VM_PEER (10.9.0.2).
# Exit code: COMMAND's; 124 time was up, 125 the machine could not be had or died, 123 COMMAND ended well and the kernel warned.
# Environment: VM_CACHE (folder that packages and images are kept in), VM_MIRROR (Debian mirror; default: that of apt here),
#   VM_SUITE (trixie-backports), VM_KERNEL (7.3.4+deb13), VM_QEMU, VM_APPEND (kernel parameters)
set -euo pipefail
ARGS=("$@")
T0=$EPOCHREALTIME
HERE=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
CACHE=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zcrx-vm} SUITE=${VM_SUITE:-trixie-backports} ABI=${VM_KERNEL:-7.3.4+deb13}
BASE=${SUITE%%-backports*} KV=$ABI-amd64
TIMEOUT=${VM_TIMEOUT:-180}
SMP=1 MEM=1G KLOG='' ACCEL=tcg CPU=max SHELLCMD= PREPARE= VERBOSE= VIRTIO= VIRTIO_ARGS= ZCNIC= ZCNIC_ARGS= SHARES=() WRITES=() ENVS=()
die() { echo "vm.sh: $*" >&2; exit 125; }
say() { [ -z "$VERBOSE" ] || printf 'vm.sh: %6.2f s  %s\n' "$(bc <<< "$EPOCHREALTIME - $T0")" "$*" >&2; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    -s|--share) SHARES+=("$(realpath -e "$2")") || die "no folder $2"; shift 2;;
    -w|--write) WRITES+=("$(realpath -e "$2")") || die "no folder $2"; shift 2;;
    -t|--timeout) TIMEOUT=$2; shift 2;;
    -e|--env) case $2 in *=*) ENVS+=("$2");; *) [ -z "${!2+x}" ] || ENVS+=("$2=${!2}");; esac; shift 2;;
    --sh) SHELLCMD=1; shift;;
    --smp) SMP=$2; shift 2;;
    --mem) MEM=$2; shift 2;;
    --virtio) VIRTIO=1; shift;;
    --virtio-args) VIRTIO=1 VIRTIO_ARGS=,$2; shift 2;;
    --zcnic) ZCNIC=1; shift;;
    --zcnic=*) ZCNIC=1 ZCNIC_ARGS=${1#*=}; shift;;
    --kernel-log) KLOG=$2; shift 2;;
    --accel) ACCEL=$2; shift 2;;
    --cpu) CPU=$2; shift 2;;
    --prepare) PREPARE=1; shift;;
    -v|--verbose) VERBOSE=1; shift;;
    -h|--help) usage; exit 0;;
    --) shift; break;;
    -*) die "unknown option $1 (--help tells)";;
    *) break;;
  esac
done
[ $# -gt 0 ] || [ -n "$PREPARE" ] || { usage >&2; exit 125; }
[[ $TIMEOUT =~ ^[0-9]+$ ]] || die "the timeout is a number of seconds, not '$TIMEOUT'"
case $MEM in *[Gg]) mib=$((${MEM%?} * 1024));; *[Mm]) mib=${MEM%?};; *) die "--mem is a size such as 1G, not '$MEM'";; esac
[ "$mib" -ge 512 ] || die "--mem $MEM is too little for the kernel, node and the initramfs: 512M at least"
[ "$(uname -m)" = x86_64 ] || die "this machine is no x86-64: the kernel and the initramfs are"

missing=()
tools=("${VM_QEMU:-qemu-system-x86_64}:qemu-system-x86" busybox:busybox-static cpio:cpio xz:xz-utils zstd:zstd bc:bc flock:util-linux dpkg:dpkg)
[ -z "$ZCNIC" ] || tools+=(gcc:gcc make:make strip:binutils)
for t in "${tools[@]}"; do
  command -v "${t%%:*}" > /dev/null || missing+=("${t#*:}")
done
[ "${#missing[@]}" = 0 ] || die "missing: ${missing[*]}. apt-get install --no-install-recommends ${missing[*]}"

# --- what is cached -------------------------------------------------------------------------------------------------
mkdir -p "$CACHE" || die "can't make $CACHE"
K=$CACHE/$KV NODE=$(readlink -f "$(command -v node)")
exec 9> "$CACHE/lock"
flock -w 600 9 || die "another vm.sh prepares $CACHE"

apt_() { # apt-get or apt-cache with lists of its own: signed, and without touching the system's
  local tool=$1; shift
  "$tool" -qq -o Dir::Etc::SourceList="$CACHE/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State::Lists="$CACHE/apt/lists" \
    -o Dir::Cache="$CACHE/apt" -o Dir::Cache::Archives="$CACHE/apt/archives" -o APT::Sandbox::User=root "$@"
}
lists() { # the package lists of the suite
  local mirror=${VM_MIRROR:-} key=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -n "$mirror" ] || mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2> /dev/null | head -1)
  [ -n "$mirror" ] || die "VM_MIRROR is not set, and apt here has no debian.sources to take the mirror from"
  mkdir -p "$CACHE/apt/lists/partial" "$CACHE/apt/archives/partial" "$CACHE/dl"
  printf 'deb [signed-by=%s] %s %s main\n' $key "$mirror" "$SUITE" $key "$mirror" "$BASE" > "$CACHE/apt/sources.list"
  apt_ apt-get update || die "can't read the package lists of $SUITE from the mirror"
}
fetch_kernel() {
  local ver p
  lists
  ver=$(apt_ apt-cache madison "linux-binary-$KV" | awk -F' *[|] *' '{ print $2; exit }')
  [ -n "$ver" ] || die "$SUITE has no linux-binary-$KV; it has: $(apt_ apt-cache pkgnames linux-binary- | grep -E '^linux-binary-[0-9.~]+(rc[0-9]+)?\+deb[0-9]+-amd64$' | sort -V | tail -3 | tr '\n' ' ')"
  (cd "$CACHE/dl" && apt_ apt-get download "linux-binary-$KV=$ver" "linux-base-$KV=$ver" "linux-modules-$KV=$ver") ||
    die "a package of $ver could not be downloaded"
  rm -rf "$K.new"; mkdir -p "$K.new/root"
  for p in "$CACHE"/dl/linux-{binary,base,modules}-"$KV"_*.deb; do dpkg -x "$p" "$K.new/root"; done
  mv "$K.new/root/usr/lib/modules/$KV" "$K.new/mods"; rm -rf "$K.new/root"
  # The kernel unpacked: a machine boots it at once (PVH) instead of unpacking it in emulation.
  local at
  for at in $(LC_ALL=C grep -aboP '\x28\xb5\x2f\xfd' "$K.new/mods/vmlinuz" | cut -d: -f1); do
    tail -c +$((at + 1)) "$K.new/mods/vmlinuz" | zstd -dcq > "$K.new/mods/vmlinux" 2> /dev/null || true
    [ "$(head -c 4 "$K.new/mods/vmlinux" | tail -c 3)" != ELF ] || break
    rm -f "$K.new/mods/vmlinux"
  done
  echo "$ver" > "$K.new/version"
  rm -rf "$K"; mv "$K.new" "$K"
}
[ -s "$K/version" ] || { say "downloads $KV"; fetch_kernel; say "has $KV $(cat "$K/version")"; }

fetch_headers() { # what modules for that kernel are built with
  local ver p
  ver=$(cat "$K/version")
  lists
  (cd "$CACHE/dl" && apt_ apt-get download "linux-headers-$KV=$ver" "linux-headers-$ABI-common=$ver" "linux-kbuild-$ABI=$ver" \
    "libc6/$BASE" "libelf1t64/$BASE" "zlib1g/$BASE" "libzstd1/$BASE") ||
    die "the headers of $ver could not be downloaded; a newer kernel comes when $K is deleted"
  rm -rf "$K/build.new"; mkdir -p "$K/build.new/hdrs" "$K/build.new/libs"
  for p in "$CACHE"/dl/linux-{headers-"$KV",headers-"$ABI"-common,kbuild-"$ABI"}_*.deb; do dpkg -x "$p" "$K/build.new/hdrs"; done
  for p in "$CACHE"/dl/{libc6,libelf1t64,zlib1g,libzstd1}_*.deb; do dpkg -x "$p" "$K/build.new/libs"; done
  rm -rf "$K/build"; mv "$K/build.new" "$K/build"
}
MODULE=
if [ -n "$ZCNIC" ]; then
  MODULE=$K/zcnic-$(cat "$HERE"/zcnic/{zcnic.c,Kbuild,build.sh} | sha256sum | cut -c1-12).ko
  if [ ! -s "$MODULE" ]; then
    [ -d "$K/build" ] || { say "downloads the headers of $KV"; fetch_headers; }
    say "builds zcnic"
    # The build tools of the packages want BASE's C library, newer than this machine's may be.
    BUILD=$K/build/zcnic bash "$HERE/zcnic/build.sh" "$K/build/hdrs" "$ABI" "$K/build/libs" > "$K/zcnic.log" 2>&1 ||
      { tail -20 "$K/zcnic.log" >&2; die "zcnic was not built ($K/zcnic.log)"; }
    strip -g -o "$MODULE.new" "$K/build/zcnic/zcnic.ko"; mv "$MODULE.new" "$MODULE"
    find "$K" -maxdepth 1 -name 'zcnic-*.ko' ! -name "${MODULE##*/}" -mtime +7 -delete
    say "has zcnic"
  fi
fi

init() { cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2> /dev/null; mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts /ctl; mount -t tmpfs shm /dev/shm; mount -t devpts pts /dev/pts 2> /dev/null
mkdir -p /sys/kernel/debug; mount -t debugfs d /sys/kernel/debug 2> /dev/null
ln -sf /proc/self/fd /dev/fd; ln -sf /proc/self/fd/0 /dev/stdin; ln -sf /proc/self/fd/1 /dev/stdout; ln -sf /proc/self/fd/2 /dev/stderr
ulimit -l unlimited; ulimit -n 65536
for m in netfs 9pnet 9pnet_virtio 9p veth; do insmod /mod/$m.ko || echo "VM: no module $m" > /dev/console; done
opt=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $opt ctl /ctl || { echo 'VM: the control folder was not mounted' > /dev/console; poweroff -f; }
while read -r tag mode dir; do
  mkdir -p "$dir"
  c=loose; [ "$mode" = rw ] && c=none
  mount -t 9p -o $opt,$mode,cache=$c "$tag" "$dir" || echo "VM: $dir was not mounted" > /dev/console
done < /ctl/shares
ip link set lo up
unshare -n sh -c 'ip link set lo up; exec sleep 1000000' &
export ZCRX_VM=1 ZCRX_VM_NS=$!
while [ "$(readlink /proc/$ZCRX_VM_NS/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do usleep 5000; done
ip link add v0 type veth && ip link set veth0 name v1 netns $ZCRX_VM_NS
if [ -e /ctl/virtio ]; then
  for m in $(cat /ctl/virtio); do insmod /mod/$m.ko || echo "VM: no module $m" > /dev/console; done
  for d in /sys/class/net/*; do
    case $(cat $d/address) in 52:54:00:07:00:01) ip link set ${d##*/} name vn0;; 52:54:00:07:00:02) ip link set ${d##*/} name vn1;; esac
  done
  ip link set vn1 netns $ZCRX_VM_NS
  peer ip addr add 10.7.0.2/24 dev vn1; peer ip link set vn1 up
  ip addr add 10.7.0.1/24 dev vn0; ip link set vn0 up
fi
ip addr add 10.8.0.1/24 dev v0; ip link set v0 up; peer ip addr add 10.8.0.2/24 dev v1; peer ip link set v1 up
if [ -e /ctl/zcnic.ko ]; then
  insmod /ctl/zcnic.ko $(cat /ctl/zcnic) || echo 'VM: zcnic was not loaded' > /dev/console
  ip link set zc1 netns $ZCRX_VM_NS
  peer ip addr add 10.9.0.2/24 dev zc1; peer ip link set zc1 up
  ip addr add 10.9.0.1/24 dev zc0; ip link set zc0 up
  export ZCRX_VM_IFINDEX=$(cat /sys/class/net/zc0/ifindex) ZCRX_VM_RXQ=1 ZCRX_VM_LOCAL=10.9.0.1 ZCRX_VM_PEER=10.9.0.2
fi
out=; err=
for p in /sys/class/virtio-ports/*; do
  case $(cat $p/name) in out) out=/dev/${p##*/};; err) err=/dev/${p##*/};; esac
done
cut -d' ' -f1 /proc/uptime > /ctl/up
setsid sh /ctl/cmd < /dev/null > $out 2> $err
echo $? > /ctl/rc
dmesg | grep -E 'WARN|BUG|Oops|Call Trace|KASAN|refcount' > /ctl/warn
sync
poweroff -f
INIT
}
pack() { # an archive of the folder, uncompressed: unpacking is what costs in emulation
  (cd "$1" && find . -mindepth 1 -print0 | sort -z | cpio -0 -o -H newc --quiet -R 0:0) > "$2"
}
key=$( { init; stat -c '%n %s %Y' "$NODE" "$(command -v busybox)"; echo "$KV 6"; } | sha256sum | cut -c1-16)
IMG=$K/initramfs-$key.cpio
if [ ! -s "$IMG" ]; then
  say "makes the initramfs"
  I=$K/ird; rm -rf "$I"; mkdir -p "$I"/{bin,proc,sys,dev,tmp,mod,root,etc,usr/bin,usr/local/bin}
  cp "$(command -v busybox)" "$I/bin/busybox"
  for m in netfs 9pnet 9pnet_virtio 9p veth failover net_failover virtio_net; do
    f=$(find "$K/mods/kernel" -name "$m.ko.xz" | head -1); [ -n "$f" ] || die "$KV has no module $m"
    xz -dc "$f" > "$I/mod/$m.ko"; strip -g "$I/mod/$m.ko"
  done
  # node where it is here, without its symbols, and what it is linked with
  mkdir -p "$I/$(dirname "$NODE")"; strip -o "$I/$NODE" "$NODE"
  [ -e "$I/usr/bin/node" ] || ln -s "$NODE" "$I/usr/bin/node"
  # (addons of others may want the rest of the C library's)
  { ldd "$NODE"; for l in librt.so.1 libresolv.so.2 libutil.so.1; do ldconfig -p | grep -m 1 "$l .*x86-64"; done; } | grep -oE '/[^ ]+' | sort -u | while read -r l; do mkdir -p "$I/$(dirname "$l")"; cp -L "$l" "$I/$l"; done
  printf 'root:x:0:0:root:/root:/bin/sh\n' > "$I/etc/passwd"; printf 'root:x:0:\n' > "$I/etc/group"
  printf '127.0.0.1 localhost\n::1 localhost\n' > "$I/etc/hosts"
  printf '#!/bin/busybox sh\nexec nsenter -t "$ZCRX_VM_NS" -n "$@"\n' > "$I/bin/peer"
  init > "$I/init"; chmod +x "$I/init" "$I/bin/peer"
  pack "$I" "$IMG.new"; mv "$IMG.new" "$IMG"; rm -rf "$I"
  find "$K" -maxdepth 1 -name 'initramfs-*.cpio' ! -name "${IMG##*/}" -mtime +7 -delete
  say "has the initramfs ($(($(stat -c %s "$IMG") >> 20)) MiB)"
fi
flock -u 9
[ -z "$PREPARE" ] || { echo "$IMG"; exit 0; }

# --- one run --------------------------------------------------------------------------------------------------------
RUN=$(mktemp -d "${TMPDIR:-/tmp}/zcrx-vm.XXXXXX"); mkdir "$RUN/ctl"
QEMU=
cleanup() {
  if [ -n "$QEMU" ] && kill -0 "$QEMU" 2> /dev/null; then kill "$QEMU" 2> /dev/null; sleep 0.2; kill -9 "$QEMU" 2> /dev/null || true; fi
  rm -rf "$RUN"
}
trap cleanup EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
root=$(git rev-parse --show-toplevel 2> /dev/null || pwd)
covered() { local d; for d in "${WRITES[@]}" "${SHARES[@]}"; do [[ $1/ == "$d"/* ]] && return 0; done; return 1; }
covered "$root" || SHARES=("$root" "${SHARES[@]}")
fs=(-fsdev "local,id=ctl,path=$RUN/ctl,security_model=none" -device virtio-9p-pci,fsdev=ctl,mount_tag=ctl)
n=0
: > "$RUN/ctl/shares"
add() { # add ro|rw DIR
  local ro=; [ "$1" = rw ] || ro=,readonly=on
  fs+=(-fsdev "local,id=s$n,path=${2//,/,,},security_model=none$ro" -device "virtio-9p-pci,fsdev=s$n,mount_tag=s$n")
  echo "s$n $1 $2" >> "$RUN/ctl/shares"; n=$((n + 1))
}
for d in "${SHARES[@]}"; do add ro "$d"; done
for d in "${WRITES[@]}"; do add rw "$d"; done
quote() { printf "'%s' " "${1//\'/\'\\\'\'}"; }
{
  for e in "${ENVS[@]}"; do printf 'export %s=' "${e%%=*}"; quote "${e#*=}"; echo; done
  printf 'cd '; quote "$PWD"; echo
  if [ -n "$SHELLCMD" ]; then printf '%s\n' "$*"; else printf 'exec '; for a in "$@"; do quote "$a"; done; echo; fi
} > "$RUN/ctl/cmd"
[ -z "$MODULE" ] || { cp "$MODULE" "$RUN/ctl/zcnic.ko"; echo "$ZCNIC_ARGS" > "$RUN/ctl/zcnic"; }
log=${KLOG:-$RUN/console}
net=()
if [ -n "$VIRTIO" ]; then
  # AF_XDP zero-copy in virtio_net wants the DMA API (VIRTIO_F_ACCESS_PLATFORM) and queues that can be reset on their own.
  echo "failover net_failover virtio_net" > "$RUN/ctl/virtio"
  for i in 1 2; do
    net+=(-netdev "hubport,id=hub$i,hubid=7"
      -device "virtio-net-pci,romfile=,disable-legacy=on,iommu_platform=on,queue_reset=on,netdev=hub$i,mac=52:54:00:07:00:0$i$VIRTIO_ARGS")
  done
fi
smp_accel=$ACCEL; [ "$ACCEL" != tcg ] || [ "$SMP" = 1 ] || smp_accel=tcg,thread=multi
say "starts QEMU"
kernel=$K/mods/vmlinux; [ -s "$kernel" ] || kernel=$K/mods/vmlinuz
${VM_QEMU:-qemu-system-x86_64} -machine q35 -accel "$smp_accel" -cpu "$CPU" -smp "$SMP" -m "$MEM" -display none -vga none -nodefaults -no-reboot -monitor none \
  -serial "file:$log" "${fs[@]}" "${net[@]}" -device virtio-serial-pci \
  -chardev "file,id=out,path=$RUN/out" -device virtserialport,chardev=out,name=out \
  -chardev "file,id=err,path=$RUN/err" -device virtserialport,chardev=err,name=err \
  -kernel "$kernel" -initrd "$IMG" \
  -append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off nopti nokaslr tsc=reliable no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 audit=0 selinux=0 apparmor=0 ${VM_APPEND:-}" \
  < /dev/null 2> "$RUN/qemu.log" 9>&- &
QEMU=$!
: >> "$RUN/out"; : >> "$RUN/err"
# What comes is passed on as it comes.
tail -c +1 -s 0.1 -f --pid "$QEMU" "$RUN/out" 2> /dev/null 9>&- & TO=$!
tail -c +1 -s 0.1 -f --pid "$QEMU" "$RUN/err" >&2 2> /dev/null 9>&- & TE=$!
late=
for ((end = SECONDS + TIMEOUT; SECONDS < end; )); do
  kill -0 "$QEMU" 2> /dev/null || break
  sleep 0.1
done
if kill -0 "$QEMU" 2> /dev/null; then late=1; kill "$QEMU"; fi
qrc=0; wait "$QEMU" 2> /dev/null || qrc=$?
QEMU=
wait "$TO" "$TE" || true
say "ended"
trouble() { # the last of the kernel's console
  echo "vm.sh: $1" >&2
  [ ! -s "$RUN/qemu.log" ] || sed 's/^/vm.sh: qemu: /' "$RUN/qemu.log" >&2
  [ -s "$log" ] || return 0
  # What began the trouble, and the last that was said.
  { LC_ALL=C grep -aE -m 3 'Kernel panic|BUG:|Oops|WARNING:|Out of memory|VM:' "$log" || true; echo '...'; tail -n "${2:-25}" "$log"; } | tr -d '\r' | sed 's/^/vm.sh: console: /' >&2
}
if [ ! -s "$RUN/ctl/rc" ]; then
  up=$( [ -s "$RUN/ctl/up" ] && echo "the command had begun" || echo "it had not come to the command")
  if [ -n "$late" ]; then trouble "$TIMEOUT s were not enough; $up"; exit 124; fi
  trouble "the machine ended by itself (QEMU: $qrc); $up"
  # A kernel that patches its own code while a second processor is emulated may trip over that as it boots.
  [ -s "$RUN/ctl/up" ] || [ -n "${VM_AGAIN:-}" ] || { echo 'vm.sh: once more' >&2; cleanup; VM_AGAIN=1 exec bash "$HERE/vm.sh" "${ARGS[@]}"; }
  exit 125
fi
[ -z "$VERBOSE" ] || say "the machine was ready at $(cat "$RUN/ctl/up") s of its own clock"
rc=$(cat "$RUN/ctl/rc")
if [ -s "$RUN/ctl/warn" ]; then
  trouble 'the kernel warned:' 60
  [ "$rc" != 0 ] || rc=123
fi
exit "$rc"
