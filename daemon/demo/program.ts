/** The child's side of the demo's IPC. */
import type { FailureReply } from './protocol.ts'

/**
 * Serves the demo's requests one after another. What `handle` throws goes back as a failure. The process ends when the
 * demo goes away; Ctrl-C is the demo's to handle.
 */
export function serve<Request>(
  handle: (request: Request) => Promise<void>,
  atEnd?: () => Promise<void>,
): void {
  let queue = Promise.resolve()
  process.on('SIGINT', () => {})
  const leave = (): void => {
    // What holds a queue gives it back, but a demo that is gone can't wait for it.
    setTimeout(() => process.exit(1), 2000).unref()
    void (atEnd?.() ?? Promise.resolve()).catch(() => {}).finally(() => process.exit(0))
  }
  process.once('disconnect', leave)
  process.once('SIGTERM', leave)
  process.on('uncaughtException', (error) => {
    fail(error)
    setTimeout(() => process.exit(1), 100)
  })
  process.on('message', (request: Request) => {
    queue = queue.then(() => handle(request)).catch(fail)
  })
}

/** Sends `message` to the demo. */
export function reply<Reply>(message: Reply): void {
  if (process.connected) process.send?.(message)
}

function fail(error: unknown): void {
  // A `ZcrxError` has them; its class is not loaded in processes that only receive with Linux's TCP.
  const known: Error & { code?: string; remedy?: string } =
    error instanceof Error ? error : new Error(String(error))
  reply<FailureReply>({
    type: 'failure',
    code: known.code ?? '',
    message: known.message,
    remedy: known.remedy ?? '',
    stack: known.stack ?? '',
  })
}
