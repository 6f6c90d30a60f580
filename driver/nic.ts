import { type Counted, counting } from '../counting.ts'

/**
 * The one interface between a network queue and the stack. A `Nic` is one receive queue and one transmit queue of one
 * device. It owns no policy: it moves fragments of frames into chunks it was given, and frames out.
 *
 * Nothing here allocates per frame: bursts are structures of arrays, reused for ever.
 */

/** `RxBurst.flags`: another fragment of the same frame follows (AF_XDP: `XDP_PKT_CONTD`). */
export const RX_MORE = 1
/** `RxBurst.flags`: the device says that the transport checksum holds the pseudo-header sum only (virtio `NEEDS_CSUM`). */
export const RX_CSUM_PARTIAL = 2
/** `RxBurst.flags`: the device has verified the transport checksum. */
export const RX_CSUM_GOOD = 4
/** `RxBurst.flags`: the fragment lies in `NicRoles.sideMemory`, not in the attached memory; valid until the next `receive`. */
export const RX_SIDE = 8

/**
 * Received fragments, in wire order. A frame is one or more consecutive entries: all but its last carry `RX_MORE`.
 * A burst always holds whole frames.
 */
export class RxBurst {
  /** Byte offset of the fragment's first byte from the start of its area (or of `sideMemory`, with `RX_SIDE`). */
  readonly offset: Uint32Array
  /** Bytes in the fragment, at least 1. */
  readonly length: Uint32Array
  /** `RX_*` bits. */
  readonly flags: Uint8Array
  /** Number of the area the fragment lies in, without `RX_SIDE`; written only by a NIC that has several (`FurtherAreas`). */
  readonly area: Uint16Array
  /** Filled by `Nic.sumFragments`: the folded one's complement sum of the fragment's bytes as big-endian 16-bit words. */
  readonly sum: Uint32Array
  /** Entries in use. */
  count = 0
  /** Most entries it has room for. */
  readonly capacity: number

  /** @param capacity entries; at least 64, so that the largest frame fits. */
  constructor(capacity = 512) {
    this.capacity = Math.max(64, capacity)
    this.offset = new Uint32Array(this.capacity)
    this.length = new Uint32Array(this.capacity)
    this.flags = new Uint8Array(this.capacity)
    this.area = new Uint16Array(this.capacity)
    this.sum = new Uint32Array(this.capacity)
  }

  /** Adds an entry; there must be room. */
  put(offset: number, length: number, flags: number): void {
    const at = this.count++
    this.offset[at] = offset
    this.length[at] = length
    this.flags[at] = flags
  }
}

/**
 * The memory a queue writes received data into. Fixed-size chunks ("niovs") cover `[areaOffset, areaOffset + areaLength)`;
 * chunk `n` begins `n * chunkSize` bytes into the area. What lies behind the area in `buffer` is the driver's: it keeps the
 * frames it sends there (see `NicInfo.tailBytes`).
 */
export interface NicMemory {
  /** The area, and behind it what the driver sends from. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  /** Bytes from the start of `buffer`; a multiple of the page size. */
  readonly areaOffset: number
  /** Bytes; a multiple of `chunkSize`, at most 2^32 - chunkSize. */
  readonly areaLength: number
  /** Bytes, a power of two. */
  readonly chunkSize: number
}

/** Where an interface of the operating system's is. */
export interface SystemInterface {
  /** Path of its network namespace, such as `/run/netns/blue`; undefined: that of the thread which opened the NIC. */
  readonly netns: string | undefined
}

/** What a NIC is and can do. */
export interface NicInfo {
  /** `xdp`, `memory`, … */
  readonly driver: string
  /** How the driver runs, for people: `generic copy`, `native zero-copy`, `memory` … */
  readonly mode: string
  /** Interface name. */
  readonly name: string
  /** Interface index; 0 is never a device. */
  readonly ifIndex: number
  /** Receive queue number. */
  readonly queue: number
  /** Six bytes. When the interface gets another hardware address, the same array has it: see `MacChanges`. */
  readonly mac: Uint8Array
  /** Bytes of layer 3. */
  readonly mtu: number
  /** Most bytes of one frame that one chunk can take (AF_XDP: the chunk less 256 bytes of headroom). */
  readonly chunkPayload: number
  /** Bytes of memory behind the area that `attach` needs for frames to send; 0 when it needs none. */
  readonly tailBytes: number
  /** Chunks that the fill ring holds at the most; 0 = as many as the area has. */
  readonly fillEntries: number
  /** Packets that the path in front of the queue can hold before it drops (veth in native mode: 256); 0 when not known. */
  readonly ringPackets: number
  /** Frames with an unfinished transport checksum (the pseudo-header sum only) are to be expected and may be accepted. */
  readonly partialChecksums: boolean
  /**
   * Where a fragment's bytes land: in the attached memory; in `sideMemory` (and the stack must copy); or headers in
   * `sideMemory` and the payload of TCP in the attached memory, other frames wholly beside it.
   */
  readonly placement: 'area' | 'side' | 'split'
  /** The interface's kernel is at the other end of the wire: addresses that it has there are not ours. Default false. */
  readonly farEnd?: boolean
  /** Payload is written through virtual addresses: chunks of any size will do, in any memory. */
  readonly anyMemory?: boolean
  /** Bytes of the chunks that suit it best, where that is no page; only with `anyMemory`. */
  readonly chunkBytes?: number
  /**
   * The kernel finds the way: every destination is reached through one hardware address, which means nothing, and nobody is
   * asked for one (no ARP, no neighbour discovery); default false.
   */
  readonly routed?: boolean
  /** The host's addresses (network order) that it was opened for, when it takes no others; absent: any. */
  readonly addresses?: readonly Uint8Array[]
  /**
   * The interface is one of the operating system's, which has addresses, routes and neighbours there that a host may share;
   * absent for NICs of this process' own.
   */
  readonly system?: SystemInterface
}

