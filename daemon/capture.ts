/** Captures of what a queue receives and sends, as the commands offer them. */
import { CaptureNic, type Nic, type ZcrxError } from './api.ts'

/** Least bytes of one of several files. */
export const MIN_CAPTURE_BYTES = 4096
/** The largest frame that readers of captures believe in. */
export const MAX_SNAP_LENGTH = 262_144

/** What `--capture` and its companions ask for. */
export interface CaptureRequest {
  readonly file: string
  /** Most bytes of a frame. */
  readonly snapLength?: number
  /** Most bytes of a file, of several then. */
  readonly fileBytes?: number
  /** Most files. */
  readonly files?: number
  /** Permission bits of the files; absent: 0600. */
  readonly mode?: number
}

/** What has become of it. */
export interface CaptureReport {
  /** Those that are there, oldest first. */
  readonly files: readonly string[]
  /** Frames written. */
  readonly received: number
  readonly sent: number
  /** Frames that could not be written. */
  readonly missed: number
  /** Why it ended before the end. */
  readonly error?: string
}

/** `nic`, with a capture of it; closed when that fails. @throws ZcrxError when the file can't be created */
export function captureNic(
  nic: Nic,
  request: CaptureRequest,
  onError: (error: ZcrxError) => void,
): CaptureNic {
  try {
    return new CaptureNic(nic, { ...request, onError })
  } catch (error) {
    nic.close()
    throw error
  }
}

export function captureReport(nic: CaptureNic): CaptureReport {
  const { files, captured, missed, failed } = nic
  return { files: [...files], ...captured, missed, ...(failed === null ? {} : { error: failed.message }) }
}
