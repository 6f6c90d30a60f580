"""Ordinary TCP connections on Linux that carry data both ways, for the matrix of tests.

Usage: exchange.py connect|accept ADDRESS PORT SEND RECEIVE HOW [TIMES [AT_ONCE]]

Sends SEND bytes, byte i being i mod 251, and expects RECEIVE bytes, with cubic. HOW is
  first         both directions at once, then closes as soon as all is sent and received
  last          the same, but closes only when the other end has
  half-first    sends, shuts down writing, then reads to the end
  half-last     reads to the end, then sends and closes
TIMES connections, AT_ONCE of them open at a time (all have to be before the first carries data). "accept" prints "ready"
when it listens. At the end one JSON array with an object per connection: bytes sent and received, SHA-256 of those
received, errno or 0.
"""
import hashlib
import json
import socket
import sys
import threading

side, address, port, *rest = sys.argv[1:]
to_send, to_receive = int(rest[0]), int(rest[1])
how = rest[2]
times = int(rest[3]) if len(rest) > 3 else 1
at_once = int(rest[4]) if len(rest) > 4 else 1
PERIOD = memoryview(bytes(range(251)) * 1024)
results = []
barrier = threading.Barrier(at_once)


def run(connection):
    result = {"sent": 0, "received": 0, "digest": "", "errno": 0}
    digest = hashlib.sha256()
    errors = []

    def send():
        try:
            while (left := to_send - result["sent"]) > 0:
                at = result["sent"] % len(PERIOD)
                result["sent"] += connection.send(PERIOD[at : at + left])
        except OSError as error:
            errors.append(error.errno)

    def receive(limit):
        while limit is None or result["received"] < limit:
            data = connection.recv(1 << 18)
            if not data:
                break
            digest.update(data)
            result["received"] += len(data)

    try:
        if how == "half-first":
            send()
            connection.shutdown(socket.SHUT_WR)
            receive(None)
        elif how == "half-last":
            receive(None)
            send()
        else:
            sender = threading.Thread(target=send)
            sender.start()
            receive(to_receive)
            sender.join()
            if how == "last":
                receive(None)
    except OSError as error:
        errors.append(error.errno)
    connection.close()
    result["digest"] = digest.hexdigest()
    result["errno"] = errors[0] if errors else 0
    results.append(result)


def connect():
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    connection.connect((address, int(port)))
    return connection


if side == "accept":
    server = socket.create_server(
        (address, int(port)), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=at_once
    )
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    print("ready", flush=True)


def one():
    connection = server.accept()[0] if side == "accept" else connect()
    if at_once > 1:
        barrier.wait()
    run(connection)


done = 0
while done < times:
    if at_once == 1:
        one()
    else:
        threads = [threading.Thread(target=one) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done += at_once
print(json.dumps(results))