/** Cumulative counters; every frame that does not reach the stack is in one of them. */
class Stats {
  /** Frames handed to the stack. */
  rxFrames = 0
  /** Fragments of those frames. */
  rxFragments = 0
  /** Bytes of those frames, headers included. */
  rxBytes = 0
  /** Dropped in front of the queue: the receive ring was full. */
  rxRingFull = 0
  /** Dropped in front of the queue: no free chunk in the fill ring. */
  rxFillEmpty = 0
  /**
   * Times that a device in zero-copy mode looked for a chunk and the fill ring was empty. It asks ahead of the frames that it will
   * have: these are no drops.
   */
  rxFillPolls = 0
  /** Dropped in front of the queue for another reason (too large for the chunks, …). */
  rxDropped = 0
  /** Descriptors that were not valid (outside the area, or a frame of too many fragments); the chunks are recovered. */
  rxInvalid = 0
  /** Frames sent. */
  txFrames = 0
  /** Bytes of those frames, headers included. */
  txBytes = 0
  /** Frames not sent because no transmit slot was free. */
  txNoSlot = 0
  /** Frames that the device or kernel refused. */
  txErrors = 0
}

/** What a queue has done; a snapshot. */
export type NicStats = Stats & Counted
export const NicStats: new () => NicStats = counting(Stats)

/** Decides which frames come to a queue whose interface others use too. Without it, every frame of the interface comes here. */
export interface Steering {
  /**
   * From now on frames to this address (network order, 4 or 16 bytes) and TCP port (host order) come here.
   * @param everyQueue those on the interface's other queues go to whoever has opened these, asked for or not; to nobody where none
   * has: not to the host's kernel, in any case. One queue at a time may ask so for a port. Default false. A NIC whose queues have
   * no frames of the host's takes no notice. @throws NicError
   */
  steer(address: Uint8Array, port: number, everyQueue?: boolean): void
  /** Undoes one `steer` with the same arguments. */
  unsteer(address: Uint8Array, port: number, everyQueue?: boolean): void
  /**
   * The address is the stack's alone: every IP frame to it, and what asks for its hardware
   * address (ARP requests, neighbour solicitations), come here.
   * @param everyQueue see `steer` @throws NicError
   */
  claim(address: Uint8Array, everyQueue?: boolean): void
  /** Undoes one `claim` with the same arguments. */
  unclaim(address: Uint8Array, everyQueue?: boolean): void
}

/** The device cuts long frames into segments. */
export interface LargeSends {
  /** Bytes of the longest frame for `txCommitLarge`, which every transmit slot has room for. */
  readonly txLargeBytes: number
  /**
   * Queues the reserved slot's first `length` bytes, a frame whose TCP payload is that of several segments. The device cuts it,
   * writes the headers of each (sequence number, lengths, identification, checksums; FIN and PSH on the last only), and sends
   * them. The checksum field holds the folded pseudo-header sum of the whole, not inverted.
   * @param tcpAt bytes in front of the TCP header @param headerBytes bytes up to the payload
   * @param segmentBytes payload of each segment; the last may have less
   */
  txCommitLarge(
    offset: number,
    length: number,
    tcpAt: number,
    headerBytes: number,
    segmentBytes: number,
  ): void
}

/** The NIC can write to further areas than the attached memory, which is area 0. */
export interface FurtherAreas {
  /**
   * One more, until the next `attach`. Chunk numbers go on through all areas; this one's begin with `firstChunk`, behind those
   * of every earlier area.
   */
  addArea(memory: NicMemory, area: number, firstChunk: number): void
  /**
   * Undoes it. The chunks that the NIC holds are no longer the NIC's; they are written to `chunks`, and how many they are is
   * returned. What it has received there stays.
   */
  removeArea(area: number, chunks: Uint32Array): number
  /** `Nic.chunksHeld`, of one area. */
  chunksHeldIn(area: number): number
}

/** The NIC asks for chunks when it has none left, instead of being filled: `fillSpace` is 0. */
export interface Pulling {
  /** Gets their numbers into `chunks`, as many as there are, and how many. Set by the stack. */
  demand: ((chunks: Uint32Array) => number) | null
}

