"""Two ends of Linux's TCP in network namespaces of their own, and between them a relay of ours that records every frame.

The relay loses, holds and repeats frames as a rule says, so that Linux really retransmits. It writes what it got, or what
it passed on, as pcap with nanoseconds.
"""
import array
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import threading
import time

CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
CLIENT6, SERVER6 = "2001:db8::1", "2001:db8::2"
MACS = {"client": "02:00:00:00:00:01", "server": "02:00:00:00:00:02"}
# linux/tcp.h, linux/if_packet.h, linux/sockios.h, linux/ethtool.h
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_SEND_QUEUE = 19, 20, 21, 2
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x8946, 0x17, 0x1F, 0x24, 0x2C
CLONE_NEWNET = 0x40000000
VNET_HEADER_BYTES = 10

libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def payload(length, seed=1):
    """Text that is the same in every run."""
    words = random.Random(seed)
    text = "".join(f"{i:06d} {words.getrandbits(32):08x}\n" for i in range(length // 16 + 1))
    return text.encode()[:length]


class Frame:
    """A frame on its way. `sender` is "client" or "server"; `number` counts the sender's frames with payload from 1."""

    def __init__(self, sender, header, data, seen):
        self.sender, self.header, self.data, self.seen = sender, header, data, seen
        self.number = 0
        at, length = self.tcp()
        self.payload, self.flags, self.seq = 0, 0, 0
        if at:
            self.seq, self.flags = struct.unpack_from(">I", data, at + 4)[0], data[at + 13]
            self.payload = length - (data[at + 12] >> 4) * 4

    def tcp(self):
        """Where the segment begins, and its bytes."""
        data = self.data
        kind = struct.unpack_from(">H", data, 12)[0]
        if kind == 0x0800 and data[23] == 6:
            head = (data[14] & 15) * 4
            return 14 + head, struct.unpack_from(">H", data, 16)[0] - head
        if kind == 0x86DD and data[20] == 6:
            return 54, struct.unpack_from(">H", data, 18)[0]
        return 0, 0


class Lab:
    """`rule(frame)` returns the frames to pass on, at once. `record`: "in" for what the relay gets, "out" for what it passes on."""

    def __init__(self, rule=lambda frame: [frame], record="in", mtu=1500, six=False, offload=False, sysctls=()):
        self.rule, self.record, self.offload, self.six = rule, record, offload, six
        self.frames, self.counts, self.seen, self.paused, self.queue = [], {}, set(), False, []
        self.running = True
        name = f"zcrx-s{os.getpid()}"
        self.spaces = {side: f"{name}{side[0]}" for side in ("client", "server", "relay")}
        self.handles = {}
        try:
            self.build(mtu, sysctls)
        except BaseException:
            self.close()
            raise

    def build(self, mtu, sysctls):
        for space in self.spaces.values():
            ip("netns", "add", space)
        self.handles = {side: os.open(f"/run/netns/{space}", os.O_RDONLY) for side, space in self.spaces.items()}
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        off = "0" if self.six else "1"
        for space in self.spaces.values():
            self.sysctl(space, "net/ipv6/conf/all/disable_ipv6", "1" if space == self.spaces["relay"] else off)
            self.sysctl(space, "net/ipv6/conf/default/disable_ipv6", "1" if space == self.spaces["relay"] else off)
            self.sysctl(space, "net/ipv6/conf/default/accept_dad", "0")
            self.sysctl(space, "net/ipv6/conf/default/router_solicitations", "0")
        self.links = {}
        for side in ("client", "server"):
            space, other = self.spaces[side], "server" if side == "client" else "client"
            ip("-n", space, "link", "add", "eth0", "address", MACS[side], "mtu", str(mtu), "type", "veth",
               "peer", "name", side, "mtu", str(mtu), "netns", self.spaces["relay"])
            if self.six:
                ip("-n", space, "link", "set", "eth0", "addrgenmode", "none")
            ip("-n", self.spaces["relay"], "link", "set", side, "up")
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "address", "add", f"{CLIENT if side == 'client' else SERVER}/24", "dev", "eth0")
            neighbours = [SERVER if side == "client" else CLIENT]
            if self.six:
                ip("-n", space, "address", "add", f"{CLIENT6 if side == 'client' else SERVER6}/64", "dev", "eth0", "nodad")
                neighbours.append(SERVER6 if side == "client" else CLIENT6)
            for address in neighbours:
                ip("-n", space, "neighbour", "replace", address, "lladdr", MACS[other], "dev", "eth0", "nud", "permanent")
            for key, value in sysctls:
                self.sysctl(space, key, value)
            if not self.offload:
                self.inside(side, lambda: self.no_offload("eth0"))
        for side in ("client", "server"):
            self.links[side] = self.inside("relay", lambda side=side: self.link(side))
        self.thread = threading.Thread(target=self.relay, daemon=True)
        self.thread.start()

    def sysctl(self, space, key, value):
        subprocess.run(["ip", "netns", "exec", space, "sh", "-c", f"echo {value} > /proc/sys/{key}"], check=True)

    def inside(self, side, action):
        """Runs an action in a namespace, on this thread."""
        if libc.setns(self.handles[side], CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return action()
        finally:
            libc.setns(self.home, CLONE_NEWNET)

    def no_offload(self, device):
        with socket.socket() as control:
            for command in (ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO):
                value = array.array("I", [command, 0])
                address, _ = value.buffer_info()
                try:
                    fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP24x", device.encode(), address))
                except OSError:
                    pass

    def link(self, device):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        raw.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
        raw.bind((device, 3))
        raw.setblocking(False)
        return raw

    # ---- the relay ------------------------------------------------------------------------------------------------

    def relay(self):
        sides = {self.links[side]: side for side in ("client", "server")}
        while self.running:
            if not self.paused and self.queue:
                waiting, self.queue = self.queue, []
                for frame in waiting:
                    self.forward(frame)
            ready, _, _ = select.select(list(sides), [], [], 0.005)
            for raw in ready:
                self.receive(raw, sides[raw])

    def receive(self, raw, side):
        while True:
            try:
                data, address = raw.recvfrom(1 << 18)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            header, data = data[:VNET_HEADER_BYTES], data[VNET_HEADER_BYTES:]
            kind = struct.unpack_from(">H", data, 12)[0]
            if kind not in (0x0800, 0x86DD):
                continue
            frame = Frame(side, header, data, False)
            key = (side, frame.seq)
            if frame.payload > 0:
                frame.seen = key in self.seen
                self.seen.add(key)
                if not frame.seen:
                    self.counts[side] = self.counts.get(side, 0) + 1
                    frame.number = self.counts[side]
            if self.record == "in":
                self.note(data)
            if self.paused:
                self.queue.append(frame)
            else:
                self.forward(frame)

    def forward(self, frame):
        for each in self.rule(frame):
            if self.record == "out":
                self.note(each.data)
            self.links["server" if each.sender == "client" else "client"].send(each.header + each.data)

    def note(self, data):
        self.frames.append((time.time_ns(), bytes(data)))

    # ---- what scenarios use ---------------------------------------------------------------------------------------

    def socket(self, side, port=0, options=()):
        """A TCP socket bound to the side's address."""
        family = socket.AF_INET6 if self.six else socket.AF_INET
        address = {"client": CLIENT6, "server": SERVER6} if self.six else {"client": CLIENT, "server": SERVER}
        made = self.inside(side, lambda: socket.socket(family))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(20)
        for level, name, value in options:
            made.setsockopt(level, name, value)
        made.bind((address[side], port))
        return made

    def listen(self, port=80, options=()):
        server = self.socket("server", port, options)
        server.listen(128)
        return server

    def connect(self, server, port=40000, options=()):
        """Both ends of a new connection."""
        client = self.socket("client", port, options)
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        accepted.settimeout(20)
        return client, accepted

    def pause(self, paused):
        self.paused = paused

    def settle(self, seconds=0.1):
        time.sleep(seconds)

    def write(self, path):
        """Ends the relay and writes what it recorded."""
        self.settle(0.3)
        self.running = False
        self.thread.join()
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
            for when, data in self.frames:
                file.write(struct.pack("<IIII", when // 10**9, when % 10**9, len(data), len(data)) + data)

    def close(self):
        self.running = False
        for handle in self.handles.values():
            os.close(handle)
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def read_all(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def read_exactly(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError(f"{len(data)} of {length} bytes")
        data += piece
    return data
