"""Sends raw frames, hexadecimal and one a line on standard input, out of an interface.

Usage: inject.py DEVICE [GSO_SIZE [SECONDS]], the latter to go on sending for that long. With GSO_SIZE every frame is a TCP/IPv4 super-frame that is left to be segmented.
"""
import socket
import struct
import sys
import time

PACKET_VNET_HDR = 15
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
gso = int(sys.argv[2]) if len(sys.argv) > 2 else 0
if gso:
    raw.setsockopt(263, PACKET_VNET_HDR, 1)
raw.bind((sys.argv[1], 0))
# struct virtio_net_hdr: needs checksum, TCPv4, header length, segment size, checksum start and offset
head = struct.pack("<BBHHHH", 1, 1, 54, gso, 34, 16) if gso else b""
frames = [head + bytes.fromhex(line) for line in sys.stdin]
end = time.monotonic() + (float(sys.argv[3]) if len(sys.argv) > 3 else 0)
while True:
    for frame in frames:
        raw.send(frame)
    if time.monotonic() >= end:
        break
    time.sleep(0.0005)
