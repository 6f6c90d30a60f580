"""Opens connections, sends on each, and forgets it, as fast as it can. Usage: connect.py ADDRESS PORT SECONDS"""
import select
import socket
import sys
import time

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
data = b"z" * 65536
end = time.monotonic() + seconds
print("ready", flush=True)
while time.monotonic() < end:
    some = []
    for _ in range(16):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setblocking(False)
        one.connect_ex((address, port))
        some.append(one)
    limit = time.monotonic() + 0.02
    while time.monotonic() < limit:
        for one in select.select([], some, [], 0.005)[1]:
            try:
                one.send(data)
            except OSError:
                pass
    for one in some:
        one.close()
