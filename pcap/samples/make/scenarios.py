"""Records connections of Linux's own TCP, one file a scenario.

Usage: scenarios.py DIRECTORY [NAME...]

Needs root. Writes DIRECTORY/NAME.pcap.
"""
import socket
import struct
import sys
import threading
import time

from lab import (
    TCP_QUEUE_SEQ,
    TCP_REPAIR,
    TCP_REPAIR_QUEUE,
    TCP_SEND_QUEUE,
    Frame,
    Lab,
    payload,
    read_all,
    read_exactly,
)

TCP = socket.IPPROTO_TCP
scenarios = {}


def scenario(**options):
    def add(function):
        scenarios[function.__name__.replace("_", "-")] = (function, options)
        return function

    return add


def upload(lab, length, **how):
    """The client sends, the server reads to the end; then both close, the client first."""
    with lab.listen() as server:
        client, accepted = lab.connect(server, **how)
        got = []
        reader = threading.Thread(target=lambda: got.append(read_all(accepted)))
        reader.start()
        client.sendall(payload(length))
        client.shutdown(socket.SHUT_WR)
        reader.join()
        assert got[0] == payload(length)
        accepted.close()
        lab.settle()
        client.close()


@scenario()
def bulk(lab):
    upload(lab, 40_000)


@scenario(six=True)
def ipv6(lab):
    upload(lab, 30_000)


@scenario(mtu=9000)
def jumbo(lab):
    upload(lab, 50_000)


@scenario(offload=True)
def offload(lab):
    upload(lab, 58_000)


@scenario()
def chat(lab):
    with lab.listen() as server:
        client, accepted = lab.connect(server)
        for i in range(8):
            client.sendall(payload(20 + 7 * i, i))
            read_exactly(accepted, 20 + 7 * i)
            accepted.sendall(payload(100 + 300 * (i % 3), 50 + i))
            read_exactly(client, 100 + 300 * (i % 3))
        accepted.close()
        assert client.recv(1) == b""
        client.close()


@scenario()
def half_close(lab):
    with lab.listen() as server:
        client, accepted = lab.connect(server)
        client.sendall(payload(500))
        client.shutdown(socket.SHUT_WR)
        assert read_all(accepted) == payload(500)
        lab.settle(0.05)
        accepted.sendall(payload(12_000, 2))
        accepted.close()
        assert read_all(client) == payload(12_000, 2)
        client.close()


# ---- impaired paths --------------------------------------------------------------------------------------------------


def lossy(*numbers):
    """Loses the first copy of the client's n-th segments with data."""
    return lambda frame: [] if frame.sender == "client" and frame.number in numbers else [frame]


@scenario(rule=lossy(6, 14))
def loss(lab):
    upload(lab, 40_000)


@scenario(rule=lossy(6, 14), record="out")
def loss_receiver(lab):
    upload(lab, 40_000)


@scenario(rule=lossy(5, 7, 9, 11))
def sack(lab):
    upload(lab, 36_000)


def stubborn():
    """Loses a segment three times."""
    tries = {}

    def rule(frame):
        if frame.sender == "client" and frame.payload > 0:
            first = tries.setdefault("seq", frame.seq) if frame.number == 4 else tries.get("seq")
            if frame.seq == first:
                tries["count"] = tries.get("count", 0) + 1
                return [] if tries["count"] <= 3 else [frame]
        return [frame]

    return rule


@scenario(rule=stubborn())
def timeout(lab):
    upload(lab, 12_000)


def reorder():
    """Every fifth of the client's segments comes behind the two after it."""
    held = []

    def rule(frame):
        if frame.sender != "client" or frame.payload == 0:
            return [frame]
        if frame.number % 5 == 4 and not held:
            held.append([frame, 2])
            return []
        if held:
            held[0][1] -= 1
            if held[0][1] == 0:
                return [frame, held.pop()[0]]
        return [frame]

    return rule


@scenario(rule=reorder(), record="out")
def reordering(lab):
    upload(lab, 36_000)


@scenario(rule=lambda frame: [frame, frame] if frame.number in (3, 8) else [frame], record="out")
def duplicates(lab):
    upload(lab, 20_000)


# ---- windows and timers ----------------------------------------------------------------------------------------------


@scenario()
def zero_window(lab):
    with lab.listen(options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]) as server:
        client, accepted = lab.connect(server)
        sender = threading.Thread(target=lambda: (client.sendall(payload(16_000)), client.shutdown(socket.SHUT_WR)))
        sender.start()
        lab.settle(1.2)
        assert read_all(accepted) == payload(16_000)
        sender.join()
        accepted.close()
        lab.settle()
        client.close()


