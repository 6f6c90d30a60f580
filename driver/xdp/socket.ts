import { NicError } from '../../errors.ts'
import type { Native } from '../native/index.ts'
import type { NicStats } from '../nic.ts'
import { ERRNO, errnoName, memlockLimit, systemFailure } from '../system.ts'
import { ReadWatch } from '../watch.ts'
import { ADDRESS_WORDS, DESCRIPTOR_WORDS, DescriptorRing, type RingLayout } from './descriptor-ring.ts'
import { QueueProbe } from './queue-probe.ts'

// linux/if_xdp.h
const XDP_COPY = 1 << 1
const XDP_ZEROCOPY = 1 << 2
const XDP_USE_NEED_WAKEUP = 1 << 3
const XDP_USE_SG = 1 << 4
const OPTION_ZEROCOPY = 1

const POLLIN = 1

/** A queue's earlier socket is taken apart by the kernel some time after its close. */
const BIND_PATIENCE_MS = 2000
const BIND_RETRY_MS = 5
/** What it had locked counts until then, and no longer than a few milliseconds. */
const LOCK_PATIENCE_MS = 250

/** A device stops writing to a closed queue's memory when it has been told to, and not later than this. */
const RELEASE_PATIENCE_MS = 2000
/** Memory that a device may still write to: never unmapped. */
const kept: Uint8Array[] = []

/** Entries, powers of two. */
export interface RingSizes {
  /** Chunks given to the device. */
  readonly fill: number
  /** Frames that were sent. */
  readonly completion: number
  /** Fragments received. */
  readonly rx: number
  /** Frames to be sent. */
  readonly tx: number
}

/** How a socket is bound: zero-copy or copy, and whether a frame may span several chunks. */
export interface BindMode {
  readonly zeroCopy: boolean
  readonly multiBuffer: boolean
}

export interface XskOptions {
  readonly device: string
  readonly ifIndex: number
  readonly queue: number
  /** Area and transmit slots. */
  readonly umem: Uint8Array
  readonly chunkSize: number
  readonly sizes: RingSizes
  readonly bind: BindMode
}

/** An AF_XDP socket bound to a queue, with its four rings mapped. Closing it gives the queue back. */
export class XskSocket {
  readonly fd: number
  /** The device writes to the memory itself. */
  readonly zeroCopy: boolean = false
  readonly fill: DescriptorRing
  readonly completion: DescriptorRing
  readonly rx: DescriptorRing
  readonly tx: DescriptorRing
  readonly #native: Native
  readonly #mappings: Uint8Array[] = []
  readonly #counters = new Float64Array(6)
  readonly #watch: ReadWatch
  /** Tells when a device in zero-copy mode has let go of the memory. */
  #probe: QueueProbe | null = null
  readonly #options: XskOptions
  #open = true

