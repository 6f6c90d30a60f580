import { applyQueueSetup, type QueueSetup, type SetupStep } from '../api.ts'

/** What is set up for as long as the doctor runs. */
export interface ApplyRequest {
  readonly device: string
  readonly queue: number
  readonly ports: readonly number[]
  readonly netns?: string
}

/** How it is set up; tests put their own in. */
export type Applier = (request: ApplyRequest, onStep: (step: SetupStep) => void) => QueueSetup

const applySystem: Applier = (request, onStep) => applyQueueSetup({ ...request, onStep })

/** A server that the same Ctrl-C ends has that long to let go of the queue. */
const LET_GO_MS = 3000
/** An hour: a timer keeps the process alive, a signal's listener does not. */
const HOUR_MS = 3_600_000

/**
 * Sets a queue up, calls `ready`, waits until `signal` aborts, and puts everything back; also when the process exits before. `told` gets
 * each step as it is taken. Returns whether all is as it was.
 * @throws NicError, ArgumentError when a step is refused: what was done until then is undone
 */
export async function applyUntil(
  request: ApplyRequest,
  signal: AbortSignal,
  told: (step: SetupStep) => void,
  ready: () => void,
  apply: Applier = applySystem,
): Promise<boolean> {
  const undo = untilUndone(apply(request, told), LET_GO_MS)
  let undone = false
  try {
    ready()
    await aborted(signal)
  } finally {
    undone = await undo()
  }
  return undone
}

/**
 * Has a queue put back, whatever ends the process. Returns what does it in order: it is tried for so long, and comes to whether all is as
 * it was.
 */
export function untilUndone(setup: QueueSetup, timeoutMs: number): () => Promise<boolean> {
  const undo = (): void => void setup.undo()
  process.once('exit', undo)
  return async () => {
    await setup.undoWithin(timeoutMs)
    process.off('exit', undo)
    return setup.undone
  }
}

/** A terminal that is closed ends it as well: nothing else would put the interface back. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setInterval(() => {}, HOUR_MS)
    const end = (): void => {
      clearInterval(timer)
      process.off('SIGHUP', end)
      signal.removeEventListener('abort', end)
      resolve()
    }
    process.once('SIGHUP', end)
    signal.addEventListener('abort', end)
  })
}

/** A step as a line. */
export function stepLine({ what, command, outcome, words }: SetupStep): string {
  const said = words === '' ? '' : command === '' ? words : ` (${words})`
  return `  ${outcome.padEnd(11)}  ${command === '' ? `${what}: ` : command}${said}`
}
