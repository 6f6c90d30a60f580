import { constants } from 'node:os'
import { NicError } from '../../errors.ts'
import { loadNative } from './index.ts'

/** Which pages `allocatePages` takes. */
export interface PageOptions {
  /** 2 MiB pages; the size is rounded up to them. They have to be reserved beforehand (`vm.nr_hugepages`). */
  huge?: boolean
  /** Back the memory with a memfd of this name, which another process can map. */
  memfd?: string
}

/** Memory that `allocatePages` gave. */
export interface Pages {
  /** Zeroed, page-aligned. Unmapped when it is collected. */
  readonly buffer: ArrayBuffer
  /** Descriptor of the memfd, -1 without one. It is the caller's: close it with `loadNative().close`. */
  readonly fd: number
}

const PAGE = 4096
const HUGE_PAGE = 2 << 20
/** What the addon maps at the most. */
const LARGEST = 2 ** 40

/**
 * Page-aligned memory that a queue can receive into.
 * @param bytes rounded up to whole pages
 * @throws NicError `ZCRX_NIC_MEMORY` when the system has no such memory
 */
export function allocatePages(bytes: number, options: PageOptions = {}): Pages {
  const native = loadNative()
  const huge = options.huge ?? false
  const unit = huge ? HUGE_PAGE : PAGE
  const size = Math.ceil(bytes / unit) * unit
  if (size > LARGEST) throw refused(size, huge, 0)
  const fd = options.memfd === undefined ? -1 : native.createMemfd(options.memfd, size, huge)
  if (options.memfd !== undefined && fd < 0) throw refused(size, huge, -fd)
  const buffer = native.mapMemory(size, huge, fd)
  if (typeof buffer === 'number') {
    if (fd >= 0) native.close(fd)
    throw refused(size, huge, -buffer)
  }
  return { buffer, fd }
}

function refused(size: number, huge: boolean, errno: number): NicError {
  if (errno === constants.errno.ENOTSUP || size > LARGEST) {
    const message = `this version of Node.js has no buffers of ${size} bytes in memory that it did not allocate`
    return new NicError('ZCRX_NIC_MEMORY', message, 'ask for less than 4 GiB', errno)
  }
  const pages = Math.ceil(size / HUGE_PAGE)
  return new NicError(
    'ZCRX_NIC_MEMORY',
    `the system refuses ${size} bytes of ${huge ? 'huge-page ' : ''}memory (errno ${errno})`,
    huge ? `reserve huge pages: sysctl -w vm.nr_hugepages=${pages}` : 'ask for less',
    errno,
  )
}
