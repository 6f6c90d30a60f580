import type { Command } from 'commander'
import { type CaptureRequest, MAX_SNAP_LENGTH, MIN_CAPTURE_BYTES } from '../capture.ts'
import { checked, type Modes } from './command.ts'
import { parseInteger, parseSize, UsageError } from './parse.ts'

/** What the options of a command that captures leave behind. */
export interface CaptureFlags {
  capture?: string
  snaplen?: number
  captureSize?: number
  captureFiles?: number
  mode?: Modes
}

/** Adds the options about captures, the same for every command. */
export function addCaptureOptions(command: Command): Command {
  return command
    .option('--capture <file>', 'write every frame received and sent to a pcapng file', checked(parseFile))
    .option(
      '--snaplen <bytes>',
      'most bytes of a frame to write (default: all)',
      checked((text) => parseInteger(text, 'snap length', 1, MAX_SNAP_LENGTH)),
    )
    .option(
      '--capture-size <size>',
      'begin another file, FILE_00001, FILE_00002 …, before one exceeds this',
      checked(parseFileBytes),
    )
    .option(
      '--capture-files <n>',
      'keep the latest of so many files; with --capture-size',
      checked((text) => parseInteger(text, 'number of files', 1, 100_000)),
    )
}

/** @throws UsageError for options that say nothing on their own */
export function captureOf(flags: CaptureFlags): { capture?: CaptureRequest } {
  const { capture, snaplen, captureSize, captureFiles, mode } = flags
  if (capture === undefined) {
    for (const [name, value] of Object.entries({
      snaplen,
      'capture-size': captureSize,
      'capture-files': captureFiles,
    }))
      if (value !== undefined) throw new UsageError(`--${name} says nothing without --capture FILE`)
    return {}
  }
  if (captureFiles !== undefined && captureSize === undefined)
    throw new UsageError('--capture-files needs --capture-size: how large each of the files may be')
  return {
    capture: {
      file: capture,
      ...(snaplen === undefined ? {} : { snapLength: snaplen }),
      ...(captureSize === undefined ? {} : { fileBytes: captureSize }),
      ...(captureFiles === undefined ? {} : { files: captureFiles }),
      ...(mode?.file === undefined ? {} : { mode: mode.file }),
    },
  }
}

function parseFile(text: string): string {
  if (text === '' || text.endsWith('/')) throw new UsageError(`"${text}" is not the name of a file`)
  return text
}

function parseFileBytes(text: string): number {
  const bytes = parseSize(text)
  if (bytes >= MIN_CAPTURE_BYTES) return bytes
  throw new UsageError(
    `"${text}" is too small for a capture file; allowed is at least ${MIN_CAPTURE_BYTES} bytes`,
  )
}