  /** @throws NicError */
  constructor(native: Native, options: XskOptions) {
    this.#native = native
    this.#options = options
    const { device, sizes } = options
    this.fd = openSocket(native, device)
    this.#watch = new ReadWatch(() => new native.Watcher(this.fd))
    try {
      this.#register(options)
      const offsets = new Uint32Array(16)
      const order = Uint32Array.of(sizes.fill, sizes.completion, sizes.rx, sizes.tx)
      const configured = native.xskConfigureRings(this.fd, order, offsets)
      if (configured < 0) throw systemFailure(configured, 'setting the ring sizes', device)
      const ring = (which: number, words: number): DescriptorRing => {
        const [producer, consumer, flags, descriptors] = offsets.subarray(which * 4, which * 4 + 4)
        const layout: RingLayout = {
          producer: producer!,
          consumer: consumer!,
          flags: flags!,
          descriptors: descriptors!,
        }
        return this.#map(which, layout, order[which]!, words, device)
      }
      this.fill = ring(0, ADDRESS_WORDS)
      this.completion = ring(1, ADDRESS_WORDS)
      this.rx = ring(2, DESCRIPTOR_WORDS)
      this.tx = ring(3, DESCRIPTOR_WORDS)
      // Beforehand: without it the memory could not be had back safely.
      if (options.bind.zeroCopy) this.#probe = QueueProbe.open(native, device, options.ifIndex, options.queue)
      this.#bind(options)
      this.zeroCopy = (native.xskOptions(this.fd) & OPTION_ZEROCOPY) !== 0
      // One kick for everything that is committed. Kernels that don't know the option send 32 frames a kick.
      native.xskSetTxBudget(this.fd, sizes.tx)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The kernel looks at the tx ring. 0 or a negative errno. */
  kickTx(): number {
    return this.#native.xskKickTx(this.fd)
  }

  /** The kernel looks at the fill ring. 0 or a negative errno. */
  kickRx(): number {
    return this.#native.xskKickRx(this.fd)
  }

  /** Blocks until a frame waits or the time is over; may return early. Returns whether there is something, if only an error. */
  wait(timeoutMs: number): boolean {
    return this.#native.poll(this.fd, POLLIN, timeoutMs) !== 0
  }

  /** See `Nic.arm`. */
  arm(callback: ((failed: boolean) => void) | null): void {
    this.#watch.arm(callback)
  }

  /** See `Nic.keepAlive`. */
  keepAlive(on: boolean): void {
    this.#watch.keepAlive(on)
  }

  /** Adds the kernel's counters to `stats`. */
  addStatistics(stats: NicStats): void {
    const counters = this.#counters
    if (!this.#open || this.#native.xskStatistics(this.fd, counters) < 0) return
    stats.rxDropped += counters[0]!
    stats.rxInvalid += counters[1]!
    stats.txErrors += counters[2]!
    stats.rxRingFull += counters[3]!
    if (this.zeroCopy) stats.rxFillPolls += counters[4]!
    else stats.rxFillEmpty += counters[4]!
  }

  /**
   * Gives the queue back. The rings read as zero from now on, and nothing is written to the memory any more: in zero-copy mode
   * this waits until the device has let go of it, some milliseconds as a rule. Idempotent.
   * @throws NicError `ZCRX_NIC_BUSY` when it has not within two seconds; the memory is kept for it then, for good
   */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#watch.close()
    for (const mapping of this.#mappings.splice(0)) this.#native.release(mapping)
    this.#native.close(this.fd)
    const probe = this.#probe
    this.#probe = null
    if (!this.zeroCopy) probe?.close()
    if (!this.zeroCopy || probe === null || probe.wait(RELEASE_PATIENCE_MS)) return
    const { device, queue, umem } = this.#options
    kept.push(umem)
    throw new NicError(
      'ZCRX_NIC_BUSY',
      `queue ${queue} of ${device} was closed ${RELEASE_PATIENCE_MS} ms ago, and its memory may still be written to`,
      'do not use the memory again; ip link set dev X down makes the device let go',
      ERRNO.EBUSY,
    )
  }

  #register({ device, umem, chunkSize }: XskOptions): void {
    const deadline = performance.now() + LOCK_PATIENCE_MS
    let result = this.#native.xskRegisterUmem(this.fd, umem, chunkSize)
    while (result === -ERRNO.ENOBUFS && performance.now() < deadline && umem.length <= memlockLimit()) {
      this.#native.poll(-1, 0, BIND_RETRY_MS)
      result = this.#native.xskRegisterUmem(this.fd, umem, chunkSize)
    }
    if (result >= 0) return
    const errno = -result
    if (errno === ERRNO.ENOBUFS) {
      const limit = memlockLimit()
      throw new NicError(
        'ZCRX_NIC_MEMLOCK',
        `${umem.length} bytes have to be locked for ${device}, the limit is ${limit}`,
        `ulimit -l ${Math.ceil(umem.length / 1024)}, or CAP_IPC_LOCK`,
        errno,
      )
    }
    if (errno === ERRNO.EINVAL || errno === ERRNO.ENOMEM || errno === ERRNO.EFAULT) {
      throw new NicError(
        'ZCRX_NIC_MEMORY',
        `the kernel refuses ${umem.length} bytes in chunks of ${chunkSize} as receive memory (${errnoName(errno)})`,
        'chunks of 2048 or 4096 bytes in page-aligned memory',
        errno,
      )
    }
    throw systemFailure(result, 'registering the receive memory', device)
  }

  #map(which: number, layout: RingLayout, entries: number, words: number, device: string): DescriptorRing {
    const buffer = this.#native.xskMapRing(this.fd, which, DescriptorRing.bytes(layout, entries, words))
    if (typeof buffer === 'number') throw systemFailure(buffer, 'mapping a ring', device)
    this.#mappings.push(new Uint8Array(buffer))
    return new DescriptorRing(buffer, layout, entries)
  }

  #bind({ device, ifIndex, queue, bind }: XskOptions): void {
    const flags =
      XDP_USE_NEED_WAKEUP | (bind.zeroCopy ? XDP_ZEROCOPY : XDP_COPY) | (bind.multiBuffer ? XDP_USE_SG : 0)
    const deadline = performance.now() + BIND_PATIENCE_MS
    let result = this.#native.xskBind(this.fd, ifIndex, queue, flags)
    while (result === -ERRNO.EBUSY && performance.now() < deadline) {
      this.#native.poll(-1, 0, BIND_RETRY_MS)
      result = this.#native.xskBind(this.fd, ifIndex, queue, flags)
    }
    if (result >= 0) return
    if (result === -ERRNO.EBUSY) {
      throw new NicError(
        'ZCRX_NIC_BUSY',
        `queue ${queue} of ${device} is taken by another AF_XDP socket`,
        'stop its owner (ss -a --xdp shows it where the kernel has XDP_SOCKETS_DIAG)',
        -result,
      )
    }
    if (result === -ERRNO.EOPNOTSUPP || result === -ERRNO.EINVAL) {
      throw new NicError(
        'ZCRX_NIC_UNSUPPORTED',
        `${device} can't bind queue ${queue} for ${bind.zeroCopy ? 'zero-copy' : 'copy'}${
          bind.multiBuffer ? ' with multi-buffer frames' : ''
        } (${errnoName(-result)})`,
        bind.zeroCopy ? "copy: 'auto'" : 'Linux 6.6 or later is needed',
        -result,
      )
    }
    throw systemFailure(result, 'bind', device)
  }
}

/** A fresh AF_XDP socket. @throws NicError */
export function openSocket(native: Native, device: string): number {
  const fd = native.xskSocket()
  if (fd >= 0) return fd
  if (fd === -ERRNO.EAFNOSUPPORT) {
    const remedy = 'a kernel with CONFIG_XDP_SOCKETS'
    throw new NicError('ZCRX_NIC_UNSUPPORTED', 'this kernel has no AF_XDP sockets', remedy, -fd)
  }
  throw systemFailure(fd, 'opening an AF_XDP socket', device)
}