/** A `split` NIC puts several payloads into one chunk, on its own account. */
export interface Packing {
  /** The chunk it goes on writing to, -1 for none. */
  openChunk(): number
}

/** Wants to know what became of received frames. */
export interface FrameObserver {
  /**
   * The stack is done with the frame in entries `[first, last)` of the latest burst. Called for every frame, in order, before
   * anything else is asked of the NIC but frames to send; the frame's bytes are still there. Must not throw.
   * @param cause null = it was taken; else why it was dropped, by the name that `Stack.drops` gives it
   */
  settled(first: number, last: number, cause: string | null): void
}

/** The hardware address can change. */
export interface MacChanges {
  /** Called when it has, from the event loop, `receive` or `wait`. `info.mac` has the new one. Set by the stack. */
  onMacChange: (() => void) | null
}

/** What some NICs can do beyond the necessary, each null for those that can't. Whoever asks, asks once: they stay the same. */
export interface NicRoles {
  /** Chooses the frames that come here; null where every frame of the interface does. */
  readonly steering: Steering | null
  /** Cuts long frames into segments. */
  readonly largeSends: LargeSends | null
  /** Writes to several areas. */
  readonly areas: FurtherAreas | null
  /** Asks for chunks instead of being filled. */
  readonly pulling: Pulling | null
  /** Puts several payloads into one chunk. */
  readonly packing: Packing | null
  /** Is told what became of each frame. */
  readonly observer: FrameObserver | null
  /** Tells when its hardware address changes. */
  readonly macChanges: MacChanges | null
  /** Memory that `RX_SIDE` fragments lie in, a multiple of four bytes; null for drivers that place all in the area. */
  readonly sideMemory: Uint8Array | null
}

/** Those of a NIC that has none; to be spread, so that what is added later is null for those that don't know it. */
export const NO_ROLES: NicRoles = {
  steering: null,
  largeSends: null,
  areas: null,
  pulling: null,
  packing: null,
  observer: null,
  macChanges: null,
  sideMemory: null,
}

/** What every NIC has. */
export interface Nic {
  /** What the queue is: interface, addresses, sizes, modes. */
  readonly info: NicInfo
  /** What it can do beyond this. */
  readonly roles: NicRoles
  /** What a user should know of this queue, for people: why something other than the first choice was taken. */
  readonly notes?: readonly string[]
  /**
   * The device went away (an interface was deleted, or moved to another network namespace): nothing comes or goes any more,
   * whatever is asked for. Who is armed is called when this happens.
   */
  readonly gone: boolean
  /** Memory the transmit slots lie in. Valid between `attach` and `detach`. */
  readonly txMemory: Uint8Array

  /**
   * Starts the queue over `memory`, or restarts it when it runs: chunks of the earlier memory that the driver held are no
   * longer the driver's when this returns. Starts with an empty fill ring. Frames that arrive during a restart are dropped,
   * so that the host's own stack does not answer for us. After an error the queue is stopped. @throws NicError
   */
  attach(memory: NicMemory): void
  /**
   * Stops the queue. The memory is not touched afterwards: AF_XDP in zero-copy mode waits for the device, some milliseconds as a
   * rule. @throws NicError `ZCRX_NIC_BUSY` when it can't be had back; the queue is stopped all the same
   */
  detach(): void

  /** Overwrites `burst` with what has arrived, at most its capacity, whole frames only. Returns `burst.count`. */
  receive(burst: RxBurst): number
  /** How many chunks `fill` would take now. */
  fillSpace(): number
  /** Gives `count` free chunks, `chunks[from..from+count)`, to the fill ring. Returns how many it took. */
  fill(chunks: Uint32Array, from: number, count: number): number
  /** Chunks the driver holds now: given by `fill` or `Pulling.demand`, not yet returned by `receive`. */
  chunksHeld(): number
  /** Fills `burst.sum` for every entry. */
  sumFragments(burst: RxBurst): void

  /** Bytes of a transmit slot: the longest frame `txCommit` takes. */
  readonly txSlotBytes: number
  /** Byte offset in `txMemory` of a free slot, or -1 (counted in `txNoSlot`). One reservation is open at a time. */
  txReserve(): number
  /** Queues the reserved slot's first `length` bytes, a whole Ethernet frame. `length` 0 gives the slot back. */
  txCommit(offset: number, length: number): void
  /** Tells the device about everything committed; at most one system call. */
  txFlush(): void

  /** Blocks the thread until frames wait or `timeoutMs` (may be Infinity) has passed. Returns whether frames wait. */
  wait(timeoutMs: number): boolean
  /** Calls `callback` once, from the event loop, when frames wait. A later call replaces it; null takes it back. */
  arm(callback: (() => void) | null): void
  /** Whether it keeps the process alive while it is armed. Default true; a NIC without this always does, or never. */
  keepAlive?(on: boolean): void

  /** Reads the counters, those of the kernel included. */
  stats(): NicStats
  /** Gives everything back. Idempotent. */
  close(): void
}