@scenario()
def keepalive(lab):
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (TCP, socket.TCP_KEEPIDLE, 1),
        (TCP, socket.TCP_KEEPINTVL, 1),
    ]
    with lab.listen() as server:
        client, accepted = lab.connect(server, options=options)
        client.sendall(b"before\n")
        read_exactly(accepted, 7)
        lab.settle(3.3)
        client.sendall(b"after\n")
        read_exactly(accepted, 6)
        client.close()
        accepted.close()


# ---- beginnings and ends ---------------------------------------------------------------------------------------------


@scenario()
def simultaneous_close(lab):
    with lab.listen() as server:
        client, accepted = lab.connect(server)
        client.sendall(payload(1000))
        accepted.sendall(payload(700, 2))
        read_exactly(accepted, 1000)
        read_exactly(client, 700)
        lab.settle()
        lab.pause(True)
        lab.settle(0.02)
        client.shutdown(socket.SHUT_WR)
        accepted.shutdown(socket.SHUT_WR)
        lab.settle(0.02)
        lab.pause(False)
        assert read_all(client) == read_all(accepted) == b""
        client.close()
        accepted.close()


@scenario()
def simultaneous_open(lab):
    client, server = lab.socket("client", 40000), lab.socket("server", 80)
    lab.pause(True)
    lab.settle(0.02)
    ends = [(client, server.getsockname()), (server, client.getsockname())]
    opening = [threading.Thread(target=end.connect, args=(to,)) for end, to in ends]
    for each in opening:
        each.start()
    lab.settle(0.05)
    lab.pause(False)
    for each in opening:
        each.join()
    client.sendall(b"from one side\n")
    server.sendall(b"from the other\n")
    read_exactly(server, 14)
    read_exactly(client, 15)
    lab.settle()
    client.close()
    lab.settle()
    server.close()


@scenario()
def reset(lab):
    """Closing with unread data."""
    with lab.listen() as server:
        client, accepted = lab.connect(server)
        accepted.sendall(payload(2000, 2))
        read_exactly(client, 2000)
        client.sendall(payload(5000))
        lab.settle()
        accepted.close()
        lab.settle()
        client.close()


@scenario()
def refused(lab):
    for port in (40000, 40001):
        with lab.socket("client", port) as client:
            try:
                client.connect(("192.0.2.2", 81))
                raise AssertionError("somebody listens")
            except ConnectionRefusedError:
                pass


@scenario(sysctls=[("net/ipv4/tcp_fastopen", "3")])
def fast_open(lab):
    with lab.listen(options=[(TCP, socket.TCP_FASTOPEN, 5)]) as server:
        for port in (40000, 40001):
            client = lab.socket("client", port)
            client.settimeout(None)
            client.sendto(payload(900, port), socket.MSG_FASTOPEN, server.getsockname())
            accepted, _ = server.accept()
            read_exactly(accepted, 900)
            accepted.sendall(payload(300, 2))
            accepted.close()
            read_all(client)
            client.close()
            lab.settle()


@scenario()
def ports_reused(lab):
    """Three connections with the same four numbers: closed by the server, reset, closed by the client."""
    with lab.listen() as server:
        for turn in range(3):
            client, accepted = lab.connect(server)
            client.sendall(payload(300 + turn, turn))
            read_exactly(accepted, 300 + turn)
            accepted.sendall(payload(200 + turn, 10 + turn))
            read_exactly(client, 200 + turn)
            if turn == 1:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                accepted.close()
            elif turn == 0:
                accepted.close()
                read_all(client)
                client.close()
            else:
                client.close()
                read_all(accepted)
                accepted.close()
            lab.settle(0.05)


@scenario()
def many(lab):
    with lab.listen() as server:
        open_ones = []
        for i in range(60):
            open_ones.append((i, *lab.connect(server, port=40000 + i)))
            # Four at a time, interleaved.
            if len(open_ones) < 4:
                continue
            for turn, client, accepted in open_ones:
                client.sendall(payload(10 + turn, turn))
                read_exactly(accepted, 10 + turn)
            for turn, client, accepted in open_ones:
                accepted.sendall(payload(40, 100 + turn))
                accepted.close()
                read_all(client)
                client.close()
            open_ones = []


# ---- numbers ---------------------------------------------------------------------------------------------------------


