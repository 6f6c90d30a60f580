import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { nativeOrNull } from '../../driver/native/index.ts'

/** The built program, as people run it. `npm test` builds it first. */
export const BIN: string = fileURLToPath(new URL('../../bin/zcrxd.js', import.meta.url))
export const built: boolean = existsSync(new URL('../../dist/zcrxd/main.js', import.meta.url))

/** Why it can't be run over network queues here; empty when it can. */
export const obstacle: string = !built
  ? 'dist/ is not built (npm run setup)'
  : process.getuid?.() !== 0
    ? 'not root, so no network namespaces'
    : nativeOrNull() === null
      ? 'the native addon is not built'
      : ''

/** A `zcrxd run` in a network namespace. */
export interface Daemon {
  readonly child: ChildProcess
  /** What it has printed so far. */
  output(): string
}

/** Starts `zcrxd run`; resolves once it listens. @param onChild has the process before that, to end it */
export async function startDaemon(
  namespace: string,
  args: readonly string[],
  onChild: (child: ChildProcess) => void,
): Promise<Daemon> {
  const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, BIN, 'run', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onChild(child)
  let log = ''
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    output += part
  })
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      log += part
      if (log.includes('"listening"')) resolve()
    })
    child.once('exit', (code) => reject(new Error(`zcrxd ended with ${code}: ${log}`)))
  })
  return { child, output: () => output }
}
