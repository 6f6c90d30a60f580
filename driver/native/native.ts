import type { BulkLoops, PostLoop } from '../../bulk-loops.ts'
/**
 * What the C++ addon exports: system calls, the one loop that touches every payload byte, and those over bursts of headers.
 *
 * A call that the kernel refuses returns a negative errno number, so that an `EAGAIN` on the data path costs no
 * exception. Arguments that can't be right throw `TypeError` or `RangeError` before anything is done. Descriptors are
 * closed by `close`, or when the environment that opened them (main thread, worker) ends, however it ends.
 *
 * Memory crosses the border as views, never as buffers: Node-API looks into a `SharedArrayBuffer` only through a view.
 */
export interface Native {
  /** Closes a descriptor that this environment opened through the addon; `-EBADF` for any other. */
  close(fd: number): number
  /** A second descriptor of the same open file (`F_DUPFD_CLOEXEC`), owned by this environment. */
  duplicate(fd: number): number

  /**
   * Page-aligned zeroed memory, unmapped when the buffer is collected. `-ENOTSUP` when the runtime has no buffers of that size,
   * `-EINVAL` when the memfd is shorter or can't be kept from shrinking, or `bytes` are no whole huge pages.
   * @param bytes at least 1; a multiple of 2 MiB with `huge`
   * @param huge 2 MiB pages (`MAP_HUGETLB`); `-ENOMEM` when the system has none reserved
   * @param fd a memfd to map shared from its start, or -1 for anonymous memory
   */
  mapMemory(bytes: number, huge: boolean, fd: number): ArrayBuffer | number
  /**
   * Asks for transparent huge pages (madvise(2)) in memory of the runtime's, before it is touched: whole 2 MiB on their boundaries.
   * 0, or minus errno where the system has none.
   */
  adviseHuge(memory: Uint8Array): number
  /** A memfd of `bytes`, which another process can map (memfd_create(2)). Returns the descriptor. */
  createMemfd(name: string, bytes: number, huge: boolean): number
  /**
   * A descriptor's memory from its start, shared, with private zeroed memory behind it, in one mapping. A memfd is sealed
   * against shrinking first: what is mapped must not vanish. `-EINVAL` when the file is shorter than `bytes` or can't be kept from
   * shrinking.
   * @param bytes,tailBytes whole pages; `bytes` at least one
   */
  mapDescriptor(fd: number, bytes: number, tailBytes: number): ArrayBuffer | number
  /**
   * Puts private zero pages in the place of a mapping made by `mapMemory` or `xskMapRing`: what was mapped is let go at
   * once (a mapped ring keeps its socket, and the socket its queue), and views that are still about stay valid.
   * `-EINVAL` unless `mapping` covers exactly one such mapping.
   */
  release(mapping: Uint8Array): number
  /** Where the view's first byte lies in the address space of the process. */
  addressOf(view: Uint8Array): number

  /** A new AF_XDP socket. */
  xskSocket(): number
  /** `XDP_UMEM_REG`. `memory` begins on a page; its owner keeps it alive and in place while the socket is open. */
  xskRegisterUmem(fd: number, memory: Uint8Array, chunkSize: number): number
  /**
   * Sets the ring sizes and reads where things lie in the rings. The order is fill, completion, rx, tx everywhere.
   * @param sizes four powers of two, in entries
   * @param offsets out: for each ring the byte offsets of producer word, consumer word, flags word, first descriptor
   */
  xskConfigureRings(fd: number, sizes: Uint32Array, offsets: Uint32Array): number
  /** Maps a ring (0 fill, 1 completion, 2 rx, 3 tx), shared with the kernel. */
  xskMapRing(fd: number, ring: number, bytes: number): ArrayBuffer | number
  /** bind(2) with `sxdp_flags`. */
  xskBind(fd: number, ifIndex: number, queue: number, flags: number): number
  /** `XDP_OPTIONS`: bit 0 tells zero-copy. */
  xskOptions(fd: number): number
  /** `XDP_MAX_TX_SKB_BUDGET` (Linux 6.17): frames that one kick may send in copy mode; 32 where it is refused. */
  xskSetTxBudget(fd: number, frames: number): number
  /** `SO_PREFER_BUSY_POLL`, `SO_BUSY_POLL` and `SO_BUSY_POLL_BUDGET` (Linux 5.11); the first that is refused ends it. */
  xskSetBusyPoll(fd: number, us: number, budget: number): number
  /** `XDP_STATISTICS` into six numbers, in the order of `struct xdp_statistics`. */
  xskStatistics(fd: number, out: Float64Array): number
  /** sendto(2) with nothing: the kernel looks at the tx ring. */
  xskKickTx(fd: number): number
  /** recvfrom(2) with nothing: the kernel looks at the fill ring (zero-copy with `XDP_USE_NEED_WAKEUP`). */
  xskKickRx(fd: number): number

