import { CommanderError } from 'commander'
import { buildProgram, systemActions } from './cli/program.ts'
import { debugWanted, describeFailure, EXIT_USAGE } from './cli/report.ts'
import { complain, drainLogs } from './log/index.ts'

const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const

/** Runs zcrxd with `args` (without node and script). Returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const abort = new AbortController()
  // What can't be written is no reason to end: that nobody reads the help, for one (`| head`).
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  let interruptedBy = 0
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      // The second time it may not wait for anything; exit handlers still clean up.
      if (interruptedBy !== 0) process.exit(128 + number)
      interruptedBy = number
      abort.abort(new Error(`interrupted by ${name}`))
    })
  }
  let status = 0
  const program = buildProgram(systemActions(abort.signal), (result) => {
    status = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    // Help and version arrive here as well, with status 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
    if (abort.signal.aborted && error === abort.signal.reason) {
      complain(`zcrxd: ${(error as Error).message}`)
      return 128 + interruptedBy
    }
    const failure = describeFailure(error, debugWanted() || program.opts<{ verbose: boolean }>().verbose)
    complain(failure.text)
    return failure.status
  } finally {
    await drainLogs()
  }
}
