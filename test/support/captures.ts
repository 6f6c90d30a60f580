import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { followCommand } from '../../daemon/captures/follow.ts'
import { replayCommand } from '../../daemon/captures/replay.ts'
import type { StreamReport } from '../../pcap/follow/report.ts'
import type { ReplaySummary } from '../../replay/index.ts'
import { noCaptureTools } from './capture-tools.ts'
import { BIN, built } from './daemon.ts'

export type Command = 'replay' | 'follow'
export const COMMANDS: readonly Command[] = ['replay', 'follow']

const SAMPLES = fileURLToPath(new URL('../../pcap/samples', import.meta.url))

export function sample(file: string): string {
  return join(SAMPLES, file)
}

/** Which of the tools that judge captures are missing; undefined: none. Says what is skipped for want of what. */
export function missingTools(): string | undefined {
  const missing = noCaptureTools()
  if (!built) console.warn('tests of zcrxd replay and follow are skipped: dist/ is not built (npm run setup)')
  if (missing !== undefined) console.warn(`tests of captures are skipped: ${missing}`)
  return missing
}

/** A directory that goes when the file's tests are done. */
export function placeForFiles(): string {
  const directory = mkdtempSync(join(tmpdir(), 'zcrx-captures-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Returns the path. */
export function writeTo(directory: string, name: string, bytes: Uint8Array): string {
  const path = join(directory, name)
  writeFileSync(path, bytes)
  return path
}

export interface Run {
  status: number | null
  stdout: string
  stderr: string
}

export interface Json extends Run {
  streams: StreamReport[]
  summary: ReplaySummary & { file: string; error: { code: string; message: string; offset: number } | null }
}

/** Of runs that read samples and write nothing: the same for everyone who asks. */
const done = new Map<string, Run>()

export function zcrxd(args: readonly string[], input?: Uint8Array): Run {
  const writes = args.some((arg) => arg === '--out' || arg === '--capture' || arg.startsWith(tmpdir()))
  if (writes || input !== undefined) return start(args, input)
  const key = args.join('\0')
  const run = done.get(key) ?? start(args)
  done.set(key, run)
  return run
}

function start(args: readonly string[], input?: Uint8Array): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 28,
    ...(input === undefined ? {} : { input }),
  })
  return { status, stdout, stderr }
}

export function json(command: Command, args: readonly string[], input?: Uint8Array): Json {
  const run = zcrxd([command, '--json', ...args], input)
  const objects = run.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  return { ...run, summary: objects.pop(), streams: objects }
}

/** The command without its process, whose start takes longer than a sample. */
export async function inProcess(command: Command, file: string): Promise<Omit<Json, 'stdout' | 'stderr'>> {
  const lines: string[] = []
  const request = { file, direction: 'both', json: true, recomputeChecksums: false } as const
  const run = command === 'replay' ? replayCommand : followCommand
  const status = await run(request, new AbortController().signal, (line) => lines.push(line))
  const objects = lines.map((line) => JSON.parse(line))
  return { status, summary: objects.pop(), streams: objects }
}
