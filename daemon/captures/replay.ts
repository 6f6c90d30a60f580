import { CaptureReader, type ReplayOptions, replay } from '../api.ts'
import { EXIT_FAILED } from '../cli/report.ts'
import type { FollowRequest, Print } from './follow.ts'
import { captureLines, errorObject, replayLines, streamLine } from './print.ts'
import { RunCapture } from './run-capture.ts'
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
  // What can't be read leaves no files behind.
  const reader = await CaptureReader.open(request.file)
  const files = request.out === undefined ? null : new StreamFiles(request.out, request.mode)
  const record =
    request.capture === undefined ? null : new RunCapture(request.capture, request.file, request.mode)
  const options: ReplayOptions = {
    file: request.file,
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
  const { summary } = await replay(reader, options).finally(() => files?.flush())
  const { error, niovs } = summary
  if (request.json) print(JSON.stringify({ file: request.file, ...summary, error: errorObject(error) }))
  else {
    for (const line of [...captureLines(summary), ...replayLines(summary)]) print(line)
    if (error !== null) print(`the rest of the capture can't be read: ${error.message}`)
  }
  return error === null && niovs.lost === 0 ? 0 : EXIT_FAILED
}
