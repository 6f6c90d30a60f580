interface Closable {
  close(): void
}

const open = new Set<Closable>()

function closeAll(): void {
  for (const capture of open) capture.close()
}

/** Closes `capture` when the process ends, also by an exception that nobody catches; not when it is killed. */
export function atExit(capture: Closable): void {
  if (open.size === 0) process.on('exit', closeAll)
  open.add(capture)
}

/** It is closed already. */
export function notAtExit(capture: Closable): void {
  if (open.delete(capture) && open.size === 0) process.off('exit', closeAll)
}
