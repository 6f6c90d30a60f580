import { type CaptureSink, FileSink, type ReplayOptions, replay, ZcrxError } from '../api.ts'
import { EXIT_FAILED } from '../cli/report.ts'
import type { FollowRequest, Print } from './follow.ts'
import { captureLines, errorObject, replayLines, streamLine } from './print.ts'
import { StreamFiles } from './stream-files.ts'

export interface ReplayRequest extends FollowRequest {
  readonly recomputeChecksums: boolean
  /** Bytes; absent: the library's default. */
  readonly areaBytes?: number
  /** A capture of what our endpoints received and sent. */
  readonly capture?: string
}

/**
 * `zcrxd replay`: 0, or 1 when the capture can't be read to its end or a buffer was lost; what is in front of the fault is
 * printed. @throws ZcrxError when a file can't be opened or written
 */
export async function replayCommand(
  request: ReplayRequest,
  signal: AbortSignal,
  print: Print,
): Promise<number> {
  const files = request.out === undefined ? null : new StreamFiles(request.out)
  const record = request.capture === undefined ? null : openCapture(request.capture)
  const options: ReplayOptions = {
    direction: request.direction,
    recomputeChecksums: request.recomputeChecksums,
    keep: false,
    signal,
    ...(request.conversation === undefined ? {} : { conversation: request.conversation }),
    ...(request.areaBytes === undefined ? {} : { areaBytes: request.areaBytes }),
    ...(record === null ? {} : { record }),
    ...(files === null ? {} : { onData: (...data) => files.data(...data) }),
    onReport: (report) => print(request.json ? JSON.stringify(report) : streamLine(report)),
  }
  const { summary } = await replay(request.file, options)
  files?.flush()
  const { error, niovs } = summary
  if (request.json) print(JSON.stringify({ file: request.file, ...summary, error: errorObject(error) }))
  else {
    for (const line of [...captureLines(summary), ...replayLines(summary)]) print(line)
    if (error !== null) print(`the rest of the capture can't be read: ${error.message}`)
  }
  return error === null && niovs.lost === 0 ? 0 : EXIT_FAILED
}

function openCapture(path: string): CaptureSink {
  try {
    return new FileSink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ZcrxError(
      'ZCRXD_OUT',
      `can't write ${path} (${code})`,
      'name a file that can be: --capture FILE',
      {
        cause: error,
      },
    )
  }
}
