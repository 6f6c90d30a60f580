import { type Logger, pino } from 'pino'
import { standardChannel } from './channel.ts'
import { Outlet } from './outlet.ts'

export { type Channel, standardChannel } from './channel.ts'
export { Outlet } from './outlet.ts'

/** pino's number of `warn`. */
const WARN = 40
/** How long the end of the process waits for who reads, milliseconds. */
const LAST_WAIT_MS = 500
const REPORT_WAIT_MS = 5000

const outlets = new Map<1 | 2, Outlet>()

/** The one way to a standard stream, so that what goes there keeps its order. */
function outlet(fd: 1 | 2): Outlet {
  let found = outlets.get(fd)
  if (found === undefined) {
    found =
      fd === 2
        ? new Outlet(standardChannel(fd), { droppedLine })
        : // The totals are wanted whole.
          new Outlet(standardChannel(fd), { maxBytes: Number.POSITIVE_INFINITY })
    outlets.set(fd, found)
    process.once('exit', () => outlets.get(fd)?.flushNow())
  }
  return found
}

function droppedLine(count: number): string {
  const msg = 'log lines were dropped: who reads them was too slow, or they could not be written'
  return `${JSON.stringify({ level: WARN, time: Date.now(), dropped: count, msg })}\n`
}

/** JSON lines on standard error. Whatever becomes of them, nobody waits and nothing fails. */
export function createLogger(level: string): Logger {
  const err = outlet(2)
  return pino({ level, base: null }, { write: (line: string) => err.write(line) })
}

/** Log lines that were dropped so far. */
export function droppedLogLines(): number {
  return outlets.get(2)?.dropped ?? 0
}

/** A line on standard error that is no log. */
export function complain(text: string): void {
  outlet(2).write(`${text}\n`)
}

/**
 * Writes to standard output and waits for its reader, but not for ever. Returns why it is not all written, or null.
 */
export async function printReport(text: string): Promise<string | null> {
  const out = outlet(1)
  out.write(`${text}\n`)
  if (!(await out.drain(REPORT_WAIT_MS))) return 'nobody reads it'
  return out.error === null ? null : (out.error.code ?? out.error.message)
}

/** The last lines leave, if somebody takes them. */
export async function drainLogs(): Promise<void> {
  await outlets.get(2)?.drain(LAST_WAIT_MS)
}