  /** A new AF_PACKET socket, non-blocking, that nothing arrives at before it is bound. */
  packetSocket(): number
  /** setsockopt(2) of a 32-bit value. */
  setOption(fd: number, level: number, option: number, value: number): number
  /**
   * Asks for a `TPACKET_V3` receive ring and maps it.
   * @param blockBytes a multiple of the page size @param retireMs a block is handed over this long after its first frame
   */
  packetRing(fd: number, blockBytes: number, blocks: number, retireMs: number): ArrayBuffer | number
  /** bind(2) to an interface, for frames of all protocols. */
  packetBind(fd: number, ifIndex: number): number
  /** `SO_ATTACH_FILTER`: replaces the socket's filter at once. @param instructions `struct sock_filter`, 1 to 4096 */
  attachFilter(fd: number, instructions: Uint8Array): number
  /** The interface takes (or no longer takes) frames to this group address of six bytes. */
  packetGroup(fd: number, ifIndex: number, mac: Uint8Array, join: boolean): number
  /** `PACKET_STATISTICS` into three numbers: frames, of them dropped, times the ring was full. Sets them to zero. */
  packetStatistics(fd: number, out: Float64Array): number
  /** `-ENXIO` when the interface was deleted, else the socket's pending error as a negative errno, which is cleared. */
  packetState(fd: number): number
  /**
   * sendmmsg(2): each message is a virtio-net header and a frame. Returns how many were taken.
   * @param from,count which of `offsets` and `lengths`; at most 256
   */
  packetSend(
    fd: number,
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    from: number,
    count: number,
  ): number

  /**
   * A TCP socket that listens at an address (network order, 4 or 16 bytes) and port, and drops whatever arrives. The address
   * need not be there. `-EADDRINUSE` when the port is taken.
   * @param ifIndex interface of a link-local address @param shared others of this user may share the port (`SO_REUSEPORT`)
   */
  deafSocket(address: Uint8Array, port: number, ifIndex: number, shared: boolean): number

  /**
   * A TCP socket that is bound to an address of the machine's and a port, and does not listen: nobody else gets the port, and the
   * kernel refuses who connects. Whoever asks for the same in this process, in whatever thread, gets a descriptor of the same
   * socket: the port is free when the last of them is closed. `-EADDRINUSE` when somebody else has it.
   * @param ifIndex the interface that it is reserved for, and that a link-local address is of
   */
  reservePort(address: Uint8Array, port: number, ifIndex: number): number

  /**
   * A TCP socket that listens. Returns the descriptor. @param sockaddr `struct sockaddr_in` or `_in6`
   * @param options triples of level, name and value (an int), set before it is bound
   */
  listenSocket(sockaddr: Uint8Array, options: Uint32Array, backlog: number): number
  /** getsockname(2), or getpeername(2), into `out`. Returns the address's length, which may be more than `out` has. */
  socketName(fd: number, peer: boolean, out: Uint8Array): number
  /** setsockopt(2). @param value as the option has it */
  setSocketOption(fd: number, level: number, option: number, value: Uint8Array): number
  /** shutdown(2) of a descriptor of this environment, on the spot. @param how SHUT_* */
  shutdownSocket(fd: number, how: number): number
  /** A descriptor that an entry of a ring has opened belongs to this environment from now on: it is closed with it. */
  adopt(fd: number): number
  /** It belongs to nobody any more: an entry of a ring closes it. */
  disown(fd: number): number

