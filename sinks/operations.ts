import {
  close,
  constants,
  fchmod,
  fdatasync,
  fstat,
  fsync,
  link,
  lstat,
  type NoParamCallback,
  open,
  rename,
  unlink,
  writev,
} from 'node:fs'

type Failure = NodeJS.ErrnoException | null

/**
 * When files reach the disk. `none`: when the system likes. `close`: before a file is called whole, and its name with it.
 * `interval`: so often while it grows, too.
 */
export type FsyncPolicy =
  | { readonly kind: 'none' }
  | { readonly kind: 'close' }
  | { readonly kind: 'interval'; readonly everyMs: number }

/** The file operations the sink needs; tests put failures in their way. */
export interface FileOperations {
  /** Creates the file with these permission bits, whatever the umask; `EEXIST` when anything is there, a link included. */
  open(path: string, mode: number, callback: (error: Failure, fd: number) => void): void
  /** May write less than it was given. */
  writev(
    fd: number,
    buffers: readonly Uint8Array[],
    position: number,
    callback: (error: Failure, written: number) => void,
  ): void
  /** What the file holds reaches the disk; `fdatasync` leaves out what reading it does not need. */
  fsync(fd: number, callback: NoParamCallback): void
  fdatasync(fd: number, callback: NoParamCallback): void
  close(fd: number, callback: NoParamCallback): void
  /** Gives the file one more name; `EEXIST` when something has it. */
  link(from: string, to: string, callback: NoParamCallback): void
  /** Gives it another, where there are no hard links; replaces what has it. */
  rename(from: string, to: string, callback: NoParamCallback): void
  remove(path: string, callback: NoParamCallback): void
  /** The names in a directory reach the disk. */
  syncNames(fd: number, callback: NoParamCallback): void
}

export const SYSTEM: FileOperations = {
  open: (path, mode, callback) =>
    open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode, (error, fd) => {
      if (error !== null) callback(error, -1)
      else grant(path, fd, mode, callback)
    }),
  writev: (fd, buffers, position, callback) => writev(fd, buffers, position, callback),
  fsync,
  fdatasync,
  close,
  link,
  rename,
  remove: unlink,
  // Some file systems can't (EINVAL, fsync(2)): they keep names otherwise.
  syncNames: (fd, callback) => fsync(fd, (error) => callback(error?.code === 'EINVAL' ? null : error)),
}

/** Gives a file that was just made the permission bits that the umask took. */
function grant(path: string, fd: number, mode: number, callback: (error: Failure, fd: number) => void): void {
  const done = (failure: Failure): void => {
    if (failure === null) callback(null, fd)
    else close(fd, () => unlink(path, () => callback(failure, -1)))
  }
  fstat(fd, (error, stats) => {
    if (error !== null || (stats.mode & mode) === mode) done(error)
    else fchmod(fd, mode, done)
  })
}

/** What file systems without hard links say (FAT, some of FUSE and of networks). */
const WITHOUT_LINKS = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'])

/**
 * Gives a file that is whole its name, and takes the old one away; `EEXIST` when something has the name. @param done told
 * whether it has the new name, and what went wrong
 */
export function publish(
  files: FileOperations,
  from: string,
  to: string,
  done: (named: boolean, error: Failure) => void,
): void {
  files.link(from, to, (error) => {
    if (error === null) files.remove(from, (failure) => done(true, failure))
    else if (WITHOUT_LINKS.has(error.code ?? '')) renameIfFree(files, from, to, done)
    else done(false, error)
  })
}

/**
 * rename(2) replaces what has the name, so it is looked up first. No other zcrxd comes between: who writes `X.bin` holds
 * `X.bin.part`, which only one can create.
 */
function renameIfFree(
  files: FileOperations,
  from: string,
  to: string,
  done: (named: boolean, error: Failure) => void,
): void {
  lstat(to, (error) => {
    if (error === null)
      done(false, Object.assign(new Error(`EEXIST: file already exists, ${to}`), { code: 'EEXIST' }))
    else if (error.code !== 'ENOENT') done(false, error)
    else files.rename(from, to, (failure) => done(failure === null, failure))
  })
}