@scenario()
def sequence_wrap(lab):
    with lab.listen() as server:
        client = lab.socket("client", 40000)
        client.setsockopt(TCP, TCP_REPAIR, 1)
        client.setsockopt(TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)
        client.setsockopt(TCP, TCP_QUEUE_SEQ, struct.pack("I", 2**32 - 10_000))
        # Off without the window probe that 0 sends (TCP_REPAIR_OFF_NO_WP).
        client.setsockopt(TCP, TCP_REPAIR, -1)
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        accepted.settimeout(20)
        reader = threading.Thread(target=lambda: read_all(accepted))
        reader.start()
        client.sendall(payload(24_000))
        client.shutdown(socket.SHUT_WR)
        reader.join()
        accepted.close()
        lab.settle()
        client.close()


def shift_timestamps(frames, side_mac, offset):
    """Adds to the timestamp clock of one side, as if Linux had drawn another random offset for the connection."""
    shifted = []
    for when, data in frames:
        frame = bytearray(data)
        at, length = Frame("", b"", data, False).tcp()
        theirs = frame[6:12] == bytes.fromhex(side_mac.replace(":", ""))
        option, end = at + 20, at + (frame[at + 12] >> 4) * 4
        while option < end and frame[option] != 0:
            if frame[option] == 8:
                field = option + (2 if theirs else 6)
                value = struct.unpack_from(">I", frame, field)[0]
                if value or theirs:
                    struct.pack_into(">I", frame, field, (value + offset) % 2**32)
            option += 1 if frame[option] == 1 else frame[option + 1]
        struct.pack_into(">H", frame, at + 16, 0)
        pseudo = frame[26:34] + struct.pack(">HH", 6, length)
        total = sum(struct.unpack(f">{(len(pseudo) + length) // 2}H", (pseudo + frame[at : at + length] + b"\0")[: (len(pseudo) + length) // 2 * 2]))
        if length % 2:
            total += frame[at + length - 1] << 8
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into(">H", frame, at + 16, ~total & 0xFFFF)
        shifted.append((when, bytes(frame)))
    return shifted


@scenario()
def timestamp_wrap(lab):
    with lab.listen() as server:
        client, accepted = lab.connect(server)
        for i in range(12):
            client.sendall(payload(1000, i))
            read_exactly(accepted, 1000)
            time.sleep(0.03)
        client.close()
        accepted.close()
    lab.settle(0.3)
    first = Frame("", b"", lab.frames[0][1], False)
    at, _ = first.tcp()
    value = struct.unpack_from(">I", first.data, first.data.index(b"\x08\x0a", at + 20) + 2)[0]
    # The clock wraps 150 ms behind the SYN.
    lab.frames = shift_timestamps(lab.frames, "02:00:00:00:00:01", 2**32 - 150 - value)


# ---- fragments -------------------------------------------------------------------------------------------------------


def fragmenting(size):
    """A router with a smaller MTU: fragments IPv4 packets that allow it (RFC 791 section 3.2). @param size payload bytes"""

    def rule(frame):
        data = frame.data
        if len(data) <= 34 + size or struct.unpack_from(">H", data, 12)[0] != 0x0800:
            return [frame]
        assert struct.unpack_from(">H", data, 20)[0] & 0x4000 == 0
        pieces = []
        total = struct.unpack_from(">H", data, 16)[0] - 20
        for at in range(0, total, size):
            part = data[34 + at : 34 + min(total, at + size)]
            head = bytearray(data[14:34])
            more = 0x2000 if at + size < total else 0
            struct.pack_into(">H", head, 2, 20 + len(part))
            struct.pack_into(">H", head, 6, more | at // 8)
            head[8] -= 1
            head[10:12] = b"\0\0"
            words = sum(struct.unpack(">10H", head))
            while words >> 16:
                words = (words & 0xFFFF) + (words >> 16)
            struct.pack_into(">H", head, 10, ~words & 0xFFFF)
            pieces.append(Frame(frame.sender, bytes(10), data[:14] + bytes(head) + part, False))
        # Every third packet's fragments come the other way round.
        return pieces[::-1] if frame.number % 3 == 2 else pieces

    return rule


@scenario(rule=fragmenting(552), record="out")
def fragments(lab):
    # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
    upload(lab, 16_000, options=[(socket.IPPROTO_IP, 10, 0)])


directory, *names = sys.argv[1:]
for name in names or scenarios:
    function, options = scenarios[name]
    lab = Lab(**options)
    try:
        function(lab)
        lab.write(f"{directory}/{name}.pcap")
        print(f"{name}: {len(lab.frames)} frames, {sum(len(data) for _, data in lab.frames)} bytes", flush=True)
    finally:
        lab.close()
