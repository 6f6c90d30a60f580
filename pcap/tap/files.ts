import { closeSync, unlinkSync } from 'node:fs'
import { parse } from 'node:path'
import { ArgumentError, PcapError } from '../../errors.ts'
import { checkObject, checkSink } from '../check.ts'
import { createFile, PRIVATE_MODE, UnsafeFileError } from '../file/create.ts'
import {
  type CaptureInterface,
  type CaptureSink,
  type CaptureStatistics,
  FileSink,
  PcapngWriter,
} from '../file/writer.ts'

export interface CaptureFileOptions {
  /** Path of the pcapng file, which is overwritten if it is ours and no link; or where else its bytes go. */
  file: string | CaptureSink
  /**
   * Most bytes of a file, at least 4096: before it would be exceeded the next file is begun. The files are then named
   * `NAME_00001.pcapng`, `NAME_00002.pcapng` … Only with a path.
   */
  fileBytes?: number
  /** Most files kept: the oldest is deleted when there would be more. Only with `fileBytes`; default all are kept. */
  files?: number
  /** Permission bits of the files, whatever the umask. Default 0600: only their owner reads them. */
  mode?: number
}

const LEAST_FILE_BYTES = 4096
/** What the end of a file takes: its statistics, with room to spare. */
const TRAILER_BYTES = 256

/** The files of a capture, each complete in itself. What goes wrong with one is thrown as a `PcapError`. */
export class CaptureFiles {
  /** The current file's. */
  writer: PcapngWriter
  /** Paths of the files that are kept, oldest first. */
  readonly paths: string[] = []
  readonly #file: string | CaptureSink
  readonly #interface: CaptureInterface
  readonly #fileBytes: number
  readonly #files: number
  readonly #mode: number
  #number = 1
  /** Bytes of the current file in front of the first packet. */
  #head = 0

  /** Creates the first file. @throws ArgumentError, PcapError */
  constructor(options: CaptureFileOptions, description: CaptureInterface) {
    checkFileOptions(options)
    this.#file = options.file
    this.#interface = description
    this.#fileBytes = options.fileBytes ?? 0
    this.#files = options.files ?? Number.POSITIVE_INFINITY
    this.#mode = options.mode ?? PRIVATE_MODE
    this.writer = this.#begin()
  }

  /** Writes the head of the first file. Closes it when that fails. @throws PcapError */
  first(): void {
    try {
      this.flush()
    } catch (error) {
      try {
        this.writer.close()
      } catch {
        // It is closed all the same.
      }
      throw error
    }
  }

  /** Before a packet of `bytes` bytes with everything that belongs to it: whether it is for the next file. */
  isFull(bytes: number): boolean {
    const { length } = this.writer
    return this.#fileBytes > 0 && length > this.#head && length + bytes + TRAILER_BYTES > this.#fileBytes
  }

  /** Ends the current file with `statistics` and begins the next. */
  next(statistics: CaptureStatistics): void {
    this.end(statistics)
    this.#number++
    while (this.paths.length >= this.#files) this.#remove(this.paths.shift()!)
    this.writer = this.#begin()
  }

  /** Ends the current file. */
  end(statistics: CaptureStatistics): void {
    try {
      this.writer.statistics(0, statistics)
    } finally {
      this.#guard(() => this.writer.close())
    }
  }

  flush(): void {
    this.#guard(() => this.writer.flush())
  }

  /** What to call a fault of the current file. */
  describe(error: unknown): PcapError {
    if (error instanceof PcapError) return error
    const { code, message } = error as NodeJS.ErrnoException
    const what = this.paths.at(-1) ?? 'the capture'
    return new PcapError(
      'PCAP_IO',
      `${what} can't be written: ${code ?? message}`,
      this.writer.length,
      code === 'ENOSPC' ? 'make room, or bound the capture with fileBytes and files' : '',
      { cause: error },
    )
  }

  #begin(): PcapngWriter {
    let sink: CaptureSink
    if (typeof this.#file === 'string') {
      const path = this.#fileBytes > 0 ? ringName(this.#file, this.#number) : this.#file
      try {
        sink = new FileSink(path, this.#mode)
      } catch (error) {
        throw cantCreate(path, error)
      }
      this.paths.push(path)
    } else sink = this.#file
    const writer = new PcapngWriter(sink)
    writer.addInterface(this.#interface)
    this.#head = writer.length
    return writer
  }

  #guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      throw this.describe(error)
    }
  }

  #remove(path: string): void {
    try {
      unlinkSync(path)
    } catch (error) {
      // Somebody has moved it away, which is their right.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new PcapError('PCAP_IO', `${path} can't be removed: ${(error as Error).message}`, -1, '', {
          cause: error,
        })
    }
  }
}

/**
 * Whether a capture could be written there: creates its first file, and removes it again unless it was there before; what
 * it holds stays. @throws ArgumentError, PcapError
 */
export function checkCapture(options: CaptureFileOptions): void {
  checkFileOptions(options)
  if (typeof options.file !== 'string') return
  const path = options.fileBytes === undefined ? options.file : ringName(options.file, 1)
  try {
    const { fd, created } = createFile(path, options.mode ?? PRIVATE_MODE, false)
    closeSync(fd)
    if (created) unlinkSync(path)
  } catch (error) {
    throw cantCreate(path, error)
  }
}

function checkFileOptions(options: CaptureFileOptions): void {
  checkObject('options', options)
  const { file, fileBytes, files, mode } = options
  if (typeof file !== 'string') checkSink('file', file)
  if (file === '') throw new ArgumentError('the capture has no file name')
  if (mode !== undefined && !(Number.isInteger(mode) && (mode & ~0o777) === 0 && (mode & 0o200) !== 0))
    throw new ArgumentError(
      `no permission bits of a file that is written: ${mode}`,
      'give some of 0o777, 0o200 among them',
    )
  if (fileBytes === undefined) {
    if (files !== undefined)
      throw new ArgumentError('files without fileBytes', 'say how large each of the files may be')
    return
  }
  if (typeof file !== 'string') throw new ArgumentError('fileBytes without a path to name the files after')
  if (!Number.isSafeInteger(fileBytes) || fileBytes < LEAST_FILE_BYTES)
    throw new ArgumentError(`files of ${fileBytes} bytes`, `give at least ${LEAST_FILE_BYTES}`)
  if (files !== undefined && (!Number.isSafeInteger(files) || files < 1))
    throw new ArgumentError(`${files} files`, 'give at least 1')
}

/** `dir/name_00001.pcapng` for `dir/name.pcapng`. */
function ringName(file: string, number: number): string {
  const { ext } = parse(file)
  return `${file.slice(0, file.length - ext.length)}_${String(number).padStart(5, '0')}${ext}`
}

const REMEDIES: Record<string, string> = {
  ENOENT: 'create its directory first',
  EACCES: 'choose a directory you may write to, or run it as another user',
  EPERM: 'choose a directory you may write to, or run it as another user',
  EISDIR: 'name a file',
  EROFS: 'choose a directory on another file system',
  ENOSPC: 'make room',
  ELOOP: 'it is a symbolic link, which is not followed: name what it leads to',
  ENXIO: 'start what reads it first',
}

function cantCreate(path: string, error: unknown): PcapError {
  const { code, message } = error as NodeJS.ErrnoException
  const unsafe = error instanceof UnsafeFileError
  return new PcapError(
    'PCAP_IO',
    `${path} can't be created: ${unsafe ? message : (code ?? message)}`,
    -1,
    unsafe ? error.remedy : (REMEDIES[code ?? ''] ?? ''),
    { cause: error },
  )
}
