import { closeSync, constants, fchmodSync, fstatSync, ftruncateSync, openSync, type Stats } from 'node:fs'

/** Permission bits of a file that nobody else is to read. */
export const PRIVATE_MODE = 0o600

/** What has the name is not written to. */
export class UnsafeFileError extends Error {
  readonly code = 'EPERM'
  readonly remedy: string

  constructor(message: string, remedy: string) {
    super(message)
    this.name = 'UnsafeFileError'
    this.remedy = remedy
  }
}

/**
 * Opens a file for a capture: makes it, or takes what is there if that is ours. Neither a link nor a file that has been put
 * there by or shared with somebody else is written to, because a capture says more than they may know, and would take the place of
 * what it leads to. Nothing of it is waited for (O_NONBLOCK): a FIFO without room says EAGAIN.
 * @param mode permission bits, whatever the umask @param empty what it holds is thrown away
 * @throws UnsafeFileError, and the errors of open(2): `ELOOP` for a symbolic link, `ENXIO` for a FIFO that nobody reads …
 */
export function createFile(path: string, mode: number, empty: boolean): { fd: number; created: boolean } {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
  let created = true
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL, mode)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    created = false
    fd = openSync(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK)
  }
  try {
    const stats = fstatSync(fd)
    if (!created) checkOurs(stats)
    if (stats.isFile() && (created || empty)) {
      if ((stats.mode & 0o777) !== mode) fchmodSync(fd, mode)
      if (!created) ftruncateSync(fd)
    }
    return { fd, created }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** @throws UnsafeFileError */
function checkOurs(stats: Stats): void {
  // Devices are what the system has made them.
  if (!stats.isFile() && !stats.isFIFO()) return
  const us = process.geteuid?.() ?? stats.uid
  if (stats.uid !== us)
    throw new UnsafeFileError(
      `it is there already, and user ${stats.uid}'s, not ours (${us})`,
      'remove it, or name another',
    )
  if (stats.isFile() && stats.nlink > 1)
    throw new UnsafeFileError('it has other names (hard links)', 'remove it, or name another')
}
