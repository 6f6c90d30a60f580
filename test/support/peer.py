"""What an ordinary Linux does at the other end, for tests.

Usage: peer.py ping ADDRESS [BYTES]      exit status 0 when an echo reply with the same bytes comes within a second
       peer.py serve ADDRESS PORT        prints "ready", accepts connections and echoes, until killed
       peer.py echo ADDRESS PORT TEXT    sends the text to such a server, prints what comes back
       peer.py stream ADDRESS PORT BYTES [ANSWER]
                                         connects and sends that many bytes, byte i being i mod 251; reads to the end of
                                         the answer, exit status 0 when it is that many bytes
"""
import os
import select
import socket
import struct
import sys

command, address, *rest = sys.argv[1:]


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if command == "ping":
    six = ":" in address
    raw = socket.socket(
        socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    )
    head = struct.pack(">BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1)
    data = bytes(i % 251 for i in range(int(rest[0]) if rest else 0))
    # The kernel fills in the checksum of ICMPv6.
    message = head + data + bytes(len(data) % 2)
    raw.sendto(head[:2] + struct.pack(">H", checksum(message)) + head[4:] + data, (address, 0))
    while select.select([raw], [], [], 1)[0]:
        packet = raw.recv(65536)
        if not six:
            packet = packet[20:]
        if packet[0] == (129 if six else 0) and packet[4:] == head[4:] + data:
            sys.exit(0)
    sys.exit(1)
elif command == "serve":
    server = socket.create_server((address, int(rest[0])))
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
elif command == "echo":
    with socket.create_connection((address, int(rest[0])), timeout=2) as connection:
        connection.sendall(rest[1].encode())
        print(connection.recv(65536).decode())
elif command == "stream":
    period = bytes(range(251)) * 1024
    left = int(rest[1])
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.connect((address, int(rest[0])))
    while left > 0:
        sent = 0
        block = memoryview(period)[: min(left, len(period))]
        while sent < len(block):
            sent += connection.send(block[sent:])
        left -= len(block)
    connection.shutdown(socket.SHUT_WR)
    if len(rest) < 3:
        connection.recv(1)
    else:
        answer = 0
        while data := connection.recv(65536):
            answer += len(data)
        sys.exit(answer != int(rest[2]))
else:
    sys.exit(__doc__)
