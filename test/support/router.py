"""A router that says one prefix to all nodes, when asked and whenever a line comes on stdin.

usage: router.py DEVICE PREFIX MTU
Prints "ready", then a line for each solicitation: the address it came from.
"""
import ipaddress
import select
import socket
import struct
import sys

device, prefix, mtu = sys.argv[1], ipaddress.IPv6Address(sys.argv[2]), int(sys.argv[3])
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex(device)
for group in ("ff02::2", "ff02::1"):
    membership = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
with open(f"/sys/class/net/{device}/address", encoding="ascii") as file:
    mac = bytes.fromhex(file.read().strip().replace(":", ""))

advert = (
    struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    + b"\x01\x01" + mac
    + struct.pack("!BBHI", 5, 1, 0, mtu)
    + struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + prefix.packed
)


def say():
    sock.sendto(advert, ("ff02::1", 0, 0, index))


print("ready", flush=True)
while True:
    ready, _, _ = select.select([sock, sys.stdin], [], [])
    if sys.stdin in ready:
        if sys.stdin.readline() == "":
            break
        say()
    if sock in ready:
        message, sender = sock.recvfrom(2048)
        if message[:1] == b"\x85":
            print(sender[0], flush=True)
            say()
