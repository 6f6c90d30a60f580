import { loadNative } from '../../../driver/native/index.ts'
import type { RingHost } from '../../ring/backend.ts'
import { LinuxBackend } from './backend.ts'
import type { RingsMemory } from './set-up.ts'

/** How rings of the Linux kernel are opened. */
export interface LinuxHostOptions {
  /**
   * Whose memory rings lie in: `shared` memory of ours (IORING_SETUP_NO_MMAP, Linux 6.5), which other threads can look at and which
   * outlives no `close`; or the `kernel`'s, mapped. Default: shared where the kernel takes it.
   */
  readonly memory?: RingsMemory
}

/**
 * The Linux kernel that this process runs on, as the other side of rings: `Ring.queueInit` takes it. A ring belongs to the thread that
 * made it, as with IORING_SETUP_SINGLE_ISSUER.
 */
export class LinuxHost implements RingHost {
  readonly #memory: RingsMemory | null

  /** @throws NicError `ZCRX_NIC_ADDON` without the native addon, which makes the system calls */
  constructor(options: LinuxHostOptions = {}) {
    loadNative()
    this.#memory = options.memory ?? null
  }

  ringBackend(): LinuxBackend {
    return new LinuxBackend(loadNative(), this.#memory)
  }
}
