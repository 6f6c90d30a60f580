import type { Native } from '../native/index.ts'
import { ERRNO, systemFailure } from '../system.ts'

// linux/if_xdp.h
const XDP_COPY = 1 << 1

const PAGE = 4096
const RETRY_MS = 1

/**
 * Tells when the kernel has let go of a queue. A socket's memory is the device's for as long as its pool is: the driver is told to
 * forget it some time after the socket was closed, and writes what arrives until then. Of the pool nothing says so but that
 * another socket can be bound to the queue (net/xdp/xsk_buff_pool.c: `xp_clear_dev` has the driver stop, and only then is the
 * queue free). So this is another socket, bound for copies, which ask nothing of the driver, and closed at once.
 */
export class QueueProbe {
  readonly #native: Native
  readonly #ifIndex: number
  readonly #queue: number
  readonly #fd: number

  /** In the network namespace the thread is in. @throws NicError */
  static open(native: Native, device: string, ifIndex: number, queue: number): QueueProbe {
    const fd = native.xskSocket()
    if (fd < 0) throw systemFailure(fd, 'opening an AF_XDP socket', device)
    const memory = native.mapMemory(PAGE, false, -1)
    let result = typeof memory === 'number' ? memory : 0
    // The kernel has the page pinned; the XDP program sends it no frame.
    if (typeof memory !== 'number') result = native.xskRegisterUmem(fd, new Uint8Array(memory), PAGE)
    if (result >= 0) result = native.xskConfigureRings(fd, Uint32Array.of(2, 2, 2, 2), new Uint32Array(16))
    if (result >= 0) return new QueueProbe(native, ifIndex, queue, fd)
    native.close(fd)
    throw systemFailure(result, 'setting up an AF_XDP socket of one page', device)
  }

  private constructor(native: Native, ifIndex: number, queue: number, fd: number) {
    this.#native = native
    this.#ifIndex = ifIndex
    this.#queue = queue
    this.#fd = fd
  }

  /** Blocks until the queue is free, or the interface is gone. False when `patienceMs` were not enough. It is closed then. */
  wait(patienceMs: number): boolean {
    const deadline = performance.now() + patienceMs
    try {
      for (;;) {
        const result = this.#native.xskBind(this.#fd, this.#ifIndex, this.#queue, XDP_COPY)
        // A deleted interface has let go of everything before its last socket hears of it.
        if (result >= 0 || result === -ERRNO.ENODEV || result === -ERRNO.ENXIO) return true
        if (performance.now() >= deadline) return false
        this.#native.poll(-1, 0, RETRY_MS)
      }
    } finally {
      this.close()
    }
  }

  /** Idempotent. */
  close(): void {
    this.#native.close(this.#fd)
  }
}