  /** io_uring_setup(2). Returns the ring's descriptor. @param params `struct io_uring_params`, 120 bytes, read and written */
  uringSetup(entries: number, params: Uint8Array): number
  /**
   * io_uring_enter(2); with IORING_ENTER_GETEVENTS and `minComplete` it waits, in the kernel, for `timeoutMs` at the longest.
   * @param timeoutMs fractions count; 1e12 and more is for ever
   */
  uringEnter(fd: number, toSubmit: number, minComplete: number, flags: number, timeoutMs: number): number
  /** io_uring_register(2). @param fd -1 where none is needed @param arg what the opcode takes */
  uringRegister(fd: number, opcode: number, arg: Uint8Array | null, nrArgs: number): number
  /** mmap(2) of a ring's descriptor, shared: `release` lets it go. @param offset IORING_OFF_* */
  uringMap(fd: number, offset: number, bytes: number): ArrayBuffer | number
  /** An eventfd(2) that does not block. Returns the descriptor. */
  eventFd(): number
  /** Its count, which is 0 then; `-EAGAIN` where it was 0. */
  drainEventFd(fd: number): number
  /** madvise(2) with MADV_DONTFORK: child processes do not have these pages. The whole ones in `memory`. 0 or minus errno. */
  adviseDontFork(memory: Uint8Array): number

  /** `BPF_MAP_CREATE`. Returns the descriptor. @param name at most 15 of `[A-Za-z0-9_.]` */
  bpfMapCreate(
    type: number,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
    name: string,
  ): number
  /** Sets an element (`BPF_ANY`); for hash, array and xskmap only. `-EINVAL` when a size is not the map's. */
  bpfMapUpdate(fd: number, key: Uint8Array, value: Uint8Array): number
  /** Reads an element into `value`; `-ENOENT` when there is none. */
  bpfMapLookup(fd: number, key: Uint8Array, value: Uint8Array): number
  /** Removes an element; `-ENOENT` when there is none. */
  bpfMapDelete(fd: number, key: Uint8Array): number
  /**
   * `BPF_PROG_LOAD`. Returns the descriptor.
   * @param log the verifier's words, zero-terminated, when it refuses; empty to do without
   */
  bpfProgLoad(
    type: number,
    instructions: Uint8Array,
    license: string,
    name: string,
    flags: number,
    log: Uint8Array,
  ): number
  /** `BPF_LINK_CREATE`: the program stays attached until the last descriptor of the link is closed. */
  bpfLinkCreate(progFd: number, ifIndex: number, attachType: number, flags: number): number
  /** Name of a loaded program by its id. */
  bpfProgName(id: number): string | number

  /**
   * Opens a queue of a TAP device, which is made when there is none of that name (Documentation/networking/tuntap.rst). The
   * descriptor does not block. Frames come and go behind a `virtio_net_hdr` of 10 bytes. @param flags `IFF_*` of TUNSETIFF
   */
  tapOpen(name: string, flags: number): number
  /** TUNSETOFFLOAD: which unfinished frames we take. @param flags `TUN_F_*` */
  tapSetOffload(fd: number, flags: number): number
  /** TUNSETPERSIST: whether the device stays when nobody holds it. */
  tapSetPersist(fd: number, persist: boolean): number
  /**
   * Reads whole frames: their headers into slots of `side`, the payload of TCP into chunks of `area`, from the top of a stack.
   * Entries go to `offset`, `length` and `flags`, as `RxBurst` has them. Returns how many; a negative errno when the first read
   * is refused.
   * @param side slots of 528 bytes, then 65558 bytes for what finds no chunk
   * @param chunks numbers of the chunks held, the next one last
   * @param state six numbers: chunks held, bytes that headers are expected to have, how often in a row they were longer, and
   *   counters of frames, bytes, invalid frames
   * @param chunkSize bytes, at least 1024
   */
  tapReceive(
    fd: number,
    area: Uint8Array,
    side: Uint8Array,
    chunks: Uint32Array,
    offset: Uint32Array,
    length: Uint32Array,
    flags: Uint8Array,
    state: Float64Array,
    chunkSize: number,
  ): number
  /**
   * Sends frames `[from, to)`. Returns how many have gone, a negative errno when the first is refused.
   * @param frames six words each: offset in `memory`, bytes, bytes in front of the TCP header, bytes up to the payload, payload
   *   bytes of a segment, gso_type of virtio_net.h. With gso_type 0 the frame leaves as it is, else the device cuts it
   */
  tapSend(fd: number, memory: Uint8Array, frames: Uint32Array, from: number, to: number): number
  /** Sets an interface up. @param mtu 0 = as it is @param queueLength 0 = as it is */
  setLink(name: string, mtu: number, queueLength: number): number

