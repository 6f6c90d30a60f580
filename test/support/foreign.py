"""Someone else on an interface, for tests.

Usage: foreign.py DEVICE        puts an XDP program named "foreign" on it that outlives the process (netlink, generic)
       foreign.py DEVICE bind   tries to bind an AF_XDP socket to queue 0, prints the name of the errno
"""
import ctypes
import errno
import mmap
import platform
import socket
import struct
import sys

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
index = socket.if_nametoindex(sys.argv[1])

if sys.argv[2:] == ["bind"]:
    AF_XDP, SOL_XDP = 44, 283
    RX_RING, TX_RING, UMEM_REG, FILL_RING, COMPLETION_RING = 2, 3, 4, 5, 6
    fd = libc.socket(AF_XDP, socket.SOCK_RAW, 0)
    memory = mmap.mmap(-1, 1 << 16)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    options = [(UMEM_REG, struct.pack("<QQIIII", start, 1 << 16, 4096, 0, 0, 0))]
    options += [(ring, struct.pack("<I", 64)) for ring in (FILL_RING, COMPLETION_RING, RX_RING, TX_RING)]
    for option, value in options:
        if libc.setsockopt(fd, SOL_XDP, option, value, len(value)) < 0:
            sys.exit(f"option {option}: {ctypes.get_errno()}")
    # struct sockaddr_xdp: family, flags (XDP_COPY), interface, queue, shared socket
    address = struct.pack("<HHIII", AF_XDP, 2, index, 0, 0)
    result = libc.bind(fd, address, len(address))
    print("bound" if result == 0 else errno.errorcode[ctypes.get_errno()])
    sys.exit()

instructions = ctypes.create_string_buffer(bytes.fromhex("b700000002000000" "9500000000000000"), 16)
license = ctypes.create_string_buffer(b"GPL")
attr = struct.pack("<IIQQIIQII16s", 6, 2, ctypes.addressof(instructions), ctypes.addressof(license), 0, 0, 0, 0, 0, b"foreign")
program = libc.syscall(SYS_BPF, 5, ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128), 128)
if program < 0:
    sys.exit(f"loading: {ctypes.get_errno()}")
# RTM_SETLINK with IFLA_XDP { IFLA_XDP_FD, IFLA_XDP_FLAGS = XDP_FLAGS_SKB_MODE }
nested = struct.pack("<HHiHHI", 8, 1, program, 8, 3, 2)
body = struct.pack("<BxHiII", 0, 0, index, 0, 0) + struct.pack("<HH", 4 + len(nested), 43 | 0x8000) + nested
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
netlink.send(struct.pack("<IHHII", 16 + len(body), 19, 5, 1, 0) + body)
status = struct.unpack_from("<i", netlink.recv(4096), 16)[0]
if status < 0:
    sys.exit(f"attaching: {-status}")
