"""Writes the frames that an interface receives from one hardware address to a pcap file, until standard input ends.

Usage: capture.py DEVICE MAC FILE

Prints "ready" when it listens and, at the end, how many frames it has written and how many it had no room for.
"""
import ctypes
import select
import socket
import struct
import sys
import time

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS = 3, 263, 6
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33

device, mac, path = sys.argv[1:]
source = bytes.fromhex(mac.replace(":", ""))
# Source address: four bytes at 6, two at 10. Classic BPF: (code, jump if true, jump if false, k).
program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in [
        (0x20, 0, 0, 6),
        (0x15, 0, 3, int.from_bytes(source[:4], "big")),
        (0x28, 0, 0, 10),
        (0x15, 0, 1, int.from_bytes(source[4:], "big")),
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    ]
)
filter_bytes = ctypes.create_string_buffer(program, len(program))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
raw.setsockopt(
    socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", 6, ctypes.addressof(filter_bytes))
)
raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
raw.bind((device, ETH_P_ALL))
raw.setblocking(False)
written = 0
with open(path, "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    print("ready", flush=True)
    ending = False
    while not ending:
        readable, _, _ = select.select([raw, sys.stdin], [], [])
        # What was sent before standard input ended waits in the socket by now.
        ending = sys.stdin in readable
        try:
            while True:
                frame = raw.recv(262144)
                now = time.time_ns()
                file.write(struct.pack("<IIII", now // 10**9, now // 1000 % 10**6, len(frame), len(frame)) + frame)
                written += 1
        except BlockingIOError:
            pass
_, dropped = struct.unpack("II", raw.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
print(written, dropped)