  /** Facts about an interface of the calling thread's network namespace; `-ENODEV` when there is none. */
  linkInfo(name: string): LinkInfo | number
  /**
   * SIOCETHTOOL with one of the requests of linux/ethtool.h for rules of flows (`ETHTOOL_GRXCLS…`, `SRXCLS…`, struct ethtool_rxnfc) or
   * `ETHTOOL_SRXFHINDIR`; what the kernel answers is in `bytes` then. @throws RangeError for another, or when `bytes` are fewer
   * than the kernel reads and writes
   */
  ethtool(name: string, bytes: Uint8Array): number
  /**
   * A netlink socket (netlink(7)) bound to multicast groups; it never blocks. Returns the descriptor.
   * @param protocol `NETLINK_ROUTE` is 0 @param groups one bit each, group 1 the lowest
   */
  netlinkOpen(protocol: number, groups: number): number
  /** Sends whole messages to the kernel. Bytes sent. */
  netlinkSend(fd: number, bytes: Uint8Array): number
  /**
   * Receives one datagram of messages. Its length, more than `bytes` has when the rest was cut off; 0 for one that is not the
   * kernel's. `-EAGAIN` when none waits, `-ENOBUFS` when some were lost: what they said has to be asked for anew.
   */
  netlinkReceive(fd: number, bytes: Uint8Array): number
  /** setns(2) with `CLONE_NEWNET`, for the calling thread alone. */
  setNetns(fd: number): number

  /**
   * ppoll(2) of one descriptor. Returns `revents`, 0 after the timeout or a signal.
   * @param fd -1 to sleep
   * @param timeoutMs fractions count; `Infinity` for ever
   */
  poll(fd: number, events: number, timeoutMs: number): number
  /**
   * Watches a descriptor from the event loop, by a duplicate: nothing happens to it when somebody else closes the descriptor.
   * `close` of the addon closes the descriptor's watchers too.
   */
  readonly Watcher: new (
    fd: number,
  ) => Watcher

  /** Loops over bursts of bulk data. Their calls throw TypeError or RangeError for what can't be right. */
  readonly BulkLoops: new () => BulkLoops
  readonly postRun: PostLoop

  /**
   * `into[at + i] = from[start + i]` for `length` bytes.
   * @throws RangeError when either range lies outside its memory
   */
  copyBytes(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): void
  /** The same, of memories that don't overlap; returns the sum of the bytes as `sumFragments` makes it. @throws RangeError */
  copySum(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): number
  /**
   * `out[i]` = folded one's complement sum of the big-endian 16-bit words of
   * `memory[base + offset[i], base + offset[i] + length[i])`, an odd last byte padded with zero (RFC 1071, not inverted).
   * @throws RangeError when a fragment lies outside `memory`
   */
  sumFragments(
    memory: Uint8Array,
    offset: Uint32Array,
    length: Uint32Array,
    out: Uint32Array,
    count: number,
    base: number,
  ): void
}

/** Keeps the process alive while it is started, and not otherwise; after `unref` not at all. */
export interface Watcher {
  /**
   * Calls `callback` when the descriptor is readable or has an error to tell: once, or in every turn of the event loop until
   * `stop`, which costs no system call in between. A second start replaces the first. With `repeat` an error ends nothing:
   * when the callback has taken it away (by a call that fails with it, or `SO_ERROR`), the descriptor is watched again at once,
   * else after 1 ms, and after twice as long each time, up to a second. `-EBADF` when closed.
   * @param callback is told whether it is an error
   */
  start(callback: (failed: boolean) => void, repeat: boolean): number
  stop(): void
  /** It watches as long as something else keeps the process alive. */
  unref(): void
  /** It keeps the process alive while it watches, as it does from the beginning. */
  ref(): void
  close(): void
}

export interface LinkInfo {
  readonly index: number
  readonly up: boolean
  readonly running: boolean
  readonly loopback: boolean
  /** Six bytes, zero where the interface has no Ethernet address. */
  readonly mac: Uint8Array
  readonly mtu: number
  /** Receive queues in use. */
  readonly rxQueues: number
  /** Driver name as `ethtool -i` has it; empty when the driver doesn't say. */
  readonly driver: string
  /** XDP programs on the interface. */
  readonly programs: readonly XdpAttachment[]
}

export interface XdpAttachment {
  readonly id: number
  readonly mode: 'native' | 'generic' | 'offloaded'
}
