import { type FollowOptions, follow } from '../api.ts'
import { EXIT_FAILED } from '../cli/report.ts'
import { captureLines, errorObject, streamLine } from './print.ts'
import { StreamFiles } from './stream-files.ts'

export interface FollowRequest {
  /** `-` is standard input. */
  readonly file: string
  readonly direction: 'client' | 'server' | 'both'
  readonly conversation?: number
  /** Directory for the streams as files. */
  readonly out?: string
  /** Permission bits of what is written; absent: 0600. */
  readonly mode?: number
  readonly json: boolean
}

/** Prints text with a line end. */
export type Print = (line: string) => void

/**
 * `zcrxd follow`: 0, or 1 when the capture can't be read to its end; what is in front of the fault is printed.
 * @throws ZcrxError when it can't be opened, or a stream can't be written
 */
export async function followCommand(
  request: FollowRequest,
  signal: AbortSignal,
  print: Print,
): Promise<number> {
  const files = request.out === undefined ? null : new StreamFiles(request.out, request.mode)
  const options: FollowOptions = {
    direction: request.direction,
    signal,
    ...(request.conversation === undefined ? {} : { conversation: request.conversation }),
    ...(files === null ? {} : { onData: (...data) => files.data(...data) }),
    onReport: (report) => print(request.json ? JSON.stringify(report) : streamLine(report)),
  }
  const { summary } = await follow(request.file, options).finally(() => files?.flush())
  const { error } = summary
  if (request.json) print(JSON.stringify({ file: request.file, ...summary, error: errorObject(error) }))
  else {
    for (const line of captureLines(summary)) print(line)
    if (error !== null) print(`the rest of the capture can't be read: ${error.message}`)
  }
  return error === null ? 0 : EXIT_FAILED
}
