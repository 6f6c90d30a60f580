"""What peers do that is no help to the others, for tests.

Usage: nuisance.py syns DEVICE MAC ADDRESS PORT COUNT SECONDS   SYNs from as many made-up addresses, sent over and over again
       nuisance.py idle ADDRESS PORT COUNT                      connections that say nothing
       nuisance.py holes DEVICE MAC ADDRESS PORT COUNT SEGMENTS STEP
                                                                connections from a made-up address that leave out their first
                                                                byte, then send segments of one byte, STEP bytes apart
       nuisance.py deaf ADDRESS PORT BYTES                      sends that many bytes and reads nothing; exit status 0 when
                                                                all were acknowledged

Prints "ready" when it is done with that, and stays until its standard input ends.
"""
import fcntl
import random
import socket
import struct
import sys
import time

command, *rest = sys.argv[1:]


def total(data):
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def segment(to, own, source, target, ports, seq, ack, flags, payload=b""):
    tcp = struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0)
    pseudo = source + target + struct.pack(">BBH", 0, 6, len(tcp) + len(payload))
    even = payload + bytes(len(payload) % 2)
    tcp = tcp[:16] + struct.pack(">H", ~total(pseudo + tcp + even) & 0xFFFF) + tcp[18:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0x4000, 64, 6, 0, source, target)
    ip = ip[:10] + struct.pack(">H", ~total(ip) & 0xFFFF) + ip[12:]
    return to + own + b"\x08\x00" + ip + tcp + payload


def link(device, mac):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    raw.bind((device, 0))
    return raw, bytes.fromhex(mac.replace(":", "")), raw.getsockname()[4]


def stay():
    print("ready", flush=True)
    sys.stdin.read()


if command == "syns":
    raw, to, own = link(*rest[:2])
    target, port = socket.inet_aton(rest[2]), int(rest[3])
    pick = random.Random(1)
    frames = [
        segment(to, own, bytes([10, 99]) + pick.randbytes(2), target, (1024 + i, port), pick.getrandbits(32), 0, 2)
        for i in range(int(rest[4]))
    ]
    end = time.monotonic() + float(rest[5])
    first = True
    while time.monotonic() < end:
        for frame in frames:
            raw.send(frame)
        if first:
            print("ready", flush=True)
        first = False
        time.sleep(0.3)
    sys.stdin.read()
elif command == "idle":
    connections = [socket.create_connection((rest[0], int(rest[1]))) for _ in range(int(rest[2]))]
    stay()
elif command == "holes":
    raw, to, own = link(*rest[:2])
    target, port = socket.inet_aton(rest[2]), int(rest[3])
    source = bytes([10, 77, 0, 200])
    raw.settimeout(5)
    for i in range(int(rest[4])):
        ports = (20000 + i, port)
        asked = 0
        while True:
            # As any peer: a SYN, or its answer, may be lost beside a stream that fills the path.
            if time.monotonic() - asked > 0.5:
                asked = time.monotonic()
                raw.send(segment(to, own, source, target, ports, 1000, 0, 2))
            frame = raw.recv(2048)
            if frame[26:34] == target + source and frame[36:38] == struct.pack(">H", ports[0]) and frame[47] == 0x12:
                break
        theirs = struct.unpack(">I", frame[38:42])[0] + 1
        raw.send(segment(to, own, source, target, ports, 1001, theirs, 0x10))
        time.sleep(0.05)
        step = int(rest[6])
        for k in range(int(rest[5])):
            raw.send(segment(to, own, source, target, ports, 1002 + k * step, theirs, 0x10, b"x"))
            if k % 64 == 63:
                time.sleep(0.0005)
    stay()
elif command == "deaf":
    connection = socket.create_connection((rest[0], int(rest[1])))
    connection.settimeout(20)
    block = bytes(1 << 20)
    left = int(rest[2])
    while left > 0:
        left -= connection.send(block[:left])
    end = time.monotonic() + 20
    while struct.unpack("i", fcntl.ioctl(connection, 0x5411, bytes(4)))[0] > 0:  # SIOCOUTQ
        if time.monotonic() > end:
            sys.exit(1)
        time.sleep(0.01)
else:
    sys.exit(__doc__)
