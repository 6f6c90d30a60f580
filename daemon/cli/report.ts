import { ZcrxError } from '../api.ts'
import { UsageError } from './parse.ts'

/**
 * Exit statuses: 0 done, 1 failed, 2 called wrongly, 3 done but transfers were cut, 128 + signal when interrupted before there was a
 * result.
 */
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2
export const EXIT_CUT = 3

/** Whether stack traces are wanted. */
export function debugWanted(): boolean {
  const value = process.env.ZCRX_DEBUG
  return value !== undefined && value !== '' && value !== '0'
}

/** What went wrong, for people: message and remedy, the stack only when asked for. Returns the exit status. */
export function describeFailure(error: unknown, verbose = debugWanted()): { text: string; status: number } {
  if (error instanceof UsageError) return { text: `zcrxd: ${error.message}`, status: EXIT_USAGE }
  if (!(error instanceof Error)) return { text: `zcrxd: ${String(error)}`, status: EXIT_FAILED }
  const lines = [`zcrxd: ${error.message}`]
  if (error instanceof ZcrxError) {
    // The message ends in the remedy; on a terminal it deserves a line of its own.
    if (error.remedy !== '' && error.message.endsWith(`: ${error.remedy}`)) {
      lines[0] = `zcrxd: ${error.message.slice(0, -error.remedy.length - 2)}`
    }
    if (error.remedy !== '') lines.push(`  what to do: ${error.remedy}`)
  }
  if (verbose) {
    lines.push(error.stack ?? '')
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
      lines.push(`caused by ${cause.stack ?? cause.message}`)
    }
  } else if (!(error instanceof ZcrxError)) {
    lines.push('  with --verbose or ZCRX_DEBUG=1 the stack is printed')
  }
  return { text: lines.join('\n'), status: EXIT_FAILED }
}
