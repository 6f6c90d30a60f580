"""Runs a loaded XDP program over frames (BPF_PROG_TEST_RUN) and prints what it returns for each.

Usage: bpf.py PROGRAM_ID, with lines "LINEAR HEX" on standard input; LINEAR is how many bytes of the frame lie in its
linear part, 0 for all of them.
"""
import ctypes
import struct
import sys

SYS_BPF = {"x86_64": 321, "aarch64": 280}[__import__("platform").machine()]
PROG_TEST_RUN, PROG_GET_FD_BY_ID = 10, 13
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        sys.exit(f"bpf({command}): errno {ctypes.get_errno()}")
    return result, buffer.raw


program, _ = bpf(PROG_GET_FD_BY_ID, struct.pack("<I", int(sys.argv[1])))
for line in sys.stdin:
    linear, frame = line.split()
    data = ctypes.create_string_buffer(bytes.fromhex(frame), len(frame) // 2)
    # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    context = ctypes.create_string_buffer(struct.pack("<6I", 0, int(linear), 0, 0, 0, 0), 24)
    has_context = int(linear) > 0
    attr = struct.pack(
        "<IIIIQQIIIIQQ",
        program, 0, len(frame) // 2, 0, ctypes.addressof(data), 0, 0, 0,
        24 if has_context else 0, 0, ctypes.addressof(context) if has_context else 0, 0,
    )
    print(struct.unpack_from("<I", bpf(PROG_TEST_RUN, attr)[1], 4)[0])
